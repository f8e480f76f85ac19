//! A user erased from the log: what events say goes, and no reader meets a gap.

use outeract_domain::ContactId;
use outeract_proto::tracking::internal::v1::{
    EraseUserRequest, EraseUserResponse, ListUserMessagesRequest, RecordResult,
};
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::tracking::v1::{DeliveryOutcome, DeliveryState, GetEventRequest, ListEventsRequest};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::ServiceCredential;
use outeract_testkit::eventually;
use prost::Message as _;
use tonic::Code;
use uuid::Uuid;

use crate::hooks::{create, deliveries, started};
use crate::receiver::{Answer, Receiver};
use crate::suite::{App, Instance, Internal, LONG, SECRET, event_ids, ids, list_all, new_message, now, refusal};

/// Whom the suite's events are about.
const ANN: Uuid = Uuid::from_u128(7);
const ERASURE: Uuid = Uuid::from_u128(0xe5);

fn messaging(instance: &Instance) -> Internal {
    let credential = ServiceCredential::new("messaging", SECRET).unwrap();
    let channel = outeract_rpc::Channel::new(&format!("http://{}", instance.internal), credential).unwrap();
    Internal::new(channel)
}

fn page(app: &App, after: i64) -> EraseUserRequest {
    EraseUserRequest {
        application_id: app.id.bytes(),
        erasure_id: ERASURE.as_bytes().to_vec(),
        contact_id: ANN.as_bytes().to_vec(),
        after,
    }
}

/// Every page, as messaging asks for them. Gives the last answer and how many calls it took.
async fn erase(instance: &Instance, app: &App) -> (EraseUserResponse, usize) {
    let mut client = messaging(instance);
    let mut after = 0;
    for calls in 1.. {
        let answer = client.erase_user(page(app, after)).await.unwrap().into_inner();
        if answer.done {
            return (answer, calls);
        }
        after = answer.next;
    }
    unreachable!("it ends")
}

#[tokio::test]
async fn what_a_users_events_say_goes_and_rows_times_and_states_stay() {
    let (suite, instance) = started().await;
    let (app, other) = (suite.app(), suite.app());
    let mut hooks = instance.hooks(&app).await;
    let receiver = Receiver::new(Answer::Status(200)).await;
    let subscription = create(&mut hooks, &receiver.url()).await;
    let message = new_message();
    let mut records: Vec<_> = (0..25).map(|n| app.inbound(n)).collect();
    records.extend([app.outbound(message), app.accepted(message)]);
    records.extend(["sent", "delivered"].map(|word| app.status(message, word, now())));
    // Somebody else's, of the same application.
    let mut bobs = app.inbound(99);
    let edges = bobs.event.as_mut().unwrap().edges.as_mut().unwrap();
    edges.sent_by.as_mut().unwrap().platform_user_id = ContactId::from_uuid(Uuid::from_u128(8)).to_string();
    records.push(bobs);
    instance.record(records.clone()).await;
    instance.record(vec![other.inbound(1)]).await;
    let mut events = instance.events(&app).await;
    let before = list_all(&mut events, ListEventsRequest::default()).await;
    let told =
        async |hooks: &mut crate::suite::Hooks| deliveries(hooks, &subscription.id, DeliveryOutcome::Succeeded).await;
    eventually(LONG, async || {
        told(&mut instance.hooks(&app).await).await.len() == records.len()
    })
    .await;
    let answered = |found: &[outeract_proto::tracking::v1::WebhookDelivery]| {
        let attempts = found.iter().flat_map(|delivery| &delivery.attempts);
        attempts.filter(|attempt| !attempt.response_excerpt.is_empty()).count()
    };
    assert_eq!(answered(&told(&mut hooks).await), records.len());

    let request = ListUserMessagesRequest {
        application_id: app.id.bytes(),
        contact_id: ANN.as_bytes().to_vec(),
        after: 0,
    };
    let listed = messaging(&instance)
        .list_user_messages(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!((listed.message_ids, listed.next), (vec![message.bytes()], 0));
    let (sum, calls) = erase(&instance, &app).await;
    assert_eq!((sum.events, sum.deliveries, calls), (29, 29, 2));
    // Again, as after a death: the same sum.
    assert_eq!(erase(&instance, &app).await.0, sum);

    let after = list_all(&mut events, ListEventsRequest::default()).await;
    assert_eq!(event_ids(&after), ids(&records), "no gap");
    for (was, is) in before.iter().zip(&after) {
        assert_eq!(
            (&was.cursor, &was.event_type, was.occur_time),
            (&is.cursor, &is.event_type, is.occur_time)
        );
        let said = |text: &str| {
            is.encode_to_vec()
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        let secret = ["Hello", "Ada", "4155559999", "4155551234", "wamid."]
            .into_iter()
            .any(said);
        assert_eq!(
            (is.erased, secret),
            if is.id == ids(&records[29..])[0] {
                (false, true)
            } else {
                (true, false)
            }
        );
    }
    assert_eq!(answered(&told(&mut hooks).await), 1, "Bob's");
    let family = events
        .get_event(GetEventRequest {
            id: message.to_string(),
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        family.delivery.unwrap().state(),
        DeliveryState::Delivered,
        "what became of it is still told"
    );
    let foreign = list_all(&mut instance.events(&other).await, ListEventsRequest::default()).await;
    assert!(matches!(&foreign[0].payload, Some(Payload::Message(message)) if message.content.is_some()));
    // The same webhook once more brings nothing back.
    let again = instance.results(records[..1].to_vec()).await;
    assert_eq!(again, [RecordResult::Duplicate]);
    assert!(list_all(&mut events, ListEventsRequest::default()).await[0].erased);
}

#[tokio::test]
async fn a_message_with_very_many_children_is_erased_to_the_last() {
    let (suite, instance) = started().await;
    let app = suite.app();
    let message = new_message();
    let mut records = vec![app.outbound(message)];
    records.extend((0..450).map(|n| app.status(message, &format!("step{n}"), now())));
    instance.record(records).await;
    let (sum, calls) = erase(&instance, &app).await;
    assert_eq!(sum.events, 451);
    assert!(calls >= 3, "{calls}");
    let family = instance
        .events(&app)
        .await
        .get_event(GetEventRequest {
            id: message.to_string(),
        })
        .await;
    assert!(
        family
            .unwrap()
            .into_inner()
            .child_events
            .iter()
            .all(|child| child.erased)
    );
}

#[tokio::test]
async fn only_messaging_erases_and_bad_requests_name_their_field() {
    let (suite, instance) = started().await;
    let app = suite.app();
    let refused = refusal(instance.internal().erase_user(page(&app, 0)).await);
    assert_eq!(refused, (Code::PermissionDenied, Some(ErrorReason::ScopeMissing)));
    let bad: [fn(&mut EraseUserRequest); 3] = [
        |request| request.application_id.clear(),
        |request| request.erasure_id.truncate(15),
        |request| request.contact_id = vec![0; 16],
    ];
    for change in bad {
        let mut request = page(&app, 0);
        change(&mut request);
        let refused = refusal(messaging(&instance).erase_user(request).await);
        assert_eq!(refused, (Code::InvalidArgument, Some(ErrorReason::InvalidField)));
    }
    // Nobody is known by this id: it is done with nothing.
    let (sum, calls) = erase(&instance, &app).await;
    assert_eq!((sum.events, sum.deliveries, calls), (0, 0, 1));
}
