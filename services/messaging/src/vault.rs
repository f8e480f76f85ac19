//! What the service seals, and the keyed hashes it looks things up by.

use std::mem;
use std::sync::Arc;

use outeract_clock::SharedRandom;
use outeract_domain::{ApplicationId, ConnectionId, Content, FileId, Recipient, Wamid};
use outeract_events::content;
use outeract_proto::messaging::internal::v1::StatusItem;
use outeract_proto::messaging::v1::{MessageContent, OnUnknown, SendMessageRequest, SendTemplateMessageRequest};
use outeract_seal::{Aad, KeyRing, OpenError};
use prost::Message as _;
use uuid::Uuid;

use crate::erase::Ids;
use crate::store::contact::{PARENT, PHONE, USER, WA_ID};

/// A short keyed hash: enough to tell things apart, useless without the key.
pub(crate) type Hash = [u8; 16];

/// The service's key ring, as this service uses it.
#[derive(Debug, Clone)]
pub(crate) struct Vault {
    ring: Arc<KeyRing>,
    random: SharedRandom,
}

/// What a message says to whom.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub to: Recipient,
    pub content: Content,
    /// Everything but the call to Meta.
    pub sandbox: bool,
    /// The message that this one replies to.
    pub reply_to: Option<Wamid>,
    /// A template that goes instead if the 24-hour window is closed by then.
    pub fallback: Option<Content>,
}

/// A sealed value is not what it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error(transparent)]
    Sealed(#[from] OpenError),
    #[error("the sealed value has not the expected form")]
    Form,
}

/// [`Letter`] as it is stored.
#[derive(Clone, PartialEq, prost::Message)]
struct StoredLetter {
    #[prost(string, tag = "1")]
    to: String,
    #[prost(message, optional, tag = "2")]
    content: Option<MessageContent>,
    #[prost(bool, tag = "3")]
    sandbox: bool,
    #[prost(string, tag = "4")]
    reply_to: String,
    #[prost(message, optional, tag = "5")]
    fallback: Option<MessageContent>,
}

/// [`Ids`] as they are stored.
#[derive(Clone, PartialEq, prost::Message)]
struct StoredIds {
    #[prost(message, repeated, tag = "1")]
    ids: Vec<StoredId>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredId {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    value: String,
}

// === impl Letter ===

impl Letter {
    /// About how many bytes it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.to.as_str().len() + self.content.bytes()
    }
}

// === impl Vault ===

impl Vault {
    pub(crate) fn new(ring: Arc<KeyRing>, random: SharedRandom) -> Self {
        Self { ring, random }
    }

    pub(crate) fn seal_letter(&self, application: ApplicationId, message: Uuid, letter: &Letter) -> Vec<u8> {
        let stored = StoredLetter {
            to: letter.to.as_str().to_owned(),
            content: Some(content::to_proto(&letter.content)),
            sandbox: letter.sandbox,
            reply_to: letter
                .reply_to
                .as_ref()
                .map_or_else(String::new, |wamid| wamid.as_str().to_owned()),
            fallback: letter.fallback.as_ref().map(content::to_proto),
        };
        self.seal(
            application.uuid(),
            "message",
            "sealed",
            message.as_bytes(),
            &stored.encode_to_vec(),
        )
    }

    pub(crate) fn open_letter(&self, application: Uuid, message: Uuid, sealed: &[u8]) -> Result<Letter, Unreadable> {
        let text = self.open(application, "message", "sealed", message.as_bytes(), sealed)?;
        let stored = StoredLetter::decode(text.as_slice()).map_err(|_| Unreadable::Form)?;
        let to = Recipient::from_stored(&stored.to).map_err(|_| Unreadable::Form)?;
        let content = content::from_proto(stored.content).map_err(|_| Unreadable::Form)?;
        let fallback = stored.fallback.map(|fallback| content::from_proto(Some(fallback)));
        Ok(Letter {
            to,
            content,
            sandbox: stored.sandbox,
            reply_to: Wamid::new(stored.reply_to),
            fallback: fallback.transpose().map_err(|_| Unreadable::Form)?,
        })
    }

    pub(crate) fn seal_wamid(&self, application: Uuid, message: Uuid, wamid: &Wamid) -> Vec<u8> {
        self.seal(
            application,
            "message",
            "wamid_sealed",
            message.as_bytes(),
            wamid.as_str().as_bytes(),
        )
    }

    pub(crate) fn open_wamid(&self, application: Uuid, message: Uuid, sealed: &[u8]) -> Result<Wamid, Unreadable> {
        let text = self.open(application, "message", "wamid_sealed", message.as_bytes(), sealed)?;
        String::from_utf8(text)
            .ok()
            .and_then(Wamid::new)
            .ok_or(Unreadable::Form)
    }

    pub(crate) fn seal_inbound_wamid(&self, application: ApplicationId, contact: Uuid, wamid: &Wamid) -> Vec<u8> {
        self.seal(
            application.uuid(),
            "service_window",
            "last_wamid_sealed",
            contact.as_bytes(),
            wamid.as_str().as_bytes(),
        )
    }

    pub(crate) fn open_inbound_wamid(
        &self,
        application: ApplicationId,
        contact: Uuid,
        sealed: &[u8],
    ) -> Result<Wamid, Unreadable> {
        let text = self.open(
            application.uuid(),
            "service_window",
            "last_wamid_sealed",
            contact.as_bytes(),
            sealed,
        )?;
        String::from_utf8(text)
            .ok()
            .and_then(Wamid::new)
            .ok_or(Unreadable::Form)
    }

    pub(crate) fn seal_receipt_wamid(&self, application: ApplicationId, contact: Uuid, wamid: &Wamid) -> Vec<u8> {
        self.seal(
            application.uuid(),
            "receipt",
            "wamid_sealed",
            contact.as_bytes(),
            wamid.as_str().as_bytes(),
        )
    }

    pub(crate) fn open_receipt_wamid(
        &self,
        application: ApplicationId,
        contact: Uuid,
        sealed: &[u8],
    ) -> Result<Wamid, Unreadable> {
        let text = self.open(
            application.uuid(),
            "receipt",
            "wamid_sealed",
            contact.as_bytes(),
            sealed,
        )?;
        String::from_utf8(text)
            .ok()
            .and_then(Wamid::new)
            .ok_or(Unreadable::Form)
    }

    pub(crate) fn seal_profile(&self, application: Uuid, contact: Uuid, name: &str) -> Vec<u8> {
        self.seal(
            application,
            "contact",
            "profile_sealed",
            contact.as_bytes(),
            name.as_bytes(),
        )
    }

    pub(crate) fn open_profile(&self, application: Uuid, contact: Uuid, sealed: &[u8]) -> Result<String, Unreadable> {
        let text = self.open(application, "contact", "profile_sealed", contact.as_bytes(), sealed)?;
        String::from_utf8(text).map_err(|_| Unreadable::Form)
    }

    pub(crate) fn seal_display_number(&self, application: Uuid, connection: ConnectionId, number: &str) -> Vec<u8> {
        self.seal(
            application,
            "connection",
            "display_number_sealed",
            connection.uuid().as_bytes(),
            number.as_bytes(),
        )
    }

    pub(crate) fn open_display_number(
        &self,
        application: Uuid,
        connection: Uuid,
        sealed: &[u8],
    ) -> Result<String, Unreadable> {
        let text = self.open(
            application,
            "connection",
            "display_number_sealed",
            connection.as_bytes(),
            sealed,
        )?;
        String::from_utf8(text).map_err(|_| Unreadable::Form)
    }

    pub(crate) fn seal_file_name(&self, application: ApplicationId, file: FileId, name: &str) -> Vec<u8> {
        self.seal(
            application.uuid(),
            "file",
            "name_sealed",
            file.uuid().as_bytes(),
            name.as_bytes(),
        )
    }

    pub(crate) fn open_file_name(
        &self,
        application: ApplicationId,
        file: FileId,
        sealed: &[u8],
    ) -> Result<String, Unreadable> {
        let text = self.open(
            application.uuid(),
            "file",
            "name_sealed",
            file.uuid().as_bytes(),
            sealed,
        )?;
        String::from_utf8(text).map_err(|_| Unreadable::Form)
    }

    pub(crate) fn seal_status(&self, application: ApplicationId, hash: &[u8], status: &StatusItem) -> Vec<u8> {
        self.seal(
            application.uuid(),
            "orphan_status",
            "sealed",
            hash,
            &status.encode_to_vec(),
        )
    }

    pub(crate) fn open_status(&self, application: Uuid, hash: &[u8], sealed: &[u8]) -> Result<StatusItem, Unreadable> {
        let text = self.open(application, "orphan_status", "sealed", hash, sealed)?;
        StatusItem::decode(text.as_slice()).map_err(|_| Unreadable::Form)
    }

    pub(crate) fn seal_erasure(&self, application: Uuid, erasure: Uuid, ids: &Ids) -> Vec<u8> {
        let ids = ids.iter().map(|(kind, value)| StoredId {
            kind: (*kind).into(),
            value: value.clone(),
        });
        let stored = StoredIds { ids: ids.collect() };
        self.seal(
            application,
            "erasure",
            "identities",
            erasure.as_bytes(),
            &stored.encode_to_vec(),
        )
    }

    pub(crate) fn open_erasure(&self, application: Uuid, erasure: Uuid, sealed: &[u8]) -> Result<Ids, Unreadable> {
        let text = self.open(application, "erasure", "identities", erasure.as_bytes(), sealed)?;
        let stored = StoredIds::decode(text.as_slice()).map_err(|_| Unreadable::Form)?;
        let ids = stored.ids.into_iter();
        Ok(Ids::new(
            ids.filter_map(|id| Some((i16::try_from(id.kind).ok()?, id.value))),
        ))
    }

    /// What an id of a user is known again by after the user was erased. A phone number is the same whether it was dialled or shown by Meta. None: a user name, which can be anybody's.
    pub(crate) fn identity_hash(&self, application: Uuid, kind: i16, value: &str) -> Option<Hash> {
        let class: &[u8] = match kind {
            PHONE | WA_ID => b"phone",
            USER => b"user",
            PARENT => b"parent",
            _ => return None,
        };
        Some(self.hash(
            "messaging.erased_identity",
            &[application.as_bytes(), class, value.as_bytes()],
        ))
    }

    /// What an idempotency key is looked up by.
    pub(crate) fn key_hash(&self, application: ApplicationId, key: &str) -> Hash {
        self.hash(
            "messaging.idempotency_key",
            &[application.uuid().as_bytes(), key.as_bytes()],
        )
    }

    /// What tells one request from another under the same idempotency key: everything but the key and how long to wait.
    pub(crate) fn fingerprint(&self, application: ApplicationId, request: &mut SendMessageRequest) -> Hash {
        if request.on_unknown() == OnUnknown::Hold {
            request.on_unknown = OnUnknown::Unspecified.into();
        }
        let (key, wait) = (mem::take(&mut request.idempotency_key), mem::take(&mut request.wait));
        // The first part is the version of this encoding.
        let asked = request.encode_to_vec();
        let hash = self.hash("messaging.fingerprint", &[&[2], application.uuid().as_bytes(), &asked]);
        (request.idempotency_key, request.wait) = (key, wait);
        hash
    }

    /// As [`Self::fingerprint`], of a template in its short form: as it was given, for what the template makes of it may change.
    pub(crate) fn template_fingerprint(
        &self,
        application: ApplicationId,
        request: &mut SendTemplateMessageRequest,
    ) -> Hash {
        if request.on_unknown() == OnUnknown::Hold {
            request.on_unknown = OnUnknown::Unspecified.into();
        }
        let (key, wait) = (mem::take(&mut request.idempotency_key), mem::take(&mut request.wait));
        // The first part is the version of this encoding.
        let asked = request.encode_to_vec();
        let hash = self.hash(
            "messaging.template_fingerprint",
            &[&[1], application.uuid().as_bytes(), &asked],
        );
        (request.idempotency_key, request.wait) = (key, wait);
        hash
    }

    /// What a wamid is looked up by: each number has its own.
    pub(crate) fn wamid_hash(&self, number: &str, wamid: &str) -> Hash {
        self.hash("messaging.wamid", &[number.as_bytes(), wamid.as_bytes()])
    }

    /// What a report about a user is recognised by.
    pub(crate) fn sighting_hash(&self, parts: &[&[u8]]) -> Hash {
        self.hash("messaging.sighting", parts)
    }

    fn hash(&self, purpose: &'static str, parts: &[&[u8]]) -> Hash {
        let mut data = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
        for part in parts {
            // The length keeps ("ab", "c") apart from ("a", "bc").
            data.extend_from_slice(&(part.len() as u32).to_be_bytes());
            data.extend_from_slice(part);
        }
        let mut hash = Hash::default();
        let long = self.ring.keyed_hash(purpose, &data);
        hash.copy_from_slice(&long[..16]);
        hash
    }

    fn seal(&self, application: Uuid, table: &'static str, column: &'static str, id: &[u8], text: &[u8]) -> Vec<u8> {
        self.ring
            .seal(&Aad::new(Some(application), table, column, id), text, &*self.random)
    }

    fn open(
        &self,
        application: Uuid,
        table: &'static str,
        column: &'static str,
        id: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, OpenError> {
        self.ring.open(&Aad::new(Some(application), table, column, id), sealed)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use outeract_clock::SeededRandom;
    use outeract_domain::Text;
    use outeract_events::sample::Sampler;
    use outeract_proto::messaging::v1::SendWait;

    use super::*;

    pub(crate) fn vault() -> Vault {
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let ring = KeyRing::parse(&format!("k1:{key}\nhash:{key}")).expect("a key ring");
        Vault::new(Arc::new(ring), Arc::new(SeededRandom::new(1)))
    }

    fn letter_of(content: Option<MessageContent>) -> Letter {
        Letter {
            to: "+14155551234".parse().expect("a number"),
            content: content::from_proto(content).expect("valid"),
            sandbox: false,
            reply_to: None,
            fallback: None,
        }
    }

    fn letter(body: &str, preview: Option<bool>) -> Letter {
        Letter {
            to: "+14155551234".parse().expect("a number"),
            content: Content::Text(Text::new(body.to_owned(), preview, "body").expect("a text")),
            sandbox: true,
            reply_to: Wamid::new("wamid.A"),
            fallback: None,
        }
    }

    #[test]
    fn a_letter_opens_only_where_it_belongs() {
        let vault = vault();
        let (application, message) = (ApplicationId::from_uuid(Uuid::from_u128(1)), Uuid::from_u128(2));
        let sealed = vault.seal_letter(application, message, &letter("hello", Some(true)));
        let opened = vault.open_letter(application.uuid(), message, &sealed).expect("opens");
        assert_eq!(
            (opened.to.as_str(), opened.content, opened.sandbox),
            ("+14155551234", letter("hello", Some(true)).content, true)
        );
        assert_eq!(opened.reply_to, Wamid::new("wamid.A"));
        assert!(vault.open_letter(Uuid::from_u128(9), message, &sealed).is_err());
        assert!(
            vault
                .open_letter(application.uuid(), Uuid::from_u128(9), &sealed)
                .is_err()
        );
    }

    #[test]
    fn every_part_of_a_request_but_key_and_wait_counts_in_its_fingerprint() {
        let vault = vault();
        let request = || SendMessageRequest {
            idempotency_key: "a".to_owned(),
            connection_id: "pc_1".to_owned(),
            to_external_id: "+14155551234".to_owned(),
            message: "hello".to_owned(),
            ..SendMessageRequest::default()
        };
        let print =
            |mut request: SendMessageRequest| vault.fingerprint(ApplicationId::from_uuid(Uuid::nil()), &mut request);
        let changes: [fn(&mut SendMessageRequest); 9] = [
            |request| request.connection_id = "pc_2".to_owned(),
            |request| request.to_external_id = "+14155551235".to_owned(),
            |request| request.message = "hello!".to_owned(),
            |request| request.file_ids = vec!["file_1".to_owned()],
            |request| request.reply_to_external_message_id = "wamid.A".to_owned(),
            |request| request.on_unknown = OnUnknown::Resend.into(),
            |request| request.priority = 3,
            |request| request.sandbox = true,
            |request| request.expire_time = Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
        ];
        let mut prints = vec![print(request())];
        for change in changes {
            let mut request = request();
            change(&mut request);
            let print = print(request);
            assert!(!prints.contains(&print));
            prints.push(print);
        }
        let same: [fn(&mut SendMessageRequest); 3] = [
            |request| request.idempotency_key = "b".to_owned(),
            |request| request.wait = SendWait::Stored.into(),
            |request| request.on_unknown = OnUnknown::Hold.into(),
        ];
        for change in same {
            let mut request = request();
            change(&mut request);
            assert_eq!(print(request), prints[0]);
        }
        let mut elsewhere = request();
        assert_ne!(
            vault.fingerprint(ApplicationId::from_uuid(Uuid::from_u128(1)), &mut elsewhere),
            prints[0]
        );
    }

    #[test]
    fn letters_of_every_kind_open_as_they_were_sealed() {
        let vault = vault();
        let (application, message) = (ApplicationId::from_uuid(Uuid::from_u128(1)), Uuid::from_u128(2));
        let mut sampler = Sampler::valid(7);
        for _ in 0..500 {
            let letter = letter_of(Some(sampler.content()));
            let sealed = vault.seal_letter(application, message, &letter);
            let opened = vault.open_letter(application.uuid(), message, &sealed).expect("opens");
            assert_eq!(opened.content, letter.content);
            assert!(letter.bytes() >= letter.content.bytes());
        }
    }
}
