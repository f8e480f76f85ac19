//! An upload: every byte is counted, hashed and looked at on its way to the store.

use outeract_domain::{ApplicationId, FileId};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::Fault;
use sha2::{Digest as _, Sha256};
use tonic::Code;
use uuid::Uuid;

use super::janitor::{Job, Leftover};
use super::kind::{Kind, MimeType, State};
use super::object::Writer;
use super::sniff::{self, Contradiction, HEAD};
use super::{File, Files};
use crate::store::fetch::{self, Arrived};
use crate::store::file::{Grown, NewFile};
use crate::store::{file as store, run};

/// What a file is said to be. Everything was checked as far as it can be without the bytes.
#[derive(Clone)]
pub(crate) struct Declared {
    /// Empty: it has none.
    pub name: String,
    pub mime_type: MimeType,
    pub kind: Kind,
    pub size: Option<u64>,
    pub sha256: Option<[u8; 32]>,
}

/// A file on its way in. Dropping it before it has ended gives it up.
#[derive(Debug)]
pub(crate) struct Upload {
    files: Files,
    application: ApplicationId,
    id: FileId,
    declared: Declared,
    writer: Option<Writer>,
    object: String,
    count: u64,
    max: u64,
    hash: Sha256,
    /// Its first bytes were looked at.
    checked: bool,
    /// A write has begun, and whether the store carried it out is not known (yet).
    unsure: bool,
    /// Bytes of the application's room that it holds; from the first on, its object stands among those that belong to no file.
    reserved: u64,
    /// It is a user's medium, and the file is known already: the try at fetching it.
    lease: Option<Uuid>,
}

/// An upload that has not ended so long after it began never will: more than the time of its call.
const ABANDONED: f64 = 3_600.0;

// === impl Upload ===

impl Upload {
    pub(super) fn new(files: Files, application: ApplicationId, id: FileId, declared: Declared) -> Self {
        let object = format!("{}/{}", application.uuid(), id.uuid());
        Self {
            writer: Some(files.0.store.write(&object)),
            files,
            application,
            id,
            object,
            count: 0,
            // Of a sticker, whether it moves is seen by its first bytes.
            max: declared.kind.max_bytes(true),
            declared,
            hash: Sha256::new(),
            checked: false,
            unsure: false,
            reserved: 0,
            lease: None,
        }
    }

    /// A user's medium, of at most `max` bytes. Each try writes an object of its own: nobody writes the same twice.
    pub(super) fn fetched(
        files: Files,
        application: ApplicationId,
        id: FileId,
        declared: Declared,
        (lease, max): (Uuid, u64),
    ) -> Self {
        let object = format!("{}/{}-{}", application.uuid(), id.uuid(), lease.simple());
        let mut upload = Self::new(files, application, id, declared);
        upload.writer = Some(upload.files.0.store.write(&object));
        upload.object = object;
        upload.max = max;
        upload.lease = Some(lease);
        upload
    }

    /// Takes the next bytes.
    pub(crate) async fn push(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.count += bytes.len() as u64;
        self.within()?;
        self.hash.update(bytes);
        let mut rest = bytes;
        self.writer()?.fill(&mut rest);
        if self.count >= HEAD as u64 {
            self.check()?;
        }
        while !rest.is_empty() {
            self.flush().await?;
            self.writer()?.fill(&mut rest);
        }
        Ok(())
    }

    /// That was all of it. Gives the file.
    pub(crate) async fn finish(&mut self) -> Result<File, Fault> {
        if self.count == 0 {
            return Err(Fault::invalid("chunk", "must come: the file is empty"));
        }
        if self.declared.size.is_some_and(|size| size != self.count) {
            return Err(wrong_size());
        }
        self.check()?;
        let sha256: [u8; 32] = self.hash.clone().finalize().into();
        if self.declared.sha256.is_some_and(|declared| declared != sha256) {
            return Err(Fault::invalid("metadata.sha256", "must be that of the bytes that came"));
        }
        self.reserve().await?;
        let writer = self.writer.take().ok_or_else(ended)?;
        self.unsure = true;
        writer.finish().await?;
        self.unsure = false;
        self.record(&sha256).await
    }

    /// Gives the upload up: when this returns, nothing is left of it, as far as store and database answer.
    pub(crate) async fn abandon(mut self) {
        self.writer = None;
        if self.reserved == 0 {
            return;
        }
        let leftover = self.leftover();
        if self.files.0.janitor.discard(&leftover).await {
            self.reserved = 0;
        } else {
            self.object = leftover.object;
        }
    }

    fn leftover(&mut self) -> Leftover {
        Leftover {
            object: std::mem::take(&mut self.object),
            unsure: self.unsure,
        }
    }

    fn writer(&mut self) -> Result<&mut Writer, Fault> {
        self.writer.as_mut().ok_or_else(ended)
    }

    fn within(&self) -> Result<(), Fault> {
        if self.count > self.max {
            return Err(too_large(self.max));
        }
        match self.declared.size {
            Some(size) if self.count > size => Err(wrong_size()),
            _ => Ok(()),
        }
    }

    /// Looks at the first bytes, once.
    fn check(&mut self) -> Result<(), Fault> {
        if self.checked {
            return Ok(());
        }
        self.checked = true;
        let (declared, received) = (self.declared.clone(), self.lease.is_some());
        let head = self.writer()?.head();
        let head = &head[..head.len().min(HEAD)];
        if received {
            return sniff::check_received(&declared.mime_type, head).map_err(refused);
        }
        let max = declared.kind.max_bytes(sniff::is_animated(head));
        sniff::check(&declared.mime_type, head).map_err(refused)?;
        self.max = max;
        self.within()
    }

    /// Writes a part.
    async fn flush(&mut self) -> Result<(), Fault> {
        self.reserve().await?;
        self.unsure = true;
        if self.writer()?.is_whole()
            && let Some(upload) = self.writer()?.begin().await?
        {
            let (db, object) = (&self.files.0.db, &self.object);
            if !run!(db, "file.note_upload", |conn| store::note_upload(conn, object, &upload))? {
                return Err(given_up());
            }
        }
        self.writer()?.flush().await?;
        self.unsure = false;
        Ok(())
    }

    /// Takes room for what has come, or for all that is to come if that is known.
    async fn reserve(&mut self) -> Result<(), Fault> {
        let wanted = self.declared.size.unwrap_or(self.count);
        if wanted <= self.reserved {
            return Ok(());
        }
        let (db, quota, object) = (&self.files.0.db, self.files.0.quota, &self.object);
        if self.reserved > 0 {
            let more = (wanted - self.reserved) as i64;
            match run!(db, "file.grow", |conn| store::grow(conn, object, more, quota))? {
                Grown::Yes => self.reserved = wanted,
                Grown::NoRoom => return Err(no_room(quota)),
                Grown::GivenUp => return Err(given_up()),
            }
            return Ok(());
        }
        let application = self.application.uuid();
        // Set before: whether a statement that was cut off has been executed is not known.
        self.reserved = wanted;
        let begun = run!(db, "file.begin", |conn| store::begin(
            conn,
            application,
            object,
            wanted as i64,
            quota,
            ABANDONED
        ))?;
        if begun {
            Ok(())
        } else {
            self.reserved = 0;
            Err(no_room(quota))
        }
    }

    /// Makes the file known.
    async fn record(&mut self, sha256: &[u8; 32]) -> Result<File, Fault> {
        let files = self.files.clone();
        let sealed = files
            .0
            .vault
            .seal_file_name(self.application, self.id, &self.declared.name);
        let row = NewFile {
            id: self.id.uuid(),
            object: &self.object,
            size_bytes: self.count as i64,
            kind: self.declared.kind.code(),
            state: State::Ready.code(),
            mime_type: self.declared.mime_type.as_str(),
            sha256,
            name_sealed: &sealed,
        };
        let written = match self.lease {
            None => run!(files.0.db, "file.finish", |conn| store::finish(conn, &row)),
            Some(lease) => {
                let arrived = Arrived::of(&row, lease);
                run!(files.0.db, "file.arrive", |conn| fetch::arrive(conn, &arrived))
            }
        };
        let created_at = match written {
            Ok(Some(created_at)) => created_at,
            Ok(None) => return Err(given_up()),
            // The answer was lost: the file is there, or it is not.
            Err(lost) if !lost.left_nothing() => {
                let file = files
                    .get(self.application, self.id)
                    .await
                    .map_err(|_| Fault::from(lost))?;
                // A file that was known before is this one only with the object of this try.
                if file.object != self.object {
                    return Err(given_up());
                }
                self.reserved = 0;
                return Ok(file);
            }
            Err(cause) => return Err(cause.into()),
        };
        self.reserved = 0;
        let bytes = if self.lease.is_some() {
            "messaging_files_fetched_bytes_total"
        } else {
            "messaging_files_uploaded_bytes_total"
        };
        metrics::counter!(bytes).increment(self.count);
        Ok(File {
            id: self.id,
            created_at,
            name: self.declared.name.clone(),
            mime_type: self.declared.mime_type.as_str().to_owned(),
            size_bytes: self.count as i64,
            sha256: sha256.to_vec(),
            kind: self.declared.kind,
            state: State::Ready,
            reason: String::new(),
            object: self.object.clone(),
        })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.reserved > 0 {
            let leftover = self.leftover();
            self.files.0.janitor.later(Job::Object(leftover));
        }
    }
}

// === impl Declared ===

impl std::fmt::Debug for Declared {
    // The name is private.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Declared")
            .field("mime_type", &self.mime_type)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// A file above what Meta takes of its kind.
pub(crate) fn too_large(max: u64) -> Fault {
    Fault::new(
        Code::OutOfRange,
        ErrorReason::FileTooLarge,
        format!("Meta takes at most {max} bytes of such a file"),
    )
    .with("max_bytes", max.to_string())
}

/// A type that Meta does not take, or that the bytes are not of. `found`: what they are; empty: that is not known.
pub(crate) fn type_refused(message: &'static str, found: impl Into<String>) -> Fault {
    Fault::new(Code::InvalidArgument, ErrorReason::FileTypeRefused, message).with("mime_type", found)
}

fn refused(contradiction: Contradiction) -> Fault {
    type_refused("the bytes are not of the declared type", contradiction.found)
}

fn wrong_size() -> Fault {
    Fault::invalid("metadata.size_bytes", "must be 0 or the number of bytes that come")
}

fn no_room(quota: i64) -> Fault {
    Fault::new(
        Code::ResourceExhausted,
        ErrorReason::FileQuotaExceeded,
        format!("the application's files may have {quota} bytes in all"),
    )
    .with("max_bytes", quota.to_string())
}

fn given_up() -> Fault {
    Fault::unavailable("an upload was given up as abandoned while it was under way")
}

fn ended() -> Fault {
    Fault::internal("an upload has ended already")
}
