//! Reading the queue: page by page for the owner's scan, by id for hints, and what is needed to make a call.

use sqlx::PgConnection;
use uuid::Uuid;

/// A queued message, as the owner of its number sees it.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a row")]
pub(crate) struct Row {
    pub message: Uuid,
    pub contact: Uuid,
    pub connection: Uuid,
    pub place: i64,
    pub epoch: i64,
    pub attempt: i32,
    pub state: i16,
    pub priority: i16,
    pub held: bool,
    /// Seconds until it may be tried; not positive: now.
    pub ready_in: f64,
    /// Seconds since its last intent.
    pub intent_age: Option<f64>,
    /// Its time has run out.
    pub expired: bool,
    /// It has not been tried: what it waits for is the time that its sender chose.
    pub scheduled: bool,
    /// It is no message to look at but says how far the look came: there may be more behind it.
    pub edge: bool,
}

/// A look at a stretch of a number's queue, in the order of ids.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub after: Uuid,
    /// Rows that are looked at.
    pub span: i64,
    /// Rows that are given.
    pub limit: i64,
    /// Priorities from and to.
    pub priorities: (i16, i16),
    /// Of the classes 1, 2 and 3: queued messages are given up to this id.
    pub until: [Uuid; 3],
    /// Seconds: messages that cannot go in this time are not given.
    pub horizon: f64,
    /// Seconds: held messages whose intent is older are not given.
    pub patience: f64,
}

/// What a call to Meta needs of a message.
#[derive(Debug)]
pub(crate) struct Load {
    pub message: Uuid,
    pub application: Uuid,
    pub traceparent: Option<String>,
    pub sealed: Vec<u8>,
    /// Seconds until the recipient's window closes; none: there is none, or Meta closed it.
    pub window_left: Option<f64>,
}

/// Looks at a stretch of a number's queue and gives what concerns its owner: messages that can go before long, or have expired, and those that are on their way or of unknown outcome. The
/// others are passed over where they are, so that a million rows cost little. If the stretch ends before the queue does, a row that is marked says where.
pub(crate) async fn look(conn: &mut PgConnection, number: &str, look: &Look) -> sqlx::Result<Vec<Row>> {
    let [urgent, normal, bulk] = look.until;
    sqlx::query_as!(
        Row,
        r#"
        WITH clock AS MATERIALIZED (
            SELECT messaging.now_() AS now
        ), edge AS MATERIALIZED (
            SELECT q.message_id FROM messaging.queue q
            WHERE q.phone_number_id = $1 AND q.message_id > $2 ORDER BY q.message_id OFFSET $3::bigint - 1 LIMIT 1
        ), found AS (
            SELECT q.message_id, q.contact_id, q.connection_id, q.place, q.epoch, q.attempt, q.state, q.priority, q.held, q.ready_at, q.intent_at,
                   q.expires_at, q.reason
            FROM messaging.queue q
            WHERE q.phone_number_id = $1 AND q.message_id > $2
              AND q.message_id <= coalesce((SELECT message_id FROM edge), 'ffffffff-ffff-ffff-ffff-ffffffffffff')
              AND q.priority BETWEEN $5 AND $6
              AND (q.state = 1 AND q.expires_at <= (SELECT now FROM clock)
                   OR CASE q.state
                      WHEN 1 THEN NOT q.held AND q.ready_at <= (SELECT now FROM clock) + make_interval(secs => $7)
                           AND q.message_id <= CASE WHEN q.priority <= 1 THEN $9::uuid WHEN q.priority = 2 THEN $10::uuid ELSE $11::uuid END
                      WHEN 4 THEN NOT q.held OR q.intent_at > (SELECT now FROM clock) - make_interval(secs => $8)
                      ELSE true
                   END)
            ORDER BY q.message_id LIMIT $4
        )
        SELECT message_id AS "message!", contact_id AS "contact!", connection_id AS "connection!", place AS "place!", epoch AS "epoch!", attempt AS "attempt!",
               state AS "state!", priority AS "priority!", held AS "held!", extract(epoch FROM ready_at - now)::float8 AS "ready_in!",
               extract(epoch FROM now - intent_at)::float8 AS intent_age, expires_at <= now AS "expired!",
               attempt = 0 AND reason IS NULL AND ready_at > now AS "scheduled!", false AS "edge!"
        FROM found CROSS JOIN clock
        UNION ALL
        SELECT message_id, message_id, message_id, 0, 0, 0, 0::smallint, 0::smallint, false, 0, NULL, false, false, true FROM edge
        "#,
        number,
        look.after,
        look.span,
        look.limit,
        look.priorities.0,
        look.priorities.1,
        look.horizon,
        look.patience,
        urgent,
        normal,
        bulk,
    )
    .fetch_all(conn)
    .await
}

/// Looks at a number's urgent messages alone, as [`look`] does, by an index of theirs: whatever else waits before them. If there are more than the limit, a row that is marked says where.
pub(crate) async fn look_for_urgent(conn: &mut PgConnection, number: &str, look: &Look) -> sqlx::Result<Vec<Row>> {
    let mut rows = sqlx::query_as!(
        Row,
        r#"
        WITH clock AS MATERIALIZED (
            SELECT messaging.now_() AS now
        )
        SELECT q.message_id AS message, q.contact_id AS contact, q.connection_id AS connection, q.place, q.epoch, q.attempt, q.state, q.priority, q.held,
               extract(epoch FROM q.ready_at - (SELECT now FROM clock))::float8 AS "ready_in!",
               extract(epoch FROM (SELECT now FROM clock) - q.intent_at)::float8 AS intent_age, q.expires_at <= (SELECT now FROM clock) AS "expired!",
               q.attempt = 0 AND q.reason IS NULL AND q.ready_at > (SELECT now FROM clock) AS "scheduled!", false AS "edge!"
        FROM messaging.queue q
        WHERE q.phone_number_id = $1 AND q.priority <= 1 AND q.message_id > $2
        ORDER BY q.message_id LIMIT $3
        "#,
        number,
        look.after,
        look.limit,
    )
    .fetch_all(conn)
    .await?;
    if let Some(last) = rows.last().filter(|_| rows.len() as i64 == look.limit) {
        let edge = Row {
            edge: true,
            ..last.clone()
        };
        rows.push(edge);
    }
    // Its own stretch ends where its rows do: what cannot go before long is left out here.
    rows.retain(|row| row.edge || row.expired || row.state != 1 || row.ready_in <= look.horizon);
    Ok(rows)
}

/// Queued messages of several numbers by their ids. Those that have ended are missing.
pub(crate) async fn rows(conn: &mut PgConnection, keys: &[(&str, Uuid)]) -> sqlx::Result<Vec<Row>> {
    let numbers: Vec<_> = keys.iter().map(|(number, _)| *number).collect();
    let messages: Vec<_> = keys.iter().map(|(_, message)| *message).collect();
    sqlx::query_as!(
        Row,
        r#"
        SELECT q.message_id AS message, q.contact_id AS contact, q.connection_id AS connection, q.place, q.epoch, q.attempt, q.state, q.priority, q.held,
               extract(epoch FROM q.ready_at - clock.now)::float8 AS "ready_in!", extract(epoch FROM clock.now - q.intent_at)::float8 AS intent_age,
               q.expires_at <= clock.now AS "expired!", q.attempt = 0 AND q.reason IS NULL AND q.ready_at > clock.now AS "scheduled!",
               false AS "edge!"
        FROM (SELECT messaging.now_() AS now OFFSET 0) clock CROSS JOIN unnest($1::text[], $2::uuid[]) AS asked (number, message)
        CROSS JOIN LATERAL (
            SELECT * FROM messaging.queue q WHERE q.phone_number_id = asked.number AND q.message_id = asked.message LIMIT 1
        ) q
        "#,
        numbers as _,
        &messages,
    )
    .fetch_all(conn)
    .await
}

/// The content of messages, and what is known of their recipients' windows.
pub(crate) async fn load(conn: &mut PgConnection, messages: &[Uuid]) -> sqlx::Result<Vec<Load>> {
    sqlx::query_as!(
        Load,
        r#"
        SELECT asked.message AS "message!", m.application_id AS application, m.traceparent, m.sealed,
               messaging.window_left(w.last_inbound_at, w.expires_at, w.closed_at, clock.now) AS "window_left?"
        FROM (SELECT messaging.now_() AS now OFFSET 0) clock CROSS JOIN unnest($1::uuid[]) AS asked (message)
        CROSS JOIN LATERAL (SELECT * FROM messaging.message m WHERE m.id = asked.message LIMIT 1) m
        LEFT JOIN LATERAL (
            SELECT * FROM messaging.service_window w WHERE w.phone_number_id = m.phone_number_id AND w.contact_id = m.contact_id LIMIT 1
        ) w ON true
        "#,
        messages,
    )
    .fetch_all(conn)
    .await
}

/// How many messages wait, by state: for the metrics.
pub(crate) async fn depth(conn: &mut PgConnection) -> sqlx::Result<Vec<(i16, i64)>> {
    let rows = sqlx::query!(
        r#"SELECT state, count(*) AS "count!" FROM messaging.queue WHERE phone_number_id > '' GROUP BY state"#
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.state, row.count)).collect())
}
