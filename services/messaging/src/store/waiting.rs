//! What a queued message waits for.

use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// What stands in a queued message's way, as far as the database knows.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Not before then, where that lies ahead.
    pub ready_at: Option<OffsetDateTime>,
    /// An earlier message of its lane goes first.
    pub behind: bool,
    /// Where the outcome of each of those is unknown: the lane waits for them no longer than this.
    pub behind_until: Option<OffsetDateTime>,
    /// The connection's state and whether it is paused. None: it is not known.
    pub connection_state: Option<i16>,
    pub connection_paused: Option<bool>,
    /// Why an operator holds it back.
    pub hold: Option<String>,
}

/// Earlier messages of a lane that are looked at.
const LANE: i64 = 256;

/// What a message that stands in the queue waits for; none if it stands there no longer. `patience` is how long a lane waits for a head that is not ready, or for an outcome nobody knows.
pub(crate) async fn of(
    conn: &mut PgConnection,
    number: &str,
    message: Uuid,
    patience: Duration,
) -> sqlx::Result<Option<Waiting>> {
    // A message whose sender chose a later time holds nobody up; nor does one that waits for its own reason, once the lane's patience with it is over.
    sqlx::query_as!(
        Waiting,
        r#"
        SELECT CASE WHEN q.ready_at > clock.now THEN q.ready_at END AS ready_at, lane.behind AS "behind!", lane.until AS behind_until,
               c.state AS "connection_state?", c.paused AS "connection_paused?", h.reason AS "hold?"
        FROM (SELECT messaging.now_() AS now, make_interval(secs => $3) AS patience OFFSET 0) clock
        CROSS JOIN LATERAL (SELECT * FROM messaging.queue q WHERE q.phone_number_id = $1 AND q.message_id = $2 LIMIT 1) q
        CROSS JOIN LATERAL (
            SELECT count(*) > 0 AS behind, CASE WHEN bool_and(e.state = 4) THEN max(e.intent_at) + clock.patience END AS until
            FROM (SELECT * FROM messaging.queue e WHERE e.contact_id = q.contact_id AND e.place < q.place ORDER BY e.place LIMIT $4) e
            WHERE e.phone_number_id = q.phone_number_id AND e.priority = q.priority
              AND CASE e.state
                  WHEN 1 THEN e.ready_at <= clock.now OR (e.attempt > 0 AND e.updated_at > clock.now - clock.patience)
                  WHEN 2 THEN true
                  WHEN 4 THEN e.intent_at > clock.now - clock.patience
                  ELSE false END
        ) lane
        LEFT JOIN LATERAL (SELECT * FROM messaging.connection c WHERE c.connection_id = q.connection_id LIMIT 1) c ON true
        LEFT JOIN LATERAL (
            SELECT h.reason FROM messaging.hold h
            WHERE (h.scope, h.key) IN ((1, q.phone_number_id), (2, q.connection_id::text), (3, c.application_id::text))
            ORDER BY h.scope LIMIT 1
        ) h ON true
        "#,
        number,
        message,
        patience.as_seconds_f64(),
        LANE,
    )
    .fetch_optional(conn)
    .await
}
