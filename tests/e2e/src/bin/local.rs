//! What `cargo dev events` and `cargo dev inbound` run against the suite of `cargo dev up`, through the public API and the simulator's control API only.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::env;

use anyhow::{Context, Result, bail};
use outeract_e2e::{Api, Urls};
use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::tracking::v1::stream_events_request::From;
use outeract_proto::tracking::v1::{AcknowledgeEventsRequest, Event, StreamEventsRequest};
use outeract_simulator::control::{Client as Simulator, Inbound};
use serde_json::{Map, Value, json};

/// The consumer's name: a second `cargo dev events` ends the first.
const CONSUMER: &str = "cargo-dev-events";
/// Who writes when nobody else is named: the user of the tour.
const ANN: &str = "+14155559999";
/// A PNG of one pixel.
const PIXEL: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\x0bIDATx\x9cc`\0\x02\0\0\x05\0\x01z^\xab?\0\0\0\0IEND\xaeB`\x82";

#[tokio::main]
async fn main() -> Result<()> {
    let urls = Urls::new(env::vars());
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.split_first() {
        Some((word, [])) if word == "events" => events(&urls).await,
        Some((word, rest)) if word == "inbound" => inbound(&urls, rest).await,
        _ => bail!("start this through `cargo dev events` or `cargo dev inbound`"),
    }
}

/// Everything so far, then what happens, until Ctrl-C.
async fn events(urls: &Urls) -> Result<()> {
    let api = Api::new(urls, urls.get("APPLICATION_KEY")?, urls.get("APPLICATION_ID")?)?;
    let request = StreamEventsRequest {
        consumer: CONSUMER.to_owned(),
        from: Some(From::Beginning(true)),
        ..StreamEventsRequest::default()
    };
    let mut client = api.events.clone();
    let mut stream = client
        .stream_events(request)
        .await
        .context("opening the stream")?
        .into_inner();
    while let Some(message) = stream.message().await? {
        for event in &message.events {
            println!("{}", line(event));
        }
        if message.events.is_empty() {
            continue;
        }
        let acknowledge = AcknowledgeEventsRequest {
            consumer: CONSUMER.to_owned(),
            cursor: message.cursor,
            session: message.session,
        };
        client.acknowledge_events(acknowledge).await?;
    }
    Ok(())
}

/// `12:34:56  message.inbound     evt_…  +14155559999: "hi"`
fn line(event: &Event) -> String {
    let seconds = event
        .occur_time
        .as_ref()
        .map_or(0, |at| at.seconds.rem_euclid(24 * 60 * 60));
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let time = format!("{hours:02}:{minutes:02}:{:02}", seconds % 60);
    format!("{time}  {:<18} {}  {}", event.event_type, event.id, said(event))
}

fn said(event: &Event) -> String {
    match &event.payload {
        Some(Payload::Message(message)) => {
            let edges = event.edges.as_ref();
            let inbound = message.role == "user";
            let party = edges.and_then(|edges| {
                let side = if inbound { &edges.sent_by } else { &edges.sent_to };
                side.as_ref()
            });
            let user = party.map_or("", |party| &party.external_id);
            let arrow = if inbound { "from" } else { "to" };
            let content = match message.content.as_ref().and_then(|content| content.kind.as_ref()) {
                // Escaped, so that nobody's text can steer the terminal.
                Some(Kind::Text(text)) => format!("{:?}", text.body),
                Some(_) => "(no text)".to_owned(),
                None => "(of a kind this release does not know)".to_owned(),
            };
            format!("{arrow} {user}: {content}")
        }
        Some(Payload::Status(status)) => match &status.error {
            Some(error) => format!("of {} ({})", event.origin_event_id, error.reason),
            None => format!("of {}", event.origin_event_id),
        },
        Some(Payload::UserMerged(merged)) => format!("{} is {} now", merged.source_user_id, merged.target_user_id),
        Some(Payload::Suppression(suppression)) => suppression.platform_user_id.clone(),
        Some(Payload::SubscriptionDisabled(disabled)) => format!("{}: {}", disabled.subscription_id, disabled.reason),
        Some(Payload::File(file)) if file.reason.is_empty() => format!("{}: {}", file.file_id, file.mime_type),
        Some(Payload::File(file)) => format!("{}: {}", file.file_id, file.reason),
        Some(Payload::Account(news)) => match &news.template {
            Some(template) => format!("{:?}: {:?}", template.name, news.event),
            None => format!("{}: {:?} {:?}", news.waba_id, news.event, news.current),
        },
        Some(Payload::UserErased(erased)) => erased.erasure_id.clone(),
        None => String::new(),
    }
}

/// `inbound "text" [--from +1415…] [--kind image|location|sticker|unsupported]`
async fn inbound(urls: &Urls, arguments: &[String]) -> Result<()> {
    let (mut text, mut from, mut kind) = (None, ANN.to_owned(), "text".to_owned());
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || {
            rest.next()
                .cloned()
                .with_context(|| format!("{argument} needs a value"))
        };
        match argument.as_str() {
            "--from" => from = value()?,
            "--kind" => kind = value()?,
            _ if text.is_none() && !argument.starts_with("--") => text = Some(argument.clone()),
            _ => bail!(
                "usage: cargo dev inbound \"text\" [--from +14155559999] [--kind text|image|sticker|location|unsupported]"
            ),
        }
    }
    let text = text.unwrap_or_default();
    let simulator = Simulator::new(urls.get("GRAPH_URL")?)?;
    let number = urls.get("PHONE_NUMBER_ID")?;
    let message = message(&simulator, number, &kind, &text).await?;
    if message.is_none() && text.is_empty() {
        bail!("a text message needs a text");
    }
    let new = Inbound {
        phone_number_id: number.to_owned(),
        from: from.clone(),
        text,
        message,
        ..Inbound::default()
    };
    simulator.inbound(&[new]).await.context("asking the simulator")?;
    println!("{from} wrote to the business ({kind}); `cargo dev events` shows what comes of it");
    Ok(())
}

/// Type and content of a message that is no text; a text goes along as caption or name.
async fn message(simulator: &Simulator, number: &str, kind: &str, text: &str) -> Result<Option<Map<String, Value>>> {
    let mut content = match kind {
        "text" => return Ok(None),
        "image" => {
            let id = simulator.create_medium(number, "image/png", PIXEL.to_vec()).await?.id;
            json!({"id": id, "mime_type": "image/png"})
        }
        "sticker" => {
            let webp = b"RIFF\x1a\0\0\0WEBPVP8L\r\0\0\0/\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0".to_vec();
            let id = simulator.create_medium(number, "image/webp", webp).await?.id;
            json!({"id": id, "mime_type": "image/webp", "animated": false})
        }
        "location" => json!({"latitude": 37.4847, "longitude": -122.1483}),
        "unsupported" => json!({"type": "unknown"}),
        _ => bail!("--kind is text, image, sticker, location or unsupported"),
    };
    let field = match kind {
        "image" => "caption",
        "location" => "name",
        _ => "",
    };
    if let Some(fields) = content.as_object_mut()
        && !field.is_empty()
        && !text.is_empty()
    {
        fields.insert(field.to_owned(), text.into());
    }
    Ok(Some(Map::from_iter([
        ("type".to_owned(), kind.into()),
        (kind.to_owned(), content),
    ])))
}
