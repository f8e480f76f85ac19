//! Meta's ids of files: each number has its own of each file, for 30 days. A file is given to Meta when the first message with it is to go, and again a day before Meta lets go of it.

mod lookup;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outeract_batch::{BatchConfig, Batcher};
use outeract_domain::{ApplicationId, FileId};
use outeract_egress::FilePart;
use outeract_graph::{CallError, Client, GraphError};
use outeract_runtime::{OnExit, Stop, Tasks};
use sqlx::PgPool;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use self::lookup::{Lookup, Wanted};
use super::kind::{MimeType, State};
use super::object::Store;
use crate::dispatch::{Credential, Credentials};
use crate::projection::{Connection, Projection};
use crate::seldom::Seldom;
use crate::store::file::{self as store, Medium, Sendable};
use crate::store::run;

/// Gives files to Meta. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Media(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: Parts,
    lookups: Batcher<Lookup>,
    /// Uploads to Meta, by file and number.
    under_way: Mutex<HashMap<Key, watch::Receiver<Option<Answer>>>>,
    slots: Semaphore,
    complaints: Seldom,
}

/// What it is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub db: PgPool,
    pub tasks: Tasks,
    pub stop: Stop,
    pub store: Store,
    pub projection: Projection,
    pub credentials: Credentials,
    pub graph: Client,
}

/// Why a message cannot go with its files now.
#[derive(Debug, Clone)]
pub(crate) enum MediaProblem {
    /// A file was deleted, or its bytes never came: it never will.
    Gone,
    /// Meta refused the upload, as it refuses messages.
    Refused(GraphError),
    /// A file is on its way, or something is away: try again after so long.
    Later(Duration),
}

type Key = (FileId, String);
type Answer = Result<String, MediaProblem>;

/// An upload in the list of those under way, to be taken off whatever becomes of it.
struct Entry {
    media: Media,
    key: Key,
    answer: watch::Sender<Option<Answer>>,
}

/// Meta keeps an uploaded medium so long.
const KEPT: Duration = Duration::from_hours(30 * 24);
/// An id that Meta keeps no longer than this is not used any more: the file is given to Meta again.
const MARGIN: Duration = Duration::from_hours(24);
/// Uploads to Meta at a time.
const AT_ONCE: usize = 8;
/// Uploads to Meta that wait or are under way.
const MOST: usize = 256;
/// So long a message waits in its place for an upload; then it makes room for others and comes back.
const PATIENCE: Duration = Duration::from_secs(2);
/// After which it comes back.
const COME_BACK: Duration = Duration::from_secs(1);
/// While Meta or the store is away, or fails.
const AWAY: Duration = Duration::from_secs(5);

// === impl Media ===

impl Media {
    pub(super) fn start(parts: Parts) -> Self {
        let config = BatchConfig {
            max_items: 64,
            flushers: 1,
            ..BatchConfig::new("media")
        };
        let (lookups, flushers) = Batcher::new(config, Lookup { db: parts.db.clone() });
        for flusher in flushers {
            parts.tasks.spawn("files.lookup", OnExit::StopProcess, flusher.run());
        }
        Self(Arc::new(Inner {
            parts,
            lookups,
            under_way: Mutex::default(),
            slots: Semaphore::new(AT_ONCE),
            complaints: Seldom::default(),
        }))
    }

    /// Meta's ids of the files for messages from the connection's number. What Meta does not have yet is given to it.
    pub(crate) async fn resolve(
        &self,
        connection: &Arc<Connection>,
        credential: &Arc<Credential>,
        application: ApplicationId,
        files: &[FileId],
    ) -> Result<HashMap<FileId, String>, MediaProblem> {
        let mut ids = HashMap::with_capacity(files.len());
        let mut missing = Vec::new();
        for file in self.look_up(connection, application, files).await? {
            let id = FileId::from_uuid(file.id);
            match (State::of_code(file.state), &file.media_id) {
                (Some(State::Ready), Some(media)) => {
                    ids.insert(id, media.clone());
                }
                (Some(State::Ready), None) => missing.push(self.join(file, connection, credential)?),
                (Some(State::Pending), _) => return Err(MediaProblem::Later(AWAY)),
                (Some(State::Failed) | None, _) => return Err(MediaProblem::Gone),
            }
        }
        let last = Instant::now() + PATIENCE;
        for (id, mut answer) in missing {
            let answered = timeout_at(last, answer.wait_for(Option::is_some)).await;
            let answered = match answered {
                Ok(Ok(answered)) => answered.clone(),
                // Still under way; or its task ended with the process.
                Err(_) | Ok(Err(_)) => None,
            };
            ids.insert(id, answered.unwrap_or(Err(MediaProblem::Later(COME_BACK)))?);
        }
        Ok(ids)
    }

    /// Whether the files are all there, for a message that is not to reach Meta.
    pub(crate) async fn are_there(
        &self,
        connection: &Connection,
        application: ApplicationId,
        files: &[FileId],
    ) -> Result<(), MediaProblem> {
        let found = self.look_up(connection, application, files).await?;
        found.iter().try_for_each(|file| match State::of_code(file.state) {
            Some(State::Ready) => Ok(()),
            Some(State::Pending) => Err(MediaProblem::Later(AWAY)),
            Some(State::Failed) | None => Err(MediaProblem::Gone),
        })
    }

    /// Meta does not know these ids of the number (any more): with the next message the files are given to it again.
    pub(crate) async fn forget(&self, connection: &Connection, ids: &HashMap<FileId, String>) {
        let files: Vec<Uuid> = ids.keys().map(|file| file.uuid()).collect();
        let media: Vec<&str> = ids.values().map(String::as_str).collect();
        let number = connection.number.as_str();
        let forgotten = run!(self.0.parts.db, "file.forget_media", |conn| store::forget_media(
            conn, number, &files, &media
        ));
        if let Err(cause) = forgotten {
            tracing::warn!(%cause, "An id that Meta does not know stays");
        }
    }

    /// Deletes at Meta what it has of a file that is gone, as far as that can be done.
    pub(super) async fn withdraw(&self, application: ApplicationId, media: Vec<Medium>) {
        let mut left = 0;
        for Medium {
            phone_number_id,
            media_id,
        } in media
        {
            let connection = self.0.parts.projection.of_number(&phone_number_id);
            // A number that has gone to another application since is not this one's to speak for.
            let connection = connection.filter(|connection| connection.application == application);
            let Some(connection) = connection else {
                left += 1;
                continue;
            };
            let Ok(credential) = self.0.parts.credentials.get(&connection).await else {
                left += 1;
                continue;
            };
            let graph = &self.0.parts.graph;
            let deleted = graph
                .delete_media(&credential.token, &connection.number, &media_id)
                .await;
            left += u64::from(deleted.is_err());
        }
        // Meta lets go of them by itself within 30 days.
        metrics::counter!("messaging_media_left_at_meta_total").increment(left);
    }

    async fn look_up(
        &self,
        connection: &Connection,
        application: ApplicationId,
        files: &[FileId],
    ) -> Result<Vec<Sendable>, MediaProblem> {
        let wanted = files.iter().map(|file| {
            self.0.lookups.submit(Wanted {
                application: application.uuid(),
                file: file.uuid(),
                number: connection.number.to_string(),
            })
        });
        let found = futures_util::future::join_all(wanted).await;
        found
            .into_iter()
            .map(|found| match found {
                Ok(Some(file)) => Ok(file),
                Ok(None) => Err(MediaProblem::Gone),
                Err(_) => Err(MediaProblem::Later(COME_BACK)),
            })
            .collect()
    }

    /// Joins the upload of this file for this number, or begins it.
    fn join(
        &self,
        file: Sendable,
        connection: &Arc<Connection>,
        credential: &Arc<Credential>,
    ) -> Result<(FileId, watch::Receiver<Option<Answer>>), MediaProblem> {
        let id = FileId::from_uuid(file.id);
        let key = (id, file.phone_number_id.clone());
        let mut under_way = self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = under_way.get(&key) {
            return Ok((id, answer.clone()));
        }
        if under_way.len() >= MOST {
            return Err(MediaProblem::Later(AWAY));
        }
        let (answer, waiting) = watch::channel(None);
        under_way.insert(key.clone(), waiting.clone());
        let entry = Entry {
            media: self.clone(),
            key,
            answer,
        };
        let (media, connection, credential) = (self.clone(), Arc::clone(connection), Arc::clone(credential));
        self.0.parts.tasks.spawn("files.upload", OnExit::Continue, async move {
            let uploaded = tokio::select! {
                // Meta may have it all the same; then nobody will ever use it.
                () = media.0.parts.stop.soft().cancelled() => Err(MediaProblem::Later(COME_BACK)),
                uploaded = media.upload(&file, &connection, &credential) => uploaded,
            };
            entry.answer.send_replace(Some(uploaded));
        });
        Ok((id, waiting))
    }

    async fn upload(&self, file: &Sendable, connection: &Connection, credential: &Credential) -> Answer {
        let Ok(_slot) = self.0.slots.acquire().await else {
            return Err(MediaProblem::Later(COME_BACK));
        };
        let bytes = match self.0.parts.store.read(&file.object).await {
            Ok(bytes) => bytes,
            Err(cause) => {
                tracing::warn!(file.id = %FileId::from_uuid(file.id), %cause, "A file's bytes cannot be read");
                return Err(MediaProblem::Later(AWAY));
            }
        };
        let length = u64::try_from(file.size_bytes).unwrap_or(0);
        let part = FilePart::new(MimeType::for_meta(&file.mime_type), length, bytes);
        let start = Instant::now();
        let graph = &self.0.parts.graph;
        let uploaded = graph.upload_media(&credential.token, &connection.number, part).await;
        metrics::histogram!("messaging_media_upload_seconds").record(start.elapsed());
        let outcome = match &uploaded {
            Ok(_) => "uploaded",
            Err(CallError::Refused(_)) => "refused",
            Err(_) => "failed",
        };
        metrics::counter!("messaging_media_uploads_total", "outcome" => outcome).increment(1);
        match uploaded {
            Ok(media) => self.keep(file, connection, credential, media).await,
            Err(CallError::Refused(error)) => Err(MediaProblem::Refused(error)),
            Err(cause @ (CallError::Unreachable(_) | CallError::Unintelligible { .. })) => {
                if self.0.complaints.again() {
                    tracing::warn!(file.id = %FileId::from_uuid(file.id), %cause, "A file did not get to Meta and is tried again");
                }
                Err(MediaProblem::Later(AWAY))
            }
            Err(cause @ (CallError::Invalid(_) | CallError::Foreign)) => {
                tracing::error!(file.id = %FileId::from_uuid(file.id), %cause, "A file cannot be written as a request");
                Err(MediaProblem::Later(AWAY))
            }
        }
    }

    async fn keep(&self, file: &Sendable, connection: &Connection, credential: &Credential, media: String) -> Answer {
        let number = connection.number.as_str();
        let kept = run!(self.0.parts.db, "file.keep_medium", |conn| store::keep_medium(
            conn,
            file.id,
            number,
            &media,
            KEPT.as_secs_f64()
        ));
        match kept {
            Ok(false) => {
                // Deleted while it was on its way.
                let graph = &self.0.parts.graph;
                let _ = graph.delete_media(&credential.token, &connection.number, &media).await;
                Err(MediaProblem::Gone)
            }
            // Not kept, it serves those who wait for it now.
            Ok(true) | Err(_) => Ok(media),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut under_way = self.media.0.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.remove(&self.key);
    }
}
