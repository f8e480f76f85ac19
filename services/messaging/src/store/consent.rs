//! Who wants no marketing.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// How a suppression came about, as the contract numbers it.
pub(crate) mod source {
    pub(crate) const STOP_WORD: i16 = 1;
    pub(crate) const USER_PREFERENCE: i16 = 2;
    pub(crate) const META_REFUSAL: i16 = 3;
    pub(crate) const IMPORT: i16 = 4;
}

/// A user who wants no marketing, or does again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Change {
    pub application: Uuid,
    pub contact: Uuid,
    /// Nil: for every connection of the application.
    pub connection: Uuid,
    /// How a suppression came about; for its end, of which ones: bit n stands for source n.
    pub source: i16,
    /// None: now.
    pub at: Option<OffsetDateTime>,
    /// Of the event.
    pub id: Uuid,
}

/// An entry of the list.
#[derive(Debug)]
pub(crate) struct Entry {
    pub contact: Uuid,
    pub connection: Uuid,
    pub source: i16,
    pub at: OffsetDateTime,
    pub external_id: String,
}

/// Where a page of the list begins: after this entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct After {
    pub at: OffsetDateTime,
    pub contact: Uuid,
    pub connection: Uuid,
}

/// The bits of these sources.
pub(crate) fn bits(sources: &[i16]) -> i16 {
    sources.iter().fold(0, |bits, source| bits | 1 << source)
}

/// Puts users on the list: all or none. Who is on it stays on it as they were, unless a word alone had put them there and now WhatsApp itself does. What Meta reports of the time before a
/// suppression of the same source was lifted changes nothing. Gives how many are new. Each contact and connection once.
pub(crate) async fn suppress(conn: &mut PgConnection, changes: &[Change]) -> sqlx::Result<i64> {
    let columns = Columns::of(changes);
    sqlx::query_scalar!(
        r#"
        WITH locked AS MATERIALIZED (
            SELECT c.id, coalesce(c.merged_into, c.id) AS survivor FROM messaging.contact c WHERE c.id = ANY ($2::uuid[]) ORDER BY c.id FOR KEY SHARE
        ), new AS MATERIALIZED (
            SELECT DISTINCT ON (application, survivor, connection) application, survivor, connection, source, least(coalesce(at, now), now) AS at, new.id
            FROM (SELECT messaging.now_() AS now OFFSET 0) clock
            CROSS JOIN unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::smallint[], $5::timestamptz[], $6::uuid[]) AS new (application, contact, connection, source, at, id)
            JOIN locked ON locked.id = new.contact
            ORDER BY application, survivor, connection, source DESC
        ), added AS (
            INSERT INTO messaging.suppression AS s (application_id, contact_id, connection_id, source, at)
            SELECT application, survivor, connection, source, at FROM new
            WHERE NOT EXISTS (
                SELECT FROM messaging.suppression_lifted l
                WHERE l.application_id = new.application AND l.contact_id = new.survivor AND l.connection_id = new.connection AND l.source = new.source AND l.at >= new.at
            )
            ON CONFLICT (application_id, contact_id, connection_id) DO UPDATE SET source = excluded.source WHERE s.source = 1 AND excluded.source IN (2, 3)
            RETURNING s.application_id, s.contact_id, s.connection_id, s.xmax = 0 AS fresh
        ), told AS (
            INSERT INTO messaging.contact_event (id, application_id, contact_id, connection_id, at, kind, source)
            SELECT new.id, new.application, new.survivor, new.connection, messaging.now_(), 2, new.source
            FROM added JOIN new ON (new.application, new.survivor, new.connection) = (added.application_id, added.contact_id, added.connection_id)
            WHERE added.fresh
        )
        SELECT count(*) AS "count!" FROM added WHERE fresh
        "#,
        &columns.applications,
        &columns.contacts,
        &columns.connections,
        &columns.sources,
        &columns.times as _,
        &columns.ids,
    )
    .fetch_one(conn)
    .await
}

/// Takes users off the list who stand on it for one of the sources, since no later than the change. Gives how many. Each contact and connection once.
pub(crate) async fn lift(conn: &mut PgConnection, changes: &[Change]) -> sqlx::Result<i64> {
    let columns = Columns::of(changes);
    sqlx::query_scalar!(
        r#"
        WITH locked AS MATERIALIZED (
            SELECT c.id, coalesce(c.merged_into, c.id) AS survivor FROM messaging.contact c WHERE c.id = ANY ($2::uuid[]) ORDER BY c.id FOR KEY SHARE
        ), new AS MATERIALIZED (
            SELECT DISTINCT ON (application, survivor, connection) application, survivor, connection, sources, least(coalesce(at, now), now) AS at, new.id
            FROM (SELECT messaging.now_() AS now OFFSET 0) clock
            CROSS JOIN unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::smallint[], $5::timestamptz[], $6::uuid[]) AS new (application, contact, connection, sources, at, id)
            JOIN locked ON locked.id = new.contact
            ORDER BY application, survivor, connection, at DESC
        ), gone AS (
            DELETE FROM messaging.suppression s USING new
            WHERE s.application_id = new.application AND s.contact_id = new.survivor AND s.connection_id = new.connection
              AND (new.sources >> s.source) & 1 = 1 AND s.at <= new.at
            RETURNING s.application_id, s.contact_id, s.connection_id, s.source, new.sources, new.at, new.id
        ), marked AS (
            INSERT INTO messaging.suppression_lifted AS l (application_id, contact_id, connection_id, source, at)
            SELECT application_id, contact_id, connection_id, source.n, gone.at
            FROM gone CROSS JOIN (VALUES (1::smallint), (2::smallint), (3::smallint)) AS source (n) WHERE (gone.sources >> source.n) & 1 = 1
            ON CONFLICT (application_id, contact_id, connection_id, source) DO UPDATE SET at = greatest(l.at, excluded.at)
        ), told AS (
            INSERT INTO messaging.contact_event (id, application_id, contact_id, connection_id, at, kind, source)
            SELECT id, application_id, contact_id, connection_id, messaging.now_(), 3, source FROM gone
        )
        SELECT count(*) AS "count!" FROM gone
        "#,
        &columns.applications,
        &columns.contacts,
        &columns.connections,
        &columns.sources,
        &columns.times as _,
        &columns.ids,
    )
    .fetch_one(conn)
    .await
}

/// One page of an application's list, the newest first.
pub(crate) async fn page(
    conn: &mut PgConnection,
    application: Uuid,
    after: Option<After>,
    limit: i64,
) -> sqlx::Result<Vec<Entry>> {
    let (at, contact, connection) = parts(after);
    sqlx::query_as!(
        Entry,
        r#"
        SELECT s.contact_id AS contact, s.connection_id AS connection, s.source, s.at, coalesce(messaging.external_id(s.contact_id), '') AS "external_id!"
        FROM messaging.suppression s
        WHERE s.application_id = $1 AND (s.at, s.contact_id, s.connection_id) < (coalesce($2::timestamptz, 'infinity'), $3::uuid, $4::uuid)
        ORDER BY s.at DESC, s.contact_id DESC, s.connection_id DESC LIMIT $5
        "#,
        application,
        at,
        contact,
        connection,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// As [`page`], of those entries that hold for one connection: its own, and those for all.
pub(crate) async fn page_of_connection(
    conn: &mut PgConnection,
    application: Uuid,
    connection: Uuid,
    after: Option<After>,
    limit: i64,
) -> sqlx::Result<Vec<Entry>> {
    let (at, contact, last) = parts(after);
    sqlx::query_as!(
        Entry,
        r#"
        SELECT s.contact_id AS "contact!", s.connection_id AS "connection!", s.source AS "source!", s.at AS "at!",
               coalesce(messaging.external_id(s.contact_id), '') AS "external_id!"
        FROM (VALUES ($5::uuid), ('00000000-0000-0000-0000-000000000000'::uuid)) AS scope (connection)
        CROSS JOIN LATERAL (
            SELECT * FROM messaging.suppression s
            WHERE s.application_id = $1 AND s.connection_id = scope.connection
              AND (s.at, s.contact_id) <= (coalesce($2::timestamptz, 'infinity'), $3::uuid)
              AND (s.at, s.contact_id, s.connection_id) < (coalesce($2::timestamptz, 'infinity'), $3::uuid, $4::uuid)
            ORDER BY s.at DESC, s.contact_id DESC LIMIT $6
        ) s
        ORDER BY s.at DESC, s.contact_id DESC, s.connection_id DESC LIMIT $6
        "#,
        application,
        at,
        contact,
        last,
        connection,
        limit,
    )
    .fetch_all(conn)
    .await
}

fn parts(after: Option<After>) -> (Option<OffsetDateTime>, Uuid, Uuid) {
    after.map_or((None, Uuid::nil(), Uuid::nil()), |after| {
        (Some(after.at), after.contact, after.connection)
    })
}

/// Forgets liftings that nothing can come before any more: Meta redelivers for 7 days, and operators replay stored webhooks, which are kept for 8 days by default.
pub(crate) async fn forget_lifted(conn: &mut PgConnection) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "DELETE FROM messaging.suppression_lifted WHERE at < (SELECT messaging.now_()) - interval '35 days'"
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Changes, a column each, in order.
struct Columns {
    applications: Vec<Uuid>,
    contacts: Vec<Uuid>,
    connections: Vec<Uuid>,
    sources: Vec<i16>,
    times: Vec<Option<OffsetDateTime>>,
    ids: Vec<Uuid>,
}

// === impl Columns ===

impl Columns {
    fn of(changes: &[Change]) -> Self {
        Self {
            applications: changes.iter().map(|change| change.application).collect(),
            contacts: changes.iter().map(|change| change.contact).collect(),
            connections: changes.iter().map(|change| change.connection).collect(),
            sources: changes.iter().map(|change| change.source).collect(),
            times: changes.iter().map(|change| change.at).collect(),
            ids: changes.iter().map(|change| change.id).collect(),
        }
    }
}
