//! Appending to logs and reading them in order.

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::head::Ends;

/// Events to append, a column each, in the order of their ids and each id once.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    pub(crate) ids: Vec<Uuid>,
    pub(crate) applications: Vec<Uuid>,
    pub(crate) connections: Vec<Uuid>,
    pub(crate) origins: Vec<Option<Uuid>>,
    pub(crate) types: Vec<i16>,
    /// Where each event stands in the callers' order: events of one log get their positions by it.
    pub(crate) orders: Vec<i32>,
    /// The contact that each event names.
    pub(crate) contacts: Vec<Option<Uuid>>,
    pub(crate) bodies: Vec<Vec<u8>>,
}

/// What an append did.
#[derive(Debug)]
pub(crate) struct Appended {
    /// Ids of the events that were not there before.
    pub(crate) ids: Vec<Uuid>,
    /// The logs that grew.
    pub(crate) applications: Vec<Uuid>,
    /// The new head of each of them.
    pub(crate) heads: Vec<i64>,
}

/// Which entries of a log to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scan<'a> {
    pub(crate) application: Uuid,
    /// Entries after this position…
    pub(crate) after: i64,
    /// …and before this one.
    pub(crate) before: i64,
    pub(crate) descending: bool,
    /// `None`: every connection.
    pub(crate) connections: Option<&'a [Uuid]>,
    /// Only events that name one of these contacts.
    pub(crate) contacts: Option<&'a [Uuid]>,
    /// Exact names of event types. `None`, with `prefixes` alike: every type.
    pub(crate) names: Option<&'a [String]>,
    pub(crate) prefixes: Option<&'a [String]>,
    /// At most this many entries…
    pub(crate) limit: i64,
    /// …and no further one once their bodies reach this many bytes.
    pub(crate) max_bytes: i64,
    /// At most this many positions are looked at; with `contacts`, this many of theirs.
    pub(crate) max_positions: i64,
}

/// What a scan found, all of one snapshot.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) ends: Ends,
    pub(crate) entries: Vec<Entry>,
    /// How many entries there are up to `limit`, however many bytes they have.
    pub(crate) matched: usize,
    /// How far the scan looked.
    pub(crate) looked: Looked,
}

/// How far a scan looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    /// At as many positions as it may.
    Positions,
    /// Up to this position, for there may be more events of the contacts.
    To(i64),
    /// To the end of its range.
    End,
}

/// An event where it stands in its log.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) position: i64,
    pub(crate) id: Uuid,
    pub(crate) connection: Uuid,
    pub(crate) origin: Option<Uuid>,
    pub(crate) body: Body,
}

/// What an event says.
#[derive(Debug)]
pub(crate) enum Body {
    /// Sealed.
    Kept(Vec<u8>),
    /// Dropped before its entry: it happened long before it was recorded, and went with what happened then.
    Dropped {
        event_type: String,
        recorded: OffsetDateTime,
    },
}

// === impl Columns ===

impl Columns {
    pub(crate) fn with_capacity(events: usize) -> Self {
        Self {
            ids: Vec::with_capacity(events),
            applications: Vec::with_capacity(events),
            connections: Vec::with_capacity(events),
            origins: Vec::with_capacity(events),
            types: Vec::with_capacity(events),
            orders: Vec::with_capacity(events),
            contacts: Vec::with_capacity(events),
            bodies: Vec::with_capacity(events),
        }
    }
}

/// Appends events to the logs of their applications in one statement: all or none.
///
/// Ids are inserted in their order and the heads are locked last, in theirs, so statements with the same ids or logs wait for each other and never in a circle.
/// A head stays locked from the assignment of positions to the commit: positions are dense, and whoever sees one sees all before it.
/// The heads must exist.
pub(crate) async fn append(connection: &mut PgConnection, events: &Columns) -> sqlx::Result<Appended> {
    sqlx::query_as!(
        Appended,
        r#"-- log.append
        WITH added AS (
            INSERT INTO tracking.event (log_after, id, application_id, connection_id, origin_event_id, body)
            SELECT h.position, i.id, i.application_id, i.connection_id, i.origin_event_id, i.body
            FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bytea[])
                AS i (id, application_id, connection_id, origin_event_id, body)
            LEFT JOIN tracking.head h ON h.application_id = i.application_id
            ORDER BY i.id
            ON CONFLICT (id) DO NOTHING
            RETURNING id, application_id, connection_id, octet_length(body) AS size
        ), counted AS (
            SELECT application_id, count(*) AS events FROM added GROUP BY application_id
        ), locked AS MATERIALIZED (
            SELECT h.application_id, c.events
            FROM tracking.head h
            JOIN counted c ON c.application_id = h.application_id
            ORDER BY h.application_id
            FOR UPDATE OF h
        ), moved AS (
            UPDATE tracking.head h
            SET position = h.position + l.events, recorded_at = greatest(h.recorded_at, tracking.now_())
            FROM locked l
            WHERE h.application_id = l.application_id
            RETURNING h.application_id, h.position, h.position - l.events AS before, h.recorded_at
        ), logged AS (
            INSERT INTO tracking.log (position, recorded_at, application_id, event_id, connection_id, size, event_type, contact_id)
            SELECT m.before + row_number() OVER (PARTITION BY a.application_id ORDER BY o.place),
                m.recorded_at, a.application_id, a.id, a.connection_id, a.size, o.event_type, o.contact_id
            FROM added a
            JOIN unnest($1::uuid[], $6::int[], $7::smallint[], $8::uuid[]) AS o (id, place, event_type, contact_id) ON o.id = a.id
            LEFT JOIN moved m ON m.application_id = a.application_id
        )
        SELECT
            coalesce((SELECT array_agg(id) FROM added), '{}') AS "ids!",
            coalesce(array_agg(application_id), '{}') AS "applications!",
            coalesce(array_agg(position), '{}') AS "heads!"
        FROM moved"#,
        &events.ids,
        &events.applications,
        &events.connections,
        &events.origins as &[Option<Uuid>],
        &events.bodies,
        &events.orders,
        &events.types,
        &events.contacts as &[Option<Uuid>],
    )
    .fetch_one(connection)
    .await
}

struct Row {
    head: i64,
    earliest: i64,
    matched: Option<i64>,
    looked_to: Option<i64>,
    position: Option<i64>,
    recorded_at: Option<OffsetDateTime>,
    event_type: Option<String>,
    event_id: Option<Uuid>,
    connection_id: Option<Uuid>,
    origin_event_id: Option<Uuid>,
    body: Option<Vec<u8>>,
}

/// Reads entries with their bodies. The limits hold before a body is touched, and each body is found by its primary key in its own partition.
pub(crate) async fn scan(pool: &PgPool, scan: &Scan<'_>) -> sqlx::Result<Scanned> {
    if let Some(contacts) = scan.contacts {
        return scan_contacts(pool, scan, contacts).await;
    }
    let rows = sqlx::query_as!(
        Row,
        r#"-- log.scan
        SELECT head AS "head!", earliest AS "earliest!", matched, NULL::bigint AS looked_to, position, recorded_at, event_type, event_id, connection_id, origin_event_id, body
        FROM tracking.read($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"#,
        scan.application,
        scan.after,
        scan.before,
        scan.descending,
        scan.connections,
        scan.names,
        scan.prefixes,
        scan.limit,
        scan.max_bytes,
        scan.max_positions,
    )
    .fetch_all(pool)
    .await?;
    Ok(scanned(rows, |_| Looked::Positions))
}

async fn scan_contacts(pool: &PgPool, scan: &Scan<'_>, contacts: &[Uuid]) -> sqlx::Result<Scanned> {
    let rows = sqlx::query_as!(
        Row,
        r#"-- log.scan_contacts
        SELECT head AS "head!", earliest AS "earliest!", matched, looked_to, position, recorded_at, event_type, event_id, connection_id, origin_event_id, body
        FROM tracking.read_contacts($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"#,
        scan.application,
        scan.after,
        scan.before,
        scan.descending,
        contacts,
        scan.connections,
        scan.names,
        scan.prefixes,
        scan.limit,
        scan.max_bytes,
        scan.max_positions,
    )
    .fetch_all(pool)
    .await?;
    Ok(scanned(rows, |row| row.looked_to.map_or(Looked::End, Looked::To)))
}

fn scanned(rows: Vec<Row>, looked: impl FnOnce(&Row) -> Looked) -> Scanned {
    let ends = rows.first().map_or(Ends::EMPTY, |row| Ends {
        head: row.head,
        earliest: row.earliest,
    });
    let matched = rows.first().and_then(|row| row.matched).unwrap_or(0) as usize;
    let looked = rows.first().map_or(Looked::End, looked);
    let entries = rows.into_iter().filter_map(entry).collect();
    Scanned {
        ends,
        entries,
        matched,
        looked,
    }
}

fn entry(row: Row) -> Option<Entry> {
    Some(Entry {
        position: row.position?,
        id: row.event_id?,
        connection: row.connection_id?,
        origin: row.origin_event_id,
        body: match row.body {
            Some(body) => Body::Kept(body),
            None => Body::Dropped {
                event_type: row.event_type?,
                recorded: row.recorded_at?,
            },
        },
    })
}

/// The last position recorded before a moment; one before the oldest kept when there is none.
pub(crate) async fn position_before(pool: &PgPool, application: Uuid, at: OffsetDateTime) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- log.position_before
        SELECT tracking.position_before($1, $2) AS "position!""#,
        application,
        at
    )
    .fetch_one(pool)
    .await
}
