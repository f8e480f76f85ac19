//! The tour of `cargo dev up`: one message's life as a stranger sees it, through the public API only.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use outeract_e2e::{Admin, Api, Urls, text_message};
use outeract_proto::messaging::v1::SendWait;
use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::tracking::v1::{DeliveryState, Event, GetEventRequest, StreamEventsRequest};
use outeract_simulator::control::{Client as Simulator, Inbound, NewWorld, Tier};
use tokio_stream::StreamExt as _;
use tonic::Streaming;

/// A user of the simulated WhatsApp.
const ANN: &str = "+14155559999";

#[tokio::main]
async fn main() -> Result<()> {
    let urls = Urls::new(env::vars());
    let simulator = Simulator::new(urls.get("GRAPH_URL")?)?;
    let admin = Admin::new(&urls)?;

    step(1, "An operator creates an application and a key for it");
    let api = admin
        .create_application("Tour")
        .await
        .context("creating an application")?;
    say(&format!("{} with the scopes *", api.application_id));

    step(
        2,
        "The application connects a WhatsApp Business account with a system user's token",
    );
    let meta = simulator
        .create_world(&NewWorld {
            tier: Tier::Unlimited,
            ..NewWorld::default()
        })
        .await?;
    let waba = meta.wabas.first().context("the simulator made no account")?;
    let connections = api
        .connect(&waba.token, &waba.waba_id)
        .await
        .context("connecting the account")?;
    let connection = connections.first().context("the account has no number")?;
    say(&format!(
        "{} for the business number {}",
        connection.id, connection.display_phone_number
    ));

    let number = waba.numbers.first().context("the account has no number")?;
    leave(&urls, &api, &connection.id, &number.phone_number_id)?;

    step(3, "The application follows its events");
    let request = StreamEventsRequest {
        consumer: "tour".to_owned(),
        ..StreamEventsRequest::default()
    };
    let mut stream = api
        .events
        .clone()
        .stream_events(request)
        .await
        .context("opening the stream")?
        .into_inner();

    step(
        4,
        "Ann writes \"hi\" to the business; Meta delivers it by a signed webhook",
    );
    let hi = Inbound {
        phone_number_id: number.phone_number_id.clone(),
        from: ANN.to_owned(),
        text: "hi".to_owned(),
        name: Some("Ann".to_owned()),
        ..Inbound::default()
    };
    simulator.inbound(&[hi]).await?;
    follow(&mut stream, "message.inbound").await?;

    step(
        5,
        "The application replies: inside Ann's 24-hour window, so plain text is allowed",
    );
    let mut reply = text_message("tour-reply-1", &connection.id, ANN, "Hello Ann! How can we help?");
    reply.wait = SendWait::Outcome.into();
    let sent = api
        .messaging
        .clone()
        .send_message(reply.clone())
        .await
        .context("sending")?
        .into_inner();
    let status = sent.status.clone().unwrap_or_default();
    say(&format!(
        "{} → {} (success: {})",
        sent.id,
        status.state().as_str_name(),
        status.success
    ));
    let again = api.messaging.clone().send_message(reply).await?.into_inner();
    say(&format!(
        "the same request again → the same {} (replayed: {}), nothing is sent twice",
        again.id, again.replayed
    ));

    step(6, "Meta reports what becomes of it");
    follow(&mut stream, "message.read").await?;

    step(7, "The application asks for the message and all that happened to it");
    show(&api, &sent.id).await?;

    goodbye(&urls, &api, &connection.id)
}

async fn follow(stream: &mut Streaming<outeract_proto::tracking::v1::StreamEventsResponse>, until: &str) -> Result<()> {
    let wait = Duration::from_secs(20);
    loop {
        let next = tokio::time::timeout(wait, stream.next()).await;
        let Ok(Some(batch)) = next else {
            bail!("no {until} came within {wait:?}")
        };
        for event in batch?.events {
            say(&format!("event {:<18} {}", event.event_type, said(&event)));
            if event.event_type == until {
                return Ok(());
            }
        }
    }
}

fn said(event: &Event) -> String {
    match &event.payload {
        Some(Payload::Message(message)) => {
            let from = event
                .edges
                .as_ref()
                .and_then(|edges| edges.sent_by.as_ref())
                .map_or("", |party| &party.external_id);
            let kind = message.content.as_ref().and_then(|content| content.kind.as_ref());
            let text = match kind {
                Some(Kind::Text(text)) => &text.body,
                _ => "",
            };
            format!("{} from {from}: \"{text}\"", message.role)
        }
        Some(Payload::Status(status)) => format!("of {} ({})", event.origin_event_id, status.status),
        _ => String::new(),
    }
}

async fn show(api: &Api, id: &str) -> Result<()> {
    let found = api
        .events
        .clone()
        .get_event(GetEventRequest { id: id.to_owned() })
        .await?
        .into_inner();
    let event = found.event.context("the event is there")?;
    say(&format!("{} {}", event.id, event.event_type));
    for child in &found.child_events {
        say(&format!("  └ {}", child.event_type));
    }
    let delivery = found
        .delivery
        .map_or(DeliveryState::Unspecified, |delivery| delivery.state());
    say(&format!("in one word: {}", delivery.as_str_name()));
    Ok(())
}

/// For `cargo dev events` and `cargo dev inbound`. It holds a key, so it is ours only.
fn leave(urls: &Urls, api: &Api, connection_id: &str, phone_number_id: &str) -> Result<()> {
    let text = format!(
        "SUITE_APPLICATION_KEY='{}'\nSUITE_APPLICATION_ID='{}'\nSUITE_CONNECTION_ID='{connection_id}'\nSUITE_PHONE_NUMBER_ID='{phone_number_id}'\n",
        api.key, api.application_id
    );
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true).mode(0o600);
    options
        .open(urls.get("TOUR_FILE")?)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .context("writing what the tour made")
}

fn goodbye(urls: &Urls, api: &Api, connection_id: &str) -> Result<()> {
    println!("\nEverything above was real but Meta: four services, Postgres, Redis, sockets. Go on with:\n");
    println!("  application key   {}", api.key);
    println!("  connection        {connection_id}");
    println!("  recipient         {ANN} (Ann's window is open)");
    for (what, name) in [
        ("messaging (gRPC)", "MESSAGING_URL"),
        ("tracking (gRPC)", "TRACKING_URL"),
        ("connection (gRPC)", "CONNECTION_URL"),
        ("webhook (gRPC)", "WEBHOOK_URL"),
        ("webhook (Meta)", "WEBHOOK_EDGE_URL"),
        ("simulator", "GRAPH_URL"),
    ] {
        println!("  {what:<17} {}", urls.get(name)?);
    }
    let data = serde_json::json!({
        "idempotency_key": "my-first-message", "connection_id": connection_id, "to_external_id": ANN,
        "content": {"text": {"body": "Hello from buf curl"}},
    });
    println!(
        "\n  buf curl --http2-prior-knowledge --protocol grpc --reflect-header \"authorization: Bearer {}\" \\",
        api.key
    );
    println!("    --header \"authorization: Bearer {}\" -d '{data}' \\", api.key);
    println!(
        "    {}/outeract.messaging.v1.MessagingService/SendMessage\n",
        urls.get("MESSAGING_URL")?
    );
    Ok(())
}

fn step(number: u8, what: &str) {
    println!("\n{number}. {what}");
}

fn say(what: &str) {
    println!("   {what}");
}
