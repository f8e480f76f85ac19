//! Whom an erasure is about, as it is asked for and kept.

use outeract_clock::Random;
use outeract_seal::{KeyRing, OpenError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Whom;
use crate::sealed;
use crate::store::erasure::Erasure;

/// Whom to erase, and the numbers they wrote to.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Identities {
    /// Phone numbers: digits.
    pub wa_ids: Vec<String>,
    /// Business-scoped user ids.
    pub user_ids: Vec<String>,
    /// The application's numbers, by Meta's ids.
    pub numbers: Vec<String>,
}

/// Why identities cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The key ring lacks this key.
    Key(String),
    /// They were changed after they were stored.
    Content,
}

// === impl Identities ===

impl Identities {
    /// Sealed, as an erasure's row keeps them.
    pub(crate) fn seal(&self, application: Uuid, id: Uuid, keyring: &KeyRing, random: &dyn Random) -> Vec<u8> {
        // Lists of texts always have a JSON form.
        let plain = serde_json::to_vec(self).unwrap_or_default();
        keyring.seal(&sealed::identities(application, id.as_bytes()), &plain, random)
    }

    /// Those of an erasure.
    pub(crate) fn open(erasure: &Erasure, keyring: &KeyRing) -> Result<Self, Unreadable> {
        let place = sealed::identities(erasure.application_id, erasure.id.as_bytes());
        let plain = match keyring.open(&place, &erasure.identities) {
            Ok(plain) => plain,
            Err(OpenError::UnknownKey(key)) => return Err(Unreadable::Key(key)),
            Err(OpenError::Malformed | OpenError::Rejected) => return Err(Unreadable::Content),
        };
        serde_json::from_slice(&plain).map_err(|_| Unreadable::Content)
    }

    /// With the numbers that are or were the application's, and their accounts.
    pub(crate) fn within(self, scope: Vec<(String, String)>) -> Whom {
        let (numbers, wabas) = scope.into_iter().unzip();
        Whom {
            identities: self.wa_ids.into_iter().chain(self.user_ids).collect(),
            numbers,
            wabas,
        }
    }
}

// Ids of users are private.
impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identities")
            .field("numbers", &self.numbers.len())
            .finish_non_exhaustive()
    }
}
