//! Files that messages carry: taken in while they stream, kept in a store, given to Meta once for each number.
//!
//! A file's bytes are never held whole. What an upload takes of its application's room, and the object it writes, stand in the table of objects that belong to no file until the upload ends well:
//! whatever happens in between, the janitor finds and removes it.

mod fetch;
mod intake;
mod janitor;
mod kind;
mod location;
mod media;
mod object;
mod slots;
mod sniff;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use outeract_clock::{SharedClock, SharedRandom};
use outeract_domain::{ApplicationId, FileId};
use outeract_events::timestamp;
use outeract_graph::Client;
use outeract_proto::messaging::v1 as proto;
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::{BoxError, Channel, Fault};
use outeract_runtime::{Context, OnExit};
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use self::janitor::{Broom, Janitor, Job, Leftover};
use self::object::Store;
use self::slots::Slots;
use crate::config::{Config, Timing};
use crate::dispatch::Credentials;
use crate::projection::Projection;
use crate::store::erase::Deleted;
use crate::store::{file as store, run};
use crate::vault::{Unreadable, Vault};

pub(crate) use self::fetch::Announcement;
pub(crate) use self::intake::{Declared, Upload, too_large, type_refused};
pub(crate) use self::kind::{Kind, MimeType, State, is_program_name};
pub use self::location::{FilesUrl, Provider};
pub(crate) use self::media::{Media, MediaProblem};
pub(crate) use self::object::StoreError;
pub(crate) use self::slots::Slot;

/// Every application's files. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Files(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: PgPool,
    vault: Vault,
    clock: SharedClock,
    random: SharedRandom,
    store: Store,
    /// Most bytes of one application.
    quota: i64,
    slots: Slots,
    janitor: Janitor,
    /// There is something to be fetched.
    announced: fetch::Bell,
}

/// A file, as its application sees it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub id: FileId,
    pub created_at: OffsetDateTime,
    /// Empty: it has none.
    pub name: String,
    pub mime_type: String,
    pub size_bytes: i64,
    pub sha256: Vec<u8>,
    pub kind: Kind,
    pub state: State,
    /// Why its bytes are not here; empty: they are, or will be.
    pub reason: String,
    object: String,
}

/// What files need of the rest of the service.
pub(crate) struct Needs<'a> {
    pub config: &'a Config,
    pub timing: Timing,
    pub vault: Vault,
    pub projection: Projection,
    pub credentials: Credentials,
    /// For media only: its calls take as long as large files do.
    pub graph: Client,
    /// Takes the events of users' media.
    pub tracking: Channel,
}

/// A caller that wants a file which is being fetched tries again after this.
const PENDING_RETRY: Duration = Duration::from_secs(5);

/// Begins to keep files, in tasks of `context`.
pub(crate) fn start(context: &Context, needs: Needs<'_>) -> Result<(Files, Media), BoxError> {
    let variables =
        std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    let store = Store::open(&needs.config.files_url, variables)?;
    let media = Media::start(media::Parts {
        db: context.db.clone(),
        tasks: context.tasks.clone(),
        stop: context.stop.clone(),
        store: store.clone(),
        projection: needs.projection.clone(),
        credentials: needs.credentials.clone(),
        graph: needs.graph.clone(),
    });
    let broom = Broom {
        db: context.db.clone(),
        store: store.clone(),
    };
    let (janitor, jobs) = Janitor::new(broom, media.clone());
    context.tasks.spawn(
        "files.janitor",
        OnExit::StopProcess,
        janitor.clone().keep(jobs, needs.timing.sweep, context.stop.clone()),
    );
    let files = Files(Arc::new(Inner {
        db: context.db.clone(),
        vault: needs.vault,
        clock: Arc::clone(&context.clock),
        random: Arc::clone(&context.random),
        store,
        quota: needs.config.file_quota_bytes,
        slots: Slots::default(),
        janitor,
        announced: fetch::Bell::default(),
    }));
    let fetch = fetch::Needs {
        files: files.clone(),
        projection: needs.projection,
        credentials: needs.credentials,
        graph: needs.graph,
        limits: needs.config.fetch,
        timing: needs.timing,
        tasks: context.tasks.clone(),
        stop: context.stop.clone(),
        ended: fetch::Bell::default(),
    };
    fetch::start(context, fetch, needs.tracking);
    Ok((files, media))
}

// === impl Files ===

impl Files {
    /// A place among the uploads under way.
    pub(crate) fn slot(&self, application: ApplicationId) -> Result<Slot, Fault> {
        self.0
            .slots
            .take(application)
            .ok_or_else(|| Fault::overloaded(Duration::from_secs(1)))
    }

    /// Begins to take a file in. Nothing is stored before its type is known.
    pub(crate) fn upload(&self, application: ApplicationId, declared: Declared) -> Upload {
        let id = FileId::new(&*self.0.clock, &*self.0.random);
        Upload::new(self.clone(), application, id, declared)
    }

    /// One file.
    pub(crate) async fn get(&self, application: ApplicationId, id: FileId) -> Result<File, Fault> {
        let found = self.find(application, &[id]).await?;
        found.into_values().next().ok_or_else(|| Fault::not_found("file"))
    }

    /// Those of the files that are the application's, in one statement.
    pub(crate) async fn find(
        &self,
        application: ApplicationId,
        ids: &[FileId],
    ) -> Result<HashMap<FileId, File>, Fault> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        let rows = run!(self.0.db, "file.find", |conn| store::find(
            conn,
            application.uuid(),
            &ids
        ))?;
        let files = rows.into_iter().map(|row| {
            let file = self.read(application, row)?;
            Ok((file.id, file))
        });
        files.collect()
    }

    /// The files before `before`, the newest first.
    pub(crate) async fn list(
        &self,
        application: ApplicationId,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<File>, Fault> {
        let rows = run!(self.0.db, "file.list", |conn| store::list(
            conn,
            application.uuid(),
            before,
            limit
        ))?;
        rows.into_iter().map(|row| self.read(application, row)).collect()
    }

    /// A file, and its bytes as they come.
    pub(crate) async fn open(
        &self,
        application: ApplicationId,
        id: FileId,
    ) -> Result<(File, BoxStream<'static, Result<bytes::Bytes, StoreError>>), Fault> {
        let file = self.get(application, id).await?;
        if file.state != State::Ready {
            return Err(file.not_here());
        }
        match self.0.store.read(&file.object).await {
            Ok(bytes) => Ok((file, bytes)),
            // Deleted meanwhile, or the store has lost it.
            Err(cause) if cause.is_absent() => {
                self.get(application, id).await?;
                Err(cause.into())
            }
            Err(cause) => Err(cause.into()),
        }
    }

    /// Deletes a file. Its bytes, and what Meta has of it, are deleted in the background.
    pub(crate) async fn delete(&self, application: ApplicationId, id: FileId) -> Result<(), Fault> {
        let gone = run!(self.0.db, "file.delete", |conn| store::delete(
            conn,
            application.uuid(),
            id.uuid()
        ))?;
        let (object, media) = gone.ok_or_else(|| Fault::not_found("file"))?;
        if !object.is_empty() {
            self.0.janitor.later(Job::Object(Leftover { object, unsure: false }));
        }
        if !media.is_empty() {
            self.0.janitor.later(Job::Media(application, media));
        }
        Ok(())
    }

    /// Files are gone from the database: what is left of them is deleted in the background.
    pub(crate) fn clear_away(&self, application: ApplicationId, deleted: Vec<Deleted>) {
        for file in deleted {
            if !file.object.is_empty() {
                let (object, unsure) = (file.object, false);
                self.0.janitor.later(Job::Object(Leftover { object, unsure }));
            }
            if !file.media.is_empty() {
                self.0.janitor.later(Job::Media(application, file.media));
            }
        }
    }

    fn read(&self, application: ApplicationId, row: store::File) -> Result<File, Fault> {
        let id = FileId::from_uuid(row.id);
        let name = self.0.vault.open_file_name(application, id, &row.name_sealed);
        let known = Kind::of_code(row.kind).zip(State::of_code(row.state));
        let (kind, state) = known.ok_or(Unreadable::Form).map_err(Fault::data_loss)?;
        Ok(File {
            id,
            created_at: row.created_at,
            name: name.map_err(Fault::data_loss)?,
            mime_type: row.mime_type,
            size_bytes: row.size_bytes,
            sha256: row.sha256,
            kind,
            state,
            reason: row.reason,
            object: row.object,
        })
    }
}

// === impl File ===

impl File {
    /// A file of this kind, for tests.
    #[cfg(test)]
    pub(crate) fn sample(id: FileId, kind: Kind) -> Self {
        Self {
            id,
            created_at: OffsetDateTime::UNIX_EPOCH,
            name: "a file".to_owned(),
            mime_type: String::new(),
            size_bytes: 1,
            sha256: Vec::new(),
            kind,
            state: State::Ready,
            reason: String::new(),
            object: String::new(),
        }
    }

    /// Why a file that is not READY cannot be used.
    pub(crate) fn not_here(&self) -> Fault {
        if self.state == State::Pending {
            let fault = Fault::precondition(ErrorReason::FilePending, "the file is being fetched from Meta");
            return fault.retry_after(PENDING_RETRY);
        }
        Fault::precondition(ErrorReason::FileNotReady, "the file's bytes never came")
            .with("state", self.state.word())
            .with("reason", self.reason.clone())
    }

    /// As the contract shows it.
    pub(crate) fn to_proto(&self) -> proto::File {
        proto::File {
            id: self.id.to_string(),
            filename: self.name.clone(),
            mime_type: self.mime_type.clone(),
            size_bytes: self.size_bytes,
            sha256: hex::encode(&self.sha256),
            kind: self.kind.to_proto().into(),
            state: self.state.to_proto().into(),
            reason: self.reason.clone(),
            create_time: Some(timestamp::to_proto(self.created_at)),
        }
    }
}

impl std::fmt::Debug for File {
    // Its name is private.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File")
            .field("id", &self.id)
            .field("mime_type", &self.mime_type)
            .field("size_bytes", &self.size_bytes)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
