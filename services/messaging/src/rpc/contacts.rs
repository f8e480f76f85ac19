//! `ContactService`: the users that an application exchanges messages with, and who of them wants no marketing.

mod erase_contact;
mod get_contact;
mod get_erasure;
mod import_suppressions;
mod list_contacts;
mod list_erasures;
mod list_merges;
mod list_suppressions;
mod lookup_contact;
mod remove_suppressions;

use std::collections::HashSet;

use outeract_clock::{SharedClock, SharedRandom};
use outeract_domain::{ApplicationId, ConnectionId, ContactId, Recipient};
use outeract_events::timestamp;
use outeract_proto::messaging::v1::contact_service_server::ContactService;
use outeract_proto::messaging::v1::{
    Contact, EraseContactRequest, EraseContactResponse, Erasure, GetContactRequest, GetContactResponse,
    GetErasureRequest, GetErasureResponse, ImportSuppressionsRequest, ImportSuppressionsResponse, ListContactsRequest,
    ListContactsResponse, ListErasuresRequest, ListErasuresResponse, ListMergesRequest, ListMergesResponse,
    ListSuppressionsRequest, ListSuppressionsResponse, LookupContactRequest, LookupContactResponse,
    RemoveSuppressionsRequest, RemoveSuppressionsResponse,
};
use outeract_rpc::page::{self, PageTokens};
use outeract_rpc::{Fault, Reply, Violation};
use sqlx::PgPool;
use tonic::Request;
use uuid::Uuid;

use crate::accept::Contacts as Known;
use crate::contacts::{Bell, Consent, Wish, Wished};
use crate::erase::described;
use crate::projection::Projection;
use crate::store::contact_page as store;
use crate::store::erasure::{self, Shown};
use crate::store::run;
use crate::vault::Vault;

/// What applications call.
#[derive(Debug)]
pub(crate) struct Contacts {
    pub db: PgPool,
    pub vault: Vault,
    pub pages: PageTokens,
    pub projection: Projection,
    pub known: Known,
    pub consent: Consent,
    pub clock: SharedClock,
    pub random: SharedRandom,
    /// Rings when an erasure is stored.
    pub erasures: Bell,
}

/// What a page holds when the caller names no size, and the most it can.
const PAGE: i32 = 100;
const PAGE_MOST: i32 = 1_000;
/// Most users of one request.
const USERS_MOST: usize = 1_000;

#[tonic::async_trait]
impl ContactService for Contacts {
    async fn get_contact(&self, request: Request<GetContactRequest>) -> Reply<GetContactResponse> {
        get_contact::get_contact(self, request).await
    }

    async fn lookup_contact(&self, request: Request<LookupContactRequest>) -> Reply<LookupContactResponse> {
        lookup_contact::lookup_contact(self, request).await
    }

    async fn list_contacts(&self, request: Request<ListContactsRequest>) -> Reply<ListContactsResponse> {
        list_contacts::list_contacts(self, request).await
    }

    async fn list_merges(&self, request: Request<ListMergesRequest>) -> Reply<ListMergesResponse> {
        list_merges::list_merges(self, request).await
    }

    async fn list_suppressions(&self, request: Request<ListSuppressionsRequest>) -> Reply<ListSuppressionsResponse> {
        list_suppressions::list_suppressions(self, request).await
    }

    async fn import_suppressions(
        &self,
        request: Request<ImportSuppressionsRequest>,
    ) -> Reply<ImportSuppressionsResponse> {
        import_suppressions::import_suppressions(self, request).await
    }

    async fn remove_suppressions(
        &self,
        request: Request<RemoveSuppressionsRequest>,
    ) -> Reply<RemoveSuppressionsResponse> {
        remove_suppressions::remove_suppressions(self, request).await
    }

    async fn erase_contact(&self, request: Request<EraseContactRequest>) -> Reply<EraseContactResponse> {
        erase_contact::erase_contact(self, request).await
    }

    async fn get_erasure(&self, request: Request<GetErasureRequest>) -> Reply<GetErasureResponse> {
        get_erasure::get_erasure(self, request).await
    }

    async fn list_erasures(&self, request: Request<ListErasuresRequest>) -> Reply<ListErasuresResponse> {
        list_erasures::list_erasures(self, request).await
    }
}

// === impl Contacts ===

impl Contacts {
    /// These contacts as the contract writes them, in their order.
    async fn describe(&self, application: ApplicationId, ids: &[Uuid]) -> Result<Vec<Contact>, Fault> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = run!(self.db, "contact.contacts", |conn| store::contacts(conn, ids))?;
        rows.into_iter().map(|row| self.contact(application, row)).collect()
    }

    fn contact(&self, application: ApplicationId, row: store::Contact) -> Result<Contact, Fault> {
        let opened = row
            .profile_sealed
            .map(|sealed| self.vault.open_profile(application.uuid(), row.id, &sealed));
        let digits = |number: &String| number.trim_start_matches('+').to_owned();
        // As the database's own function of this name has it.
        let external = [&row.whatsapp, &row.phones, &row.users, &row.parents];
        let external = external.into_iter().find_map(|ids| ids.first()).cloned();
        Ok(Contact {
            id: ContactId::from_uuid(row.id).to_string(),
            external_id: external.unwrap_or_default(),
            wa_ids: row.whatsapp.iter().map(digits).collect(),
            phone_numbers: row.phones,
            user_ids: row.users,
            parent_user_ids: row.parents,
            username: row.usernames.into_iter().next().unwrap_or_default(),
            profile_name: opened.transpose().map_err(Fault::data_loss)?.unwrap_or_default(),
            create_time: Some(timestamp::to_proto(row.created_at)),
        })
    }

    /// Erasures as the contract writes them, in their order.
    async fn erasures(&self, shown: Vec<Shown>) -> Result<Vec<Erasure>, Fault> {
        let ids: Vec<Uuid> = shown.iter().map(|shown| shown.id).collect();
        let counts = run!(self.db, "erasure.counts", |conn| erasure::counts(conn, &ids))?;
        Ok(described(shown, counts))
    }

    /// One erasure of the application.
    async fn erasure(&self, application: ApplicationId, id: Uuid) -> Result<Erasure, Fault> {
        let found = run!(self.db, "erasure.get", |conn| erasure::get(
            conn,
            application.uuid(),
            id
        ))?;
        let found = self.erasures(found.into_iter().collect()).await?;
        found.into_iter().next().ok_or_else(|| Fault::not_found("erasure"))
    }

    /// The connection that a request names, if it is the application's. None: the request names none.
    async fn connection(&self, application: ApplicationId, text: &str) -> Result<Option<ConnectionId>, Fault> {
        if text.is_empty() {
            return Ok(None);
        }
        let id: ConnectionId = text
            .parse()
            .map_err(|error| Fault::invalid("connection_id", format!("is {error}")))?;
        let known = self.projection.get(id).await?;
        known
            .filter(|connection| connection.application == application)
            .map(|_| Some(id))
            .ok_or_else(|| Fault::not_found("connection"))
    }
}

/// The users of a request, each once. Every one that is wrong is told.
fn users(external_ids: &[String]) -> Result<Vec<Recipient>, Fault> {
    if !(1..=USERS_MOST).contains(&external_ids.len()) {
        return Err(Fault::invalid(
            "external_ids",
            format!("must be 1 to {USERS_MOST} users"),
        ));
    }
    let mut violations = Vec::new();
    let mut users = Vec::with_capacity(external_ids.len());
    let mut seen = HashSet::new();
    for (index, text) in external_ids.iter().enumerate() {
        match text.parse::<Recipient>() {
            Ok(user) if seen.insert(user.clone()) => users.push(user),
            Ok(_) => {}
            Err(error) => violations.push(Violation::new(format!("external_ids[{index}]"), error.to_string())),
        }
    }
    if violations.is_empty() {
        Ok(users)
    } else {
        Err(Fault::invalid_many(violations))
    }
}

/// What an application says of users.
fn wishes(
    application: ApplicationId,
    connection: Option<ConnectionId>,
    contacts: impl Iterator<Item = Uuid>,
    wish: Wish,
) -> Vec<Wished> {
    contacts
        .map(|contact| Wished {
            application: application.uuid(),
            contact,
            connection: connection.map(ConnectionId::uuid),
            wish,
            at: None,
        })
        .collect()
}

fn size(requested: i32) -> Result<i64, Fault> {
    page::size_within(requested, PAGE, PAGE_MOST)
}

/// The position in a token of a list that goes by ids.
fn position(pages: &PageTokens, list: &[&[u8]], token: &str) -> Result<Option<Uuid>, Fault> {
    let position = pages.decode(list, token)?;
    // The token is ours: a position that cannot be read is a fault of ours, too.
    let read =
        |bytes: Vec<u8>| Uuid::from_slice(&bytes).map_err(|_| Fault::internal("a page token of ours holds no place"));
    position.map(read).transpose()
}

/// The page, and where the next one begins. One entry more than the page tells whether there is one.
fn cut<T>(mut found: Vec<T>, size: i64) -> (Vec<T>, bool) {
    let more = found.len() as i64 > size;
    found.truncate(size as usize);
    (found, more)
}
