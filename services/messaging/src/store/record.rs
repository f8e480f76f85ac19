//! Recording what became of a call (design rules 3 to 5). Each statement may run twice: the second time it changes nothing.
//!
//! Who deletes the queue row writes the ending, in the same statement: a message has one or the other.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Meta accepted attempt `attempt`.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub number: String,
    pub application: Uuid,
    pub message: Uuid,
    pub attempt: i32,
    pub wamid_hash: [u8; 16],
    pub wamid_sealed: Vec<u8>,
}

/// Meta did not accept attempt `attempt`, or the call never left, or nobody knows.
#[derive(Debug, Clone)]
pub(crate) struct Missed {
    pub number: String,
    pub message: Uuid,
    pub attempt: i32,
    /// Stable reason in upper snake case.
    pub reason: &'static str,
    /// Meta's code; none if Meta did not answer.
    pub meta_code: Option<i32>,
    pub http_status: Option<i16>,
    pub fbtrace: Option<String>,
}

/// A [`Missed`] that is tried again.
#[derive(Debug, Clone)]
pub(crate) struct Retry {
    pub missed: Missed,
    pub delay_seconds: f64,
    /// The attempt did not count: it never reached Meta, or says nothing about the message.
    pub refund: bool,
}

/// What was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Noted {
    pub message: Uuid,
    pub at: OffsetDateTime,
}

/// An acceptance that ended a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub message: Uuid,
    pub at: OffsetDateTime,
    /// Statuses are kept of messages that were not known, perhaps of this one.
    pub orphans: bool,
}

/// What was recorded late, about a message that had ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Late {
    pub at: OffsetDateTime,
    /// A second acceptance.
    pub duplicate: bool,
}

const OUTCOME_ACCEPTED: i16 = 1;
const OUTCOME_MISSED: i16 = 2;
const OUTCOME_UNKNOWN: i16 = 3;

/// Ends messages that stand in the queue as ACCEPTED, whatever their state there, and gives those it ended. The others have ended before: see [`accepted_late`].
pub(crate) async fn accepted(conn: &mut PgConnection, items: &[Accepted]) -> sqlx::Result<Vec<Ended>> {
    let numbers: Vec<_> = items.iter().map(|item| item.number.as_str()).collect();
    let messages: Vec<_> = items.iter().map(|item| item.message).collect();
    let attempts: Vec<_> = items.iter().map(|item| item.attempt).collect();
    let hashes: Vec<_> = items.iter().map(|item| item.wamid_hash.as_slice()).collect();
    let sealed: Vec<_> = items.iter().map(|item| item.wamid_sealed.as_slice()).collect();
    let applications: Vec<_> = items.iter().map(|item| item.application).collect();
    sqlx::query_as!(
        Ended,
        r#"
        WITH clock AS MATERIALIZED (
            SELECT messaging.now_() AS now
        ), gone AS (
            DELETE FROM messaging.queue q
            USING unnest($1::text[], $2::uuid[], $3::integer[], $4::bytea[], $5::bytea[], $7::uuid[]) AS item (number, message, attempt, hash, sealed, application)
            WHERE q.phone_number_id = item.number AND q.message_id = item.message AND q.attempt >= item.attempt
            RETURNING q.message_id, q.attempt AS attempts, item.attempt, item.hash, item.sealed, item.application
        ), ended AS (
            INSERT INTO messaging.ending (message_id, updated_at, attempt, state, duplicates, wamid_hash, wamid_sealed)
            SELECT message_id, now, attempts, 3, 0, hash, sealed FROM gone CROSS JOIN clock
        ), mapped AS (
            INSERT INTO messaging.wamid (hash, message_id, application_id, attempt)
            SELECT hash, message_id, application, attempt FROM gone ORDER BY hash
            ON CONFLICT (hash) DO NOTHING
        ), tried AS (
            INSERT INTO messaging.attempt (message_id, attempt, at, outcome)
            SELECT message_id, attempt, now, $6::smallint FROM gone CROSS JOIN clock WHERE attempt > 1
            ON CONFLICT (message_id, attempt) DO NOTHING
        ), told AS (
            INSERT INTO messaging.outbox (message_id, at, attempt, kind)
            SELECT message_id, now, attempt, 2 FROM gone CROSS JOIN clock
            ON CONFLICT (message_id, kind, attempt) DO NOTHING
        )
        SELECT message_id AS message, now AS "at!", EXISTS (SELECT FROM messaging.orphan_status) AS "orphans!" FROM gone CROSS JOIN clock
        "#,
        numbers as _,
        &messages,
        &attempts,
        hashes as _,
        sealed as _,
        OUTCOME_ACCEPTED,
        &applications,
    )
    .fetch_all(conn)
    .await
}

/// Records an acceptance of a message that has ended. A FAILED one becomes ACCEPTED; a second acceptance of an ACCEPTED one
/// is counted as a duplicate; one that is known changes nothing, and so does one of an attempt that was never begun.
pub(crate) async fn accepted_late(conn: &mut PgConnection, item: &Accepted) -> sqlx::Result<Option<Late>> {
    // One message at a time: it is rare, and `id = $1` has one plan.
    sqlx::query_as!(
        Late,
        r#"
        WITH clock AS MATERIALIZED (
            SELECT messaging.now_() AS now
        ), mapped AS (
            INSERT INTO messaging.wamid (hash, message_id, application_id, attempt)
            SELECT $3, e.message_id, $5, $2 FROM messaging.ending e WHERE e.message_id = $1 AND e.attempt >= $2
            ON CONFLICT (hash) DO NOTHING
            RETURNING hash
        ), ended AS (
            UPDATE messaging.ending e
            SET state = 3, duplicates = e.duplicates + (e.state = 3)::integer, updated_at = clock.now, meta_code = NULL, reason = NULL,
                wamid_hash = coalesce(e.wamid_hash, $3), wamid_sealed = coalesce(e.wamid_sealed, $4)
            FROM clock CROSS JOIN mapped
            WHERE e.message_id = $1
            RETURNING e.message_id, e.wamid_hash <> $3 AS duplicate
        ), told AS (
            INSERT INTO messaging.outbox (message_id, at, attempt, kind, detail)
            SELECT message_id, now, $2, CASE WHEN duplicate THEN 5 ELSE 2 END, CASE WHEN duplicate THEN $4 END FROM ended CROSS JOIN clock
            ON CONFLICT (message_id, kind, attempt) DO NOTHING
        )
        SELECT now AS "at!", duplicate AS "duplicate!" FROM ended CROSS JOIN clock
        "#,
        item.message,
        item.attempt,
        item.wamid_hash.as_slice(),
        item.wamid_sealed,
        item.application,
    )
    .fetch_optional(conn)
    .await
}

/// Columns of many [`Missed`].
struct Columns<'a> {
    numbers: Vec<&'a str>,
    messages: Vec<Uuid>,
    attempts: Vec<i32>,
    reasons: Vec<&'a str>,
    codes: Vec<Option<i32>>,
    statuses: Vec<Option<i16>>,
    traces: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    fn of(items: impl Iterator<Item = &'a Missed> + Clone) -> Self {
        Self {
            numbers: items.clone().map(|item| item.number.as_str()).collect(),
            messages: items.clone().map(|item| item.message).collect(),
            attempts: items.clone().map(|item| item.attempt).collect(),
            reasons: items.clone().map(|item| item.reason).collect(),
            codes: items.clone().map(|item| item.meta_code).collect(),
            statuses: items.clone().map(|item| item.http_status).collect(),
            traces: items.map(|item| item.fbtrace.as_deref()).collect(),
        }
    }
}

/// Ends messages as FAILED, and gives those it ended. Those with an unsettled earlier attempt stay: see [`doubted`].
pub(crate) async fn failed(conn: &mut PgConnection, items: &[Missed]) -> sqlx::Result<Vec<Noted>> {
    let columns = Columns::of(items.iter());
    sqlx::query_as!(
        Noted,
        r#"
        WITH clock AS MATERIALIZED (
            SELECT messaging.now_() AS now
        ), gone AS (
            DELETE FROM messaging.queue q
            USING unnest($1::text[], $2::uuid[], $3::integer[], $4::text[], $5::integer[], $6::smallint[], $7::text[])
                AS item (number, message, attempt, reason, code, status, trace)
            WHERE q.phone_number_id = item.number AND q.message_id = item.message AND q.attempt = item.attempt AND q.state IN (2, 4) AND q.unsettled = 0
            RETURNING q.message_id, item.attempt, item.reason, item.code, item.status, item.trace
        ), ended AS (
            INSERT INTO messaging.ending (message_id, updated_at, attempt, state, duplicates, meta_code, reason)
            SELECT message_id, now, attempt, 5, 0, code, reason FROM gone CROSS JOIN clock
        ), tried AS (
            INSERT INTO messaging.attempt (message_id, attempt, at, outcome, http_status, meta_code, reason, fbtrace)
            SELECT message_id, attempt, now, $8::smallint, status, code, reason, trace FROM gone CROSS JOIN clock
            ON CONFLICT (message_id, attempt) DO NOTHING
        ), told AS (
            INSERT INTO messaging.outbox (message_id, at, attempt, kind)
            SELECT message_id, now, attempt, 3 FROM gone CROSS JOIN clock
            ON CONFLICT (message_id, kind, attempt) DO NOTHING
        )
        SELECT message_id AS message, now AS "at!" FROM gone CROSS JOIN clock
        "#,
        columns.numbers as _,
        &columns.messages,
        &columns.attempts,
        columns.reasons as _,
        columns.codes as _,
        columns.statuses as _,
        columns.traces as _,
        OUTCOME_MISSED,
    )
    .fetch_all(conn)
    .await
}

/// Moves messages that would fail, but have an earlier attempt whose outcome is unknown, to UNKNOWN: they may have been accepted. Gives those it moved.
pub(crate) async fn doubted(conn: &mut PgConnection, items: &[Missed]) -> sqlx::Result<Vec<Noted>> {
    let columns = Columns::of(items.iter());
    sqlx::query_as!(
        Noted,
        r#"
        WITH clock AS MATERIALIZED (
            SELECT messaging.now_() AS now
        ), moved AS (
            UPDATE messaging.queue q SET state = 4, updated_at = clock.now, meta_code = item.code, reason = item.reason
            FROM clock CROSS JOIN unnest($1::text[], $2::uuid[], $3::integer[], $4::text[], $5::integer[], $6::smallint[], $7::text[])
                AS item (number, message, attempt, reason, code, status, trace)
            WHERE q.phone_number_id = item.number AND q.message_id = item.message AND q.attempt = item.attempt AND q.state IN (2, 4) AND q.unsettled > 0
            RETURNING q.message_id, item.attempt, item.reason, item.code, item.status, item.trace
        ), tried AS (
            INSERT INTO messaging.attempt (message_id, attempt, at, outcome, http_status, meta_code, reason, fbtrace)
            SELECT message_id, attempt, now, $8::smallint, status, code, reason, trace FROM moved CROSS JOIN clock
            ON CONFLICT (message_id, attempt) DO NOTHING
        ), told AS (
            INSERT INTO messaging.outbox (message_id, at, attempt, kind)
            SELECT message_id, now, attempt, 4 FROM moved CROSS JOIN clock
            ON CONFLICT (message_id, kind, attempt) DO NOTHING
        )
        SELECT message_id AS message, now AS "at!" FROM moved CROSS JOIN clock
        "#,
        columns.numbers as _,
        &columns.messages,
        &columns.attempts,
        columns.reasons as _,
        columns.codes as _,
        columns.statuses as _,
        columns.traces as _,
        OUTCOME_MISSED,
    )
    .fetch_all(conn)
    .await
}

/// Puts messages back into the queue, to be tried again later. Gives those it put back. A definite answer that comes late takes a message out of the hold that its policy had placed:
/// left there it would wait for ever, for no decision is open any more.
pub(crate) async fn retried(conn: &mut PgConnection, items: &[Retry]) -> sqlx::Result<Vec<Noted>> {
    let columns = Columns::of(items.iter().map(|item| &item.missed));
    let delays: Vec<_> = items.iter().map(|item| item.delay_seconds).collect();
    let refunds: Vec<_> = items.iter().map(|item| i32::from(item.refund)).collect();
    sqlx::query_as!(
        Noted,
        r#"
        WITH clock AS MATERIALIZED (
            SELECT messaging.now_() AS now
        ), back AS (
            UPDATE messaging.queue q
            SET state = 1, held = false, tries = greatest(q.tries - item.refund, 0), ready_at = clock.now + make_interval(secs => item.delay), updated_at = clock.now,
                meta_code = item.code, reason = item.reason
            FROM clock CROSS JOIN unnest($1::text[], $2::uuid[], $3::integer[], $4::text[], $5::integer[], $6::smallint[], $7::text[], $8::float8[], $9::integer[])
                AS item (number, message, attempt, reason, code, status, trace, delay, refund)
            WHERE q.phone_number_id = item.number AND q.message_id = item.message AND q.attempt = item.attempt AND q.state IN (2, 4)
            RETURNING q.message_id, item.attempt, item.reason, item.code, item.status, item.trace
        ), tried AS (
            INSERT INTO messaging.attempt (message_id, attempt, at, outcome, http_status, meta_code, reason, fbtrace)
            SELECT message_id, attempt, now, $10::smallint, status, code, reason, trace FROM back CROSS JOIN clock
            ON CONFLICT (message_id, attempt) DO NOTHING
        )
        SELECT message_id AS message, now AS "at!" FROM back CROSS JOIN clock
        "#,
        columns.numbers as _,
        &columns.messages,
        &columns.attempts,
        columns.reasons as _,
        columns.codes as _,
        columns.statuses as _,
        columns.traces as _,
        &delays,
        &refunds,
        OUTCOME_MISSED,
    )
    .fetch_all(conn)
    .await
}

/// Moves messages from SENDING to UNKNOWN: after a call without a clear outcome, and for calls whose process is gone. Gives those it moved.
pub(crate) async fn unknown(conn: &mut PgConnection, items: &[Missed]) -> sqlx::Result<Vec<Noted>> {
    let columns = Columns::of(items.iter());
    sqlx::query_as!(
        Noted,
        r#"
        WITH clock AS MATERIALIZED (
            SELECT messaging.now_() AS now
        ), moved AS (
            UPDATE messaging.queue q SET state = 4, updated_at = clock.now, meta_code = item.code, reason = item.reason
            FROM clock CROSS JOIN unnest($1::text[], $2::uuid[], $3::integer[], $4::text[], $5::integer[], $6::smallint[], $7::text[])
                AS item (number, message, attempt, reason, code, status, trace)
            WHERE q.phone_number_id = item.number AND q.message_id = item.message AND q.attempt = item.attempt AND q.state = 2
            RETURNING q.message_id, item.attempt, item.reason, item.code, item.status, item.trace
        ), tried AS (
            INSERT INTO messaging.attempt (message_id, attempt, at, outcome, http_status, meta_code, reason, fbtrace)
            SELECT message_id, attempt, now, $8::smallint, status, code, reason, trace FROM moved CROSS JOIN clock
            ON CONFLICT (message_id, attempt) DO NOTHING
        ), told AS (
            INSERT INTO messaging.outbox (message_id, at, attempt, kind)
            SELECT message_id, now, attempt, 4 FROM moved CROSS JOIN clock
            ON CONFLICT (message_id, kind, attempt) DO NOTHING
        )
        SELECT message_id AS message, now AS "at!" FROM moved CROSS JOIN clock
        "#,
        columns.numbers as _,
        &columns.messages,
        &columns.attempts,
        columns.reasons as _,
        columns.codes as _,
        columns.statuses as _,
        columns.traces as _,
        OUTCOME_UNKNOWN,
    )
    .fetch_all(conn)
    .await
}
