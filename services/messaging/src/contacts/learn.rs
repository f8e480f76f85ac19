//! What Meta's answers and statuses show of users, learned beside the path that messages take: many at a time, only what is new, and never waited for.

use outeract_batch::{BatchConfig, Batcher, Flush, FlushError};
use outeract_domain::ApplicationId;
use outeract_runtime::{Context, OnExit};
use std::time::Duration;
use uuid::Uuid;

use super::meet::Registry;
use super::sighting::Sighting;
use crate::store::DbError;

/// The entrance. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Learner {
    registry: Registry,
    batcher: Batcher<Learn>,
}

/// What was shown of a user, kept until it is learned.
#[derive(Debug)]
pub(crate) struct Shown {
    application: Uuid,
    contact: Option<Uuid>,
    wa_id: Option<String>,
    user: Option<String>,
    parent: Option<String>,
}

/// Learns.
pub(crate) struct Learn(Registry);

/// Between statements that learn.
const PACE: Duration = Duration::from_millis(50);
/// Meta's ids of users are shorter than this by far.
const LONGEST_ID: usize = 160;

// === impl Learner ===

impl Learner {
    /// A learner, and its task in `context`.
    pub(crate) fn start(context: &Context, registry: Registry) -> Self {
        let config = BatchConfig {
            flushers: 1,
            pace: PACE,
            ..BatchConfig::new("learn")
        };
        let (batcher, flushers) = Batcher::new(config, Learn(registry.clone()));
        for flusher in flushers {
            context
                .tasks
                .spawn("contacts.learn", OnExit::StopProcess, flusher.run());
        }
        Self { registry, batcher }
    }

    /// Meta named the recipient of a message to `contact`.
    pub(crate) fn answered(&self, application: ApplicationId, contact: Uuid, wa_id: Option<&str>, user: Option<&str>) {
        self.learn(Sighting {
            application: application.uuid(),
            contact: Some(contact),
            wa_id: wa_id.filter(|id| is_wa_id(id)),
            user: user.filter(|id| is_id(id)),
            ..Sighting::default()
        });
    }

    /// Learns what is new. What does not fit is left for the next time.
    pub(crate) fn learn(&self, sighting: Sighting<'_>) {
        let ids = [sighting.wa_id, sighting.user, sighting.parent]
            .iter()
            .flatten()
            .count();
        // One id alone says nothing of whom it belongs to.
        if ids + usize::from(sighting.contact.is_some()) < 2 || ids == 0 || self.registry.has_met(&sighting) {
            return;
        }
        let owned = |text: Option<&str>| text.map(str::to_owned);
        // Nobody waits for it.
        drop(self.batcher.submit(Shown {
            application: sighting.application,
            contact: sighting.contact,
            wa_id: owned(sighting.wa_id),
            user: owned(sighting.user),
            parent: owned(sighting.parent),
        }));
    }
}

// === impl Learn ===

impl Flush for Learn {
    type Item = Shown;
    type Output = ();
    type Error = DbError;

    fn weight(&self, _: &Shown) -> usize {
        256
    }

    async fn flush(&self, shown: &[Shown]) -> Result<Vec<()>, FlushError<DbError>> {
        let sightings: Vec<_> = shown.iter().map(Shown::sighting).collect();
        self.0.meet(&sightings).await.map_err(FlushError::Whole)?;
        Ok(vec![(); shown.len()])
    }
}

// === impl Shown ===

impl Shown {
    fn sighting(&self) -> Sighting<'_> {
        Sighting {
            application: self.application,
            contact: self.contact,
            wa_id: self.wa_id.as_deref(),
            user: self.user.as_deref(),
            parent: self.parent.as_deref(),
            ..Sighting::default()
        }
    }
}

/// A WhatsApp id, as Meta writes them: digits.
pub(crate) fn is_wa_id(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// An id of a user that can be kept.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=LONGEST_ID).contains(&text.len()) && !text.contains('\0')
}
