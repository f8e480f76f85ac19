//! `EraseContact`: stores a job, or finds the one that is under way for the same user.

use std::time::Duration;

use outeract_domain::{ApplicationId, ContactId, ErasureId, InvalidRecipient, Recipient};
use outeract_proto::messaging::v1::{EraseContactRequest, EraseContactResponse};
use outeract_rpc::{Fault, Reply, Violation, caller};
use tonic::{Request, Response};
use uuid::Uuid;

use super::Contacts;
use crate::erase::Ids;
use crate::store::contact;
use crate::store::contact_page as page;
use crate::store::erase as data;
use crate::store::erasure::{self as store, New};
use crate::store::run;

/// Unfinished erasures of one application.
const MOST: i64 = 1_000;
/// When to come back while there are too many.
const FULL: Duration = Duration::from_mins(1);

/// Who is to be erased.
#[derive(Debug, PartialEq, Eq)]
enum Whom {
    Contact(ContactId),
    /// Whoever has this id.
    Id(Recipient),
}

pub(super) async fn erase_contact(
    service: &Contacts,
    request: Request<EraseContactRequest>,
) -> Reply<EraseContactResponse> {
    let application = caller::application(&request)?.id;
    let whom = check(&request.into_inner())?;
    let id = match whom {
        Whom::Contact(contact) => of_contact(service, application, contact.uuid(), None).await?,
        Whom::Id(id) => of_id(service, application, id).await?,
    };
    service.erasures.ring();
    let erasure = service.erasure(application, id).await?;
    Ok(Response::new(EraseContactResponse { erasure: Some(erasure) }))
}

/// Exactly one of the two.
fn check(request: &EraseContactRequest) -> Result<Whom, Fault> {
    match (request.contact_id.as_str(), request.external_id.as_str()) {
        ("", "") => Err(Fault::invalid("contact_id", "must be given, or `external_id`")),
        (id, "") => id
            .parse()
            .map(Whom::Contact)
            .map_err(|error| Fault::invalid("contact_id", format!("is {error}"))),
        // Meta may show a number that the numbering plans known here do not have.
        ("", text) => text
            .parse()
            .or_else(|error| Recipient::from_stored(text).map_err(|_| error))
            .map(Whom::Id)
            .map_err(|error: InvalidRecipient| Fault::invalid("external_id", error.to_string())),
        _ => Err(Fault::invalid_many(vec![Violation::new(
            "external_id",
            "must be empty where `contact_id` is given",
        )])),
    }
}

async fn of_contact(
    service: &Contacts,
    application: ApplicationId,
    contact: Uuid,
    named: Option<(i16, String)>,
) -> Result<Uuid, Fault> {
    let known = run!(service.db, "erasure.under_way", |conn| store::under_way(
        conn,
        application.uuid(),
        Some(contact),
        None
    ))?;
    if let Some(known) = known {
        return Ok(known);
    }
    let survivor = run!(service.db, "contact.survivor", |conn| page::survivor(
        conn,
        application.uuid(),
        contact
    ))?
    .ok_or_else(|| Fault::not_found("contact"))?;
    let contacts = run!(service.db, "erase.one_user", |conn| data::one_user(
        conn,
        application.uuid(),
        &[survivor],
        &[]
    ))?;
    let found = run!(service.db, "erase.identities", |conn| data::identities(
        conn,
        application.uuid(),
        &contacts
    ))?;
    let ids = Ids::new(found.into_iter().chain(named));
    begin(
        service,
        application,
        Some(survivor),
        &contacts,
        &ids,
        survivor.as_bytes(),
    )
    .await
}

async fn of_id(service: &Contacts, application: ApplicationId, id: Recipient) -> Result<Uuid, Fault> {
    let found = run!(service.db, "contact.find", |conn| contact::find(
        conn,
        application.uuid(),
        &[&id]
    ))?;
    let named = (contact::kind(&id), id.as_str().to_owned());
    if let Some(contact) = found.into_iter().next().flatten() {
        return of_contact(service, application, contact, Some(named)).await;
    }
    let hash = service.vault.identity_hash(application.uuid(), named.0, &named.1);
    let subject = hash.ok_or_else(|| Fault::internal("an id of a user has no hash"))?;
    let known = run!(service.db, "erasure.under_way", |conn| store::under_way(
        conn,
        application.uuid(),
        None,
        Some(&subject)
    ))?;
    match known {
        Some(known) => Ok(known),
        None => begin(service, application, None, &[], &Ids::new([named]), &subject).await,
    }
}

async fn begin(
    service: &Contacts,
    application: ApplicationId,
    contact: Option<Uuid>,
    contacts: &[Uuid],
    ids: &Ids,
    subject: &[u8],
) -> Result<Uuid, Fault> {
    let id = ErasureId::new(&*service.clock, &*service.random).uuid();
    let new = New {
        id,
        application: application.uuid(),
        contact,
        contacts,
        subject,
        identities: &service.vault.seal_erasure(application.uuid(), id, ids),
        hashes: &ids.hashes(application.uuid(), &service.vault),
    };
    run!(service.db, "erasure.begin", |conn| store::begin(conn, &new, MOST))?.ok_or_else(|| Fault::overloaded(FULL))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(contact_id: &str, external_id: &str) -> EraseContactRequest {
        EraseContactRequest {
            contact_id: contact_id.to_owned(),
            external_id: external_id.to_owned(),
        }
    }

    #[test]
    fn exactly_one_of_contact_and_id_is_taken_and_what_is_wrong_is_named() {
        let contact = ContactId::from_uuid(Uuid::from_u128(7));
        assert_eq!(
            check(&request(&contact.to_string(), "")).expect("valid"),
            Whom::Contact(contact)
        );
        assert!(matches!(check(&request("", "+14155551234")), Ok(Whom::Id(_))));
        assert!(matches!(
            check(&request("", "US.13491208655302741918")),
            Ok(Whom::Id(_))
        ));
        let path = |contact: &str, external: &str| {
            let fault = check(&request(contact, external)).expect_err("refused");
            fault.violations()[0].path.clone()
        };
        assert_eq!(path("", ""), "contact_id");
        assert_eq!(path("evt_1", ""), "contact_id");
        assert_eq!(path("", "14155551234"), "external_id");
        assert_eq!(path(&contact.to_string(), "+14155551234"), "external_id");
    }
}
