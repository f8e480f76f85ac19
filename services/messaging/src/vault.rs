//! What the service seals, and the keyed hashes it looks things up by.

use std::sync::Arc;

use outeract_clock::SharedRandom;
use outeract_domain::{ApplicationId, ConnectionId, Content, OnUnknown, Recipient, Wamid};
use outeract_events::content;
use outeract_proto::messaging::internal::v1::StatusItem;
use outeract_proto::messaging::v1::MessageContent;
use outeract_seal::{Aad, KeyRing, OpenError};
use prost::Message as _;
use uuid::Uuid;

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
        Ok(Letter { to, content })
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

    /// What an idempotency key is looked up by.
    pub(crate) fn key_hash(&self, application: ApplicationId, key: &str) -> Hash {
        self.hash(
            "messaging.idempotency_key",
            &[application.uuid().as_bytes(), key.as_bytes()],
        )
    }

    /// What tells one request from another under the same idempotency key: everything but the key and how long to wait.
    pub(crate) fn fingerprint(&self, connection: ConnectionId, letter: &Letter, on_unknown: OnUnknown) -> Hash {
        let policy = on_unknown.code().to_be_bytes();
        self.hash(
            "messaging.fingerprint",
            &[
                // The version of this encoding.
                &[2],
                connection.uuid().as_bytes(),
                letter.to.as_str().as_bytes(),
                &policy,
                // Equal contents are written alike, to the byte.
                &content::to_proto(&letter.content).encode_to_vec(),
            ],
        )
    }

    /// What a wamid is looked up by: each number has its own.
    pub(crate) fn wamid_hash(&self, number: &str, wamid: &str) -> Hash {
        self.hash("messaging.wamid", &[number.as_bytes(), wamid.as_bytes()])
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
        }
    }

    fn letter(body: &str, preview: Option<bool>) -> Letter {
        Letter {
            to: "+14155551234".parse().expect("a number"),
            content: Content::Text(Text::new(body.to_owned(), preview, "body").expect("a text")),
        }
    }

    #[test]
    fn a_letter_opens_only_where_it_belongs() {
        let vault = vault();
        let (application, message) = (ApplicationId::from_uuid(Uuid::from_u128(1)), Uuid::from_u128(2));
        let sealed = vault.seal_letter(application, message, &letter("hello", Some(true)));
        let opened = vault.open_letter(application.uuid(), message, &sealed).expect("opens");
        assert_eq!(
            (opened.to.as_str(), opened.content),
            ("+14155551234", letter("hello", Some(true)).content)
        );
        assert!(vault.open_letter(Uuid::from_u128(9), message, &sealed).is_err());
        assert!(
            vault
                .open_letter(application.uuid(), Uuid::from_u128(9), &sealed)
                .is_err()
        );
    }

    #[test]
    fn every_part_of_a_request_counts_in_its_fingerprint() {
        let vault = vault();
        let connection = |number| ConnectionId::from_uuid(Uuid::from_u128(number));
        let mut other = letter("hello", None);
        other.to = "+14155551235".parse().expect("a number");
        let prints = [
            vault.fingerprint(connection(1), &letter("hello", None), OnUnknown::Hold),
            vault.fingerprint(connection(2), &letter("hello", None), OnUnknown::Hold),
            vault.fingerprint(connection(1), &letter("hello!", None), OnUnknown::Hold),
            vault.fingerprint(connection(1), &letter("hello", Some(false)), OnUnknown::Hold),
            vault.fingerprint(connection(1), &letter("hello", Some(true)), OnUnknown::Hold),
            vault.fingerprint(connection(1), &letter("hello", None), OnUnknown::Resend),
            vault.fingerprint(connection(1), &other, OnUnknown::Hold),
        ];
        for (index, print) in prints.iter().enumerate() {
            assert!(!prints[..index].contains(print));
        }
        assert_eq!(
            prints[0],
            vault.fingerprint(connection(1), &letter("hello", None), OnUnknown::Hold)
        );
    }
    #[test]
    fn letters_of_every_kind_open_and_have_prints_of_their_own() {
        let vault = vault();
        let (application, message) = (ApplicationId::from_uuid(Uuid::from_u128(1)), Uuid::from_u128(2));
        let connection = ConnectionId::from_uuid(Uuid::from_u128(3));
        let mut sampler = Sampler::valid(7);
        let mut seen = std::collections::HashMap::new();
        for _ in 0..500 {
            let letter = letter_of(Some(sampler.content()));
            let sealed = vault.seal_letter(application, message, &letter);
            let opened = vault.open_letter(application.uuid(), message, &sealed).expect("opens");
            assert_eq!(opened.content, letter.content);
            let print = vault.fingerprint(connection, &letter, OnUnknown::Hold);
            assert_eq!(vault.fingerprint(connection, &opened, OnUnknown::Hold), print);
            let same = seen.entry(print).or_insert_with(|| letter.content.clone());
            assert_eq!(*same, letter.content, "another content has this print");
            assert!(letter.bytes() >= letter.content.bytes());
        }
    }
}
