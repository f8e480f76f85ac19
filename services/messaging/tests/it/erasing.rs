//! A user who is to be forgotten: a job that ends with nothing left, whatever dies or races with it.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use outeract_domain::{ContactId, ErasureId};
use outeract_proto::messaging::internal::v1::item::Kind;
use outeract_proto::messaging::internal::v1::{InboundItem, InboundMedia, ItemOutcome, StatusItem};
use outeract_proto::messaging::v1::{
    EraseContactRequest, Erasure, ErasureState, GetContactRequest, GetErasureRequest, GetFileRequest,
    ListErasuresRequest, ListSuppressionsRequest, SubmissionState, SuppressionSource,
};
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::reason;
use outeract_testkit::eventually;
use sha2::{Digest as _, Sha256};
use tonic::Code;

use crate::contacts::{contact_of, inbound, look_up};
use crate::instance::{Instance, People};
use crate::suite::{SOON, Suite, get, id, order, request, status_of};

const ANN: &str = "+16505551234";
const USER: &str = "US.13491208655302741918";

fn by_contact(id: &str) -> EraseContactRequest {
    EraseContactRequest {
        contact_id: id.to_owned(),
        ..EraseContactRequest::default()
    }
}

fn by_id(id: &str) -> EraseContactRequest {
    EraseContactRequest {
        external_id: id.to_owned(),
        ..EraseContactRequest::default()
    }
}

async fn erase(people: &People, request: EraseContactRequest) -> Result<Erasure, tonic::Status> {
    let answer = people.clone().erase_contact(request).await?;
    Ok(answer.into_inner().erasure.expect("an erasure"))
}

async fn erasure(people: &People, id: &str) -> Result<Erasure, tonic::Status> {
    let request = GetErasureRequest { id: id.to_owned() };
    Ok(people
        .clone()
        .get_erasure(request)
        .await?
        .into_inner()
        .erasure
        .expect("an erasure"))
}

async fn done(people: &People, id: &str) -> Erasure {
    eventually(SOON, async || {
        erasure(people, id).await.expect("found").state() == ErasureState::Done
    })
    .await;
    erasure(people, id).await.expect("found")
}

fn count(erasure: &Erasure, service: &str, what: &str) -> i64 {
    let counts = erasure.counts.iter();
    let mut of = counts.filter(|count| count.service == service && count.what == what);
    of.next().map_or(0, |count| count.count)
}

/// Ann has written, with her name, what she thinks of marketing and a picture.
async fn ann_writes(suite: &Suite, instance: &Instance) -> (ContactId, String) {
    let number = &suite.numbers[0];
    let medium = suite
        .meta
        .create_medium(&number.id, "image/jpeg", crate::uploading::jpeg(4_000))
        .await;
    let item = InboundItem {
        username: "ann".to_owned(),
        profile_name: "Ann".to_owned(),
        text: "STOP".to_owned(),
        media: Some(InboundMedia {
            media_id: medium.expect("made").id,
            mime_type: "image/jpeg".to_owned(),
            ..InboundMedia::default()
        }),
        ..inbound("wamid.ANN", "16505551234", USER)
    };
    let item = InboundItem {
        occur_time: Some(prost_types::Timestamp {
            seconds: time::OffsetDateTime::now_utc().unix_timestamp(),
            nanos: 0,
        }),
        ..item
    };
    let result = suite.apply(instance, number, Kind::Inbound(item)).await;
    let file = outeract_domain::FileId::from_slice(&result.file_id)
        .expect("a file")
        .to_string();
    (contact_of(&result), file)
}

async fn rows(suite: &Suite, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(suite.database.admin())
        .await
        .expect("a count")
}

/// Everything that could still name her, or say what was said.
const LEFT: &str = "SELECT (SELECT count(*) FROM messaging.contact) + (SELECT count(*) FROM messaging.identity) + (SELECT count(*) FROM messaging.service_window)
    + (SELECT count(*) FROM messaging.suppression) + (SELECT count(*) FROM messaging.message WHERE sealed <> '') + (SELECT count(*) FROM messaging.ending WHERE wamid_sealed IS NOT NULL)
    + (SELECT count(*) FROM messaging.idempotency WHERE fingerprint <> '') + (SELECT count(*) FROM messaging.file) + (SELECT count(*) FROM messaging.file_fetch)
    + (SELECT count(*) FROM messaging.receipt) + (SELECT count(*) FROM messaging.orphan_status) + (SELECT count(*) FROM messaging.wamid WHERE NOT erased)
    + (SELECT count(*) FROM messaging.erasure WHERE identities IS NOT NULL OR hashes IS NOT NULL)";

#[tokio::test]
async fn nothing_is_left_of_a_user_but_that_they_want_no_marketing_and_the_proof() {
    let suite = Suite::with_strangers(1).await;
    let instance = suite.start().await;
    let number = &suite.numbers[0];
    let people = instance.contacts(&suite.key).await;
    let mut client = instance.client(&suite.key).await;
    let (ann, file) = ann_writes(&suite, &instance).await;
    let sent = client
        .send_message(request(number, ANN))
        .await
        .expect("sent")
        .into_inner();
    suite.reaches(&client, id(&sent), SubmissionState::Accepted).await;
    // One that waits for its time.
    let later = crate::suite::request(number, ANN);
    let later = outeract_proto::messaging::v1::SendMessageRequest {
        send_time: Some(prost_types::Timestamp {
            seconds: time::OffsetDateTime::now_utc().unix_timestamp() + 3_600,
            nanos: 0,
        }),
        wait: outeract_proto::messaging::v1::SendWait::Stored.into(),
        ..later
    };
    let later = id(&client.send_message(later).await.expect("stored").into_inner());
    let stray = StatusItem {
        wamid: "wamid.STRAY".to_owned(),
        callback_data: String::new(),
        ..status_of(&suite.ledger().await[0], "sent")
    };
    assert_eq!(
        suite.status(&instance, number, stray).await.outcome(),
        ItemOutcome::Orphaned
    );
    eventually(SOON, async || suite.siblings.of_type("user.suppressed").len() == 1).await;
    assert!(rows(&suite, LEFT).await > 8);

    let job = erase(&people, by_id(ANN)).await.expect("begun");
    assert_eq!(job.contact_id, ann.to_string());
    let proof = done(&people, &job.id).await;
    assert_eq!(rows(&suite, LEFT).await, 0);
    let expected = [
        ("webhook", "parts", 6),
        ("messaging", "contact", 1),
        ("messaging", "suppression", 1),
        ("messaging", "message", 2),
        ("messaging", "file", 1),
        ("messaging", "service_window", 1),
        ("messaging", "orphan_status", 1),
        ("messaging", "wamid", 1),
        ("messaging", "idempotency", 2),
    ];
    for (service, what, rows) in expected {
        assert_eq!(
            count(&proof, service, what),
            rows,
            "{service} {what}: {:?}",
            proof.counts
        );
    }
    assert!(count(&proof, "messaging", "identity") >= 3 && count(&proof, "tracking", "event") >= 3);
    assert_eq!(proof.passes, 2);
    proof_holds(&suite, &proof).await;

    // It was asked for under every id, and each pass of its own.
    let calls = suite.siblings.state.erased.lock().expect("calls").clone();
    assert!(
        calls
            .iter()
            .all(|call| call.wa_ids.contains(&"16505551234".to_owned()) && call.user_ids.contains(&USER.to_owned()))
    );
    assert!(calls[0].receive_time_to.is_none() && calls[calls.len() - 1].receive_time_to.is_some());

    let message = get(&client, later).await;
    assert_eq!(message.state(), SubmissionState::Canceled);
    assert_eq!(message.error.map(|error| error.reason).as_deref(), Some("ERASED"));
    assert_eq!((message.to_external_id.as_str(), message.content), ("", None));
    let message = get(&client, id(&sent)).await;
    assert_eq!(
        (message.state(), message.external_message_id.as_str()),
        (SubmissionState::Accepted, "")
    );
    let gone = people
        .clone()
        .get_contact(GetContactRequest { id: ann.to_string() })
        .await;
    assert_eq!(gone.expect_err("gone").code(), Code::NotFound);
    let gone = instance
        .files(&suite.key)
        .await
        .get_file(GetFileRequest { id: file })
        .await;
    assert_eq!(gone.expect_err("gone").code(), Code::NotFound);
    what_comes_late_brings_nothing_back(&suite, &instance, &people, ann).await;
}

/// The digest is of what is shown, and the event carries it and names nobody.
async fn proof_holds(suite: &Suite, proof: &Erasure) {
    let micros = |time: &Option<prost_types::Timestamp>| {
        let time = time.as_ref().expect("a time");
        i128::from(time.seconds) * 1_000_000 + i128::from(time.nanos / 1_000)
    };
    let mut text = format!(
        "{}\n{}\n{}\n{}\n{}\n",
        proof.id,
        proof.contact_id,
        micros(&proof.create_time),
        micros(&proof.forget_time),
        micros(&proof.end_time)
    );
    for count in &proof.counts {
        writeln!(text, "{} {} {}", count.service, count.what, count.count).expect("written");
    }
    assert_eq!(proof.digest, hex::encode(Sha256::digest(text.as_bytes())));
    eventually(SOON, async || suite.siblings.of_type("user.erased").len() == 1).await;
    let event = suite.siblings.of_type("user.erased").remove(0).event.expect("an event");
    let Some(Payload::UserErased(payload)) = event.payload else {
        panic!("another payload");
    };
    assert_eq!(
        (payload.erasure_id, payload.digest),
        (proof.id.clone(), proof.digest.clone())
    );
    assert_eq!(payload.platform_user_id, proof.contact_id);
    assert!(event.edges.is_none());
}

/// Statuses of erased messages are dropped; the user is somebody new, who still wants no marketing.
async fn what_comes_late_brings_nothing_back(suite: &Suite, instance: &Instance, people: &People, ann: ContactId) {
    let number = &suite.numbers[0];
    let accepted = suite.ledger().await.remove(0);
    let known = status_of(&accepted, "read");
    let second = StatusItem {
        wamid: "wamid.SECOND".to_owned(),
        ..status_of(&accepted, "delivered")
    };
    for status in [known, second] {
        let result = suite.status(instance, number, status).await;
        assert_eq!((result.outcome(), result.message_id.len()), (ItemOutcome::Erased, 0));
    }
    assert_eq!(rows(suite, LEFT).await, 0, "nothing came of it");
    assert_eq!(look_up(people, ANN).await.expect_err("gone").code(), Code::NotFound);

    let again = suite
        .apply(instance, number, Kind::Inbound(inbound("wamid.AGAIN", "", USER)))
        .await;
    let new = contact_of(&again);
    assert_ne!(new, ann);
    let list = people
        .clone()
        .list_suppressions(ListSuppressionsRequest::default())
        .await;
    let list = list.expect("listed").into_inner().suppressions;
    assert_eq!((list.len(), list[0].contact_id.clone()), (1, new.to_string()));
    assert_eq!(list[0].source(), SuppressionSource::StopWord);
    assert_eq!(
        rows(suite, "SELECT count(*) FROM messaging.suppression_kept").await,
        0,
        "it is not kept twice"
    );
}

#[tokio::test]
async fn asking_again_finds_the_same_job_and_others_find_none() {
    let suite = Suite::with_strangers(2).await;
    let (_, stranger) = suite.tenant(&suite.numbers[1]);
    let instance = suite.start().await;
    let people = instance.contacts(&suite.key).await;
    let others = instance.contacts(&stranger).await;
    let (ann, _) = ann_writes(&suite, &instance).await;
    suite.siblings.state.webhooks_behind.store(true, Ordering::Relaxed);

    let job = erase(&people, by_contact(&ann.to_string())).await.expect("begun");
    assert_eq!(job.state(), ErasureState::Webhooks);
    for request in [by_contact(&ann.to_string()), by_id(ANN), by_id(USER)] {
        assert_eq!(erase(&people, request).await.expect("found").id, job.id);
    }
    // Whoever is not known is looked for in stored webhooks all the same.
    let nobody = erase(&people, by_id("+16505559999")).await.expect("begun");
    assert_eq!((nobody.contact_id.as_str(), nobody.id == job.id), ("", false));
    assert_eq!(
        erase(&people, by_id("+16505559999")).await.expect("found").id,
        nobody.id
    );
    // While webhooks are not looked through the user is not forgotten, or they would bring them back.
    eventually(SOON, async || {
        suite.siblings.state.erased.lock().expect("calls").len() > 4
    })
    .await;
    assert_eq!(look_up(&people, ANN).await.expect("still there").id, ann.to_string());

    let missing = [
        erase(&others, by_contact(&ann.to_string())).await,
        erase(
            &people,
            by_contact(&ContactId::from_uuid(uuid::Uuid::now_v7()).to_string()),
        )
        .await,
        erasure(&others, &job.id).await,
        erasure(&people, &ErasureId::from_uuid(uuid::Uuid::now_v7()).to_string()).await,
    ];
    for answer in missing {
        let status = answer.expect_err("none");
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::NotFound, Some(ErrorReason::NotFound))
        );
    }
    let both = EraseContactRequest {
        contact_id: ann.to_string(),
        external_id: ANN.to_owned(),
    };
    for wrong in [EraseContactRequest::default(), both, by_id("1"), by_contact("pu_1")] {
        let status = erase(&people, wrong).await.expect_err("refused");
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::InvalidArgument, Some(ErrorReason::InvalidField))
        );
    }
    let listed = people
        .clone()
        .list_erasures(ListErasuresRequest {
            page_size: 1,
            ..ListErasuresRequest::default()
        })
        .await;
    let listed = listed.expect("listed").into_inner();
    assert_eq!(listed.erasures[0].id, nobody.id, "the newest first");
    let rest = ListErasuresRequest {
        page_token: listed.next_page_token,
        ..ListErasuresRequest::default()
    };
    let rest = people.clone().list_erasures(rest).await.expect("listed").into_inner();
    assert_eq!(
        (rest.erasures.len(), rest.erasures[0].id.as_str()),
        (1, job.id.as_str())
    );

    suite.siblings.state.webhooks_behind.store(false, Ordering::Relaxed);
    done(&people, &job.id).await;
    let proof = done(&people, &nobody.id).await;
    assert_eq!(count(&proof, "messaging", "contact"), 0);
    // What is over is over: the contact is not known any more, and the next one of this id is somebody new.
    assert_eq!(
        erase(&people, by_contact(&ann.to_string()))
            .await
            .expect_err("gone")
            .code(),
        Code::NotFound
    );
    assert_ne!(erase(&people, by_id(ANN)).await.expect("begun").id, job.id);
}

#[tokio::test]
async fn a_job_goes_on_where_a_killed_process_left_it_and_counts_nothing_twice() {
    let suite = Suite::with_strangers(1).await;
    let instance = suite.start().await;
    let number = &suite.numbers[0];
    let (ann, _) = ann_writes(&suite, &instance).await;
    let mut client = instance.client(&suite.key).await;
    for _ in 0..3 {
        let sent = client.send_message(order(number, "+16505550000")).await;
        drop(sent.expect("another user's"));
        let sent = client
            .send_message(request(number, ANN))
            .await
            .expect("sent")
            .into_inner();
        suite.reaches(&client, id(&sent), SubmissionState::Accepted).await;
    }
    eventually(SOON, async || suite.siblings.of_type("message.accepted").len() == 6).await;
    eventually(SOON, async || {
        rows(&suite, "SELECT count(*) FROM messaging.outbox WHERE kind > 0").await == 0
    })
    .await;
    // Events cannot be looked at: the job stops in the middle.
    suite.siblings.state.tracking_away.store(true, Ordering::Relaxed);
    let people = instance.contacts(&suite.key).await;
    let job = erase(&people, by_contact(&ann.to_string())).await.expect("begun");
    eventually(SOON, async || {
        erasure(&people, &job.id).await.expect("found").state() == ErasureState::Content
    })
    .await;
    let before = erasure(&people, &job.id).await.expect("found");
    assert_eq!(
        (
            count(&before, "messaging", "contact"),
            count(&before, "messaging", "message")
        ),
        (1, 0)
    );
    instance.kill();
    suite.siblings.state.tracking_away.store(false, Ordering::Relaxed);

    let instance = suite.start().await;
    let people = instance.contacts(&suite.key).await;
    let proof = done(&people, &job.id).await;
    assert_eq!(
        (
            count(&proof, "messaging", "contact"),
            count(&proof, "messaging", "message"),
            count(&proof, "messaging", "wamid")
        ),
        (1, 3, 3)
    );
    assert_eq!(
        rows(&suite, "SELECT count(*) FROM messaging.message WHERE sealed <> ''").await,
        3,
        "the other's"
    );
    assert_eq!(rows(&suite, "SELECT count(*) FROM messaging.contact").await, 1);
    eventually(SOON, async || suite.siblings.of_type("user.erased").len() == 1).await;
}
