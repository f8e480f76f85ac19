//! Storing messages: two statements for many callers, one where every recipient is known.

use outeract_domain::Recipient;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::contact;

/// A message to store.
#[derive(Debug)]
pub(crate) struct NewMessage<'a> {
    pub id: Uuid,
    /// The first message of the same request, and how many there are. The first has the lowest id.
    pub first: Uuid,
    pub parts: i16,
    pub application: Uuid,
    pub connection: Uuid,
    pub contact: Uuid,
    pub number: &'a str,
    pub key_hash: &'a [u8],
    pub fingerprint: &'a [u8],
    pub on_unknown: i16,
    pub priority: i16,
    /// None: at once.
    pub send_at: Option<OffsetDateTime>,
    /// None: so many seconds after it may be sent.
    pub expires_at: Option<OffsetDateTime>,
    pub lifetime_seconds: f64,
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
    /// Seconds until it may be sent; not positive: now.
    pub ready_in: f64,
}

/// Stores messages whose idempotency keys are free: key, message, queue row and outbox row, all or none of each. Of two requests with the same key the one with the lower id is stored.
pub(crate) async fn insert(conn: &mut PgConnection, messages: &[NewMessage<'_>]) -> sqlx::Result<Vec<Stored>> {
    let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
    let firsts: Vec<_> = messages.iter().map(|message| message.first).collect();
    let parts: Vec<_> = messages.iter().map(|message| message.parts).collect();
    let applications: Vec<_> = messages.iter().map(|message| message.application).collect();
    let connections: Vec<_> = messages.iter().map(|message| message.connection).collect();
    let contacts: Vec<_> = messages.iter().map(|message| message.contact).collect();
    let numbers: Vec<_> = messages.iter().map(|message| message.number).collect();
    let keys: Vec<_> = messages.iter().map(|message| message.key_hash).collect();
    let fingerprints: Vec<_> = messages.iter().map(|message| message.fingerprint).collect();
    let policies: Vec<_> = messages.iter().map(|message| message.on_unknown).collect();
    let priorities: Vec<_> = messages.iter().map(|message| message.priority).collect();
    let sends: Vec<_> = messages.iter().map(|message| message.send_at).collect();
    let expiries: Vec<_> = messages.iter().map(|message| message.expires_at).collect();
    let lifetimes: Vec<_> = messages.iter().map(|message| message.lifetime_seconds).collect();
    let traceparents: Vec<_> = messages.iter().map(|message| message.traceparent).collect();
    let sealed: Vec<_> = messages.iter().map(|message| message.sealed).collect();
    // Keys are taken in their own order, so that overlapping flushes cannot wait for each other in a circle; places are given in the order of the ids.
    sqlx::query_as!(
        Stored,
        r#"
        WITH new AS (
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::bytea[], $7::bytea[], $8::smallint[], $9::text[], $10::bytea[],
                                 $11::uuid[], $12::smallint[], $13::smallint[], $14::timestamptz[], $15::timestamptz[], $16::float8[])
                AS new (id, application, connection, contact, number, key_hash, fingerprint, on_unknown, traceparent, sealed, first, parts, priority, send_at, expires_at, lifetime)
        ), clock AS MATERIALIZED (
            SELECT messaging.now_() AS now
        ), taken AS (
            INSERT INTO messaging.idempotency (application_id, key_hash, fingerprint, message_id, parts)
            SELECT application, key_hash, fingerprint, id, parts FROM new WHERE id = first ORDER BY application, key_hash, id
            ON CONFLICT (application_id, key_hash) DO NOTHING
            RETURNING message_id
        ), stored AS (
            INSERT INTO messaging.message (id, application_id, connection_id, contact_id, created_at, send_at, on_unknown, priority, phone_number_id, traceparent, sealed)
            SELECT id, application, connection, contact, now, send_at, on_unknown, priority, number, traceparent, sealed
            FROM new CROSS JOIN clock WHERE (first IN (SELECT message_id FROM taken)) IS TRUE
        ), queued AS (
            INSERT INTO messaging.queue (phone_number_id, message_id, contact_id, connection_id, ready_at, updated_at, epoch, attempt, tries, state, priority,
                                         on_unknown, resends, unsettled, held, expires_at)
            SELECT number, id, contact, connection, coalesce(send_at, now), now, 0, 0, 0, 1, priority, on_unknown, 0, 0, false,
                   coalesce(expires_at, coalesce(send_at, now) + make_interval(secs => lifetime))
            FROM new CROSS JOIN clock WHERE (first IN (SELECT message_id FROM taken)) IS TRUE ORDER BY id
            RETURNING message_id, place, updated_at, ready_at
        ), told AS (
            INSERT INTO messaging.outbox (message_id, at, attempt, kind)
            SELECT id, now, 0, 1 FROM new CROSS JOIN clock WHERE (first IN (SELECT message_id FROM taken)) IS TRUE
        )
        SELECT message_id AS id, place, updated_at AS at, extract(epoch FROM ready_at - updated_at)::float8 AS "ready_in!" FROM queued
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
        &firsts,
        &parts,
        &priorities,
        sends as _,
        expiries as _,
        &lifetimes,
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
    /// The idempotency key is taken, by this message and those that follow it, with this fingerprint.
    pub message: Option<Uuid>,
    pub parts: Option<i16>,
    pub fingerprint: Option<Vec<u8>>,
    /// Seconds until the recipient's window closes; none: there is none, or Meta closed it.
    pub window_left: Option<f64>,
    /// The template is marketing, as far as is known, and the recipient wants none from the connection.
    pub unwanted: bool,
}

/// A request before it is stored.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub application: Uuid,
    pub connection: Uuid,
    pub number: &'a str,
    pub waba: &'a str,
    pub key_hash: &'a [u8],
    pub to: &'a Recipient,
    /// Name and language of the template that it is, or that goes in its place.
    pub template: Option<(&'a str, &'a str)>,
}

/// For each request: the recipient's contact, in whatever form its number is known, its window and its wish, and whether the idempotency key is taken.
pub(crate) async fn resolve(conn: &mut PgConnection, requests: &[Asked<'_>]) -> sqlx::Result<Vec<Resolved>> {
    let applications: Vec<_> = requests.iter().map(|asked| asked.application).collect();
    let hashes: Vec<_> = requests.iter().map(|asked| asked.key_hash).collect();
    let kinds: Vec<_> = requests.iter().map(|asked| contact::kind(asked.to)).collect();
    let values: Vec<_> = requests.iter().map(|asked| asked.to.as_str()).collect();
    let others: Vec<_> = requests.iter().map(|asked| asked.to.other_form()).collect();
    let connections: Vec<_> = requests.iter().map(|asked| asked.connection).collect();
    let numbers: Vec<_> = requests.iter().map(|asked| asked.number).collect();
    let wabas: Vec<_> = requests.iter().map(|asked| asked.waba).collect();
    let names: Vec<_> = requests
        .iter()
        .map(|asked| asked.template.map(|(name, _)| name))
        .collect();
    let languages: Vec<_> = requests
        .iter()
        .map(|asked| asked.template.map(|(_, language)| language))
        .collect();
    sqlx::query_as!(
        Resolved,
        r#"
        SELECT asked.ordinal AS "ordinal!", known.contact_id AS "contact?", taken.message_id AS "message?", taken.parts AS "parts?", taken.fingerprint AS "fingerprint?",
               messaging.window_left(w.last_inbound_at, w.expires_at, w.closed_at, clock.now) AS "window_left?",
               asked.template IS NOT NULL AND EXISTS (
                   SELECT FROM messaging.suppression s
                   WHERE s.application_id = asked.application AND s.contact_id = known.contact_id
                     AND s.connection_id IN (asked.connection, '00000000-0000-0000-0000-000000000000')
               ) AND NOT EXISTS (
                   SELECT FROM messaging.template t
                   WHERE t.waba_id = asked.waba AND t.name = asked.template AND t.language = asked.language AND t.category IN (2, 3)
               ) AS "unwanted!"
        FROM (SELECT messaging.now_() AS now OFFSET 0) clock
        CROSS JOIN unnest($1::uuid[], $2::bytea[], $3::smallint[], $4::text[], $5::text[], $6::uuid[], $7::text[], $8::text[], $9::text[], $10::text[]) WITH ORDINALITY
            AS asked (application, key_hash, kind, value, other, connection, number, waba, template, language, ordinal)
        LEFT JOIN LATERAL (
            SELECT coalesce((SELECT c.merged_into FROM messaging.contact c WHERE c.id = i.contact_id LIMIT 1), i.contact_id) AS contact_id
            FROM (VALUES (1, asked.value), (2, asked.other)) AS form (rank, value)
            CROSS JOIN LATERAL (
                SELECT i.contact_id FROM messaging.identity i
                WHERE i.application_id = asked.application AND i.kind = asked.kind AND i.value = form.value AND NOT i.retired LIMIT 1
            ) i
            ORDER BY form.rank LIMIT 1
        ) known ON true
        LEFT JOIN LATERAL (
            SELECT i.fingerprint, i.message_id, i.parts FROM messaging.idempotency i WHERE i.application_id = asked.application AND i.key_hash = asked.key_hash LIMIT 1
        ) taken ON true
        LEFT JOIN LATERAL (
            SELECT * FROM messaging.service_window w WHERE w.phone_number_id = asked.number AND w.contact_id = known.contact_id LIMIT 1
        ) w ON true
        ORDER BY asked.ordinal
        "#,
        &applications,
        hashes as _,
        &kinds,
        values as _,
        others as _,
        &connections,
        numbers as _,
        wabas as _,
        names as _,
        languages as _,
    )
    .fetch_all(conn)
    .await
}

/// An idempotency key that is taken.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Where the key stands among those that were asked about.
    pub ordinal: i64,
    /// The first message that was stored under it, and how many there are.
    pub message: Uuid,
    pub parts: i16,
    pub fingerprint: Vec<u8>,
}

/// Which of an application's idempotency keys are taken.
pub(crate) async fn taken(conn: &mut PgConnection, application: Uuid, keys: &[&[u8]]) -> sqlx::Result<Vec<Taken>> {
    sqlx::query_as!(
        Taken,
        r#"
        SELECT asked.ordinal AS "ordinal!", taken.message_id AS message, taken.parts, taken.fingerprint
        FROM unnest($2::bytea[]) WITH ORDINALITY AS asked (key_hash, ordinal)
        CROSS JOIN LATERAL (
            SELECT i.message_id, i.parts, i.fingerprint FROM messaging.idempotency i WHERE i.application_id = $1 AND i.key_hash = asked.key_hash LIMIT 1
        ) taken
        "#,
        application,
        keys as _,
    )
    .fetch_all(conn)
    .await
}
