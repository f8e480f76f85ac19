//! Uploading and downloading, and what is left of files.

use std::path::Path;

use futures_util::stream;
use outeract_clock::{SystemClock, SystemRandom};
use outeract_domain::{ApplicationId, KeyId};
use outeract_proto::messaging::v1::download_file_response::Part as Out;
use outeract_proto::messaging::v1::upload_file_request::Part;
use outeract_proto::messaging::v1::{DeleteFileRequest, DownloadFileRequest, File, FileMetadata, UploadFileRequest};
use outeract_rpc::KeyText;
use outeract_testkit::eventually;
use tonic::Status;

use crate::instance::FileClient;
use crate::suite::{SOON, Suite};

pub(crate) const CHUNK: usize = 64 << 10;

/// What is left of files: objects in the store, files, objects that belong to none, bytes of the application's room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) objects: usize,
    pub(crate) files: i64,
    pub(crate) trash: i64,
    pub(crate) bytes: i64,
}

pub(crate) const NOTHING: Left = Left {
    objects: 0,
    files: 0,
    trash: 0,
    bytes: 0,
};

/// The first message of an upload.
pub(crate) fn metadata(mime_type: &str) -> FileMetadata {
    FileMetadata {
        mime_type: mime_type.to_owned(),
        ..FileMetadata::default()
    }
}

pub(crate) fn first(metadata: FileMetadata) -> UploadFileRequest {
    UploadFileRequest {
        part: Some(Part::Metadata(metadata)),
    }
}

pub(crate) fn chunk(bytes: &[u8]) -> UploadFileRequest {
    UploadFileRequest {
        part: Some(Part::Chunk(bytes.to_vec())),
    }
}

/// Uploads `bytes`.
pub(crate) async fn upload(client: &FileClient, metadata: FileMetadata, bytes: Vec<u8>) -> Result<File, Status> {
    let chunks: Vec<_> = bytes.chunks(CHUNK).map(chunk).collect();
    send(client, [first(metadata)].into_iter().chain(chunks)).await
}

/// Uploads what these messages say.
pub(crate) async fn send(
    client: &FileClient,
    messages: impl IntoIterator<Item = UploadFileRequest, IntoIter: Send + 'static>,
) -> Result<File, Status> {
    let answer = client.clone().upload_file(stream::iter(messages)).await?;
    Ok(answer.into_inner().file.expect("a file"))
}

/// A JPEG of so many bytes.
pub(crate) fn jpeg(length: usize) -> Vec<u8> {
    of(b"\xFF\xD8\xFF\xE0\0\x10JFIF\0", length)
}

/// A PDF of so many bytes.
pub(crate) fn pdf(length: usize) -> Vec<u8> {
    of(b"%PDF-1.7\n", length)
}

fn of(mark: &[u8], length: usize) -> Vec<u8> {
    let body = (0..length).map(|at| (at * 31 % 251) as u8);
    mark.iter().copied().chain(body).take(length).collect()
}

pub(crate) async fn download(client: &FileClient, id: &str) -> Result<(File, Vec<u8>), Status> {
    let request = DownloadFileRequest { id: id.to_owned() };
    let mut parts = client.clone().download_file(request).await?.into_inner();
    let (mut file, mut bytes) = (None, Vec::new());
    while let Some(part) = parts.message().await? {
        match part.part.expect("a part") {
            Out::File(first) => {
                assert!(bytes.is_empty() && file.is_none(), "the file comes once, first");
                file = Some(first);
            }
            Out::Chunk(chunk) => {
                assert!((1..=CHUNK).contains(&chunk.len()));
                bytes.extend(chunk);
            }
        }
    }
    Ok((file.expect("a file"), bytes))
}

pub(crate) async fn delete(client: &FileClient, id: &str) -> Result<(), Status> {
    let request = DeleteFileRequest { id: id.to_owned() };
    client.clone().delete_file(request).await.map(drop)
}

// === impl Suite ===

impl Suite {
    /// What is left of files.
    pub(crate) async fn left(&self) -> Left {
        let admin = self.database.admin();
        let count = async |sql: &'static str| {
            sqlx::query_scalar::<_, i64>(sql)
                .fetch_one(admin)
                .await
                .expect("a count")
        };
        Left {
            objects: objects(self.directory.path()),
            files: count("SELECT count(*) FROM messaging.file").await,
            trash: count("SELECT count(*) FROM messaging.file_trash").await,
            bytes: count("SELECT coalesce(sum(bytes), 0)::bigint FROM messaging.file_usage").await,
        }
    }

    /// Waits until nothing is left of files.
    pub(crate) async fn nothing_left(&self) {
        eventually(SOON, async || self.left().await == NOTHING).await;
    }

    /// Meta, called without the service.
    pub(crate) fn graph(&self) -> outeract_graph::Client {
        let http = outeract_egress::Client::new(&outeract_egress::Config::default()).expect("a client");
        outeract_graph::Client::new(http, &format!("http://{}", self.meta_address()), "v25.0")
    }

    /// The token of the first number.
    pub(crate) fn token(&self) -> outeract_graph::Token {
        let secret = outeract_simulator::Config::default().app_secret.into();
        outeract_graph::Token::with_app_secret(self.numbers[0].token.as_str().into(), &secret)
    }

    /// A key of another application.
    pub(crate) fn foreign_key(&self) -> String {
        let (application, id) = (
            ApplicationId::new(&SystemClock, &SystemRandom),
            KeyId::new(&SystemClock, &SystemRandom),
        );
        let (key, _) = KeyText::generate("test", id, &SystemRandom);
        let mut keys = self.siblings.state.keys.lock().expect("keys");
        keys.insert(id.uuid(), application.uuid());
        key
    }
}

/// Files below a directory, whatever their names.
fn objects(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).expect("readable");
    let count = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("readable").path();
        if path.is_dir() { objects(&path) } else { 1 }
    };
    entries.map(count).sum()
}
