//! Message templates: what Meta approved, kept up to date, and whether a message fits.
//!
//! One process at a time reads an account (`reader`), when it is due, wanted or asked for (`keep`); webhooks change single rows at once; definitions are served from memory (`registry`).

mod asks;
mod check;
mod definition;
pub(crate) mod fault;
mod gate;
mod keep;
mod reader;
mod registry;
mod seed;
#[cfg(test)]
mod tests;
mod wake;
mod words;

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use outeract_buckets::Buckets;
use outeract_domain::{Template, Violation};
use outeract_graph::Client;
use outeract_graph::template::{Change, News};
use outeract_proto::messaging::v1::TemplateStatus;
use outeract_rpc::{Fault, deadline};
use outeract_runtime::{Context, OnExit, Tasks};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use uuid::Uuid;

use self::asks::Asks;
use crate::config::Timing;
use crate::dispatch::Credentials;
use crate::projection::Projection;
use crate::store::template::{self, Heard};
use crate::store::template_sync::{self, Early, Reading};
use crate::store::{DbError, run};

pub(crate) use self::definition::Definition;
pub(crate) use self::gate::{Sendable, sendable};
pub(crate) use self::reader::{Halt, Reader};
pub(crate) use self::registry::{Registry, Unread};
pub(crate) use self::seed::{Filled, fill};
pub(crate) use self::words::{stored_category, stored_status};

/// What templates need of the rest of the service.
pub(crate) struct Needs {
    pub projection: Projection,
    pub credentials: Credentials,
    /// Takes answers of several megabytes.
    pub graph: Client,
    pub buckets: Buckets,
    pub timing: Timing,
}

/// All of it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Templates(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    reader: Reader,
    asks: Asks,
    tasks: Tasks,
    /// Readings at a time: of accounts that are due, and of those that a caller asks for.
    due: Arc<Semaphore>,
    asked: Arc<Semaphore>,
    /// Accounts whose templates were read at least once, here or anywhere.
    read: Cache<String, ()>,
}

/// A reading that was asked for did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SyncError {
    /// One began less than a minute ago, or Meta is not to be asked yet.
    #[error("templates may be read again in {} s", .0.as_secs())]
    Early(Duration),
    /// Too many readings of other accounts run here.
    #[error("too many accounts are read at a time")]
    Full,
    #[error(transparent)]
    Halted(#[from] Halt),
    #[error(transparent)]
    Database(#[from] DbError),
}

/// A definition could not be looked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindError {
    #[error(transparent)]
    Unread(#[from] Unread),
    /// The account's templates were never read, and could not be read now.
    #[error(transparent)]
    Sync(Arc<SyncError>),
    /// They are being read for the first time, and that takes longer than the caller has.
    #[error("the account's templates are still being read")]
    Late,
}

/// A webhook's value cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HearError {
    #[error("the value names no template")]
    Unreadable,
    #[error(transparent)]
    Database(#[from] DbError),
}

/// Readings of each kind at a time in one process: each takes up to 8 MiB.
const AT_ONCE: usize = 2;
/// Accounts remembered as read.
const MOST_READ: u64 = 100_000;
/// Longest wait for a first reading.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between looks at a reading that runs in another process.
const PEEK: Duration = Duration::from_millis(200);
/// Longest wait until Meta may be asked again that is told.
const LONGEST_WAIT: f64 = 86_400.0;

/// Begins to keep templates up to date, in tasks of `context`.
pub(crate) fn start(context: &Context, needs: Needs) -> Templates {
    let reader = Reader {
        db: context.db.clone(),
        projection: needs.projection,
        credentials: needs.credentials,
        graph: needs.graph,
        buckets: needs.buckets,
        clock: Arc::clone(&context.clock),
        random: Arc::clone(&context.random),
        stop: context.stop.clone(),
    };
    let templates = Templates::new(reader, context.tasks.clone());
    let kept = keep::keep(templates.clone(), needs.timing);
    context.tasks.spawn("templates", OnExit::StopProcess, kept);
    let inner = &templates.0;
    let woken = wake::wake(
        context.db.clone(),
        inner.registry.clone(),
        inner.reader.projection.clone(),
        context.stop.clone(),
    );
    context.tasks.spawn("templates.wake", OnExit::StopProcess, woken);
    templates
}

// === impl Templates ===

impl Templates {
    fn new(reader: Reader, tasks: Tasks) -> Self {
        Self(Arc::new(Inner {
            registry: Registry::new(reader.db.clone()),
            reader,
            asks: Asks::default(),
            tasks,
            due: Arc::new(Semaphore::new(AT_ONCE)),
            asked: Arc::new(Semaphore::new(AT_ONCE)),
            read: Cache::builder().max_capacity(MOST_READ).build(),
        }))
    }

    /// Definitions as they are known here.
    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// The definition; reads the account's templates first if that was never done: within the deadline of the call, and 5 s at most.
    pub(crate) async fn find(
        &self,
        waba: &str,
        name: &str,
        language: &str,
    ) -> Result<Option<Arc<Definition>>, FindError> {
        let registry = &self.0.registry;
        if let Some(known) = registry.get(waba, name, language).await? {
            return Ok(Some(known));
        }
        if self.0.read.get(waba).await.is_some() {
            return Ok(None);
        }
        let left = deadline::current().map_or(PATIENCE, |deadline| deadline.pass_on().unwrap_or_default());
        // By one caller, however many want it.
        let read = self.0.read.try_get_with_by_ref(waba, self.first(waba));
        let read = tokio::time::timeout(left.min(PATIENCE), read).await;
        read.map_err(|_| FindError::Late)?.map_err(FindError::Sync)?;
        Ok(registry.fresh(waba, name, language).await?)
    }

    /// The definition, if a message of this template may be stored: it is there, Meta allows it, and the message fits. `path` is where the template stands in the request: `content.template`.
    pub(crate) async fn admit(&self, waba: &str, template: &Template, path: &str) -> Result<Arc<Definition>, Fault> {
        let definition = self.find(waba, template.name(), template.language()).await?;
        let definition = definition.ok_or_else(fault::not_found)?;
        if definition.status() != TemplateStatus::Approved {
            return Err(fault::not_approved(&definition));
        }
        let mut violations = definition.check(template);
        if template
            .offer_expires_at()
            .is_some_and(|at| at <= self.0.reader.clock.now())
        {
            violations.push(Violation::new("offer_expire_time", "must be in the future"));
        }
        if violations.is_empty() {
            Ok(definition)
        } else {
            let within = violations.into_iter().map(|violation| violation.within(path));
            Err(Fault::invalid_many(within.collect()))
        }
    }

    /// Reads the account's templates anew. Gives how many there are.
    pub(crate) async fn sync(&self, waba: &str) -> Result<usize, SyncError> {
        let permit = Arc::clone(&self.0.asked).try_acquire_owned();
        let permit = permit.map_err(|_| SyncError::Full)?;
        let reading = self.begin(waba).await?;
        let reading = reading.map_err(|early| SyncError::Early(wait(early)))?;
        Ok(self.hand_over(reading, permit).await?)
    }

    /// Takes over what a webhook field tells of a template, and has the account read soon. Doing it again changes nothing.
    pub(crate) async fn on_webhook(&self, waba: &str, field: &str, value_json: &[u8]) -> Result<(), HearError> {
        let news = News::parse(field, value_json).ok_or(HearError::Unreadable)?;
        let mut heard = Heard {
            meta_id: &news.id,
            name: &news.name,
            language: &news.language,
            ..Heard::default()
        };
        match &news.change {
            Change::Status { event, reason } => {
                if let Some(status) = words::status(event) {
                    heard.status = Some(words::code(status));
                    heard.meta_status = Some(event);
                    heard.reason = Some(reason);
                }
            }
            Change::Quality(quality) if quality.is_empty() => {}
            Change::Quality(quality) => heard.quality = Some(quality),
            Change::Category(category) => heard.category = Some(words::code(words::category(category))),
            Change::Untold => {}
        }
        run!(self.0.reader.db, "template.hear", |conn| template::hear(
            conn, waba, &heard
        ))?;
        self.0.registry.forget(waba);
        Ok(())
    }

    /// Meta refused a message of this template: what that tells is written down, and the account read soon. Never waits.
    pub(crate) fn on_refusal(&self, code: i32, waba: &str, name: &str, language: &str) {
        self.0.asks.refused(code, waba, name, language);
    }

    /// Carries a reading to its end, and drops from memory what it may have changed.
    async fn carry(&self, reading: Reading) -> Result<usize, Halt> {
        let waba = reading.waba.clone();
        let ended = self.0.reader.carry(reading).await;
        self.0.registry.forget(&waba);
        ended
    }

    /// As [`Self::carry`], in a task of its own: a caller that goes away does not leave it half done.
    async fn hand_over(&self, reading: Reading, permit: OwnedSemaphorePermit) -> Result<usize, Halt> {
        let (told, result) = oneshot::channel();
        let templates = self.clone();
        self.0.tasks.spawn("templates.read", OnExit::Continue, async move {
            let _permit = permit;
            let _ = told.send(templates.carry(reading).await);
        });
        result.await.unwrap_or(Err(Halt::Stopping))
    }

    /// Sees to it that the account's templates were read at least once.
    async fn first(&self, waba: &str) -> Result<(), SyncError> {
        let db = &self.0.reader.db;
        let mut early = None;
        loop {
            if run!(db, "template_sync.synced_at", |conn| template_sync::synced_at(
                conn, waba
            ))?
            .is_some()
            {
                return Ok(());
            }
            // A reading may have come to its end between the two looks.
            if let Some(early) = early {
                return Err(SyncError::Early(wait(early)));
            }
            let permit = Arc::clone(&self.0.asked).acquire_owned().await;
            let permit = permit.map_err(|_| SyncError::Full)?;
            match self.begin(waba).await? {
                Ok(reading) => {
                    self.hand_over(reading, permit).await?;
                    return Ok(());
                }
                Err(running) if running.runs => {
                    drop(permit);
                    tokio::time::sleep(PEEK).await;
                }
                Err(done) => early = Some(done),
            }
        }
    }

    async fn begin(&self, waba: &str) -> Result<Result<Reading, Early>, DbError> {
        let lease = self.0.lease();
        run!(self.0.reader.db, "template_sync.begin", |conn| template_sync::begin(
            conn, waba, lease
        ))
    }
}

// === impl Inner ===

impl Inner {
    fn lease(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.reader.random.fill(&mut bytes);
        Uuid::from_bytes(bytes)
    }
}

fn wait(early: Early) -> Duration {
    Duration::from_secs_f64(early.wait.clamp(1.0, LONGEST_WAIT))
}
