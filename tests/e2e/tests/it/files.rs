//! A file's way: uploaded, sent, still there after its service was killed amid another upload, of which nothing stays.

use std::time::Duration;

use outeract_dev::Service;
use outeract_e2e::{Api, Options, World, text_message};
use outeract_proto::messaging::v1::download_file_response::Part as Out;
use outeract_proto::messaging::v1::media::Source;
use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::messaging::v1::upload_file_request::Part;
use outeract_proto::messaging::v1::{
    DeleteFileRequest, DocumentContent, DownloadFileRequest, FileMetadata, Media, MessageContent, SendMessageRequest,
    UploadFileRequest,
};
use outeract_simulator::control::{Inbound, NewWorld};
use outeract_testkit::eventually;
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

const SOON: Duration = Duration::from_mins(1);
const CHUNK: usize = 64 << 10;
/// More than two parts of an upload.
const LENGTH: usize = 12 << 20;

fn messages(bytes: &[u8]) -> Vec<UploadFileRequest> {
    let metadata = Part::Metadata(FileMetadata {
        filename: "terms.pdf".to_owned(),
        mime_type: "application/pdf".to_owned(),
        ..FileMetadata::default()
    });
    let chunks = bytes.chunks(CHUNK).map(|chunk| Part::Chunk(chunk.to_vec()));
    let parts = [metadata].into_iter().chain(chunks);
    parts.map(|part| UploadFileRequest { part: Some(part) }).collect()
}

async fn download(api: &Api, id: &str) -> Vec<u8> {
    let request = DownloadFileRequest { id: id.to_owned() };
    let mut parts = api
        .files
        .clone()
        .download_file(request)
        .await
        .expect("opened")
        .into_inner();
    let mut bytes = Vec::new();
    while let Some(part) = parts.message().await.expect("a part") {
        if let Some(Out::Chunk(chunk)) = part.part {
            bytes.extend(chunk);
        }
    }
    bytes
}

/// Files, objects that belong to none, bytes of the application's room.
async fn left(pool: &PgPool) -> (i64, i64, i64) {
    sqlx::query_as(
        "SELECT (SELECT count(*) FROM messaging.file), (SELECT count(*) FROM messaging.file_trash), (SELECT coalesce(sum(bytes), 0)::bigint FROM messaging.file_usage)",
    )
    .fetch_one(pool)
    .await
    .expect("counts")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uploaded_file_is_sent_and_survives_its_service() {
    let mut world = World::start("files", &Options::default()).expect("a world");
    let pool = PgPool::connect(&world.database_url()).await.expect("the database");
    let (api, meta, connections) = world
        .connected("Files", &NewWorld::default())
        .await
        .expect("a connection");
    let number = &meta.wabas[0].numbers[0];
    let hi = Inbound {
        phone_number_id: number.phone_number_id.clone(),
        from: "14155550123".to_owned(),
        text: "hi".to_owned(),
        ..Inbound::default()
    };
    world.simulator.inbound(&[hi]).await.expect("injected");
    assert!(world.simulator.idle(SOON).await.expect("idle"));

    let mut bytes = b"%PDF-1.7\n".to_vec();
    bytes.resize(LENGTH, 7);
    let uploaded = api
        .files
        .clone()
        .upload_file(tokio_stream::iter(messages(&bytes)))
        .await;
    let file = uploaded.expect("uploaded").into_inner().file.expect("a file");
    let document = DocumentContent {
        media: Some(Media {
            source: Some(Source::FileId(file.id.clone())),
        }),
        filename: file.filename.clone(),
        ..DocumentContent::default()
    };
    let request = SendMessageRequest {
        content: Some(MessageContent {
            kind: Some(Kind::Document(document)),
        }),
        ..text_message("terms", &connections[0], "+14155550123", "")
    };
    api.messaging.clone().send_message(request).await.expect("stored");
    eventually(SOON, async || {
        let ledger = world.simulator.whole_ledger().await.expect("the ledger");
        ledger
            .iter()
            .any(|accepted| accepted.r#type == "document" && accepted.media.len() == 1)
    })
    .await;

    // Amid another upload the service is killed.
    let (sender, receiver) = mpsc::channel(1);
    let mut files = api.files.clone();
    let cut_off = tokio::spawn(async move { files.upload_file(ReceiverStream::new(receiver)).await });
    for message in messages(&bytes).into_iter().take(120) {
        sender.send(message).await.expect("taken");
    }
    eventually(SOON, async || left(&pool).await.1 == 1).await;
    let mut world = tokio::task::spawn_blocking(move || {
        let messaging = world.suite.service(Service::Messaging).expect("a service");
        messaging.kill();
        messaging.start().expect("started");
        messaging.wait_until_ready(SOON).expect("ready");
        world
    })
    .await
    .expect("no panic");
    assert!(cut_off.await.expect("no panic").is_err());
    assert!(download(&api, &file.id).await == bytes, "what was answered is there");
    let (files, trash, room) = left(&pool).await;
    assert_eq!((files, trash), (1, 1));
    assert!(room > LENGTH as i64, "the room of both");

    // An hour later.
    sqlx::query("UPDATE messaging.file_trash SET due_at = now()")
        .execute(&pool)
        .await
        .expect("updated");
    eventually(SOON, async || left(&pool).await == (1, 0, LENGTH as i64)).await;
    let request = DeleteFileRequest { id: file.id.clone() };
    api.files.clone().delete_file(request).await.expect("deleted");
    eventually(SOON, async || left(&pool).await == (0, 0, 0)).await;
    world.suite.stop(Duration::from_secs(20));
}
