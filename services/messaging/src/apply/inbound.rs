//! Messages from users: who the user is, and until when they can be answered freely.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use outeract_domain::{Recipient, Wamid};
use outeract_events::timestamp;
use outeract_proto::messaging::internal::v1::{InboundItem, ItemOutcome, ItemResult};
use outeract_rpc::Fault;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Applier, Routed, reason, refused};
use crate::store::apply::{self as store, Opening};
use crate::store::contact::{self as identity, NewIdentity, PHONE, USER};
use crate::store::{DbError, run};

/// A user's message, and who sent it.
pub(super) struct Letter<'a> {
    pub(super) routed: &'a Routed<InboundItem>,
    pub(super) wamid: Wamid,
    pub(super) at: OffsetDateTime,
    /// With its `+`.
    phone: Option<String>,
    user: Option<&'a str>,
}

/// The newest of each conversation, by number and contact.
pub(super) type Newest<'a> = BTreeMap<(&'a str, Uuid), (OffsetDateTime, &'a Letter<'a>)>;

/// Contacts by identity.
type Contacts = HashMap<(Uuid, i16, String), Uuid>;

/// Meta's ids of users are shorter than this by far.
const LONGEST_ID: usize = 160;

// === impl Applier ===

impl Applier {
    pub(super) async fn apply_inbound(
        &self,
        items: &[Routed<InboundItem>],
        results: &mut [ItemResult],
    ) -> Result<(), Fault> {
        let mut letters = Vec::with_capacity(items.len());
        for routed in items {
            match letter(routed) {
                Ok(letter) => letters.push(letter),
                Err(reason) => results[routed.index] = refused(reason),
            }
        }
        if letters.is_empty() {
            return Ok(());
        }
        let contacts = self.contacts_of(&letters).await?;
        let mut windows = Newest::new();
        for letter in &letters {
            let Some(contact) = letter.contact(&contacts) else {
                return Err(Fault::internal("a contact is missing that was just made"));
            };
            results[letter.routed.index] = ItemResult {
                outcome: ItemOutcome::Applied.into(),
                message_id: Vec::new(),
                contact_id: contact.as_bytes().to_vec(),
                reason: String::new(),
            };
            if letter.routed.item.opens_window {
                let window = windows
                    .entry((letter.routed.connection.number.as_str(), contact))
                    .or_insert((letter.at, letter));
                // Meta tells whole seconds: of those of one second the last counts.
                if window.0 <= letter.at {
                    *window = (letter.at, letter);
                }
            }
        }
        if windows.is_empty() {
            return Ok(());
        }
        let sealed: Vec<Vec<u8>> = windows
            .iter()
            .map(|((_, contact), (_, letter))| {
                self.vault
                    .seal_inbound_wamid(letter.routed.application, *contact, &letter.wamid)
            })
            .collect();
        let openings: Vec<_> = windows
            .iter()
            .zip(&sealed)
            .map(|(((number, contact), (at, _)), wamid_sealed)| Opening {
                number,
                contact: *contact,
                at: *at,
                wamid_sealed,
            })
            .collect();
        let asked = Instant::now();
        for opened in run!(self.db, "window.open", |conn| store::open_windows(conn, &openings))? {
            self.windows
                .learn(&Arc::from(opened.number), opened.contact, opened.window_left, asked);
        }
        self.note_receipts(&windows).await
    }

    /// The senders' contacts. Who is known by one identity and shows another for the first time gets it; two contacts are never made one here.
    async fn contacts_of(&self, letters: &[Letter<'_>]) -> Result<Contacts, DbError> {
        let mut contacts = self.known(letters).await?;
        let mut new: BTreeMap<(Uuid, i16, String), Uuid> = BTreeMap::new();
        for letter in letters {
            let identities = letter.identities();
            let known = identities
                .iter()
                .find_map(|identity| contacts.get(identity).or_else(|| new.get(identity)).copied());
            let contact = known.unwrap_or_else(|| self.contacts.fresh());
            for identity in identities {
                if !contacts.contains_key(&identity) {
                    new.entry(identity).or_insert(contact);
                }
            }
        }
        if new.is_empty() {
            return Ok(contacts);
        }
        let identities: Vec<_> = new
            .iter()
            .map(|((application, kind, value), contact)| NewIdentity {
                application: *application,
                kind: *kind,
                value,
                contact: *contact,
            })
            .collect();
        let introduced = run!(self.db, "contact.introduce", |conn| identity::introduce(
            conn,
            &identities
        ))?;
        if introduced.len() < new.len() {
            // Somebody else made some of them at the same time.
            contacts.extend(self.known(letters).await?);
        } else {
            contacts.extend(new);
        }
        for ((application, kind, value), contact) in &contacts {
            if let (&PHONE, Ok(number)) = (kind, Recipient::from_stored(value)) {
                self.contacts.remember(*application, number, *contact).await;
            }
        }
        Ok(contacts)
    }

    async fn known(&self, letters: &[Letter<'_>]) -> Result<Contacts, DbError> {
        let identities: Vec<_> = letters.iter().flat_map(Letter::identities).collect();
        let asked: Vec<_> = identities
            .iter()
            .map(|(application, kind, value)| (*application, *kind, value.as_str()))
            .collect();
        let known = run!(self.db, "contact.known", |conn| identity::known(conn, &asked))?;
        let contacts = known
            .into_iter()
            .map(|known| ((known.application, known.kind, known.value), known.contact))
            .collect();
        Ok(contacts)
    }
}

// === impl Letter ===

impl Letter<'_> {
    fn identities(&self) -> Vec<(Uuid, i16, String)> {
        let application = self.routed.application.uuid();
        let phone = self.phone.clone().map(|phone| (application, PHONE, phone));
        let user = self.user.map(|user| (application, USER, user.to_owned()));
        phone.into_iter().chain(user).collect()
    }

    fn contact(&self, contacts: &Contacts) -> Option<Uuid> {
        self.identities()
            .iter()
            .find_map(|identity| contacts.get(identity).copied())
    }
}

fn letter(routed: &Routed<InboundItem>) -> Result<Letter<'_>, &'static str> {
    let item = &routed.item;
    let wamid = Wamid::new(item.wamid.clone()).ok_or(reason::MALFORMED)?;
    let at = item
        .occur_time
        .as_ref()
        .and_then(timestamp::from_proto)
        .ok_or(reason::MALFORMED)?;
    if item.wa_id.len() > LONGEST_ID
        || item.user_id.len() > LONGEST_ID
        || item.wa_id.contains('\0')
        || item.user_id.contains('\0')
    {
        return Err(reason::MALFORMED);
    }
    let phone = (!item.wa_id.is_empty()).then(|| format!("+{}", item.wa_id));
    let user = (!item.user_id.is_empty()).then_some(item.user_id.as_str());
    if phone.is_none() && user.is_none() {
        return Err(reason::SENDER_UNKNOWN);
    }
    Ok(Letter {
        routed,
        wamid,
        at,
        phone,
        user,
    })
}
