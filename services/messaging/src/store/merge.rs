//! Contacts that became one.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Contacts that turned out to be the same user, of one application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Same {
    pub application: Uuid,
    pub contacts: Vec<Uuid>,
}

/// A contact that is no more, and the one it is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Merged {
    pub application: Uuid,
    pub source: Uuid,
    pub target: Uuid,
}

/// A window of a merged contact, or of its survivor.
#[derive(Debug)]
pub(crate) struct Window {
    pub application: Uuid,
    pub number: String,
    pub source: Uuid,
    pub target: Uuid,
    pub last_inbound_at: OffsetDateTime,
    pub wamid_sealed: Vec<u8>,
}

/// Makes one of each group, and notes the events. `fresh` makes a version-7 UUID.
pub(crate) async fn merge(
    conn: &mut PgConnection,
    groups: &[Same],
    mut fresh: impl FnMut() -> Uuid,
) -> sqlx::Result<Vec<Merged>> {
    let (mut numbers, mut applications, mut contacts, mut ids) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (number, group) in groups.iter().enumerate() {
        for contact in &group.contacts {
            numbers.push(number as i32);
            applications.push(group.application);
            contacts.push(*contact);
            ids.push(fresh());
        }
    }
    sqlx::query_as!(
        Merged,
        r#"
        SELECT application AS "application!", source AS "source!", target AS "target!"
        FROM messaging.merge_contacts($1::integer[], $2::uuid[], $3::uuid[], $4::uuid[])
        "#,
        &numbers,
        &applications,
        &contacts,
        &ids,
    )
    .fetch_all(conn)
    .await
}

/// Gives what belonged to merged contacts to their survivors, but for what is sealed under a contact's id.
pub(crate) async fn carry(conn: &mut PgConnection, sources: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!("SELECT messaging.carry_contacts($1::uuid[])", sources)
        .execute(conn)
        .await?;
    Ok(())
}

/// The windows of merged contacts: at the numbers of their application.
pub(crate) async fn windows(conn: &mut PgConnection, sources: &[Uuid]) -> sqlx::Result<Vec<Window>> {
    sqlx::query_as!(
        Window,
        r#"
        SELECT c.application_id AS application, w.phone_number_id AS number, c.id AS source, c.merged_into AS "target!", w.last_inbound_at, w.last_wamid_sealed AS wamid_sealed
        FROM messaging.contact c
        CROSS JOIN LATERAL (
            SELECT DISTINCT k.phone_number_id FROM messaging.connection k WHERE k.application_id = c.application_id
        ) k
        CROSS JOIN LATERAL (
            SELECT * FROM messaging.service_window w WHERE w.phone_number_id = k.phone_number_id AND w.contact_id = c.id LIMIT 1
        ) w
        WHERE c.id = ANY ($1::uuid[]) AND c.merged_into IS NOT NULL
        ORDER BY w.phone_number_id, c.id
        "#,
        sources,
    )
    .fetch_all(conn)
    .await
}

/// Gives windows to the survivors, with what is sealed for these; the later of two counts. One that was opened anew since it was read is left for the next time.
pub(crate) async fn carry_windows(conn: &mut PgConnection, windows: &[Window]) -> sqlx::Result<()> {
    let numbers: Vec<_> = windows.iter().map(|window| window.number.as_str()).collect();
    let sources: Vec<_> = windows.iter().map(|window| window.source).collect();
    let targets: Vec<_> = windows.iter().map(|window| window.target).collect();
    let times: Vec<_> = windows.iter().map(|window| window.last_inbound_at).collect();
    let wamids: Vec<_> = windows.iter().map(|window| window.wamid_sealed.as_slice()).collect();
    sqlx::query!(
        r#"
        WITH gone AS (
            DELETE FROM messaging.service_window w
            USING unnest($1::text[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::bytea[]) AS read (number, source, target, at, wamid)
            WHERE w.phone_number_id = read.number AND w.contact_id = read.source AND w.last_inbound_at = read.at AND w.contact_id = ANY ($2)
            RETURNING w.phone_number_id, read.target, w.last_inbound_at, w.expires_at, w.closed_at, read.wamid
        )
        INSERT INTO messaging.service_window AS w (phone_number_id, contact_id, last_inbound_at, expires_at, closed_at, last_wamid_sealed)
        SELECT DISTINCT ON (phone_number_id, target) phone_number_id, target, max(last_inbound_at) OVER same,
               max(expires_at) OVER same, max(closed_at) OVER same, wamid
        FROM gone WINDOW same AS (PARTITION BY phone_number_id, target)
        ORDER BY phone_number_id, target, wamid <> '' DESC, last_inbound_at DESC
        ON CONFLICT (phone_number_id, contact_id) DO UPDATE
        SET last_inbound_at = greatest(w.last_inbound_at, excluded.last_inbound_at), expires_at = greatest(w.expires_at, excluded.expires_at),
            closed_at = greatest(w.closed_at, excluded.closed_at),
            last_wamid_sealed = CASE WHEN w.last_wamid_sealed = '' OR (w.last_inbound_at < excluded.last_inbound_at AND excluded.last_wamid_sealed <> '')
                THEN excluded.last_wamid_sealed ELSE w.last_wamid_sealed END
        "#,
        numbers as _,
        &sources,
        &targets,
        &times,
        wamids as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A merge that was made lately.
#[derive(Debug)]
pub(crate) struct Lately {
    pub id: Uuid,
    pub at: OffsetDateTime,
    pub merged: Merged,
}

/// Merges of the last so many seconds, in the order of their time after `after`; each with who the contact is now.
pub(crate) async fn since(
    conn: &mut PgConnection,
    seconds: f64,
    after: Option<(OffsetDateTime, Uuid)>,
    limit: i64,
) -> sqlx::Result<Vec<Lately>> {
    let (at, id) = after.map_or((None, None), |(at, id)| (Some(at), Some(id)));
    let rows = sqlx::query!(
        r#"
        SELECT m.id, m.application_id, m.source_id, m.at,
               coalesce((SELECT c.merged_into FROM messaging.contact c WHERE c.id = m.source_id LIMIT 1), m.target_id) AS "target_id!"
        FROM messaging.contact_merge m
        WHERE m.at >= (SELECT messaging.now_()) - make_interval(secs => $1) AND ($2::timestamptz IS NULL OR (m.at, m.id) > ($2, $3))
        ORDER BY m.at, m.id LIMIT $4
        "#,
        seconds,
        at,
        id,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let lately = rows.into_iter().map(|row| Lately {
        id: row.id,
        at: row.at,
        merged: Merged {
            application: row.application_id,
            source: row.source_id,
            target: row.target_id,
        },
    });
    Ok(lately.collect())
}
