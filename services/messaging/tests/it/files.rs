//! Files: taken in, read, listed, given out, deleted.

use std::collections::BTreeSet;
use std::convert::Infallible;

use futures_util::stream;
use outeract_clock::{SystemClock, SystemRandom};
use outeract_domain::FileId;
use outeract_egress::FilePart;
use outeract_proto::messaging::v1::{File, FileKind, FileMetadata, FileState, GetFileRequest, ListFilesRequest};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::reason;
use outeract_testkit::eventually;
use sha2::{Digest as _, Sha256};
use tonic::{Code, Status};

use crate::instance::FileClient;
use crate::suite::{SOON, Suite};
use crate::uploading::{chunk, delete, download, first, jpeg, metadata, pdf, send, upload};

async fn get(client: &FileClient, id: &str) -> Result<File, Status> {
    let request = GetFileRequest { id: id.to_owned() };
    Ok(client
        .clone()
        .get_file(request)
        .await?
        .into_inner()
        .file
        .expect("a file"))
}

async fn list(client: &FileClient, page_size: i32, page_token: &str) -> (Vec<String>, String) {
    let request = ListFilesRequest {
        page_size,
        page_token: page_token.to_owned(),
    };
    let page = client.clone().list_files(request).await.expect("a page").into_inner();
    (
        page.files.into_iter().map(|file| file.id).collect(),
        page.next_page_token,
    )
}

#[tokio::test]
async fn a_file_is_given_back_as_it_came() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let client = instance.files(&suite.key).await;
    // Smaller than a part, exactly one, and several.
    for length in [1_000, 5 << 20, (11 << 20) + 7] {
        let bytes = pdf(length);
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let declared = FileMetadata {
            filename: "Rechnung é.pdf".to_owned(),
            mime_type: "Application/PDF".to_owned(),
            size_bytes: length as i64,
            sha256: sha256.to_uppercase(),
        };
        let file = upload(&client, declared, bytes.clone()).await.expect("uploaded");
        assert!(file.id.starts_with("file_"));
        assert_eq!(
            (file.filename.as_str(), file.mime_type.as_str(), file.size_bytes),
            ("Rechnung é.pdf", "application/pdf", length as i64)
        );
        assert_eq!((file.kind(), file.state()), (FileKind::Document, FileState::Ready));
        assert_eq!((file.sha256.as_str(), file.reason.as_str()), (sha256.as_str(), ""));
        assert!(file.create_time.is_some());
        assert_eq!(get(&client, &file.id).await.expect("found"), file);
        let (told, back) = download(&client, &file.id).await.expect("downloaded");
        assert_eq!(told, file);
        assert!(back == bytes, "{length}");
    }
    let left = suite.left().await;
    assert_eq!((left.objects, left.files, left.trash), (3, 3, 0));
    assert_eq!(left.bytes, 1_000 + (5 << 20) + (11 << 20) + 7);
}

#[tokio::test]
async fn bytes_of_unknown_number_are_taken_too_and_only_their_own_room_is_used() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let client = instance.files(&suite.key).await;
    let bytes = pdf((10 << 20) + 1);
    let file = upload(&client, metadata("application/pdf"), bytes.clone())
        .await
        .expect("uploaded");
    assert_eq!((file.size_bytes, file.filename.as_str()), (bytes.len() as i64, ""));
    assert_eq!(suite.left().await.bytes, bytes.len() as i64);
    // Chunk by chunk of one byte: what is slow is not wrong.
    let small = jpeg(300);
    let messages: Vec<_> = small.iter().map(|byte| chunk(&[*byte])).collect();
    let file = send(&client, [first(metadata("image/jpeg"))].into_iter().chain(messages)).await;
    let (_, back) = download(&client, &file.expect("uploaded").id)
        .await
        .expect("downloaded");
    assert_eq!(back, small);
}

#[tokio::test]
async fn pages_of_files_are_the_newest_first_and_hold_each_once() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let client = instance.files(&suite.key).await;
    assert_eq!(list(&client, 0, "").await, (Vec::new(), String::new()));
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(
            upload(&client, metadata("image/jpeg"), jpeg(100))
                .await
                .expect("uploaded")
                .id,
        );
    }
    ids.reverse();
    let (all, next) = list(&client, 0, "").await;
    assert_eq!((all, next.as_str()), (ids.clone(), ""));
    let (mut paged, mut token) = list(&client, 2, "").await;
    while !token.is_empty() {
        let (page, next) = list(&client, 2, &token).await;
        assert!(!page.is_empty());
        paged.extend(page);
        token = next;
    }
    assert_eq!(paged, ids);

    let (_, token) = list(&client, 2, "").await;
    let mut foreign = instance.files(&suite.foreign_key()).await;
    let request = |page_size, page_token: &str| ListFilesRequest {
        page_size,
        page_token: page_token.to_owned(),
    };
    let status = foreign.list_files(request(2, &token)).await.expect_err("not theirs");
    assert_eq!(reason(&status), Some(ErrorReason::CursorInvalid));
    let status = foreign.list_files(request(1_001, "")).await.expect_err("too many");
    assert_eq!(reason(&status), Some(ErrorReason::InvalidField));
}

#[tokio::test]
async fn a_foreign_file_is_as_good_as_absent() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let client = instance.files(&suite.key).await;
    let own = upload(&client, metadata("image/jpeg"), jpeg(100))
        .await
        .expect("uploaded")
        .id;
    let foreign = instance.files(&suite.foreign_key()).await;
    let absent = outeract_domain::FileId::new(&SystemClock, &SystemRandom).to_string();
    for (client, id) in [(&foreign, &own), (&client, &absent)] {
        let told = [
            get(client, id).await.map(drop),
            download(client, id).await.map(drop),
            delete(client, id).await,
        ];
        let told: BTreeSet<_> = told
            .into_iter()
            .map(|told| told.expect_err("absent"))
            .map(|status| (status.code() as i32, status.message().to_owned()))
            .collect();
        assert_eq!(
            told,
            BTreeSet::from([(Code::NotFound as i32, "file not found".to_owned())])
        );
    }
    assert_eq!(list(&foreign, 0, "").await.0, Vec::<String>::new());
    assert!(get(&client, &own).await.is_ok());
    for bad in ["", "file_1", "evt_01h2xcejqtf2nbrexx3vqjhp41"] {
        let status = get(&client, bad).await.expect_err("no id");
        assert_eq!(reason(&status), Some(ErrorReason::InvalidField));
    }
}

#[tokio::test]
async fn a_deleted_file_leaves_nothing_even_if_the_store_fails_at_first() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let client = instance.files(&suite.key).await;
    let first = upload(&client, metadata("image/jpeg"), jpeg(100))
        .await
        .expect("uploaded")
        .id;
    let second = upload(&client, metadata("application/pdf"), pdf(6 << 20))
        .await
        .expect("uploaded")
        .id;
    delete(&client, &first).await.expect("deleted");
    let status = delete(&client, &first).await.expect_err("gone");
    assert_eq!(status.code(), Code::NotFound);
    eventually(SOON, async || suite.left().await.objects == 1).await;

    // The object cannot be deleted while a directory of its name is in the way.
    let object = object_of(&suite).await;
    let path = suite.directory.path().join(&object);
    let aside = path.with_extension("aside");
    std::fs::rename(&path, &aside).expect("moved");
    std::fs::create_dir(&path).expect("made");
    std::fs::write(path.join("x"), b"x").expect("written");
    delete(&client, &second)
        .await
        .expect("deleted, whatever the store says");
    assert_eq!(get(&client, &second).await.expect_err("gone").code(), Code::NotFound);
    assert_eq!(suite.left().await.bytes, 0, "its room is free at once");
    eventually(SOON, async || due_later(&suite).await == 1).await;
    std::fs::remove_dir_all(&path).expect("removed");
    std::fs::rename(&aside, &path).expect("moved back");
    assert_eq!(suite.left().await.objects, 1);
    suite.database.advance(time::Duration::minutes(6)).await;
    suite.nothing_left().await;
}

/// The only file's object.
async fn object_of(suite: &Suite) -> String {
    sqlx::query_scalar("SELECT object FROM messaging.file")
        .fetch_one(suite.database.admin())
        .await
        .expect("one file")
}

/// Objects that could not be removed and come up again later.
async fn due_later(suite: &Suite) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM messaging.file_trash WHERE due_at > messaging.now_() AND reserved = 0")
        .fetch_one(suite.database.admin())
        .await
        .expect("a count")
}

#[tokio::test]
async fn what_meta_was_given_of_a_file_is_deleted_there_too() {
    let suite = Suite::with_numbers(2).await;
    let instance = suite.start().await;
    let client = instance.files(&suite.key).await;
    let file = upload(&client, metadata("image/jpeg"), jpeg(100))
        .await
        .expect("uploaded");
    let id: FileId = file.id.parse().expect("an id");
    let graph = suite.graph();
    let mut at_meta = Vec::new();
    for number in &suite.numbers {
        let part = FilePart::new("image/jpeg", 100, stream::iter([Ok::<_, Infallible>(jpeg(100).into())]));
        let phone = number.id.parse().expect("digits");
        let media = graph.upload_media(&suite.token(), &phone, part).await.expect("given");
        sqlx::query("INSERT INTO messaging.file_media VALUES ($1, $2, $3, messaging.now_() + interval '30 days')")
            .bind(id.uuid())
            .bind(&number.id)
            .bind(&media)
            .execute(suite.database.admin())
            .await
            .expect("inserted");
        assert!(graph.media(&suite.token(), &phone, &media).await.is_ok());
        at_meta.push((phone, media));
    }
    delete(&client, &file.id).await.expect("deleted");
    for (number, media) in at_meta {
        eventually(SOON, async || {
            graph.media(&suite.token(), &number, &media).await.is_err()
        })
        .await;
    }
    suite.nothing_left().await;
}
