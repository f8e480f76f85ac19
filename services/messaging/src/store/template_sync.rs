//! Who reads which account's templates, and when. A reading holds a lease: what one without it writes is not taken.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A reading of one account's templates that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    pub waba: String,
    pub lease: Uuid,
    /// When it began; after each page, when that was stored: what Meta is asked for next, it knows of that time at least.
    pub at: OffsetDateTime,
    /// Readings in a row that failed.
    pub failures: i32,
}

/// A template as Meta listed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub name: String,
    pub language: String,
    pub meta_id: String,
    pub status: i16,
    pub meta_status: String,
    pub category: i16,
    pub quality: String,
    pub reason: String,
    pub named: bool,
    pub components: String,
}

/// Why no reading may begin now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Early {
    /// Seconds until one may, unless one runs as long.
    pub wait: f64,
    /// One runs.
    pub runs: bool,
}

/// How long a reading may be silent, in seconds: longer than its slowest page.
const LEASE: f64 = 120.0;

/// Makes accounts known; those that rested become due. In the order of ids.
pub(crate) async fn introduce(conn: &mut PgConnection, wabas: &[String]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        INSERT INTO messaging.template_sync AS s (waba_id, due_at)
        SELECT waba, messaging.now_() FROM unnest($1::text[]) AS waba ORDER BY waba
        ON CONFLICT (waba_id) DO UPDATE SET due_at = excluded.due_at WHERE s.due_at = 'infinity'
        "#,
        wabas,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Begins the readings that are due, at most `limit` of them.
pub(crate) async fn begin_due(conn: &mut PgConnection, lease: Uuid, limit: i64) -> sqlx::Result<Vec<Reading>> {
    sqlx::query_as!(
        Reading,
        r#"
        UPDATE messaging.template_sync s
        SET lease = $1, lease_until = clock.now + make_interval(secs => $3), started_at = clock.now, not_before = clock.now + interval '1 minute'
        FROM (
            SELECT waba_id FROM messaging.template_sync
            WHERE due_at <= (SELECT messaging.now_()) AND not_before <= (SELECT messaging.now_()) AND lease_until <= (SELECT messaging.now_())
            ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
        ) due CROSS JOIN (SELECT messaging.now_() AS now OFFSET 0) clock
        WHERE s.waba_id = due.waba_id
        RETURNING s.waba_id AS waba, s.lease AS "lease!", s.started_at AS at, s.failures
        "#,
        lease,
        limit,
        LEASE,
    )
    .fetch_all(conn)
    .await
}

/// Begins a reading of one account now, if none runs and the last began a minute ago or more.
pub(crate) async fn begin(conn: &mut PgConnection, waba: &str, lease: Uuid) -> sqlx::Result<Result<Reading, Early>> {
    let begun = sqlx::query_as!(
        Reading,
        r#"
        INSERT INTO messaging.template_sync AS s (waba_id, due_at, lease, lease_until, started_at, not_before)
        SELECT $1, now, $2, now + make_interval(secs => $3), now, now + interval '1 minute' FROM (SELECT messaging.now_() AS now OFFSET 0) clock
        ON CONFLICT (waba_id) DO UPDATE
        SET lease = excluded.lease, lease_until = excluded.lease_until, started_at = excluded.started_at, not_before = excluded.not_before
        WHERE s.not_before <= excluded.started_at AND s.lease_until <= excluded.started_at
        RETURNING s.waba_id AS waba, s.lease AS "lease!", s.started_at AS at, s.failures
        "#,
        waba,
        lease,
        LEASE,
    )
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(reading) = begun {
        return Ok(Ok(reading));
    }
    let early = sqlx::query_as!(
        Early,
        r#"
        SELECT extract(epoch FROM greatest(s.not_before, clock.now) - clock.now)::double precision AS "wait!", s.lease_until > clock.now AS "runs!"
        FROM messaging.template_sync s CROSS JOIN (SELECT messaging.now_() AS now OFFSET 0) clock WHERE s.waba_id = $1
        "#,
        waba,
    )
    .fetch_one(conn)
    .await?;
    Ok(Err(early))
}

/// Stores a page. Gives the time of that; `None`: the reading lost its lease, and nothing was stored.
///
/// What a webhook told after Meta was asked stays. Rows that are as they were are not written. Of two entries with the same key the first is taken.
pub(crate) async fn take_over(
    conn: &mut PgConnection,
    reading: &Reading,
    templates: &[Listed],
) -> sqlx::Result<Option<OffsetDateTime>> {
    let names: Vec<_> = templates.iter().map(|template| template.name.as_str()).collect();
    let languages: Vec<_> = templates.iter().map(|template| template.language.as_str()).collect();
    let ids: Vec<_> = templates.iter().map(|template| template.meta_id.as_str()).collect();
    let statuses: Vec<_> = templates.iter().map(|template| template.status).collect();
    let words: Vec<_> = templates.iter().map(|template| template.meta_status.as_str()).collect();
    let categories: Vec<_> = templates.iter().map(|template| template.category).collect();
    let qualities: Vec<_> = templates.iter().map(|template| template.quality.as_str()).collect();
    let reasons: Vec<_> = templates.iter().map(|template| template.reason.as_str()).collect();
    let with_names: Vec<_> = templates.iter().map(|template| template.named).collect();
    let components: Vec<_> = templates
        .iter()
        .map(|template| template.components.as_bytes())
        .collect();
    sqlx::query_scalar!(
        r#"
        WITH clock AS MATERIALIZED (
            SELECT messaging.now_() AS now
        ), mine AS MATERIALIZED (
            SELECT waba_id FROM messaging.template_sync WHERE waba_id = $1 AND lease = $2 FOR UPDATE
        ), written AS (
            INSERT INTO messaging.template AS t (waba_id, name, language, meta_id, status, meta_status, category, quality, reason, named, components, synced_at)
            SELECT DISTINCT ON (new.name, new.language) mine.waba_id, new.*, clock.now
            FROM mine CROSS JOIN clock
            CROSS JOIN unnest($4::text[], $5::text[], $6::text[], $7::smallint[], $8::text[], $9::smallint[], $10::text[], $11::text[], $12::boolean[], $13::bytea[])
                AS new (name, language, meta_id, status, meta_status, category, quality, reason, named, components)
            ORDER BY new.name, new.language
            ON CONFLICT (waba_id, name, language) DO UPDATE
            SET meta_id = excluded.meta_id, named = excluded.named, missed = false, synced_at = excluded.synced_at,
                -- The old value, where it is the same, is not stored anew.
                components = CASE WHEN t.components = excluded.components THEN t.components ELSE excluded.components END,
                status = CASE WHEN t.heard_at > $3 THEN t.status ELSE excluded.status END,
                meta_status = CASE WHEN t.heard_at > $3 THEN t.meta_status ELSE excluded.meta_status END,
                category = CASE WHEN t.heard_at > $3 THEN t.category ELSE excluded.category END,
                quality = CASE WHEN t.heard_at > $3 THEN t.quality ELSE excluded.quality END,
                -- Webhooks explain more than lists do.
                reason = CASE WHEN t.heard_at > $3 OR t.meta_status = excluded.meta_status AND starts_with(t.reason, excluded.reason) THEN t.reason
                              ELSE excluded.reason END
            WHERE (t.meta_id, t.named, t.missed, t.components) IS DISTINCT FROM (excluded.meta_id, excluded.named, false, excluded.components)
               OR (t.heard_at > $3) IS NOT TRUE
                  AND ((t.status, t.meta_status, t.category, t.quality) IS DISTINCT FROM (excluded.status, excluded.meta_status, excluded.category, excluded.quality)
                       OR NOT starts_with(t.reason, excluded.reason))
            RETURNING 1
        )
        UPDATE messaging.template_sync s
        SET lease_until = clock.now + make_interval(secs => $14), changed_at = CASE WHEN EXISTS (SELECT FROM written) THEN clock.now ELSE s.changed_at END
        FROM mine, clock
        WHERE s.waba_id = mine.waba_id
        RETURNING clock.now AS "now!"
        "#,
        reading.waba,
        reading.lease,
        reading.at,
        names as _,
        languages as _,
        ids as _,
        &statuses,
        words as _,
        &categories,
        qualities as _,
        reasons as _,
        &with_names,
        components as _,
        LEASE,
    )
    .fetch_optional(conn)
    .await
}

/// Ends a whole reading that found these templates, by name and language. The next is due in `interval` seconds, or soon if one was wanted meanwhile; for `pause` seconds none begins.
/// What was not found, and neither by the whole reading before, is gone. False: the reading lost its lease, and nothing was written.
pub(crate) async fn finish(
    conn: &mut PgConnection,
    reading: &Reading,
    found: &[(String, String)],
    interval: f64,
    pause: f64,
) -> sqlx::Result<bool> {
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    let languages: Vec<_> = found.iter().map(|(_, language)| language.as_str()).collect();
    let done = sqlx::query!(
        r#"
        WITH clock AS MATERIALIZED (
            SELECT messaging.now_() AS now
        ), mine AS MATERIALIZED (
            SELECT waba_id FROM messaging.template_sync WHERE waba_id = $1 AND lease = $2 FOR UPDATE
        ), absent AS MATERIALIZED (
            SELECT t.waba_id, t.name, t.language, t.missed FROM mine JOIN messaging.template t ON t.waba_id = mine.waba_id
            WHERE NOT EXISTS (SELECT FROM unnest($3::text[], $4::text[]) AS found (name, language) WHERE found.name = t.name AND found.language = t.language)
        ), gone AS (
            DELETE FROM messaging.template t USING absent a
            WHERE t.waba_id = a.waba_id AND t.name = a.name AND t.language = a.language AND a.missed RETURNING 1
        ), missed AS (
            UPDATE messaging.template t SET missed = true FROM absent a
            WHERE t.waba_id = a.waba_id AND t.name = a.name AND t.language = a.language AND NOT a.missed RETURNING 1
        )
        UPDATE messaging.template_sync s
        SET synced_at = clock.now, failures = 0, lease = NULL, lease_until = '-infinity',
            due_at = clock.now + CASE WHEN s.wanted_at >= s.started_at THEN interval '10 seconds' WHEN EXISTS (SELECT FROM missed) THEN interval '1 minute'
                                      ELSE make_interval(secs => $5) END,
            not_before = greatest(s.not_before, clock.now + make_interval(secs => $6)),
            changed_at = CASE WHEN EXISTS (SELECT FROM gone) THEN clock.now ELSE s.changed_at END
        FROM mine, clock
        WHERE s.waba_id = mine.waba_id
        "#,
        reading.waba,
        reading.lease,
        names as _,
        languages as _,
        interval,
        pause,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends a reading that failed. The next is due in `retry` seconds; for `pause` seconds none begins.
pub(crate) async fn fail(conn: &mut PgConnection, reading: &Reading, retry: f64, pause: f64) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        UPDATE messaging.template_sync s
        SET failures = least(s.failures, 1000) + 1, lease = NULL, lease_until = '-infinity', due_at = clock.now + make_interval(secs => $3),
            not_before = greatest(s.not_before, clock.now + make_interval(secs => $4))
        FROM (SELECT messaging.now_() AS now OFFSET 0) clock
        WHERE s.waba_id = $1 AND s.lease = $2
        "#,
        reading.waba,
        reading.lease,
        retry,
        pause,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives a reading up: with `rest` until a connection of the account is active again, else for another process to take up.
pub(crate) async fn give_up(conn: &mut PgConnection, reading: &Reading, rest: bool) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        UPDATE messaging.template_sync
        SET lease = NULL, lease_until = '-infinity', due_at = CASE WHEN $3 THEN 'infinity' ELSE due_at END
        WHERE waba_id = $1 AND lease = $2
        "#,
        reading.waba,
        reading.lease,
        rest,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// For so many seconds no reading of any account begins: the app has used up its calls.
pub(crate) async fn pause_all(conn: &mut PgConnection, seconds: f64) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        UPDATE messaging.template_sync s SET not_before = clock.until
        FROM (SELECT messaging.now_() + make_interval(secs => $1) AS until OFFSET 0) clock
        WHERE s.not_before < clock.until
        "#,
        seconds,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Wants the templates of these accounts to be read soon.
pub(crate) async fn want(conn: &mut PgConnection, wabas: &[String]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        UPDATE messaging.template_sync s
        SET wanted_at = clock.now, due_at = CASE WHEN s.due_at = 'infinity' THEN s.due_at ELSE least(s.due_at, clock.now + interval '10 seconds') END
        FROM (SELECT messaging.now_() AS now OFFSET 0) clock
        WHERE s.waba_id = ANY($1)
        "#,
        wabas,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// When all templates of the account were last read; `None`: never yet.
pub(crate) async fn synced_at(conn: &mut PgConnection, waba: &str) -> sqlx::Result<Option<OffsetDateTime>> {
    let row = sqlx::query_scalar!("SELECT synced_at FROM messaging.template_sync WHERE waba_id = $1", waba)
        .fetch_optional(conn)
        .await?;
    Ok(row.flatten())
}

/// The accounts whose templates changed since `since`, by the database's clock, with when they last did, and the clock.
pub(crate) async fn changed(
    conn: &mut PgConnection,
    since: OffsetDateTime,
) -> sqlx::Result<(Vec<(String, OffsetDateTime)>, OffsetDateTime)> {
    // The clock is read first: what changes while this statement runs is seen again by the next.
    let now = sqlx::query_scalar!(r#"SELECT messaging.now_() AS "now!""#)
        .fetch_one(&mut *conn)
        .await?;
    let rows = sqlx::query!(
        "SELECT waba_id, changed_at FROM messaging.template_sync WHERE changed_at >= $1",
        since
    )
    .fetch_all(conn)
    .await?;
    let changed = rows.into_iter().map(|row| (row.waba_id, row.changed_at));
    Ok((changed.collect(), now))
}

/// How many accounts' templates could not be read three times in a row or more.
pub(crate) async fn failing(conn: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM messaging.template_sync WHERE failures >= 3 AND due_at < 'infinity'"#
    )
    .fetch_one(conn)
    .await
}
