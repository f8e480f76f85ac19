//! What Meta tells of accounts and numbers, and the states that follow from it.

use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

/// What news are about: numbers of `connection.told.aspect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub(crate) enum Aspect {
    /// The link between the account and this app.
    Link = 1,
    /// Whether the account is banned.
    Ban = 2,
    /// What the account may not do.
    Restriction = 3,
    /// What was decided on the account.
    Review = 4,
    /// What was decided on the number's display name.
    Name = 5,
    /// The number's user name.
    Username = 6,
    /// The number's quality and throughput.
    Quality = 7,
}

/// A connection that news of its account may concern.
#[derive(Debug, Clone)]
pub(crate) struct Concerned {
    pub(crate) id: Uuid,
    pub(crate) application_id: Uuid,
    pub(crate) waba_id: String,
    pub(crate) phone_number_id: String,
    pub(crate) display_number_sealed: Vec<u8>,
}

/// What Meta told of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) aspect: Aspect,
    pub(crate) occurred_at: OffsetDateTime,
    pub(crate) word: String,
    pub(crate) detail: String,
    /// What the account may not do, and when that ends in unix seconds, 0 where it is not known.
    pub(crate) restrictions: Vec<(String, i64)>,
    /// The state that follows from it: 3 or 4. 1: none. 2: active, but it sends nothing outside windows.
    pub(crate) state: i16,
    /// Until then. `None`: until something newer is told.
    pub(crate) until: Option<OffsetDateTime>,
}

/// What Meta told of a connection, as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) connection_id: Uuid,
    pub(crate) aspect: i16,
    pub(crate) word: String,
    pub(crate) detail: String,
    pub(crate) restrictions: String,
    /// When it was read.
    pub(crate) now: OffsetDateTime,
}

/// A connection whose standing was settled anew.
#[derive(Debug, Clone)]
pub(crate) struct Settled {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) before: i16,
    pub(crate) state: i16,
    pub(crate) state_reason: String,
}

/// The connections of these accounts that are not ended, locked.
pub(crate) async fn concerned(db: &mut PgConnection, wabas: &[String]) -> sqlx::Result<Vec<Concerned>> {
    sqlx::query_as!(
        Concerned,
        r#"SELECT id, application_id, waba_id, phone_number_id, display_number_sealed
        FROM connection.connection WHERE waba_id = ANY ($1) AND state <> 4 ORDER BY id FOR UPDATE"#,
        wabas
    )
    .fetch_all(db)
    .await
}

/// Notes what was told, unless what is known occurred later, in the whole seconds that Meta tells: one row for a connection and an aspect. Gives the connections of which something is known now that was not.
pub(crate) async fn tell(db: &mut PgConnection, told: &[(Uuid, Told)]) -> sqlx::Result<Vec<Uuid>> {
    let ids: Vec<_> = told.iter().map(|(id, _)| *id).collect();
    let aspects: Vec<_> = told.iter().map(|(_, told)| told.aspect as i16).collect();
    let times: Vec<_> = told.iter().map(|(_, told)| told.occurred_at).collect();
    let words: Vec<_> = told.iter().map(|(_, told)| told.word.clone()).collect();
    let details: Vec<_> = told.iter().map(|(_, told)| told.detail.clone()).collect();
    let restrictions: Vec<_> = told
        .iter()
        .map(|(_, told)| serde_json::json!(told.restrictions).to_string())
        .collect();
    let states: Vec<_> = told.iter().map(|(_, told)| told.state).collect();
    let ends: Vec<_> = told.iter().map(|(_, told)| told.until).collect();
    sqlx::query_scalar!(
        r#"INSERT INTO connection.told AS told (connection_id, aspect, occurred_at, word, detail, restrictions, state, until)
        SELECT id, aspect, date_trunc('second', least(occurred_at, connection.now_())), word, detail, restrictions, state,
            CASE WHEN state <> 1 THEN coalesce(until, 'infinity') END
        FROM unnest($1::uuid[], $2::smallint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::smallint[], $8::timestamptz[])
            AS new (id, aspect, occurred_at, word, detail, restrictions, state, until)
        ORDER BY id, aspect
        ON CONFLICT (connection_id, aspect) DO UPDATE
        SET occurred_at = excluded.occurred_at, word = excluded.word, detail = excluded.detail, restrictions = excluded.restrictions,
            state = excluded.state, until = excluded.until
        WHERE excluded.occurred_at >= told.occurred_at
            AND (excluded.occurred_at, excluded.word, excluded.detail, excluded.restrictions, excluded.state, excluded.until)
                IS DISTINCT FROM (told.occurred_at, told.word, told.detail, told.restrictions, told.state, told.until)
        RETURNING connection_id"#,
        &ids,
        &aspects,
        &times,
        &words,
        &details,
        &restrictions,
        &states,
        &ends as _
    )
    .fetch_all(db)
    .await
}

/// Notes what was told of messaging limits, unless what is known was told later. Gives the connections whose limit is known anew.
pub(crate) async fn limit(
    db: &mut PgConnection,
    ids: &[Uuid],
    words: &[String],
    times: &[OffsetDateTime],
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"UPDATE connection.connection AS c SET messaging_limit = new.word, messaging_limit_at = least(new.at, connection.now_())
        FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS new (id, word, at)
        WHERE c.id = new.id AND (c.messaging_limit_at IS NULL OR least(new.at, connection.now_()) > c.messaging_limit_at)
        RETURNING c.id"#,
        ids,
        words,
        times
    )
    .fetch_all(db)
    .await
}

/// Puts connections that are not ended into the state that follows from what is told of them; with `paused`, only those that something keeps from sending. What else Meta says of them is asked
/// anew.
pub(crate) async fn settle(db: &mut PgConnection, ids: &[Uuid], paused: bool) -> sqlx::Result<Vec<Settled>> {
    sqlx::query_as!(
        Settled,
        r#"WITH standing AS (
            SELECT c.id, c.state AS before, told.state AS demanded, told.word, told.until, clock.now
            FROM connection.connection c CROSS JOIN (SELECT connection.now_() AS now OFFSET 0) clock
            LEFT JOIN LATERAL (
                SELECT t.state, t.word, t.until FROM connection.told t WHERE t.connection_id = c.id AND t.until > clock.now
                ORDER BY t.state DESC, t.until DESC, t.aspect LIMIT 1
            ) told ON true
            WHERE c.id = ANY ($1) AND c.state <> 4 AND (told.state IS NOT NULL OR NOT $2)
        )
        UPDATE connection.connection AS c
        SET state = CASE
                WHEN s.demanded = 4 OR (s.demanded = 3 AND s.before = 1) THEN s.demanded
                WHEN coalesce(s.demanded, 2) = 2 AND s.before = 3 THEN 1
                ELSE s.before END,
            state_reason = CASE
                WHEN s.demanded = 4 OR (s.demanded = 3 AND s.before IN (1, 3)) THEN s.word
                WHEN coalesce(s.demanded, 2) = 2 AND s.before = 3 THEN ''
                ELSE c.state_reason END,
            restricted_outside = coalesce(s.demanded = 2, false), resume_at = CASE WHEN s.until < 'infinity' THEN s.until END,
            examine_at = s.now, version = c.version + 1, updated_at = s.now
        FROM standing s WHERE c.id = s.id
        RETURNING c.id, c.version, s.before, c.state, c.state_reason"#,
        ids,
        paused
    )
    .fetch_all(db)
    .await
}

/// Connections whose restriction has ended, locked: at most `limit`.
pub(crate) async fn due(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"SELECT id FROM connection.connection WHERE resume_at <= (SELECT connection.now_())
        ORDER BY resume_at LIMIT $1 FOR UPDATE SKIP LOCKED"#,
        limit
    )
    .fetch_all(db)
    .await
}

/// Nothing is to be looked at again of a connection that was ended meanwhile.
pub(crate) async fn forget_ended(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE connection.connection SET resume_at = NULL WHERE id = ANY ($1) AND state = 4",
        ids
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What Meta told of these connections.
pub(crate) async fn of(db: impl PgExecutor<'_>, ids: &[Uuid]) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as!(
        Stored,
        r#"SELECT connection_id, aspect, word, detail, restrictions, connection.now_() AS "now!"
        FROM connection.told WHERE connection_id = ANY ($1)"#,
        ids
    )
    .fetch_all(db)
    .await
}
