//! Secrets, bodies and phone numbers appear nowhere they must not: logs of every process and the whole database are searched for planted ones.

use std::fs;
use std::process::Command;
use std::time::Duration;

use outeract_dev::PostgresPrograms;
use outeract_e2e::{Options, World, text_message};
use outeract_proto::messaging::v1::SendWait;
use outeract_simulator::control::{Inbound, NewWorld, RawPost};
use outeract_testkit::eventually;

const ANN: &str = "+14155550137";

#[tokio::test(flavor = "multi_thread")]
async fn planted_canaries_are_found_nowhere() {
    let settings = outeract_dev::Service::ALL
        .map(|service| (service, "OUTERACT_LOG", "trace".to_owned()))
        .to_vec();
    let mut world = World::start("canaries", &Options { settings }).expect("a world");
    let (api, meta, connections) = world
        .connected("Canaries", &NewWorld::default())
        .await
        .expect("a connection");
    let number = &meta.wabas[0].numbers[0];
    let inbound = Inbound {
        phone_number_id: number.phone_number_id.clone(),
        from: ANN.to_owned(),
        text: "canary-inbound-7Q2".to_owned(),
        name: Some("canary-name-4M8".to_owned()),
        ..Inbound::default()
    };
    let inbound = world.simulator.inbound(&[inbound]).await.expect("injected").remove(0);
    // Her webhook is still on its way.
    world.users_have_written([ANN.to_owned()]).await.expect("written");
    let mut request = text_message("canary-key", &connections[0], ANN, "canary-outbound-9X1");
    request.wait = SendWait::Outcome.into();
    let sent = api
        .messaging
        .clone()
        .send_message(request)
        .await
        .expect("stored")
        .into_inner();
    let wamid = sent.status.expect("a status").external_message_id;
    for broken in ["{ canary-broken-5T6", r#"{"object":"canary-broken-5T6"}"#] {
        let post = RawPost {
            body: Some(broken.to_owned()),
            ..RawPost::default()
        };
        world.simulator.post(&post).await.expect("posted");
    }
    let request = outeract_proto::tracking::v1::GetEventRequest { id: sent.id.clone() };
    eventually(Duration::from_secs(30), async || {
        let found = api
            .events
            .clone()
            .get_event(request.clone())
            .await
            .expect("found")
            .into_inner();
        found
            .child_events
            .iter()
            .any(|child| child.event_type == "message.read")
    })
    .await;

    let digits = ANN.trim_start_matches('+');
    let secrets = [
        ("token", meta.wabas[0].token.as_str()),
        ("app secret", world.urls.get("APP_SECRET").expect("set")),
        ("verify token", world.urls.get("VERIFY_TOKEN").expect("set")),
        ("application key", api.key.as_str()),
        ("operator key", world.urls.get("OPERATOR_KEY").expect("set")),
        ("inbound text", "canary-inbound-7Q2"),
        ("outbound text", "canary-outbound-9X1"),
        ("name", "canary-name-4M8"),
        ("broken body", "canary-broken-5T6"),
        ("idempotency key", "canary-key"),
        ("wamid", wamid.as_str()),
        ("inbound wamid", inbound.wamid.as_str()),
    ];
    let dump = PostgresPrograms::find().expect("Postgres").directory().join("pg_dump");
    let dump = Command::new(dump)
        .args(["--inserts", &world.database_url()])
        .output()
        .expect("a dump");
    assert!(dump.status.success());
    let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
    assert!(dump.contains("messaging.identity"), "the dump is whole");
    let logs: Vec<_> = world
        .suite
        .replicas()
        .iter()
        .map(|replica| {
            (
                replica.name().to_owned(),
                fs::read_to_string(replica.log()).expect("a log"),
            )
        })
        .collect();
    assert!(
        logs.iter().all(|(_, log)| log.lines().count() > 1),
        "the logs are there"
    );

    let mut faults = Vec::new();
    for (what, secret) in secrets {
        // Bytes of a text column, and of a bytea column.
        let hex = hex::encode(secret);
        if dump.contains(secret) || dump.contains(&hex) {
            faults.push(format!("{what} stands in the database"));
        }
        faults.extend(
            logs.iter()
                .filter(|(_, log)| log.contains(secret))
                .map(|(name, _)| format!("{what} stands in the log of {name}")),
        );
    }
    // The number may stand in clear in one table only.
    let elsewhere = dump
        .lines()
        .filter(|line| line.contains(digits) && !line.contains("messaging.identity"));
    faults.extend(elsewhere.map(|line| format!("the user's number stands in {}", &line[..line.len().min(60)])));
    faults.extend(
        logs.iter()
            .filter(|(_, log)| log.contains(digits))
            .map(|(name, _)| format!("the user's number stands in the log of {name}")),
    );
    assert!(faults.is_empty(), "{faults:#?}");
}
