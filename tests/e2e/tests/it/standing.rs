//! An account that Meta bans: its messages wait, and go out when it is reinstated.

use std::time::Duration;

use outeract_e2e::{Api, Options, World, text_message};
use outeract_proto::connection::v1::{Connection, ConnectionState, GetConnectionRequest};
use outeract_proto::messaging::v1::{GetMessageRequest, Message, SubmissionState};
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::tracking::v1::{Event, ListEventsRequest};
use outeract_simulator::control::{AccountChange, Inbound, NewWorld};
use outeract_testkit::eventually;

const ANN: &str = "+14155559999";
const SOON: Duration = Duration::from_mins(1);

async fn connection(api: &Api, id: &str) -> Connection {
    let request = GetConnectionRequest { id: id.to_owned() };
    let found = api.connections.clone().get_connection(request).await;
    found.expect("found").into_inner().connection.expect("a connection")
}

async fn message(api: &Api, id: &str) -> Message {
    let request = GetMessageRequest { id: id.to_owned() };
    let found = api.messaging.clone().get_message(request).await;
    found.expect("found").into_inner().message.expect("a message")
}

async fn events(api: &Api, event_type: &str) -> Vec<Event> {
    let request = ListEventsRequest {
        event_types: vec![event_type.to_owned()],
        ..ListEventsRequest::default()
    };
    let listed = api.events.clone().list_events(request).await;
    listed.expect("listed").into_inner().events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banned_account_sends_nothing_until_it_is_reinstated() {
    let world = World::start("standing", &Options::default()).expect("a world");
    let (api, meta, connections) = world
        .connected("Standing", &NewWorld::default())
        .await
        .expect("a connection");
    let waba = &meta.wabas[0];
    let hi = Inbound {
        phone_number_id: waba.numbers[0].phone_number_id.clone(),
        from: ANN.to_owned(),
        text: "hi".to_owned(),
        ..Inbound::default()
    };
    world.simulator.inbound(&[hi]).await.expect("injected");
    eventually(SOON, async || !events(&api, "message.inbound").await.is_empty()).await;

    world
        .simulator
        .change_account(&waba.waba_id, &AccountChange::Banned)
        .await
        .expect("banned");
    eventually(SOON, async || {
        connection(&api, &connections[0]).await.state() == ConnectionState::Restricted
    })
    .await;
    assert_eq!(connection(&api, &connections[0]).await.state_reason, "DISABLE");
    eventually(SOON, async || !events(&api, "account.updated").await.is_empty()).await;
    let told = events(&api, "account.updated").await.remove(0);
    let Some(Payload::Account(account)) = told.payload else {
        panic!("an account's payload");
    };
    assert_eq!(account.ban_state, "DISABLE");

    let sent = api
        .messaging
        .clone()
        .send_message(text_message("one", &connections[0], ANN, "hello"))
        .await;
    let id = sent.expect("stored").into_inner().id;
    eventually(SOON, async || {
        let reasons = message(&api, &id).await.obstacles;
        reasons
            .iter()
            .any(|obstacle| obstacle.reason == "CONNECTION_NOT_ACTIVE")
    })
    .await;
    let waiting = message(&api, &id).await;
    assert_eq!((waiting.state(), waiting.attempt), (SubmissionState::Queued, 0));
    let stats = world.simulator.stats().await.expect("stats");
    assert_eq!(stats.refused.get(&131_031), None, "no send reached Meta");
    assert_eq!(world.simulator.summary().await.expect("a summary").accepted, 0);

    world
        .simulator
        .change_account(&waba.waba_id, &AccountChange::Reinstated)
        .await
        .expect("reinstated");
    eventually(SOON, async || {
        message(&api, &id).await.state() == SubmissionState::Accepted
    })
    .await;
    let shown = connection(&api, &connections[0]).await;
    assert_eq!(
        (shown.state(), shown.ban_state.as_str()),
        (ConnectionState::Active, "REINSTATE")
    );
    assert_eq!(message(&api, &id).await.attempt, 1);

    // The business removes the app.
    let removed = AccountChange::Linked {
        event: "PARTNER_REMOVED".to_owned(),
    };
    world
        .simulator
        .change_account(&waba.waba_id, &removed)
        .await
        .expect("removed");
    eventually(SOON, async || {
        connection(&api, &connections[0]).await.state() == ConnectionState::Disconnected
    })
    .await;
    assert_eq!(events(&api, "connection.account_updated").await.len(), 1);
    let refused = api
        .messaging
        .clone()
        .send_message(text_message("two", &connections[0], ANN, "hello"))
        .await;
    assert_eq!(
        outeract_e2e::reason(&refused.expect_err("ended")),
        "CONNECTION_NOT_ACTIVE"
    );
}
