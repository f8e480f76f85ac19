//! What we write the simulator takes: two readings of Meta's pages that know nothing of each other, held against each other.

#![expect(clippy::expect_used, reason = "what is not as expected fails the test")]
#![expect(dead_code, reason = "what several tests share is not used whole by each")]

mod golden;
mod support;

use std::collections::{BTreeMap, HashMap};

use outeract_domain::{Content, FileId};
use outeract_egress::{Client as Http, Config as HttpConfig};
use outeract_events::content;
use outeract_events::sample::Sampler;
use outeract_graph::{CallError, Client, Token, wire};
use outeract_seal::Secret;
use outeract_simulator::control::{Inbound, NewWorld};
use outeract_simulator::{Config, Handle, Simulator, StatusDelays, Switches};
use serde_json::{Map, Value};
use support::USER;

const SEED: u64 = 2027;
const CONTENTS: usize = 4_000;

struct Stage {
    _meta: Handle,
    client: Client,
    token: Token,
    messages: String,
    /// Uploaded media by the word of the messages that use them.
    media: Map<String, Value>,
}

impl Stage {
    async fn new() -> Self {
        let config = Config {
            statuses: StatusDelays::NONE,
            ..Config::default()
        };
        let secret = Secret::from(config.app_secret.as_str());
        let meta = Simulator::start(config).await.expect("starts");
        let control = meta.client().expect("control");
        let world = control.create_world(&NewWorld::default()).await.expect("world");
        let number = &world.wabas[0].numbers[0].phone_number_id;
        control.set_switches(Switches::OFF).await.expect("off");
        let mut media = Map::new();
        for (kind, mime, bytes) in [
            ("image", "image/jpeg", &b"\xff\xd8\xff"[..]),
            ("audio", "audio/ogg", b"OggS"),
            ("video", "video/mp4", b"\0\0\0\x18ftyp"),
            ("document", "application/pdf", b"%PDF"),
            ("sticker", "image/webp", b"RIFF\0\0\0\0WEBPVP8 "),
        ] {
            let made = control.create_medium(number, mime, bytes.to_vec()).await.expect("made");
            media.insert(kind.to_owned(), Value::from(made.id));
        }
        for pair in golden::pairs() {
            let user_id = pair.expected["recipient"].as_str().map(str::to_owned);
            let from = if user_id.is_some() { "" } else { USER };
            let message = Inbound {
                phone_number_id: number.clone(),
                from: from.to_owned(),
                user_id,
                ..Inbound::default()
            };
            control.inbound(&[message]).await.expect("injected");
        }
        let http = Http::new(&HttpConfig::default()).expect("client");
        Self {
            client: Client::new(http, &meta.url(), "v25.0"),
            token: Token::with_app_secret(Secret::from(world.token.as_str()), &secret),
            messages: format!("{number}/messages"),
            media,
            _meta: meta,
        }
    }

    /// What is wrong with the message, unless it is taken or lacks no more than its template.
    async fn fault(&self, mut body: Value) -> Option<String> {
        self.put_media(&mut body);
        if let Some(name) = body.pointer_mut("/template/name") {
            *name = Value::from("of_no_account");
        }
        let bytes = serde_json::to_vec(&body).expect("JSON");
        match self.client.post(&self.token, &self.messages, &[], bytes).await {
            Ok(_) => None,
            Err(CallError::Refused(error)) if error.code == 132_001 && body["type"] == "template" => None,
            Err(CallError::Refused(error)) => Some(format!("{} {}\n{body:#}", error.code, error.details)),
            Err(error) => Some(format!("{error:?}")),
        }
    }

    /// Puts ids of real media in the place of those that stand there.
    fn put_media(&self, value: &mut Value) {
        match value {
            Value::Array(elements) => elements.iter_mut().for_each(|element| self.put_media(element)),
            Value::Object(object) => {
                for (key, value) in object {
                    if let (Some(id), Some(place)) = (self.media.get(key), value.pointer_mut("/id")) {
                        *place = id.clone();
                    }
                    self.put_media(value);
                }
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn every_golden_message_is_taken() {
    let stage = Stage::new().await;
    for pair in golden::pairs() {
        let fault = stage.fault(pair.expected.clone()).await;
        assert_eq!(fault, None, "{}", pair.name);
    }
}

#[tokio::test]
async fn random_contents_that_we_accept_are_taken() {
    let stage = Stage::new().await;
    let mut sampler = Sampler::any(SEED);
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..CONTENTS {
        let Ok(content) = content::from_proto(Some(sampler.content())) else {
            continue;
        };
        *kinds.entry(content.kind()).or_default() += 1;
        assert_eq!(stage.fault(written(&content)).await, None);
    }
    assert!(kinds.len() == 11 && kinds.values().sum::<usize>() > 1_000, "{kinds:?}");
}

/// The content as Meta reads it, with ids for its files.
fn written(content: &Content) -> Value {
    let media: HashMap<FileId, String> = content
        .file_ids()
        .into_iter()
        .map(|file| (file, "1".to_owned()))
        .collect();
    let content = content.with_media(&media).expect("every file has an id");
    let to = USER.parse().expect("a recipient");
    let message = wire::Message::new(&to, &content, None, "evt_1.1").expect("it has no files any more");
    serde_json::from_slice(&message.to_json()).expect("JSON")
}
