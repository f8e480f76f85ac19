//! What webhooks leave behind: windows, and statuses of messages that are not known yet.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A user's message or call that opens or extends a window.
#[derive(Debug)]
pub(crate) struct Opening<'a> {
    pub number: &'a str,
    pub contact: Uuid,
    pub at: OffsetDateTime,
    /// Empty: it is a call.
    pub wamid_sealed: &'a [u8],
}

/// A status to keep until its message is known.
#[derive(Debug)]
pub(crate) struct Orphan {
    pub hash: Vec<u8>,
    pub id: Uuid,
    pub application: Uuid,
    pub connection: Uuid,
    pub received_at: OffsetDateTime,
    pub sealed: Vec<u8>,
}

/// A kept status whose message is known now.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub hash: Vec<u8>,
    pub id: Uuid,
    pub application: Uuid,
    pub connection: Uuid,
    pub received_at: OffsetDateTime,
    pub sealed: Vec<u8>,
    pub message: Uuid,
}

/// A window that a message opened or extended.
#[derive(Debug)]
pub(crate) struct Opened {
    pub number: String,
    pub contact: Uuid,
    /// Seconds until it closes; none: Meta closed it since.
    pub window_left: Option<f64>,
}

/// Opens windows, or extends them: the latest message counts, in whatever order they come, of those of one second the last that came, and none from the future. In the order of number and contact, each pair once. A call leaves the last message's id as it is. Gives those it changed.
pub(crate) async fn open_windows(conn: &mut PgConnection, openings: &[Opening<'_>]) -> sqlx::Result<Vec<Opened>> {
    let numbers: Vec<_> = openings.iter().map(|opening| opening.number).collect();
    let contacts: Vec<_> = openings.iter().map(|opening| opening.contact).collect();
    let times: Vec<_> = openings.iter().map(|opening| opening.at).collect();
    let wamids: Vec<_> = openings.iter().map(|opening| opening.wamid_sealed).collect();
    sqlx::query_as!(
        Opened,
        r#"
        INSERT INTO messaging.service_window AS w (phone_number_id, contact_id, last_inbound_at, expires_at, last_wamid_sealed)
        SELECT number, contact, least(at, now), least(at, now) + interval '24 hours', wamid
        FROM (SELECT messaging.now_() AS now OFFSET 0) clock CROSS JOIN unnest($1::text[], $2::uuid[], $3::timestamptz[], $4::bytea[]) AS new (number, contact, at, wamid)
        ON CONFLICT (phone_number_id, contact_id) DO UPDATE
        SET last_inbound_at = excluded.last_inbound_at, expires_at = greatest(w.expires_at, excluded.expires_at),
            last_wamid_sealed = CASE WHEN excluded.last_wamid_sealed = '' THEN w.last_wamid_sealed ELSE excluded.last_wamid_sealed END
        WHERE w.last_inbound_at <= excluded.last_inbound_at
        RETURNING w.phone_number_id AS number, w.contact_id AS contact, messaging.window_left(w.last_inbound_at, w.expires_at, w.closed_at, messaging.now_()) AS window_left
        "#,
        numbers as _,
        &contacts,
        &times,
        wamids as _,
    )
    .fetch_all(conn)
    .await
}

/// Keeps statuses for 48 hours. In the order of hash and id.
pub(crate) async fn keep_orphans(conn: &mut PgConnection, orphans: &[Orphan]) -> sqlx::Result<()> {
    let hashes: Vec<_> = orphans.iter().map(|orphan| orphan.hash.as_slice()).collect();
    let ids: Vec<_> = orphans.iter().map(|orphan| orphan.id).collect();
    let applications: Vec<_> = orphans.iter().map(|orphan| orphan.application).collect();
    let connections: Vec<_> = orphans.iter().map(|orphan| orphan.connection).collect();
    let received: Vec<_> = orphans.iter().map(|orphan| orphan.received_at).collect();
    let sealed: Vec<_> = orphans.iter().map(|orphan| orphan.sealed.as_slice()).collect();
    sqlx::query!(
        r#"
        INSERT INTO messaging.orphan_status (hash, id, application_id, connection_id, received_at, expires_at, sealed)
        SELECT hash, id, application, connection, received, messaging.now_() + interval '48 hours', sealed
        FROM unnest($1::bytea[], $2::uuid[], $3::uuid[], $4::uuid[], $5::timestamptz[], $6::bytea[]) AS new (hash, id, application, connection, received, sealed)
        ON CONFLICT (hash, id) DO NOTHING
        "#,
        hashes as _,
        &ids,
        &applications,
        &connections,
        &received,
        sealed as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Kept statuses of the wamids with these hashes whose message is known.
pub(crate) async fn adopted(conn: &mut PgConnection, hashes: &[&[u8]]) -> sqlx::Result<Vec<Adopted>> {
    sqlx::query_as!(
        Adopted,
        r#"
        SELECT o.hash, o.id, o.application_id AS application, o.connection_id AS connection, o.received_at, o.sealed, w.message_id AS message
        FROM unnest($1::bytea[]) AS asked (hash)
        CROSS JOIN LATERAL (SELECT * FROM messaging.orphan_status o WHERE o.hash = asked.hash ORDER BY o.id LIMIT 100) o
        CROSS JOIN LATERAL (
            SELECT w.message_id FROM messaging.wamid w WHERE w.hash = o.hash AND w.application_id = o.application_id LIMIT 1
        ) w
        "#,
        hashes as _,
    )
    .fetch_all(conn)
    .await
}

/// Any kept statuses whose message is known, wherever they were missed: one page in the order of hash and id, after `after`. Also the last key that was looked at.
pub(crate) async fn adopted_after(
    conn: &mut PgConnection,
    after: (&[u8], Uuid),
    limit: i64,
) -> sqlx::Result<(Vec<Adopted>, Option<(Vec<u8>, Uuid)>)> {
    let rows = sqlx::query!(
        r#"
        SELECT o.hash, o.id, o.application_id, o.connection_id, o.received_at, o.sealed, w.message_id AS "message_id?"
        FROM (SELECT * FROM messaging.orphan_status o WHERE (o.hash, o.id) > ($1, $2) ORDER BY o.hash, o.id LIMIT $3) o
        LEFT JOIN LATERAL (
            SELECT w.message_id FROM messaging.wamid w WHERE w.hash = o.hash AND w.application_id = o.application_id LIMIT 1
        ) w ON true
        ORDER BY o.hash, o.id
        "#,
        after.0,
        after.1,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let last = rows.last().map(|row| (row.hash.clone(), row.id));
    let adopted = rows.into_iter().filter_map(|row| {
        Some(Adopted {
            message: row.message_id?,
            hash: row.hash,
            id: row.id,
            application: row.application_id,
            connection: row.connection_id,
            received_at: row.received_at,
            sealed: row.sealed,
        })
    });
    Ok((adopted.collect(), last))
}

/// Forgets kept statuses whose events are recorded.
pub(crate) async fn forget_orphans(conn: &mut PgConnection, keys: &[(Vec<u8>, Uuid)]) -> sqlx::Result<()> {
    let hashes: Vec<_> = keys.iter().map(|(hash, _)| hash.as_slice()).collect();
    let ids: Vec<_> = keys.iter().map(|(_, id)| *id).collect();
    sqlx::query!(
        "DELETE FROM messaging.orphan_status o USING unnest($1::bytea[], $2::uuid[]) AS known (hash, id) WHERE o.hash = known.hash AND o.id = known.id AND o.hash = ANY ($1)",
        hashes as _,
        &ids,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Drops kept statuses whose message never became known: those of another app on the same number. Gives how many.
pub(crate) async fn expire_orphans(conn: &mut PgConnection) -> sqlx::Result<u64> {
    let done = sqlx::query!("DELETE FROM messaging.orphan_status WHERE expires_at < (SELECT messaging.now_())")
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}
