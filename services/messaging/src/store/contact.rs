//! Contacts and their identities.

use outeract_domain::Recipient;
use sqlx::PgConnection;
use uuid::Uuid;

/// A contact, by one of its identities.
#[derive(Debug)]
pub(crate) struct Known {
    pub application: Uuid,
    pub kind: i16,
    pub value: String,
    pub contact: Uuid,
}

/// An identity to give to a contact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NewIdentity<'a> {
    pub application: Uuid,
    pub kind: i16,
    pub value: &'a str,
    pub contact: Uuid,
}

/// Phone numbers in E.164 form, in the identity table.
pub(crate) const PHONE: i16 = 1;
/// Business-scoped user ids, in the identity table.
pub(crate) const USER: i16 = 2;
/// Parent business-scoped user ids, in the identity table.
pub(crate) const PARENT: i16 = 3;
/// WhatsApp ids, digits with `+`, in the identity table.
pub(crate) const WA_ID: i16 = 4;

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
        SELECT asked.application AS "application!", asked.kind AS "kind!", asked.value AS "value!", found.contact_id AS contact
        FROM unnest($1::uuid[], $2::smallint[], $3::text[]) AS asked (application, kind, value)
        CROSS JOIN LATERAL (
            SELECT i.contact_id FROM messaging.identity i
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
            RETURNING application_id, kind, value, contact_id
        ), made AS (
            INSERT INTO messaging.contact (id, application_id, created_at)
            SELECT DISTINCT contact_id, application_id, messaging.now_() FROM introduced
            ON CONFLICT (id) DO NOTHING
        )
        SELECT application_id AS application, kind, value, contact_id AS contact FROM introduced
        "#,
        &applications,
        &kinds,
        values as _,
        &contacts,
    )
    .fetch_all(conn)
    .await
}
