//! Messages that carry files.

use std::time::{Duration, Instant};

use outeract_domain::EventId;
use outeract_proto::messaging::v1::media::Source;
use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::messaging::v1::{
    ImageContent, Media, Message, MessageContent, SendMessageRequest, SendWait, SubmissionState,
};
use outeract_simulator::{Accepted, Effect, Match};
use outeract_testkit::eventually;

use crate::instance::{Client, FileClient, Instance};
use crate::suite::{SOON, Suite, id, recipient, request};
use crate::uploading::{delete, jpeg, metadata, upload};

/// A process with one file in it.
struct Stage {
    suite: Suite,
    instance: Instance,
    client: Client,
    files: FileClient,
    file: String,
}

impl Stage {
    async fn new() -> Self {
        let suite = Suite::new().await;
        let instance = suite.start().await;
        let client = instance.client(&suite.key).await;
        let files = instance.files(&suite.key).await;
        let file = upload(&files, metadata("image/jpeg"), jpeg(1_000))
            .await
            .expect("uploaded")
            .id;
        Self {
            suite,
            instance,
            client,
            files,
            file,
        }
    }

    /// A message with the file.
    fn image(&self, to: &str) -> SendMessageRequest {
        let image = ImageContent {
            media: Some(Media {
                source: Some(Source::FileId(self.file.clone())),
            }),
            caption: "a picture".to_owned(),
        };
        SendMessageRequest {
            content: Some(MessageContent {
                kind: Some(Kind::Image(image)),
            }),
            wait: SendWait::Stored.into(),
            ..request(&self.suite.numbers[0], to)
        }
    }

    async fn send(&self, to: &str) -> EventId {
        let answer = self.client.clone().send_message(self.image(to)).await.expect("stored");
        id(&answer.into_inner())
    }

    async fn reaches(&self, message: EventId, state: SubmissionState) -> Message {
        self.suite.reaches(&self.client, message, state).await
    }

    /// Something goes wrong with calls to this endpoint. Gives the rule's number.
    async fn fault(&self, endpoint: &str, count: u64, effect: Effect) -> u64 {
        let matches = Match {
            endpoint: Some(endpoint.to_owned()),
            count: Some(count),
            ..Match::default()
        };
        self.suite.meta.fault(matches, effect).await.expect("a rule")
    }

    /// Nothing goes wrong with calls to this endpoint, but they are counted. Gives the rule's number.
    async fn watch(&self, endpoint: &str) -> u64 {
        self.fault(endpoint, 1_000, slow(0, 0)).await
    }

    /// How many calls a rule was applied to.
    async fn applied(&self, rule: u64) -> u64 {
        let rules = self.suite.meta.faults().await.expect("rules");
        let rule = rules.iter().find(|known| known.id == rule);
        rule.expect("known").applied
    }

    /// Meta's id in the only message that it accepted.
    async fn sent_with(&self) -> String {
        let ledger: Vec<Accepted> = self.suite.ledger().await;
        let [accepted] = ledger.as_slice() else {
            panic!("{} messages", ledger.len());
        };
        accepted.media[0].clone()
    }

    /// Ids that are kept of the file.
    async fn kept(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT media_id FROM messaging.file_media")
            .fetch_all(self.suite.database.admin())
            .await
            .expect("rows")
    }
}

/// It takes longer, before it is done and after.
fn slow(before_ms: u64, after_ms: u64) -> Effect {
    Effect::Latency {
        before_ms,
        after_ms,
        jitter_ms: 0,
    }
}

fn refusal(code: i32, details: &str) -> Effect {
    Effect::Error {
        code,
        http_status: None,
        details: Some(details.to_owned()),
        subcode: None,
        is_transient: None,
    }
}

fn reason(message: &Message) -> &str {
    message.error.as_ref().map_or("", |error| error.reason.as_str())
}

#[tokio::test]
async fn a_file_goes_to_meta_once_and_its_id_with_every_message() {
    let stage = Stage::new().await;
    let uploads = stage.watch("media").await;
    let mut messages = Vec::new();
    for index in 0..20 {
        messages.push(stage.send(&recipient(index)).await);
    }
    for message in messages {
        let message = stage.reaches(message, SubmissionState::Accepted).await;
        assert_eq!(message.attempt, 1);
    }
    let kept = stage.kept().await;
    assert_eq!(kept.len(), 1);
    let ledger = stage.suite.ledger().await;
    assert_eq!(ledger.len(), 20);
    assert!(
        ledger
            .iter()
            .all(|accepted| accepted.r#type == "image" && accepted.media == kept)
    );
    assert_eq!(stage.applied(uploads).await, 1);
}

#[tokio::test]
async fn an_id_that_meta_does_not_know_any_more_is_replaced() {
    let stage = Stage::new().await;
    let first = stage.send(&recipient(0)).await;
    stage.reaches(first, SubmissionState::Accepted).await;
    let lost = stage.kept().await;
    let number = stage.suite.numbers[0].id.parse().expect("digits");
    let graph = stage.suite.graph();
    graph
        .delete_media(&stage.suite.token(), &number, &lost[0])
        .await
        .expect("deleted");
    let second = stage.send(&recipient(1)).await;
    let second = stage.reaches(second, SubmissionState::Accepted).await;
    assert_eq!((second.attempt, second.duplicate_count), (2, 0));
    let fresh = stage.kept().await;
    assert_ne!(fresh, lost);
    let ledger = stage.suite.ledger().await;
    assert_eq!(
        ledger.iter().map(|accepted| &accepted.media).collect::<Vec<_>>(),
        [&lost, &fresh]
    );
}

#[tokio::test]
async fn what_meta_refuses_again_with_a_fresh_id_fails() {
    let stage = Stage::new().await;
    stage.fault("messages", 5, refusal(100, "Media is not valid")).await;
    let uploads = stage.watch("media").await;
    let message = stage.send(&recipient(0)).await;
    let failed = stage.reaches(message, SubmissionState::Failed).await;
    assert_eq!((reason(&failed), failed.attempt), ("PARAMETER_INVALID", 2));
    assert_eq!(stage.applied(uploads).await, 2);
    assert!(stage.kept().await.is_empty());
    // Of what has nothing to do with media, one is enough.
    stage.suite.meta.clear_faults().await.expect("cleared");
    stage.fault("messages", 1, refusal(100, "to is not valid")).await;
    let message = stage.send(&recipient(1)).await;
    let failed = stage.reaches(message, SubmissionState::Failed).await;
    assert_eq!(failed.attempt, 1);
    assert_eq!(stage.suite.ledger().await.len(), 0);
}

#[tokio::test]
async fn a_message_whose_file_was_deleted_fails() {
    let stage = Stage::new().await;
    let number = &stage.suite.numbers[0];
    // While it waits, with its file at Meta already.
    let first = stage.send(&recipient(0)).await;
    stage.reaches(first, SubmissionState::Accepted).await;
    stage
        .suite
        .change(&stage.instance, number, |connection| connection.paused = true)
        .await;
    let waiting = stage.send(&recipient(1)).await;
    let sandboxed = SendMessageRequest {
        sandbox: true,
        ..stage.image(&recipient(2))
    };
    let sandboxed = stage.client.clone().send_message(sandboxed).await.expect("stored");
    let sandboxed = id(&sandboxed.into_inner());
    delete(&stage.files, &stage.file).await.expect("deleted");
    stage
        .suite
        .change(&stage.instance, number, |connection| connection.paused = false)
        .await;
    for message in [waiting, sandboxed] {
        let failed = stage.reaches(message, SubmissionState::Failed).await;
        assert_eq!(reason(&failed), "FILE_GONE");
        let error = failed.error.expect("an error");
        assert!(!error.retryable && error.meta_code == 0 && !error.message.is_empty());
    }
    assert_eq!(stage.suite.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_file_that_is_deleted_while_it_is_being_sent_takes_its_message_along() {
    let stage = Stage::new().await;
    let upload = stage.fault("media", 1, slow(0, 1_500)).await;
    let deletions = stage.watch("media_delete").await;
    let message = stage.send(&recipient(0)).await;
    eventually(SOON, async || stage.applied(upload).await > 0).await;
    delete(&stage.files, &stage.file).await.expect("deleted");
    let failed = stage.reaches(message, SubmissionState::Failed).await;
    assert_eq!(reason(&failed), "FILE_GONE");
    assert!(stage.kept().await.is_empty());
    // What Meta got of it is deleted there.
    eventually(SOON, async || stage.applied(deletions).await == 1).await;
    assert_eq!(stage.suite.ledger().await.len(), 0);
    stage.suite.nothing_left().await;
}

#[tokio::test]
async fn a_file_that_meta_does_not_take_fails_its_message_as_meta_says() {
    let stage = Stage::new().await;
    stage.fault("media", 10, refusal(100, "Param file is not valid")).await;
    let message = stage.send(&recipient(0)).await;
    let failed = stage.reaches(message, SubmissionState::Failed).await;
    let error = failed.error.expect("an error");
    assert_eq!((error.reason.as_str(), error.meta_code), ("PARAMETER_INVALID", 100));
    // And what passes is waited for.
    stage.suite.meta.clear_faults().await.expect("cleared");
    stage.fault("media", 1, refusal(131_016, "later")).await;
    let message = stage.send(&recipient(1)).await;
    stage.reaches(message, SubmissionState::Accepted).await;
    assert_eq!(stage.kept().await, [stage.sent_with().await]);
}

#[tokio::test]
async fn while_a_file_is_on_its_way_to_meta_others_are_not_held_up() {
    let stage = Stage::new().await;
    stage.fault("media", 1, slow(5_000, 0)).await;
    let mut with_file = Vec::new();
    for index in 0..100 {
        with_file.push(stage.send(&recipient(index)).await);
    }
    let began = Instant::now();
    let text = stage
        .suite
        .store(&mut stage.client.clone(), &stage.suite.numbers[0], &recipient(500))
        .await;
    stage.reaches(text, SubmissionState::Accepted).await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(stage.suite.ledger().await.len(), 1);
    for message in with_file {
        stage.reaches(message, SubmissionState::Accepted).await;
    }
    assert_eq!(stage.kept().await.len(), 1);
}

#[tokio::test]
async fn a_sandboxed_message_with_a_file_reaches_nobody() {
    let stage = Stage::new().await;
    let calls = [stage.watch("media").await, stage.watch("messages").await];
    let sandboxed = SendMessageRequest {
        sandbox: true,
        ..stage.image(&recipient(0))
    };
    let answer = stage.client.clone().send_message(sandboxed).await.expect("stored");
    stage.reaches(id(&answer.into_inner()), SubmissionState::Accepted).await;
    for rule in calls {
        assert_eq!(stage.applied(rule).await, 0);
    }
    assert!(stage.kept().await.is_empty());
}
