//! The bytes of files, in a directory or in a bucket. A key is written once, by one upload, and never again.

#[cfg(test)]
mod bucket;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{ClientConfigKey, MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload, RetryConfig};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::Fault;
use tonic::Code;

use super::location::{FilesUrl, Provider};

/// Keeps objects. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    place: Place,
    prefix: Path,
}

#[derive(Clone)]
enum Place {
    Directory(Arc<LocalFileSystem>),
    Bucket {
        objects: Arc<dyn ObjectStore>,
        parts: Arc<dyn MultipartStore>,
    },
}

/// The store failed, or lacks the object.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct StoreError(object_store::Error);

/// The store cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the directory {0} cannot be made or used: {1}")]
    Directory(PathBuf, #[source] std::io::Error),
    #[error("MESSAGING_FILES_URL: {0}")]
    Store(#[from] object_store::Error),
}

/// Writes one object: what comes is gathered into parts, and a full part goes to the store before the next bytes are taken. So it never holds more than [`PART`] bytes.
#[derive(Debug)]
pub(crate) struct Writer {
    store: Store,
    key: Path,
    buffer: Vec<u8>,
    /// None while there is only one part.
    parts: Option<Parts>,
}

/// An upload in parts.
#[derive(Debug)]
enum Parts {
    Directory(Box<dyn MultipartUpload>),
    Bucket { upload: String, done: Vec<PartId> },
}

/// The bytes of one part, and the most that a [`Writer`] holds: the least that S3 takes.
pub(crate) const PART: usize = 5 << 20;
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// A request that the store does not answer this long is broken off.
const SILENCE: &str = "30 seconds";
/// A whole request: a download goes at its reader's pace.
const WHOLE: &str = "900 seconds";
const RETRIES: RetryConfig = RetryConfig {
    backoff: object_store::BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(5),
        base: 2.0,
    },
    max_retries: 3,
    retry_timeout: Duration::from_mins(1),
};

// === impl Store ===

impl Store {
    /// Opens the store; a directory is made if need be. `options` are environment variables: those of the bucket's provider count.
    pub(crate) fn open(url: &FilesUrl, options: impl IntoIterator<Item = (String, String)>) -> Result<Self, OpenError> {
        let (provider, bucket, prefix) = match url {
            FilesUrl::Directory { path, .. } => return Self::directory(path),
            FilesUrl::Bucket {
                provider,
                bucket,
                prefix,
            } => (provider, bucket, prefix),
        };
        let options = options
            .into_iter()
            .map(|(key, value)| (key.to_ascii_lowercase(), value));
        let place = match provider {
            Provider::S3 => s3(bucket, options)?,
            Provider::Google => google(bucket, options)?,
            Provider::Azure => azure(bucket, options)?,
        };
        Ok(Self {
            place,
            prefix: Path::from(prefix.as_str()),
        })
    }

    fn directory(path: &FilePath) -> Result<Self, OpenError> {
        std::fs::create_dir_all(path).map_err(|cause| OpenError::Directory(path.to_owned(), cause))?;
        // As durable as a bucket: an upload that was answered with success survives a loss of power.
        let files = LocalFileSystem::new_with_prefix(path)?.with_fsync(true);
        Ok(Self {
            place: Place::Directory(Arc::new(files)),
            prefix: Path::default(),
        })
    }

    /// Begins to write an object.
    pub(crate) fn write(&self, key: &str) -> Writer {
        Writer {
            store: self.clone(),
            key: self.key(key),
            buffer: Vec::new(),
            parts: None,
        }
    }

    /// An object's bytes as they come.
    pub(crate) async fn read(&self, key: &str) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, StoreError> {
        let found = self.objects().get(&self.key(key)).await.map_err(StoreError)?;
        Ok(found.into_stream().map_err(StoreError).boxed())
    }

    /// Removes an object and whatever an upload that was cut off left of it. What is not there counts as removed.
    pub(crate) async fn discard(&self, key: &str, upload: Option<&str>) -> Result<(), StoreError> {
        let key = self.key(key);
        match &self.place {
            Place::Directory(files) => remove_staged(files, &key).await?,
            Place::Bucket { parts, .. } => {
                if let Some(upload) = upload {
                    gone_is_well(parts.abort_multipart(&key, &upload.to_owned()).await)?;
                }
            }
        }
        gone_is_well(self.objects().delete(&key).await)
    }

    fn objects(&self) -> &dyn ObjectStore {
        match &self.place {
            Place::Directory(files) => files.as_ref(),
            Place::Bucket { objects, .. } => objects.as_ref(),
        }
    }

    fn key(&self, key: &str) -> Path {
        self.prefix.parts().chain(Path::from(key).parts()).collect()
    }
}

/// A file is written beside its place, under a name with this at its end, and then moved.
const STAGED: &str = "#1";

/// Removes what a process that died left beside a file's place.
async fn remove_staged(files: &LocalFileSystem, key: &Path) -> Result<(), StoreError> {
    let mut staged = files.path_to_filesystem(key).map_err(StoreError)?.into_os_string();
    staged.push(STAGED);
    match tokio::fs::remove_file(&staged).await {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(StoreError(object_store::Error::Generic {
            store: "LocalFileSystem",
            source: cause.into(),
        })),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn gone_is_well(outcome: object_store::Result<()>) -> Result<(), StoreError> {
    match outcome {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(cause) => Err(StoreError(cause)),
    }
}

fn s3(bucket: &str, options: impl Iterator<Item = (String, String)>) -> Result<Place, OpenError> {
    let mut builder = AmazonS3Builder::new()
        .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::ReadTimeout), SILENCE)
        .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), WHOLE)
        // One object at a time is deleted here, and not everything that speaks like S3 deletes several.
        .with_disable_bulk_delete(true);
    for (key, value) in options.filter(|(key, _)| key.starts_with("aws_")) {
        if let Ok(key) = key.parse() {
            builder = builder.with_config(key, value);
        }
    }
    Ok(Place::bucket(
        builder.with_bucket_name(bucket).with_retry(RETRIES).build()?,
    ))
}

fn google(bucket: &str, options: impl Iterator<Item = (String, String)>) -> Result<Place, OpenError> {
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_config(GoogleConfigKey::Client(ClientConfigKey::ReadTimeout), SILENCE)
        .with_config(GoogleConfigKey::Client(ClientConfigKey::Timeout), WHOLE);
    for (key, value) in options {
        // What Google's own libraries read has a name of its own.
        if key == "service_account" || key == "google_application_credentials" {
            builder = builder.with_application_credentials(value);
        } else if key.starts_with("google_")
            && let Ok(key) = key.parse()
        {
            builder = builder.with_config(key, value);
        }
    }
    Ok(Place::bucket(
        builder.with_bucket_name(bucket).with_retry(RETRIES).build()?,
    ))
}

fn azure(container: &str, options: impl Iterator<Item = (String, String)>) -> Result<Place, OpenError> {
    let mut builder = MicrosoftAzureBuilder::new()
        .with_config(AzureConfigKey::Client(ClientConfigKey::ReadTimeout), SILENCE)
        .with_config(AzureConfigKey::Client(ClientConfigKey::Timeout), WHOLE);
    for (key, value) in options.filter(|(key, _)| key.starts_with("azure_")) {
        if let Ok(key) = key.parse() {
            builder = builder.with_config(key, value);
        }
    }
    Ok(Place::bucket(
        builder.with_container_name(container).with_retry(RETRIES).build()?,
    ))
}

// === impl Place ===

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(files) => write!(f, "Directory({files})"),
            Self::Bucket { objects, .. } => write!(f, "Bucket({objects})"),
        }
    }
}

impl Place {
    fn bucket(store: impl ObjectStore + MultipartStore) -> Self {
        let store = Arc::new(store);
        Self::Bucket {
            objects: Arc::clone(&store) as Arc<dyn ObjectStore>,
            parts: store,
        }
    }
}

// === impl Writer ===

impl Writer {
    /// Takes as many of the bytes as there is room for, and leaves the others: then comes [`Self::flush`].
    pub(crate) fn fill(&mut self, bytes: &mut &[u8]) {
        let room = PART - self.buffer.len();
        let (fits, over) = bytes.split_at(room.min(bytes.len()));
        // Grows twofold as a vector does, but not beyond a part.
        if self.buffer.capacity() - self.buffer.len() < fits.len() {
            let wanted = (self.buffer.len() + fits.len())
                .max(self.buffer.capacity() * 2)
                .min(PART);
            self.buffer.reserve_exact(wanted - self.buffer.len());
        }
        self.buffer.extend_from_slice(fits);
        *bytes = over;
    }

    /// What was gathered since the last flush: before the first, the object's first bytes.
    pub(crate) fn head(&self) -> &[u8] {
        &self.buffer
    }

    /// Nothing was flushed so far.
    pub(crate) fn is_whole(&self) -> bool {
        self.parts.is_none()
    }

    /// Begins an upload in parts, before the first flush. Gives the store's id of it, if it has one, to be noted down: without it, parts are not found again.
    pub(crate) async fn begin(&mut self) -> Result<Option<String>, StoreError> {
        let (parts, upload) = match &self.store.place {
            Place::Directory(files) => {
                let upload = files.put_multipart(&self.key).await.map_err(StoreError)?;
                (Parts::Directory(upload), None)
            }
            Place::Bucket { parts, .. } => {
                let upload = parts.create_multipart(&self.key).await.map_err(StoreError)?;
                let done = Vec::new();
                (
                    Parts::Bucket {
                        upload: upload.clone(),
                        done,
                    },
                    Some(upload),
                )
            }
        };
        self.parts = Some(parts);
        Ok(upload)
    }

    /// Writes what was gathered as a part.
    pub(crate) async fn flush(&mut self) -> Result<(), StoreError> {
        let part = PutPayload::from(std::mem::take(&mut self.buffer));
        match (&mut self.parts, &self.store.place) {
            (Some(Parts::Directory(upload)), _) => upload.put_part(part).await.map_err(StoreError),
            (Some(Parts::Bucket { upload, done }), Place::Bucket { parts, .. }) => {
                let put = parts.put_part(&self.key, upload, done.len(), part).await;
                done.push(put.map_err(StoreError)?);
                Ok(())
            }
            // No caller flushes before it began.
            (Some(Parts::Bucket { .. }) | None, _) => Ok(()),
        }
    }

    /// Writes what is left and makes the object visible, whole.
    pub(crate) async fn finish(mut self) -> Result<(), StoreError> {
        if self.is_whole() {
            let body = PutPayload::from(self.buffer);
            return self
                .store
                .objects()
                .put(&self.key, body)
                .await
                .map(drop)
                .map_err(StoreError);
        }
        if !self.buffer.is_empty() {
            self.flush().await?;
        }
        let finished = match (self.parts, &self.store.place) {
            (Some(Parts::Directory(mut upload)), _) => upload.complete().await,
            (Some(Parts::Bucket { upload, done }), Place::Bucket { parts, .. }) => {
                parts.complete_multipart(&self.key, &upload, done).await
            }
            (Some(Parts::Bucket { .. }) | None, _) => return Ok(()),
        };
        finished.map(drop).map_err(StoreError)
    }

    /// Bytes that it holds in memory.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.buffer.capacity()
    }
}

// === impl StoreError ===

impl StoreError {
    /// The store is well, and has no such object.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self.0, object_store::Error::NotFound { .. })
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::new(
            Code::Unavailable,
            ErrorReason::StorageUnavailable,
            "the store that keeps files does not answer; try again",
        )
        .retry_after(RETRY_AFTER)
        .source(error)
    }
}
