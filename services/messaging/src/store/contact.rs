//! Contacts and their identities.

use outeract_domain::Recipient;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A contact, by one of its identities.
#[derive(Debug)]
pub(crate) struct Known {
    pub application: Uuid,
    pub kind: i16,
    pub value: String,
    pub contact: Uuid,
    /// The user has another id instead.
    pub retired: bool,
}

/// An identity to give to a contact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NewIdentity<'a> {
    pub application: Uuid,
    pub kind: i16,
    pub value: &'a str,
    pub contact: Uuid,
}

/// What Meta shows of a user beside ids.
#[derive(Debug)]
pub(crate) struct Profile {
    pub contact: Uuid,
    pub application: Uuid,
    pub sealed: Option<Vec<u8>>,
    pub username: Option<String>,
}

/// Phone numbers in E.164 form, in the identity table.
pub(crate) const PHONE: i16 = 1;
/// Business-scoped user ids, in the identity table.
pub(crate) const USER: i16 = 2;
/// Parent business-scoped user ids, in the identity table.
pub(crate) const PARENT: i16 = 3;
/// WhatsApp ids, digits with `+`, in the identity table.
pub(crate) const WA_ID: i16 = 4;
/// User names, in the identity table.
pub(crate) const USERNAME: i16 = 5;

/// The kind of identity that a caller names.
pub(crate) fn kind(recipient: &Recipient) -> i16 {
    match recipient {
        Recipient::Phone(_) => PHONE,
        Recipient::User(user) if user.is_parent() => PARENT,
        Recipient::User(_) => USER,
    }
}

/// The contacts of those identities that are known: (application, kind, value).
pub(crate) async fn known(conn: &mut PgConnection, identities: &[(Uuid, i16, &str)]) -> sqlx::Result<Vec<Known>> {
    let applications: Vec<_> = identities.iter().map(|(application, _, _)| *application).collect();
    let kinds: Vec<_> = identities.iter().map(|(_, kind, _)| *kind).collect();
    let values: Vec<_> = identities.iter().map(|(_, _, value)| *value).collect();
    sqlx::query_as!(
        Known,
        r#"
        SELECT asked.application AS "application!", asked.kind AS "kind!", asked.value AS "value!", found.contact_id AS "contact!", found.retired
        FROM unnest($1::uuid[], $2::smallint[], $3::text[]) AS asked (application, kind, value)
        CROSS JOIN LATERAL (
            SELECT coalesce((SELECT c.merged_into FROM messaging.contact c WHERE c.id = i.contact_id LIMIT 1), i.contact_id) AS contact_id, i.retired
            FROM messaging.identity i
            WHERE i.application_id = asked.application AND i.kind = asked.kind AND i.value = asked.value LIMIT 1
        ) found
        "#,
        &applications,
        &kinds,
        values as _,
    )
    .fetch_all(conn)
    .await
}

/// The contact of each recipient, by its own form first, then by its other one. Retired ids are nobody's.
pub(crate) async fn find(
    conn: &mut PgConnection,
    application: Uuid,
    recipients: &[&Recipient],
) -> sqlx::Result<Vec<Option<Uuid>>> {
    let kinds: Vec<_> = recipients.iter().map(|recipient| kind(recipient)).collect();
    let values: Vec<_> = recipients.iter().map(|recipient| recipient.as_str()).collect();
    let others: Vec<_> = recipients.iter().map(|recipient| recipient.other_form()).collect();
    sqlx::query_scalar!(
        r#"
        SELECT known.contact_id AS "contact?"
        FROM unnest($2::smallint[], $3::text[], $4::text[]) WITH ORDINALITY AS asked (kind, value, other, ordinal)
        LEFT JOIN LATERAL (
            SELECT coalesce((SELECT c.merged_into FROM messaging.contact c WHERE c.id = i.contact_id LIMIT 1), i.contact_id) AS contact_id
            FROM (VALUES (1, asked.value), (2, asked.other)) AS form (rank, value)
            CROSS JOIN LATERAL (
                SELECT i.contact_id FROM messaging.identity i
                WHERE i.application_id = $1 AND i.kind = asked.kind AND i.value = form.value AND NOT i.retired LIMIT 1
            ) i
            ORDER BY form.rank LIMIT 1
        ) known ON true
        ORDER BY asked.ordinal
        "#,
        application,
        &kinds,
        values as _,
        others as _,
    )
    .fetch_all(conn)
    .await
}

/// Gives identities to contacts, new or known ones, makes the contacts that are new, and gives the identities that are new. One that has a contact already keeps it. `identities` must be
/// in order. By `hashes`, one for each, users who were erased are known again who want no marketing: their contact gets that back.
pub(crate) async fn introduce(
    conn: &mut PgConnection,
    identities: &[NewIdentity<'_>],
    hashes: &[Vec<u8>],
) -> sqlx::Result<Vec<Known>> {
    let applications: Vec<_> = identities.iter().map(|identity| identity.application).collect();
    let kinds: Vec<_> = identities.iter().map(|identity| identity.kind).collect();
    let values: Vec<_> = identities.iter().map(|identity| identity.value).collect();
    let contacts: Vec<_> = identities.iter().map(|identity| identity.contact).collect();
    sqlx::query_as!(
        Known,
        r#"
        WITH new AS MATERIALIZED (
            SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::uuid[], $5::bytea[]) AS n (application, kind, value, contact, hash)
        ), introduced AS (
            INSERT INTO messaging.identity (application_id, kind, value, contact_id)
            SELECT application, kind, value, contact FROM new
            ON CONFLICT (application_id, kind, value) DO NOTHING
            RETURNING application_id, kind, value, contact_id, retired
        ), made AS (
            INSERT INTO messaging.contact (id, application_id, created_at)
            SELECT DISTINCT contact_id, application_id, messaging.now_() FROM introduced
            ON CONFLICT (id) DO NOTHING
        ), known_again AS MATERIALIZED (
            SELECT DISTINCT k.application_id, k.erasure_id, new.contact
            FROM introduced i
            JOIN new ON new.application = i.application_id AND new.kind = i.kind AND new.value = i.value
            CROSS JOIN LATERAL (
                SELECT k.application_id, k.erasure_id FROM messaging.suppression_kept k WHERE k.application_id = new.application AND k.hash = new.hash LIMIT 100
            ) k
        ), given_back AS (
            DELETE FROM messaging.suppression_kept k USING known_again a WHERE k.application_id = a.application_id AND k.erasure_id = a.erasure_id
            RETURNING k.application_id, a.contact, k.connection_id, k.source, k.at
        ), suppressed AS (
            INSERT INTO messaging.suppression (application_id, contact_id, connection_id, source, at)
            SELECT DISTINCT ON (application_id, contact, connection_id) application_id, contact, connection_id, source, at
            FROM given_back ORDER BY application_id, contact, connection_id, source = 1, at
            ON CONFLICT (application_id, contact_id, connection_id) DO NOTHING
        )
        SELECT application_id AS application, kind, value, contact_id AS contact, retired FROM introduced
        "#,
        &applications,
        &kinds,
        values as _,
        &contacts,
        hashes,
    )
    .fetch_all(conn)
    .await
}

/// The contacts, or who they were merged into; each in its place.
pub(crate) async fn survivors(conn: &mut PgConnection, contacts: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"
        SELECT coalesce((SELECT c.merged_into FROM messaging.contact c WHERE c.id = asked.id LIMIT 1), asked.id) AS "contact!"
        FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (id, ordinal) ORDER BY asked.ordinal
        "#,
        contacts,
    )
    .fetch_all(conn)
    .await
}

/// What is known of users beside ids.
pub(crate) async fn profiles(conn: &mut PgConnection, contacts: &[Uuid]) -> sqlx::Result<Vec<Profile>> {
    sqlx::query_as!(
        Profile,
        r#"
        SELECT c.id AS contact, c.application_id AS application, c.profile_sealed AS sealed, i.value AS "username?"
        FROM unnest($1::uuid[]) AS asked (id)
        CROSS JOIN LATERAL (SELECT * FROM messaging.contact c WHERE c.id = asked.id LIMIT 1) c
        LEFT JOIN LATERAL (
            SELECT i.value FROM messaging.identity i WHERE i.contact_id = c.id AND i.kind = 5 LIMIT 1
        ) i ON true
        "#,
        contacts,
    )
    .fetch_all(conn)
    .await
}

/// Keeps users' names. In the order of the contacts, each once.
pub(crate) async fn keep_profiles(conn: &mut PgConnection, profiles: &[(Uuid, Vec<u8>)]) -> sqlx::Result<()> {
    let contacts: Vec<_> = profiles.iter().map(|(contact, _)| *contact).collect();
    let sealed: Vec<_> = profiles.iter().map(|(_, sealed)| sealed.as_slice()).collect();
    sqlx::query!(
        r#"
        UPDATE messaging.contact c SET profile_sealed = new.sealed
        FROM (
            SELECT c.id, new.sealed FROM unnest($1::uuid[], $2::bytea[]) AS new (id, sealed) JOIN messaging.contact c ON c.id = new.id ORDER BY c.id FOR NO KEY UPDATE OF c
        ) new
        WHERE c.id = new.id
        "#,
        &contacts,
        sealed as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives user names to contacts, in place of those that they had; a name that another contact had is its new holder's. In order, each contact and each name once.
pub(crate) async fn rename(conn: &mut PgConnection, names: &[NewIdentity<'_>]) -> sqlx::Result<()> {
    let applications: Vec<_> = names.iter().map(|name| name.application).collect();
    let values: Vec<_> = names.iter().map(|name| name.value).collect();
    let contacts: Vec<_> = names.iter().map(|name| name.contact).collect();
    sqlx::query!(
        r#"
        WITH new AS (
            SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS new (application, value, contact)
        ), dropped AS (
            DELETE FROM messaging.identity i USING new WHERE i.contact_id = new.contact AND i.kind = 5 AND i.value <> new.value
        )
        INSERT INTO messaging.identity AS i (application_id, kind, value, contact_id)
        SELECT application, 5, value, contact FROM new ORDER BY application, value
        ON CONFLICT (application_id, kind, value) DO UPDATE SET contact_id = excluded.contact_id WHERE i.contact_id <> excluded.contact_id
        "#,
        &applications,
        values as _,
        &contacts,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ids that users do not have any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Gone {
    pub application: Uuid,
    pub kind: i16,
    pub value: String,
    pub contact: Uuid,
}

/// When contacts last got new ids in place of old ones, of those that ever did.
pub(crate) async fn moved(conn: &mut PgConnection, contacts: &[Uuid]) -> sqlx::Result<Vec<(Uuid, OffsetDateTime)>> {
    let rows = sqlx::query!(
        r#"SELECT c.id, c.moved_at AS "at!" FROM messaging.contact c WHERE c.id = ANY ($1::uuid[]) AND c.moved_at IS NOT NULL"#,
        contacts,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.at)).collect())
}

/// Takes ids from users who have others instead, and notes when that was. Phone numbers are given up: their next owner is another user. User ids are never given twice, so they are kept for
/// late webhooks. All in order.
pub(crate) async fn retire(
    conn: &mut PgConnection,
    gone: &[Gone],
    times: &[(Uuid, OffsetDateTime)],
) -> sqlx::Result<()> {
    let applications: Vec<_> = gone.iter().map(|gone| gone.application).collect();
    let kinds: Vec<_> = gone.iter().map(|gone| gone.kind).collect();
    let values: Vec<_> = gone.iter().map(|gone| gone.value.as_str()).collect();
    let contacts: Vec<_> = gone.iter().map(|gone| gone.contact).collect();
    let (moved, at): (Vec<_>, Vec<_>) = times.iter().copied().unzip();
    sqlx::query!(
        r#"
        WITH gone AS (
            SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::uuid[]) AS gone (application, kind, value, contact)
        ), given_up AS (
            DELETE FROM messaging.identity i USING gone
            WHERE i.application_id = gone.application AND i.kind = gone.kind AND i.value = gone.value AND i.contact_id = gone.contact AND gone.kind IN (1, 4)
        ), retired AS (
            UPDATE messaging.identity i SET retired = true FROM gone
            WHERE i.application_id = gone.application AND i.kind = gone.kind AND i.value = gone.value AND i.contact_id = gone.contact AND gone.kind IN (2, 3) AND NOT i.retired
        )
        UPDATE messaging.contact c SET moved_at = greatest(c.moved_at, new.at)
        FROM (
            SELECT c.id, new.at FROM unnest($5::uuid[], $6::timestamptz[]) AS new (id, at) JOIN messaging.contact c ON c.id = new.id ORDER BY c.id FOR NO KEY UPDATE OF c
        ) new
        WHERE c.id = new.id
        "#,
        &applications,
        &kinds,
        values as _,
        &contacts,
        &moved,
        &at,
    )
    .execute(conn)
    .await?;
    Ok(())
}
