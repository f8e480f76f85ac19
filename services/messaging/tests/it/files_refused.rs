//! Files that are not taken: each with its reason, and nothing left of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use outeract_proto::messaging::v1::{FileMetadata, UploadFileRequest};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::reason;
use outeract_testkit::eventually;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::instance::FileClient;
use crate::suite::{SOON, Suite};
use crate::uploading::{CHUNK, NOTHING, chunk, delete, first, jpeg, metadata, pdf, send, upload};

const MIB: usize = 1 << 20;

/// What a refusal says: code, reason, and a fact of its metadata.
fn told(status: &Status, fact: &str) -> (Code, Option<ErrorReason>, Option<String>) {
    let info = status.get_details_error_info().expect("error info");
    (status.code(), reason(status), info.metadata.get(fact).cloned())
}

fn path(status: &Status) -> String {
    let bad = status.get_details_bad_request().expect("a bad request");
    bad.field_violations[0].field.clone()
}

/// A file of this beginning and so many bytes, made as it goes.
fn endless(
    metadata: FileMetadata,
    mark: &[u8],
    length: usize,
) -> impl Iterator<Item = UploadFileRequest> + Send + 'static {
    let mut head = mark.to_vec();
    head.resize(CHUNK, 7);
    let chunks = length.div_ceil(CHUNK);
    let body = (0..chunks).map(move |index| {
        let length = CHUNK.min(length - index * CHUNK);
        if index == 0 {
            chunk(&head[..length])
        } else {
            chunk(&vec![7; length])
        }
    });
    [first(metadata)].into_iter().chain(body)
}

/// The messages of an upload whose caller can stop amid it.
fn open(
    client: &FileClient,
) -> (
    mpsc::Sender<UploadFileRequest>,
    impl Future<Output = Result<(), Status>> + Send + 'static,
) {
    let (sender, receiver) = mpsc::channel(1);
    let mut client = client.clone();
    let call = async move { client.upload_file(ReceiverStream::new(receiver)).await.map(drop) };
    (sender, call)
}

#[tokio::test]
async fn a_file_above_metas_size_is_refused_while_it_comes() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let client = instance.files(&suite.key).await;
    let mp4: &[u8] = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2";
    let sticker: &[u8] = b"RIFF\x24\0\0\0WEBPVP8 \x18\0\0\0\x30";
    let moving: &[u8] = b"RIFF\x24\0\0\0WEBPVP8X\x0A\0\0\0\x02";
    for (mime_type, mark, most) in [
        ("image/jpeg", &b"\xFF\xD8\xFF\xE0"[..], 5 * MIB),
        ("video/mp4", mp4, 16 * MIB),
        ("audio/mpeg", b"ID3\x04", 16 * MIB),
        ("image/webp", sticker, 100 << 10),
        ("image/webp", moving, 500 << 10),
        ("application/pdf", b"%PDF-1.7", 100 * MIB),
    ] {
        let status = send(&client, endless(metadata(mime_type), mark, most + 1))
            .await
            .expect_err(mime_type);
        assert_eq!(
            told(&status, "max_bytes"),
            (
                Code::OutOfRange,
                Some(ErrorReason::FileTooLarge),
                Some(most.to_string())
            ),
            "{mime_type}"
        );
        assert_eq!(suite.left().await, NOTHING, "{mime_type}");
        // Said beforehand, it is refused beforehand; of a sticker it is not known before its bytes come.
        let declared = FileMetadata {
            size_bytes: most as i64 + 1,
            ..metadata(mime_type)
        };
        let status = send(&client, endless(declared, mark, most + 1))
            .await
            .expect_err(mime_type);
        assert_eq!(reason(&status), Some(ErrorReason::FileTooLarge), "{mime_type}");
    }
    let video = send(&client, endless(metadata("video/mp4"), mp4, 16 * MIB))
        .await
        .expect("just fits");
    let sticker = send(&client, endless(metadata("image/webp"), sticker, 100 << 10))
        .await
        .expect("just fits");
    delete(&client, &video.id).await.expect("deleted");
    delete(&client, &sticker.id).await.expect("deleted");
    suite.nothing_left().await;
}

#[tokio::test]
async fn what_is_not_what_it_says_is_refused() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let client = instance.files(&suite.key).await;
    let program = |length: usize| {
        let mut bytes = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xFF\xFF".to_vec();
        bytes.resize(length, 0);
        bytes
    };
    let named = |name: &str, mime_type: &str| FileMetadata {
        filename: name.to_owned(),
        ..metadata(mime_type)
    };
    for (metadata, bytes, is) in [
        (
            named("holiday.jpg", "image/jpeg"),
            program(1_000),
            "application/vnd.microsoft.portable-executable",
        ),
        // One that is larger than what is looked at.
        (
            named("holiday.jpg", "image/jpeg"),
            program(2 * MIB),
            "application/vnd.microsoft.portable-executable",
        ),
        (
            named("letter.pdf", "application/pdf"),
            b"\x7FELF\x02\x01\x01\0".to_vec(),
            "application/x-executable",
        ),
        (
            named("letter.txt", "text/plain"),
            b"#!/bin/sh\nrm -rf /\n".to_vec(),
            "text/x-shellscript",
        ),
        (named("picture.png", "image/png"), jpeg(2_000), "image/jpeg"),
        (named("setup.exe", "application/pdf"), pdf(2_000), "application/pdf"),
        (named("a.gif", "image/gif"), b"GIF89a".to_vec(), "image/gif"),
    ] {
        let name = metadata.filename.clone();
        let status = upload(&client, metadata, bytes).await.expect_err(&name);
        assert_eq!(
            told(&status, "mime_type"),
            (
                Code::InvalidArgument,
                Some(ErrorReason::FileTypeRefused),
                Some(is.to_owned())
            ),
            "{name}"
        );
        assert_eq!(suite.left().await, NOTHING, "{name}");
    }
}

#[tokio::test]
async fn what_does_not_keep_its_word_is_refused_with_the_field() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let client = instance.files(&suite.key).await;
    let with = |change: fn(&mut FileMetadata)| {
        let mut declared = metadata("application/pdf");
        change(&mut declared);
        declared
    };
    let long = 6 * MIB;
    for (declared, length, field) in [
        (with(|file| file.sha256 = "00".repeat(32)), 1_000, "metadata.sha256"),
        (with(|file| file.sha256 = "00".repeat(32)), long, "metadata.sha256"),
        (with(|file| file.size_bytes = 999), 1_000, "metadata.size_bytes"),
        (with(|file| file.size_bytes = 1_001), 1_000, "metadata.size_bytes"),
        (with(|file| file.size_bytes = 6 << 20), long + 1, "metadata.size_bytes"),
        (with(|file| file.size_bytes = 7 << 20), long, "metadata.size_bytes"),
        (with(|_| ()), 0, "chunk"),
        (with(|file| file.mime_type.clear()), 1_000, "metadata.mime_type"),
    ] {
        let status = upload(&client, declared, pdf(length)).await.expect_err(field);
        assert_eq!(
            (status.code(), path(&status)),
            (Code::InvalidArgument, field.to_owned())
        );
        assert_eq!(suite.left().await, NOTHING, "{field}");
    }
    let start = || first(metadata("application/pdf"));
    let nothing = UploadFileRequest { part: None };
    for (messages, field) in [
        (vec![], "metadata"),
        (vec![chunk(b"%PDF-")], "metadata"),
        (vec![start(), start()], "metadata"),
        (vec![start(), nothing], "part"),
        (vec![start(), chunk(b"")], "chunk"),
        (vec![start(), chunk(&pdf(CHUNK + 1))], "chunk"),
        (vec![start(), chunk(&pdf(100)), chunk(b"")], "chunk"),
    ] {
        let status = send(&client, messages).await.expect_err(field);
        assert_eq!(
            (status.code(), path(&status)),
            (Code::InvalidArgument, field.to_owned())
        );
    }
    let status = send(&client, [start(), chunk(&pdf(MIB))])
        .await
        .expect_err("too large a message");
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::OutOfRange, Some(ErrorReason::MessageTooLarge))
    );
    assert_eq!(suite.left().await, NOTHING);
}

#[tokio::test]
async fn an_upload_that_stalls_is_broken_off() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let client = instance.files(&suite.key).await;
    // Before anything came, before anything was stored, and amid the parts.
    for chunks in [0, 1, 100] {
        let (sender, call) = open(&client);
        let mut calls = JoinSet::new();
        calls.spawn(call);
        if chunks > 0 {
            sender.send(first(metadata("application/pdf"))).await.expect("taken");
        }
        for index in 0..chunks {
            let body = if index == 0 { pdf(CHUNK) } else { vec![7; CHUNK] };
            sender.send(chunk(&body)).await.expect("taken");
        }
        let status = calls
            .join_next()
            .await
            .expect("a call")
            .expect("no panic")
            .expect_err("stalled");
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::DeadlineExceeded, Some(ErrorReason::UploadStalled))
        );
        assert_eq!(suite.left().await, NOTHING, "{chunks}");
        drop(sender);
    }
    // Slow is not stalled.
    let slow = futures_util::stream::iter([
        first(metadata("image/jpeg")),
        chunk(&jpeg(1_000)),
        chunk(b"x"),
        chunk(b"y"),
    ])
    .then(async |message| {
        tokio::time::sleep(Duration::from_millis(500)).await;
        message
    });
    client.clone().upload_file(Box::pin(slow)).await.expect("uploaded");
}

#[tokio::test]
async fn an_upload_that_is_cut_off_leaves_nothing() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    for chunks in [1, 100, 180] {
        let client = instance.files(&suite.key).await;
        let (sender, call) = open(&client);
        let mut calls = JoinSet::new();
        calls.spawn(call);
        sender.send(first(metadata("application/pdf"))).await.expect("taken");
        for index in 0..chunks {
            let body = if index == 0 { pdf(CHUNK) } else { vec![7; CHUNK] };
            sender.send(chunk(&body)).await.expect("taken");
        }
        if chunks > 90 {
            eventually(SOON, async || suite.left().await.objects == 1).await;
        }
        // The caller is gone, as if its machine had been switched off.
        calls.shutdown().await;
        drop((sender, client));
        eventually(SOON, async || {
            let left = suite.left().await;
            (left.objects, left.files, left.bytes) == (0, 0, 0)
        })
        .await;
        // A write that was broken off might have been carried out later: its object is removed once more.
        suite.database.advance(time::Duration::minutes(6)).await;
        suite.nothing_left().await;
    }
}

#[tokio::test]
async fn what_a_process_that_died_left_is_removed_by_another() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let client = instance.files(&suite.key).await;
    let kept = upload(&client, metadata("image/jpeg"), jpeg(100))
        .await
        .expect("uploaded");
    // What SIGKILL leaves: one upload half written, and one whose file was not made known; the room of both taken.
    let directory = suite.directory.path().join(suite.application.uuid().to_string());
    for (index, written) in ["half#1", "whole"].into_iter().enumerate() {
        std::fs::write(directory.join(written), b"%PDF-1.7").expect("written");
        let object = written.trim_end_matches("#1");
        sqlx::query(
            "WITH room AS (UPDATE messaging.file_usage SET bytes = bytes + $3 WHERE application_id = $1)
             INSERT INTO messaging.file_trash (object, application_id, reserved, due_at) VALUES ($2, $1, $3, messaging.now_() + interval '1 hour')",
        )
        .bind(suite.application.uuid())
        .bind(format!("{}/{object}", suite.application.uuid()))
        .bind(5_000_i64 * (index as i64 + 1))
        .execute(suite.database.admin())
        .await
        .expect("inserted");
    }
    let left = suite.left().await;
    assert_eq!((left.objects, left.trash, left.bytes), (3, 2, 15_100));
    suite.database.advance(time::Duration::minutes(59)).await;
    // They might still be going on: what is due goes, and they stay.
    let due = "INSERT INTO messaging.file_trash (object, application_id, reserved, due_at) VALUES ('due', $1, 0, messaging.now_())";
    let inserted = sqlx::query(due)
        .bind(suite.application.uuid())
        .execute(suite.database.admin())
        .await;
    inserted.expect("inserted");
    eventually(SOON, async || suite.left().await.trash == 2).await;
    assert_eq!(suite.left().await, left);
    suite.database.advance(time::Duration::minutes(2)).await;
    eventually(SOON, async || suite.left().await.trash == 0).await;
    delete(&client, &kept.id).await.expect("deleted");
    suite.nothing_left().await;
}

#[tokio::test]
async fn the_quota_is_exact_however_many_uploads_race() {
    const EACH: usize = 100 << 10;
    const FIT: usize = 10;
    let mut suite = Suite::new().await;
    // Room for ten and almost one more.
    suite.quota = (FIT * EACH + EACH - 1) as u64;
    let instances = [suite.start().await, suite.start().await];
    let outcomes = Arc::new([const { AtomicUsize::new(0) }; 2]);
    let mut racing = JoinSet::new();
    for index in 0..40 {
        let client = instances[index % 2].files(&suite.key).await;
        let outcomes = Arc::clone(&outcomes);
        // Half of them say how large they are.
        let declared = FileMetadata {
            size_bytes: if index % 4 < 2 { EACH as i64 } else { 0 },
            ..metadata("application/pdf")
        };
        racing.spawn(async move {
            loop {
                match upload(&client, declared.clone(), pdf(EACH)).await {
                    Ok(_) => return outcomes[0].fetch_add(1, Ordering::Relaxed),
                    Err(status) if reason(&status) == Some(ErrorReason::FileQuotaExceeded) => {
                        assert_eq!(status.code(), Code::ResourceExhausted);
                        return outcomes[1].fetch_add(1, Ordering::Relaxed);
                    }
                    // Too many at a time: so it says, and so one comes again.
                    Err(status) => assert_eq!(reason(&status), Some(ErrorReason::Overloaded), "{status:?}"),
                }
                tokio::task::yield_now().await;
            }
        });
    }
    while racing.join_next().await.transpose().expect("no panic").is_some() {}
    let [fit, refused] = [&outcomes[0], &outcomes[1]].map(|count| count.load(Ordering::Relaxed));
    assert_eq!((fit, refused), (FIT, 40 - FIT));
    let left = suite.left().await;
    assert_eq!(
        (left.files, left.bytes, left.objects),
        (FIT as i64, (FIT * EACH) as i64, FIT)
    );

    let client = instances[0].files(&suite.key).await;
    let status = upload(&client, metadata("application/pdf"), pdf(EACH))
        .await
        .expect_err("full");
    assert_eq!(told(&status, "max_bytes").2, Some(suite.quota.to_string()));
    let small = upload(&client, metadata("image/jpeg"), jpeg(EACH - 1))
        .await
        .expect("to the byte");
    delete(&client, &small.id).await.expect("deleted");
    // Another application has its own room.
    let foreign = instances[0].files(&suite.foreign_key()).await;
    upload(&foreign, metadata("application/pdf"), pdf(EACH))
        .await
        .expect("uploaded");
}

#[tokio::test]
async fn an_upload_that_outgrows_the_quota_is_refused_amid_its_parts() {
    let mut suite = Suite::new().await;
    suite.quota = 12 << 20;
    let instance = suite.start().await;
    let client = instance.files(&suite.key).await;
    let status = upload(&client, metadata("application/pdf"), pdf(20 * MIB))
        .await
        .expect_err("too large");
    assert_eq!(reason(&status), Some(ErrorReason::FileQuotaExceeded));
    assert_eq!(suite.left().await, NOTHING);
    upload(&client, metadata("application/pdf"), pdf(12 * MIB))
        .await
        .expect("to the byte");
}
