//! Messages from users that are to be marked as read, and which one that is when only the user is known.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A message to be marked as read.
#[derive(Debug)]
pub(crate) struct New<'a> {
    pub number: &'a str,
    pub contact: Uuid,
    pub connection: Uuid,
    pub at: OffsetDateTime,
    pub wamid_sealed: &'a [u8],
}

/// A message whose turn has come.
#[derive(Debug)]
pub(crate) struct Due {
    pub number: String,
    pub contact: Uuid,
    pub connection: Uuid,
    pub at: OffsetDateTime,
    /// How often it was tried, this time included.
    pub tries: i16,
    pub wamid_sealed: Vec<u8>,
    /// It is so old that Meta does not take it any more.
    pub stale: bool,
}

/// One of those that were taken, as it was then.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub number: String,
    pub contact: Uuid,
    pub at: OffsetDateTime,
}

/// Notes messages, the newest of each conversation: the receipt for it is one for all before it. In the order of number and contact, each pair once.
pub(crate) async fn note(conn: &mut PgConnection, receipts: &[New<'_>]) -> sqlx::Result<()> {
    let numbers: Vec<_> = receipts.iter().map(|receipt| receipt.number).collect();
    let contacts: Vec<_> = receipts.iter().map(|receipt| receipt.contact).collect();
    let connections: Vec<_> = receipts.iter().map(|receipt| receipt.connection).collect();
    let times: Vec<_> = receipts.iter().map(|receipt| receipt.at).collect();
    let wamids: Vec<_> = receipts.iter().map(|receipt| receipt.wamid_sealed).collect();
    sqlx::query!(
        r#"
        INSERT INTO messaging.receipt AS r (phone_number_id, contact_id, connection_id, at, due_at, tries, wamid_sealed)
        SELECT number, contact, connection, least(at, now), now, 0, wamid
        FROM (SELECT messaging.now_() AS now OFFSET 0) clock
        CROSS JOIN unnest($1::text[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::bytea[]) AS new (number, contact, connection, at, wamid)
        ON CONFLICT (phone_number_id, contact_id) DO UPDATE
        SET connection_id = excluded.connection_id, at = excluded.at, due_at = excluded.due_at, tries = 0, wamid_sealed = excluded.wamid_sealed
        WHERE r.at <= excluded.at
        "#,
        numbers as _,
        &contacts,
        &connections,
        &times,
        wamids as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes what is due, and counts the try. What is neither forgotten nor put off within a minute is due again: its taker is gone.
pub(crate) async fn take(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Due>> {
    sqlx::query_as!(
        Due,
        r#"
        WITH due AS MATERIALIZED (
            SELECT r.phone_number_id, r.contact_id FROM messaging.receipt r WHERE r.due_at <= (SELECT messaging.now_()) ORDER BY r.due_at LIMIT $1 FOR UPDATE SKIP LOCKED
        )
        UPDATE messaging.receipt r SET due_at = messaging.now_() + interval '1 minute', tries = least(r.tries + 1, 32767)
        FROM due WHERE r.phone_number_id = due.phone_number_id AND r.contact_id = due.contact_id
        RETURNING r.phone_number_id AS number, r.contact_id AS contact, r.connection_id AS connection, r.at, r.tries, r.wamid_sealed,
                  r.at < messaging.now_() - interval '30 days' AS "stale!"
        "#,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Forgets what was marked, or never will be, unless a newer message took its place.
pub(crate) async fn forget(conn: &mut PgConnection, taken: &[Taken]) -> sqlx::Result<()> {
    let (numbers, contacts, times) = columns(taken);
    sqlx::query!(
        r#"
        DELETE FROM messaging.receipt r USING unnest($1::text[], $2::uuid[], $3::timestamptz[]) AS taken (number, contact, at)
        WHERE r.phone_number_id = taken.number AND r.contact_id = taken.contact AND r.at = taken.at
        "#,
        numbers as _,
        &contacts,
        &times,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Puts off what could not be marked, each by so many seconds, unless a newer message took its place.
pub(crate) async fn put_off(conn: &mut PgConnection, taken: &[Taken], seconds: &[f64]) -> sqlx::Result<()> {
    let (numbers, contacts, times) = columns(taken);
    sqlx::query!(
        r#"
        UPDATE messaging.receipt r SET due_at = messaging.now_() + make_interval(secs => taken.seconds)
        FROM unnest($1::text[], $2::uuid[], $3::timestamptz[], $4::float8[]) AS taken (number, contact, at, seconds)
        WHERE r.phone_number_id = taken.number AND r.contact_id = taken.contact AND r.at = taken.at
        "#,
        numbers as _,
        &contacts,
        &times,
        seconds,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The last message of a user to `number`, if Meta still takes a receipt for it: for 30 days.
pub(crate) async fn last_inbound(
    conn: &mut PgConnection,
    number: &str,
    contact: Uuid,
) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!(
        r#"
        SELECT w.last_wamid_sealed FROM messaging.service_window w
        WHERE w.phone_number_id = $1 AND w.contact_id = $2 AND w.last_inbound_at > messaging.now_() - interval '30 days'
          AND w.last_wamid_sealed <> ''
        "#,
        number,
        contact,
    )
    .fetch_optional(conn)
    .await
}

fn columns(taken: &[Taken]) -> (Vec<&str>, Vec<Uuid>, Vec<OffsetDateTime>) {
    (
        taken.iter().map(|taken| taken.number.as_str()).collect(),
        taken.iter().map(|taken| taken.contact).collect(),
        taken.iter().map(|taken| taken.at).collect(),
    )
}
