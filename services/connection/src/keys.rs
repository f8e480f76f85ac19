//! Whether a key counts, decided from the table. Callers remember answers; this side does not, so that a revocation is seen by the next question.

use outeract_domain::KeyId;
use outeract_rpc::{Keys, Unavailable, Verdict};
use sqlx::PgPool;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::store::key::{self, Credential};

/// The keys in this service's own table.
#[derive(Debug, Clone)]
pub(crate) struct StoredKeys {
    db: PgPool,
}

/// Compared with when there is no such key, so that a guess takes the same time either way.
const NOBODYS: [u8; 32] = [0; 32];

// === impl StoredKeys ===

impl StoredKeys {
    pub(crate) fn new(db: PgPool) -> Self {
        Self { db }
    }
}

impl Keys for StoredKeys {
    async fn authenticate(&self, key_id: Uuid, secret_sha256: [u8; 32]) -> Result<Verdict, Unavailable> {
        let credential = key::credential(&self.db, KeyId::from_uuid(key_id))
            .await
            .map_err(|error| Unavailable(error.into()))?;
        Ok(judge(credential, &secret_sha256))
    }
}

/// Who does not know the secret learns nothing of the key, not even that it exists.
fn judge(credential: Option<Credential>, secret_sha256: &[u8; 32]) -> Verdict {
    let expected = credential
        .as_ref()
        .map_or(&NOBODYS[..], |credential| &credential.secret_sha256);
    let matches = bool::from(expected.ct_eq(secret_sha256));
    match credential {
        Some(credential) if matches => {
            if credential.revoked {
                Verdict::Revoked
            } else if credential.expired {
                Verdict::Expired
            } else {
                counting(credential)
            }
        }
        Some(_) | None => Verdict::Unknown,
    }
}

fn counting(credential: Credential) -> Verdict {
    let expires = credential.expires_at;
    match credential.application {
        Some(application) => Verdict::Application {
            application,
            scopes: credential.scopes.into(),
            expires,
        },
        None => Verdict::Operator { expires },
    }
}

#[cfg(test)]
mod tests {
    use outeract_domain::ApplicationId;

    use super::*;

    const HASH: [u8; 32] = [7; 32];

    fn credential(expired: bool, revoked: bool) -> Credential {
        Credential {
            application: Some(ApplicationId::from_uuid(Uuid::from_u128(1))),
            secret_sha256: HASH.to_vec(),
            scopes: vec!["*".to_owned()],
            expires_at: None,
            expired,
            revoked,
        }
    }

    #[test]
    fn only_the_right_secret_learns_what_became_of_a_key() {
        assert!(matches!(
            judge(Some(credential(false, false)), &HASH),
            Verdict::Application { .. }
        ));
        assert_eq!(judge(Some(credential(true, false)), &HASH), Verdict::Expired);
        assert_eq!(judge(Some(credential(true, true)), &HASH), Verdict::Revoked);
        for (expired, revoked) in [(false, false), (true, false), (false, true)] {
            assert_eq!(judge(Some(credential(expired, revoked)), &[8; 32]), Verdict::Unknown);
        }
    }

    #[test]
    fn nobodys_hash_opens_nothing() {
        assert_eq!(judge(None, &NOBODYS), Verdict::Unknown);
        assert_eq!(judge(None, &HASH), Verdict::Unknown);
    }

    #[test]
    fn a_key_without_an_application_is_an_operators() {
        let mut credential = credential(false, false);
        credential.application = None;
        assert_eq!(judge(Some(credential), &HASH), Verdict::Operator { expires: None });
    }
}
