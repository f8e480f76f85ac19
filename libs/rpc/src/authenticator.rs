use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::sync::Cache;
use outeract_clock::SharedClock;
use outeract_domain::{ApplicationId, KeyId};
use outeract_proto::r#type::v1::ErrorReason;
use subtle::ConstantTimeEq as _;
use time::OffsetDateTime;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio::time::Instant;
use tonic::Code;
use uuid::Uuid;

use crate::caller::{Application, Operator};
use crate::key::KeyText;
use crate::{BoxError, Fault};

/// Knows keys: connection's own tables, or connection asked over gRPC ([`crate::RemoteKeys`]).
pub trait Keys: Send + Sync + 'static {
    /// Whose key it is, or why it does not count.
    fn authenticate(
        &self,
        key_id: Uuid,
        secret_sha256: [u8; 32],
    ) -> impl Future<Output = Result<Verdict, Unavailable>> + Send;
}

/// Whether a key counts, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// An application's key.
    Application {
        /// The application.
        application: ApplicationId,
        /// What the key may do.
        scopes: Arc<[String]>,
        /// When it stops working; `None`: never.
        expires: Option<OffsetDateTime>,
    },
    /// An operator's key.
    Operator {
        /// When it stops working; `None`: never.
        expires: Option<OffsetDateTime>,
    },
    /// No such key, or the secret is wrong.
    Unknown,
    /// Its expiry has passed.
    Expired,
    /// It was revoked.
    Revoked,
}

/// Whoever knows the keys cannot be asked now.
#[derive(Debug, thiserror::Error)]
#[error("keys cannot be checked now")]
pub struct Unavailable(#[source] pub BoxError);

/// Checks the keys that callers present, and remembers answers: for 20 seconds when they count (so a revocation acts everywhere within 30), for up to
/// 15 minutes while whoever knows the keys is away. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator(Arc<Inner>);

struct Inner {
    keys: Box<dyn ErasedKeys>,
    clock: SharedClock,
    /// Keys that count, by key id. A key has one secret, so another secret for a fresh entry is wrong without asking.
    valid: Cache<Uuid, Arc<Entry>>,
    /// Answers that do not count, by key id and secret.
    refused: Cache<(Uuid, [u8; 32]), Verdict>,
    /// Questions under way: made-up ids must not become a flood of them.
    asking: Semaphore,
}

struct Entry {
    secret_sha256: [u8; 32],
    verdict: Verdict,
    checked: Instant,
    /// When to ask again after a failure, so that an outage costs a wait per second and not per call.
    ask_again: Mutex<Instant>,
    /// Held while asking: the others that find the entry due wait for one answer.
    asking: Arc<tokio::sync::Mutex<()>>,
}

/// A key as a caller presented it, without its secret.
#[derive(Clone, Copy)]
pub(crate) struct Presented {
    key: KeyId,
    secret_sha256: [u8; 32],
}

/// Who a key belongs to.
pub(crate) enum Holder {
    Application(Application),
    Operator(Operator),
}

const FRESH: Duration = Duration::from_secs(20);
/// From this age on one call renews the entry while the others still use it.
const RENEW: Duration = Duration::from_secs(15);
const STALE: Duration = Duration::from_mins(15);
const ASK_AGAIN: Duration = Duration::from_secs(1);
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
const QUESTIONS: usize = 64;
const ENTRIES: u64 = 16_384;

/// [`Keys`] behind a pointer: the box is paid only when an answer is not remembered.
trait ErasedKeys: Send + Sync {
    fn ask(&self, key_id: Uuid, secret_sha256: [u8; 32]) -> Answer<'_>;
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Verdict, Unavailable>> + Send + 'a>>;

impl<K: Keys> ErasedKeys for K {
    fn ask(&self, key_id: Uuid, secret_sha256: [u8; 32]) -> Answer<'_> {
        Box::pin(self.authenticate(key_id, secret_sha256))
    }
}

// === impl Authenticator ===

impl Authenticator {
    /// Checks keys with `keys`; expiry follows `clock`.
    pub fn new(keys: impl Keys, clock: SharedClock) -> Self {
        Self(Arc::new(Inner {
            keys: Box::new(keys),
            clock,
            valid: Cache::builder().max_capacity(ENTRIES).time_to_live(STALE).build(),
            refused: Cache::builder().max_capacity(ENTRIES).time_to_live(FRESH).build(),
            asking: Semaphore::new(QUESTIONS),
        }))
    }

    /// Forgets what is remembered of a key: its revocation acts in this process at once.
    pub fn forget(&self, key: KeyId) {
        self.0.valid.invalidate(&key.uuid());
    }

    /// Whose key this is.
    pub(crate) async fn holder(&self, presented: Presented) -> Result<Holder, Fault> {
        let verdict = self.verdict(presented.key.uuid(), presented.secret_sha256).await?;
        let expired = |expires: Option<OffsetDateTime>| expires.is_some_and(|at| at <= self.0.clock.now());
        match verdict {
            Verdict::Application { expires, .. } | Verdict::Operator { expires } if expired(expires) => {
                Err(refusal(ErrorReason::KeyExpired, "the key has expired"))
            }
            Verdict::Application {
                application, scopes, ..
            } => Ok(Holder::Application(Application {
                id: application,
                key: presented.key,
                scopes,
            })),
            Verdict::Operator { .. } => Ok(Holder::Operator(Operator { key: presented.key })),
            Verdict::Unknown => Err(refusal(ErrorReason::KeyUnknown, "the key is not known")),
            Verdict::Expired => Err(refusal(ErrorReason::KeyExpired, "the key has expired")),
            Verdict::Revoked => Err(refusal(ErrorReason::KeyRevoked, "the key was revoked")),
        }
    }

    /// Why the key counts no more, once that is so. Looks `every` so often.
    pub(crate) async fn lapse(&self, presented: Presented, every: Duration) -> Fault {
        loop {
            tokio::time::sleep(every).await;
            if let Err(fault) = self.holder(presented).await {
                return fault;
            }
        }
    }

    async fn verdict(&self, id: Uuid, hash: [u8; 32]) -> Result<Verdict, Fault> {
        let Some(entry) = self.0.valid.get(&id) else {
            return match self.0.refused.get(&(id, hash)) {
                Some(verdict) => Ok(verdict),
                None => self.ask(id, hash).await.map_err(Fault::unavailable),
            };
        };
        let age = entry.checked.elapsed();
        let same = bool::from(entry.secret_sha256.ct_eq(&hash));
        if age < RENEW {
            return Ok(if same { entry.verdict.clone() } else { Verdict::Unknown });
        }
        if !same {
            // Due for renewal, and not by this caller: its answer would say nothing of the entry's own secret.
            return Ok(Verdict::Unknown);
        }
        self.renew(id, &entry, age).await
    }

    /// Asks again about a key that counted `age` ago. One call asks; others use the entry while it is fresh, then wait for that answer.
    async fn renew(&self, id: Uuid, entry: &Arc<Entry>, age: Duration) -> Result<Verdict, Fault> {
        let asking = match Arc::clone(&entry.asking).try_lock_owned() {
            Ok(guard) => guard,
            Err(_) if age < FRESH => return Ok(entry.verdict.clone()),
            Err(_) => Arc::clone(&entry.asking).lock_owned().await,
        };
        // Someone may have had the answer while this call waited.
        match self.0.valid.get(&id) {
            Some(renewed) if renewed.checked.elapsed() < RENEW => return Ok(renewed.verdict.clone()),
            Some(_) => {}
            None => {
                if let Some(verdict) = self.0.refused.get(&(id, entry.secret_sha256)) {
                    return Ok(verdict);
                }
            }
        }
        if Instant::now() < entry.ask_again() {
            return self.stale(entry);
        }
        match self.ask_apart(id, Arc::clone(entry), asking).await {
            Ok(verdict) => Ok(verdict),
            Err(_) if entry.checked.elapsed() < STALE => self.stale(entry),
            Err(cause) => Err(Fault::unavailable(cause)),
        }
    }

    /// Asks on a task of its own, which belongs to no call: a caller that leaves or has no time left must not pass for an outage, in which a revoked key
    /// would be served on. At most one for each entry, and none lasts longer than a question may.
    async fn ask_apart(
        &self,
        id: Uuid,
        entry: Arc<Entry>,
        asking: OwnedMutexGuard<()>,
    ) -> Result<Verdict, Unavailable> {
        let this = self.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "bounded above; a process that stops need not wait for it"
        )]
        let asked = tokio::spawn(async move {
            let _asking = asking;
            let answer = this.ask(id, entry.secret_sha256).await;
            if answer.is_err() {
                entry.set_ask_again(Instant::now() + ASK_AGAIN);
            }
            answer
        });
        asked.await.map_err(|ended| Unavailable(ended.into()))?
    }

    #[expect(clippy::unused_self, reason = "reads as a step of `renew`")]
    fn stale(&self, entry: &Entry) -> Result<Verdict, Fault> {
        let age = entry.checked.elapsed();
        if age >= STALE {
            return Err(Fault::unavailable("keys could not be checked for 15 minutes"));
        }
        if age >= FRESH {
            metrics::counter!("outeract_auth_stale_total").increment(1);
        }
        Ok(entry.verdict.clone())
    }

    async fn ask(&self, id: Uuid, hash: [u8; 32]) -> Result<Verdict, Unavailable> {
        let asked = async {
            let _slot = self.0.asking.acquire().await;
            self.0.keys.ask(id, hash).await
        };
        let verdict = match tokio::time::timeout(ASK_TIMEOUT, asked).await {
            Ok(answer) => answer?,
            Err(elapsed) => return Err(Unavailable(elapsed.into())),
        };
        match &verdict {
            Verdict::Application { .. } | Verdict::Operator { .. } => {
                let now = Instant::now();
                let entry = Entry {
                    secret_sha256: hash,
                    verdict: verdict.clone(),
                    checked: now,
                    ask_again: Mutex::new(now),
                    asking: Arc::default(),
                };
                self.0.valid.insert(id, Arc::new(entry));
            }
            Verdict::Unknown | Verdict::Expired | Verdict::Revoked => {
                // A wrong secret says nothing of the right one: only the entry of the same secret goes.
                if self
                    .0
                    .valid
                    .get(&id)
                    .is_some_and(|entry| bool::from(entry.secret_sha256.ct_eq(&hash)))
                {
                    self.0.valid.invalidate(&id);
                }
                self.0.refused.insert((id, hash), verdict.clone());
            }
        }
        Ok(verdict)
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").finish_non_exhaustive()
    }
}

// === impl Presented ===

impl Presented {
    /// What the text of a key presents.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let text = KeyText::parse(text).map_err(|_| missing())?;
        Ok(Self {
            key: text.key,
            secret_sha256: text.secret_sha256(),
        })
    }
}

// === impl Entry ===

impl Entry {
    fn ask_again(&self) -> Instant {
        *self.ask_again.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_ask_again(&self, at: Instant) {
        *self.ask_again.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
}

/// No credential, or not one of the expected form.
pub(crate) fn missing() -> Fault {
    refusal(
        ErrorReason::CredentialsMissing,
        "send the metadata `authorization: Bearer <key>`",
    )
}

fn refusal(reason: ErrorReason, message: &'static str) -> Fault {
    Fault::new(Code::Unauthenticated, reason, message)
}

#[cfg(test)]
mod tests;
