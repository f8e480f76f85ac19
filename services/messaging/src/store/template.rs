//! Templates as they were read, or heard of.

use sqlx::PgConnection;
use time::OffsetDateTime;

/// A template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pub name: String,
    pub language: String,
    pub meta_id: String,
    pub status: i16,
    pub meta_status: String,
    pub category: i16,
    pub quality: String,
    pub reason: String,
    pub named: bool,
    pub components: Vec<u8>,
    /// When it was last read, alone or with all of its account.
    pub synced_at: OffsetDateTime,
}

/// What a webhook tells of a template; `None`: nothing about that.
#[derive(Debug, Default)]
pub(crate) struct Heard<'a> {
    /// Meta's id; empty: not known.
    pub meta_id: &'a str,
    pub name: &'a str,
    pub language: &'a str,
    pub status: Option<i16>,
    pub meta_status: Option<&'a str>,
    pub reason: Option<&'a str>,
    pub category: Option<i16>,
    pub quality: Option<&'a str>,
}

/// A template that Meta refused to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub waba: String,
    pub name: String,
    pub language: String,
    pub status: i16,
    pub meta_status: &'static str,
}

/// The status of a template that can be sent, as in the contract.
const APPROVED: i16 = 1;
/// Most bytes of parts in a page of a list, unless a single template has more: an answer of gRPC has at most 4 MiB.
const PAGE_BYTES: i64 = 2 * 1024 * 1024;

/// One template.
pub(crate) async fn get(
    conn: &mut PgConnection,
    waba: &str,
    name: &str,
    language: &str,
) -> sqlx::Result<Option<Template>> {
    sqlx::query_as!(
        Template,
        r#"
        SELECT t.name, t.language, t.meta_id, t.status, t.meta_status, t.category, t.quality, t.reason, t.named, t.components,
               greatest(t.synced_at, s.synced_at) AS "synced_at!"
        FROM messaging.template t LEFT JOIN messaging.template_sync s ON s.waba_id = t.waba_id
        WHERE t.waba_id = $1 AND t.name = $2 AND t.language = $3
        "#,
        waba,
        name,
        language,
    )
    .fetch_optional(conn)
    .await
}

/// The account's templates by name and language, those with `status` only, if one is given: at most `limit` after the template `after`, and at most 2 MiB of parts.
/// Says whether there are more.
pub(crate) async fn list(
    conn: &mut PgConnection,
    waba: &str,
    status: Option<i16>,
    after: (&str, &str),
    limit: i64,
) -> sqlx::Result<(Vec<Template>, bool)> {
    let rows = sqlx::query!(
        r#"
        SELECT t.name, t.language, t.meta_id, t.status, t.meta_status, t.category, t.quality, t.reason, t.named, t.components,
               greatest(t.synced_at, s.synced_at) AS "synced_at!", t.found AS "found!"
        FROM (
            SELECT page.*, sum(octet_length(components)) OVER ahead AS bytes, row_number() OVER ahead AS place, count(*) OVER () AS found
            FROM (
                SELECT * FROM messaging.template
                WHERE waba_id = $1 AND (name, language) > ($3, $4) AND ($2::smallint IS NULL OR status = $2)
                ORDER BY name, language LIMIT $5::bigint + 1
            ) page
            WINDOW ahead AS (ORDER BY name, language)
        ) t
        LEFT JOIN messaging.template_sync s ON s.waba_id = t.waba_id
        WHERE t.place = 1 OR t.place <= $5 AND t.bytes <= $6
        ORDER BY t.name, t.language
        "#,
        waba,
        status,
        after.0,
        after.1,
        limit,
        PAGE_BYTES,
    )
    .fetch_all(conn)
    .await?;
    let more = rows.first().is_some_and(|row| row.found > rows.len() as i64);
    let templates = rows.into_iter().map(|row| Template {
        name: row.name,
        language: row.language,
        meta_id: row.meta_id,
        status: row.status,
        meta_status: row.meta_status,
        category: row.category,
        quality: row.quality,
        reason: row.reason,
        named: row.named,
        components: row.components,
        synced_at: row.synced_at,
    });
    Ok((templates.collect(), more))
}

/// Takes over what a webhook tells, and wants the account's templates to be read soon: it may tell of a template that is not known here, and never tells all.
pub(crate) async fn hear(conn: &mut PgConnection, waba: &str, heard: &Heard<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        WITH clock AS MATERIALIZED (
            SELECT messaging.now_() AS now
        ), changed AS (
            UPDATE messaging.template t
            SET status = coalesce($5, t.status), meta_status = coalesce($6, t.meta_status), reason = coalesce($7, t.reason), category = coalesce($8, t.category),
                quality = coalesce($9, t.quality), heard_at = clock.now
            FROM clock
            WHERE t.waba_id = $1 AND CASE WHEN $2 = '' OR t.meta_id = '' THEN t.name = $3 AND t.language = $4 ELSE t.meta_id = $2 END
              AND (t.status, t.meta_status, t.reason, t.category, t.quality)
                  IS DISTINCT FROM (coalesce($5, t.status), coalesce($6, t.meta_status), coalesce($7, t.reason), coalesce($8, t.category), coalesce($9, t.quality))
            RETURNING 1
        )
        UPDATE messaging.template_sync s
        SET wanted_at = clock.now, due_at = CASE WHEN s.due_at = 'infinity' THEN s.due_at ELSE least(s.due_at, clock.now + interval '10 seconds') END,
            changed_at = CASE WHEN EXISTS (SELECT FROM changed) THEN clock.now ELSE s.changed_at END
        FROM clock
        WHERE s.waba_id = $1
        "#,
        waba,
        heard.meta_id,
        heard.name,
        heard.language,
        heard.status,
        heard.meta_status,
        heard.reason,
        heard.category,
        heard.quality,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes over what Meta's refusals tell of templates that counted as approved.
pub(crate) async fn refuse(conn: &mut PgConnection, refused: &[Refused]) -> sqlx::Result<()> {
    let wabas: Vec<_> = refused.iter().map(|refused| refused.waba.as_str()).collect();
    let names: Vec<_> = refused.iter().map(|refused| refused.name.as_str()).collect();
    let languages: Vec<_> = refused.iter().map(|refused| refused.language.as_str()).collect();
    let statuses: Vec<_> = refused.iter().map(|refused| refused.status).collect();
    let words: Vec<_> = refused.iter().map(|refused| refused.meta_status).collect();
    sqlx::query!(
        r#"
        WITH clock AS MATERIALIZED (
            SELECT messaging.now_() AS now
        ), changed AS (
            UPDATE messaging.template t SET status = new.status, meta_status = new.word, heard_at = clock.now
            FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::text[]) AS new (waba, name, language, status, word), clock
            WHERE t.waba_id = new.waba AND t.name = new.name AND t.language = new.language AND t.status = $6
            RETURNING t.waba_id
        )
        UPDATE messaging.template_sync s SET changed_at = clock.now FROM clock WHERE s.waba_id IN (SELECT waba_id FROM changed)
        "#,
        wabas as _,
        names as _,
        languages as _,
        &statuses,
        words as _,
        APPROVED,
    )
    .execute(conn)
    .await?;
    Ok(())
}
