//! Storing messages: two statements for many callers, one where every recipient is known.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A message to store.
#[derive(Debug)]
pub(crate) struct NewMessage<'a> {
    pub id: Uuid,
    pub application: Uuid,
    pub connection: Uuid,
    pub contact: Uuid,
    pub number: &'a str,
    pub key_hash: &'a [u8],
    pub fingerprint: &'a [u8],
    pub on_unknown: i16,
    pub traceparent: Option<&'a str>,
    pub sealed: &'a [u8],
}

/// A message that is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stored {
    pub id: Uuid,
    /// Its place in the order of acceptance.
    pub place: i64,
    pub at: OffsetDateTime,
}

/// A recipient, by one of its identities.
#[derive(Debug)]
pub(crate) struct Known {
    pub application: Uuid,
    pub value: String,
    pub contact: Uuid,
}

/// Phone numbers in E.164 form, in the identity table.
pub(crate) const PHONE: i16 = 1;
/// Business-scoped user ids, in the identity table.
pub(crate) const USER: i16 = 2;

/// Stores messages whose idempotency keys are free: key, message, queue row and outbox row, all or none of each. Of two with the same key the one with the lower id is stored.
pub(crate) async fn insert(conn: &mut PgConnection, messages: &[NewMessage<'_>]) -> sqlx::Result<Vec<Stored>> {
    let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
    let applications: Vec<_> = messages.iter().map(|message| message.application).collect();
    let connections: Vec<_> = messages.iter().map(|message| message.connection).collect();
    let contacts: Vec<_> = messages.iter().map(|message| message.contact).collect();
    let numbers: Vec<_> = messages.iter().map(|message| message.number).collect();
    let keys: Vec<_> = messages.iter().map(|message| message.key_hash).collect();
    let fingerprints: Vec<_> = messages.iter().map(|message| message.fingerprint).collect();
    let policies: Vec<_> = messages.iter().map(|message| message.on_unknown).collect();
    let traceparents: Vec<_> = messages.iter().map(|message| message.traceparent).collect();
    let sealed: Vec<_> = messages.iter().map(|message| message.sealed).collect();
    // Keys are taken in their own order, so that overlapping flushes cannot wait for each other in a circle; places are given in the order of the ids.
    sqlx::query_as!(
        Stored,
        r#"
        WITH new AS (
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::bytea[], $7::bytea[], $8::smallint[], $9::text[], $10::bytea[])
                AS new (id, application, connection, contact, number, key_hash, fingerprint, on_unknown, traceparent, sealed)
        ), clock AS MATERIALIZED (
            SELECT messaging.now_() AS now
        ), taken AS (
            INSERT INTO messaging.idempotency (application_id, key_hash, fingerprint, message_id)
            SELECT application, key_hash, fingerprint, id FROM new ORDER BY application, key_hash, id
            ON CONFLICT (application_id, key_hash) DO NOTHING
            RETURNING message_id
        ), stored AS (
            INSERT INTO messaging.message (id, application_id, connection_id, contact_id, created_at, on_unknown, phone_number_id, traceparent, sealed)
            SELECT id, application, connection, contact, now, on_unknown, number, traceparent, sealed
            FROM new CROSS JOIN clock WHERE (id IN (SELECT message_id FROM taken)) IS TRUE
        ), queued AS (
            INSERT INTO messaging.queue (phone_number_id, message_id, contact_id, connection_id, ready_at, updated_at, epoch, attempt, tries, state, priority,
                                         on_unknown, resends, unsettled, held)
            SELECT number, id, contact, connection, now, now, 0, 0, 0, 1, 1, on_unknown, 0, 0, false
            FROM new CROSS JOIN clock WHERE (id IN (SELECT message_id FROM taken)) IS TRUE ORDER BY id
            RETURNING message_id, place, ready_at
        ), told AS (
            INSERT INTO messaging.outbox (message_id, at, attempt, kind)
            SELECT id, now, 0, 1 FROM new CROSS JOIN clock WHERE (id IN (SELECT message_id FROM taken)) IS TRUE
        )
        SELECT message_id AS id, place, ready_at AS at FROM queued
        "#,
        &ids,
        &applications,
        &connections,
        &contacts,
        numbers as _,
        keys as _,
        fingerprints as _,
        &policies,
        traceparents as _,
        sealed as _,
    )
    .fetch_all(conn)
    .await
}

/// What is known of a request before it is stored.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// Where the request stands among those that were asked about.
    pub ordinal: i64,
    /// The recipient's contact.
    pub contact: Option<Uuid>,
    /// The idempotency key is taken, by this message with this fingerprint.
    pub message: Option<Uuid>,
    pub fingerprint: Option<Vec<u8>>,
}

/// For each request (application, key hash, recipient's phone number): the recipient's contact, and whether its idempotency key is taken.
pub(crate) async fn resolve(conn: &mut PgConnection, requests: &[(Uuid, &[u8], &str)]) -> sqlx::Result<Vec<Resolved>> {
    let applications: Vec<_> = requests.iter().map(|(application, _, _)| *application).collect();
    let hashes: Vec<_> = requests.iter().map(|(_, hash, _)| *hash).collect();
    let values: Vec<_> = requests.iter().map(|(_, _, value)| *value).collect();
    sqlx::query_as!(
        Resolved,
        r#"
        SELECT asked.ordinal AS "ordinal!", known.contact_id AS "contact?", taken.message_id AS "message?", taken.fingerprint AS "fingerprint?"
        FROM unnest($1::uuid[], $2::bytea[], $3::text[]) WITH ORDINALITY AS asked (application, key_hash, value, ordinal)
        LEFT JOIN LATERAL (
            SELECT i.contact_id FROM messaging.identity i WHERE i.application_id = asked.application AND i.kind = 1 AND i.value = asked.value LIMIT 1
        ) known ON true
        LEFT JOIN LATERAL (
            SELECT i.fingerprint, i.message_id FROM messaging.idempotency i WHERE i.application_id = asked.application AND i.key_hash = asked.key_hash LIMIT 1
        ) taken ON true
        ORDER BY asked.ordinal
        "#,
        &applications,
        hashes as _,
        values as _,
    )
    .fetch_all(conn)
    .await
}

/// The contacts of those identities of `kind` that are known.
pub(crate) async fn known(conn: &mut PgConnection, kind: i16, identities: &[(Uuid, &str)]) -> sqlx::Result<Vec<Known>> {
    let applications: Vec<_> = identities.iter().map(|(application, _)| *application).collect();
    let values: Vec<_> = identities.iter().map(|(_, value)| *value).collect();
    sqlx::query_as!(
        Known,
        r#"
        SELECT asked.application AS "application!", asked.value AS "value!", found.contact_id AS contact
        FROM unnest($2::uuid[], $3::text[]) AS asked (application, value)
        CROSS JOIN LATERAL (
            SELECT i.contact_id FROM messaging.identity i
            WHERE i.application_id = asked.application AND i.kind = $1 AND i.value = asked.value LIMIT 1
        ) found
        "#,
        kind,
        &applications,
        values as _,
    )
    .fetch_all(conn)
    .await
}

/// An identity to give to a contact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NewIdentity<'a> {
    pub application: Uuid,
    pub kind: i16,
    pub value: &'a str,
    pub contact: Uuid,
}

/// Gives identities to contacts, new or known ones, makes the contacts that are new, and gives the identities that are new. One that has a contact already keeps it. `identities` must be
/// in order.
pub(crate) async fn introduce(conn: &mut PgConnection, identities: &[NewIdentity<'_>]) -> sqlx::Result<Vec<Known>> {
    let applications: Vec<_> = identities.iter().map(|identity| identity.application).collect();
    let kinds: Vec<_> = identities.iter().map(|identity| identity.kind).collect();
    let values: Vec<_> = identities.iter().map(|identity| identity.value).collect();
    let contacts: Vec<_> = identities.iter().map(|identity| identity.contact).collect();
    sqlx::query_as!(
        Known,
        r#"
        WITH introduced AS (
            INSERT INTO messaging.identity (application_id, kind, value, contact_id)
            SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::uuid[])
            ON CONFLICT (application_id, kind, value) DO NOTHING
            RETURNING application_id, value, contact_id
        ), made AS (
            INSERT INTO messaging.contact (id, application_id, created_at)
            SELECT DISTINCT contact_id, application_id, messaging.now_() FROM introduced
            ON CONFLICT (id) DO NOTHING
        )
        SELECT application_id AS application, value, contact_id AS contact FROM introduced
        "#,
        &applications,
        &kinds,
        values as _,
        &contacts,
    )
    .fetch_all(conn)
    .await
}
