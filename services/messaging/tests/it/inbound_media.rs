//! Media that users send: announced with their message, fetched from Meta, kept, and told of.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use outeract_domain::{EventId, FileId, PhoneNumberId, Wamid, event_id};
use outeract_events::timestamp;
use outeract_proto::messaging::internal::v1::item::Kind;
use outeract_proto::messaging::internal::v1::{InboundItem, InboundMedia, ItemOutcome};
use outeract_proto::messaging::v1::{File, FileState, GetFileRequest};
use outeract_proto::tracking::v1::FilePayload;
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::r#type::v1::ErrorReason;
use outeract_simulator::{Effect, Match};
use outeract_testkit::eventually;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use tonic::Code;

use crate::instance::Instance;
use crate::suite::{SOON, Suite};
use crate::uploading::{NOTHING, delete, download, jpeg, metadata, upload};

/// A message with a medium, as the webhook service tells of it.
struct Sent {
    item: InboundItem,
    event: EventId,
}

/// What became of a medium.
#[derive(Debug)]
struct End {
    file: File,
    payload: FilePayload,
}

impl Suite {
    /// A user's medium at Meta. Gives its id.
    async fn medium(&self, mime_type: &str, bytes: &[u8]) -> String {
        let number = &self.numbers[0].id;
        let made = self.meta.create_medium(number, mime_type, bytes.to_vec()).await;
        made.expect("made").id
    }

    async fn on_media(&self, endpoint: &str, count: u64, effect: Effect) {
        let matches = Match {
            endpoint: Some(endpoint.to_owned()),
            count: Some(count),
            ..Match::default()
        };
        self.meta.fault(matches, effect).await.expect("a rule");
    }

    /// The message's item, sent `ago`.
    fn message(&self, wamid: &str, ago: time::Duration, media: InboundMedia) -> Sent {
        let at =
            OffsetDateTime::from_unix_timestamp((OffsetDateTime::now_utc() - ago).unix_timestamp()).expect("a time");
        let number: PhoneNumberId = self.numbers[0].id.parse().expect("an id");
        let event = event_id::inbound(&number, &Wamid::new(wamid).expect("valid"), at);
        let item = InboundItem {
            wamid: wamid.to_owned(),
            wa_id: "14155550001".to_owned(),
            occur_time: Some(timestamp::to_proto(at)),
            opens_window: true,
            media: Some(media),
            ..InboundItem::default()
        };
        Sent { item, event }
    }

    /// Applies the message. Gives its file.
    async fn receive(&self, instance: &Instance, sent: &Sent) -> FileId {
        let result = self
            .apply(instance, &self.numbers[0], Kind::Inbound(sent.item.clone()))
            .await;
        assert_eq!(result.outcome(), ItemOutcome::Applied);
        FileId::from_slice(&result.file_id).expect("a file")
    }

    async fn file(&self, instance: &Instance, id: FileId) -> File {
        let request = GetFileRequest { id: id.to_string() };
        let answer = instance.files(&self.key).await.get_file(request).await.expect("found");
        answer.into_inner().file.expect("a file")
    }

    /// Waits for the event of what became of the message's medium.
    async fn end(&self, instance: &Instance, sent: &Sent, id: FileId) -> End {
        let mut payload = None;
        eventually(SOON, async || {
            let told: Vec<_> = ["file.inbound", "file.failed"]
                .iter()
                .flat_map(|kind| self.siblings.children(sent.event.uuid(), kind))
                .collect();
            assert!(told.len() <= 1, "it ends once");
            payload = told.into_iter().next().and_then(|record| record.event?.payload);
            payload.is_some()
        })
        .await;
        let Some(Payload::File(payload)) = payload else {
            panic!("another payload");
        };
        assert_eq!(payload.file_id, id.to_string());
        let file = self.file(instance, id).await;
        End { file, payload }
    }

    /// Applies a message with this medium, and waits for its failure. Gives the reason.
    async fn fails(&self, instance: &Instance, wamid: &str, ago: time::Duration, media: InboundMedia) -> String {
        let sent = self.message(wamid, ago, media);
        let id = self.receive(instance, &sent).await;
        let End { file, payload } = self.end(instance, &sent, id).await;
        assert_eq!(file.state(), FileState::Failed);
        assert_eq!((file.size_bytes, payload.size_bytes), (0, 0));
        assert_eq!(file.reason, payload.reason);
        let refused = download(&instance.files(&self.key).await, &file.id)
            .await
            .expect_err("refused");
        assert_eq!(outeract_rpc::reason(&refused), Some(ErrorReason::FileNotReady));
        file.reason
    }

    async fn fetching(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM messaging.file_fetch")
            .fetch_one(self.database.admin())
            .await
            .expect("a count")
    }
}

fn hash(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha256::digest(bytes))
}

fn media(id: &str, mime_type: &str, bytes: &[u8]) -> InboundMedia {
    InboundMedia {
        media_id: id.to_owned(),
        mime_type: mime_type.to_owned(),
        sha256: hash(bytes),
        file_name: "holiday.jpg".to_owned(),
        ..InboundMedia::default()
    }
}

fn hanging() -> Effect {
    Effect::Latency {
        before_ms: 60_000,
        after_ms: 0,
        jitter_ms: 0,
    }
}

const NOW: time::Duration = time::Duration::ZERO;

#[tokio::test]
async fn a_users_picture_is_pending_then_fetched_told_of_and_downloadable_and_a_repeated_message_changes_nothing() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let bytes = jpeg(300_000);
    let medium = suite.medium("image/jpeg", &bytes).await;
    let sent = suite.message("wamid.A", NOW, media(&medium, "image/jpeg", &bytes));
    let id = suite.receive(&instance, &sent).await;
    let End { file, payload } = suite.end(&instance, &sent, id).await;
    assert_eq!(file.state(), FileState::Ready);
    assert_eq!(
        (file.filename.as_str(), file.mime_type.as_str()),
        ("holiday.jpg", "image/jpeg")
    );
    assert_eq!((file.size_bytes, payload.size_bytes), (300_000, 300_000));
    assert_eq!(file.sha256, hex::encode(Sha256::digest(&bytes)));
    assert_eq!(
        (&file.sha256, &file.mime_type, &file.filename),
        (&payload.sha256, &payload.mime_type, &payload.file_name)
    );
    assert_eq!(payload.reason, "");
    let files = instance.files(&suite.key).await;
    assert_eq!(download(&files, &file.id).await.expect("downloaded").1, bytes);

    eventually(SOON, async || suite.fetching().await == 0).await;
    assert_eq!(
        suite.receive(&instance, &sent).await,
        id,
        "the same message is the same file"
    );
    assert_eq!(suite.fetching().await, 0, "and is not fetched again");
    let left = suite.left().await;
    assert_eq!((left.objects, left.files, left.trash, left.bytes), (1, 1, 0, 300_000));
    delete(&files, &file.id).await.expect("deleted");
    suite.nothing_left().await;
}

#[tokio::test]
async fn a_file_on_its_way_says_so_and_can_be_deleted() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let bytes = jpeg(1_000);
    let medium = suite.medium("image/jpeg", &bytes).await;
    suite.on_media("media_download", 100, hanging()).await;
    let sent = suite.message("wamid.A", NOW, media(&medium, "image/jpeg", &bytes));
    let id = suite.receive(&instance, &sent).await;
    assert_eq!(suite.file(&instance, id).await.state(), FileState::Pending);
    let files = instance.files(&suite.key).await;
    let refused = download(&files, &id.to_string()).await.expect_err("not here");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(outeract_rpc::reason(&refused), Some(ErrorReason::FilePending));
    assert!(tonic_types::StatusExt::get_details_retry_info(&refused).is_some());
    delete(&files, &id.to_string()).await.expect("deleted");
    assert_eq!(suite.fetching().await, 0);
    assert_eq!(suite.left().await, NOTHING);
}

#[tokio::test]
async fn each_failure_has_its_reason_and_leaves_nothing_but_the_file() {
    let mut suite = Suite::new().await;
    suite.quota = 100_000;
    suite.media_max = 200_000;
    let instance = suite.start().await;
    let bytes = jpeg(1_000);
    let png = b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01".to_vec();
    let picture = |id: &str| media(id, "image/jpeg", &bytes);

    let old = suite.medium("image/jpeg", &bytes).await;
    suite.meta.expire_medium(&old).await.expect("expired");
    assert_eq!(
        suite.fails(&instance, "wamid.gone", NOW, picture(&old)).await,
        "MEDIA_GONE"
    );
    let ago = time::Duration::days(8);
    assert_eq!(
        suite.fails(&instance, "wamid.old", ago, picture(&old)).await,
        "MEDIA_EXPIRED"
    );
    assert_eq!(
        suite.fails(&instance, "wamid.id", NOW, picture("../me")).await,
        "MEDIA_GONE"
    );

    let medium = suite.medium("image/jpeg", &bytes).await;
    let wrong = media(&medium, "image/jpeg", b"other bytes");
    assert_eq!(suite.fails(&instance, "wamid.hash", NOW, wrong).await, "MEDIA_MISMATCH");
    let medium = suite.medium("image/png", &png).await;
    let lie = media(&medium, "image/jpeg", &png);
    assert_eq!(suite.fails(&instance, "wamid.lie", NOW, lie).await, "MEDIA_MISMATCH");

    let large = jpeg(150_000);
    let medium = suite.medium("image/jpeg", &large).await;
    let much = media(&medium, "image/jpeg", &large);
    assert_eq!(
        suite.fails(&instance, "wamid.room", NOW, much).await,
        "FILE_QUOTA_EXCEEDED"
    );
    let large = jpeg(200_001);
    let medium = suite.medium("image/jpeg", &large).await;
    let much = media(&medium, "image/jpeg", &large);
    assert_eq!(
        suite.fails(&instance, "wamid.large", NOW, much).await,
        "MEDIA_TOO_LARGE"
    );

    eventually(SOON, async || {
        let left = suite.left().await;
        (left.objects, left.files, left.trash, left.bytes) == (0, 7, 0, 0)
    })
    .await;
}

#[tokio::test]
async fn what_hangs_breaks_off_or_is_refused_is_tried_again_until_it_is_here() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let bytes = jpeg(500_000);
    let medium = suite.medium("image/jpeg", &bytes).await;
    let busy = Effect::Error {
        code: 4,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    };
    suite.on_media("media_url", 1, busy).await;
    suite.on_media("media_download", 1, Effect::Truncated).await;
    let sent = suite.message("wamid.A", NOW, media(&medium, "image/jpeg", &bytes));
    let id = suite.receive(&instance, &sent).await;
    let End { file, .. } = suite.end(&instance, &sent, id).await;
    assert_eq!(file.state(), FileState::Ready);
    assert_eq!(file.sha256, hex::encode(Sha256::digest(&bytes)));
}

#[tokio::test]
async fn two_processes_fetch_each_file_once_and_one_takes_over_from_one_that_was_killed() {
    let suite = Suite::new().await;
    let first = suite.start().await;
    let bytes = jpeg(1_000);
    // The first process hangs on its file, and dies.
    let medium = suite.medium("image/jpeg", &bytes).await;
    suite.on_media("media_download", 1, hanging()).await;
    let sent = suite.message("wamid.A", NOW, media(&medium, "image/jpeg", &bytes));
    let id = suite.receive(&first, &sent).await;
    eventually(SOON, async || {
        let held: i64 = sqlx::query_scalar("SELECT count(*) FROM messaging.file_fetch WHERE lease IS NOT NULL")
            .fetch_one(suite.database.admin())
            .await
            .expect("a count");
        held == 1
    })
    .await;
    let second = Instance::start(suite.env()).await;
    first.kill();
    let End { file, .. } = suite.end(&second, &sent, id).await;
    assert_eq!(file.state(), FileState::Ready);

    let third = Instance::start(suite.env()).await;
    suite.owned().await;
    let watch = Match {
        endpoint: Some("media_download".to_owned()),
        count: Some(1_000),
        ..Match::default()
    };
    let slow = Effect::Latency {
        before_ms: 5,
        after_ms: 0,
        jitter_ms: 5,
    };
    let rule = suite.meta.fault(watch, slow).await.expect("a rule");
    for number in 0..30 {
        let instance = if number % 2 == 0 { &second } else { &third };
        let medium = suite.medium("image/jpeg", &bytes).await;
        let sent = suite.message(&format!("wamid.{number}"), NOW, media(&medium, "image/jpeg", &bytes));
        suite.receive(instance, &sent).await;
    }
    eventually(SOON, async || suite.siblings.of_type("file.inbound").len() == 31).await;
    let rules = suite.meta.faults().await.expect("rules");
    let applied = rules.iter().find(|known| known.id == rule).expect("known").applied;
    assert_eq!(applied, 30, "each was downloaded once");
}

#[tokio::test]
async fn one_applications_many_files_do_not_keep_anothers_waiting_and_uploads_share_the_room() {
    let suite = Suite::with_numbers(2).await;
    let other = suite.numbers[1].clone();
    let (application, _) = suite.tenant(&other);
    let instance = suite.start().await;
    let bytes = jpeg(1_000);
    // All that the first application sends hangs.
    let medium = suite.medium("image/jpeg", &bytes).await;
    let matches = Match {
        endpoint: Some("media_download".to_owned()),
        object_id: Some(medium.clone()),
        count: Some(1_000),
        ..Match::default()
    };
    suite.meta.fault(matches, hanging()).await.expect("a rule");
    for number in 0..40 {
        let sent = suite.message(&format!("wamid.{number}"), NOW, media(&medium, "image/jpeg", &bytes));
        suite.receive(&instance, &sent).await;
    }
    let made = suite.meta.create_medium(&other.id, "image/jpeg", bytes.clone()).await;
    let sent = suite.message("wamid.other", NOW, media(&made.expect("made").id, "image/jpeg", &bytes));
    let results = suite
        .apply_all(&instance, application, &other, vec![Kind::Inbound(sent.item)])
        .await;
    assert_eq!(results[0].file_id.len(), 16);
    eventually(SOON, async || suite.siblings.of_type("file.inbound").len() == 1).await;
    assert!(suite.fetching().await >= 40, "the others wait still");
    let files = instance.files(&suite.key).await;
    upload(&files, metadata("image/jpeg"), bytes).await.expect("uploaded");
}
