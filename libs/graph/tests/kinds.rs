//! Every kind of content against the simulator, whose rules were written from Meta's pages by themselves: it finds no fault in the form of what we write.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "what is not as expected fails the test"
)]
#![expect(dead_code, reason = "what several tests share is not used whole by each")]

mod golden;
mod support;

use std::collections::{BTreeMap, HashMap};

use outeract_domain::{Content, FileId, PhoneNumberId};
use outeract_egress::{Client as Http, Config as HttpConfig};
use outeract_events::content;
use outeract_events::sample::Sampler;
use outeract_graph::{Client, GraphError, Outcome, Token, wire};
use outeract_seal::Secret;
use outeract_simulator::control::NewWorld;
use outeract_simulator::{Config, Handle, Simulator, StatusDelays, Switches};
use support::{USER, number};

const SEED: u64 = 7;
const CONTENTS: usize = 1_500;

struct Stage {
    _meta: Handle,
    client: Client,
    token: Token,
    number: PhoneNumberId,
}

// === impl Stage ===

impl Stage {
    /// A number that may send whatever is well formed, whenever.
    async fn new() -> Self {
        let config = Config {
            statuses: StatusDelays::NONE,
            ..Config::default()
        };
        let secret = Secret::from(config.app_secret.as_str());
        let meta = Simulator::start(config).await.expect("starts");
        let control = meta.client().expect("control");
        let world = control.create_world(&NewWorld::default()).await.expect("world");
        control.set_switches(Switches::OFF).await.expect("off");
        Self {
            client: Client::new(Http::new(&HttpConfig::default()).expect("client"), &meta.url(), "v25.0"),
            token: Token::with_app_secret(Secret::from(world.token.as_str()), &secret),
            number: number(&world.wabas[0].numbers[0].phone_number_id),
            _meta: meta,
        }
    }

    /// Sends a message; the error is what is wrong with its form.
    async fn send(&self, message: &wire::Message<'_>) -> Result<(), GraphError> {
        match self
            .client
            .send_message(&self.token, &self.number, message.to_json())
            .await
        {
            Outcome::Accepted { .. } => Ok(()),
            Outcome::Rejected(error) if is_about_the_world(&error) => Ok(()),
            Outcome::Rejected(error) => Err(error),
            outcome => panic!("{outcome:?}"),
        }
    }
}

/// The form is well, but there is no such template, medium or user.
fn is_about_the_world(error: &GraphError) -> bool {
    let medium = error.code == 131_009 && error.details.ends_with("media attachment ID");
    matches!(error.code, 131_026 | 132_000 | 132_001 | 132_012) || medium
}

#[tokio::test]
async fn golden_requests_are_well_formed() {
    let stage = Stage::new().await;
    for pair in golden::pairs() {
        let message = wire::Message::new(&pair.to, &pair.content, pair.reply_to.as_ref(), "evt_1.1");
        let sent = stage.send(&message.expect("it has no files")).await;
        assert!(sent.is_ok(), "{}: {}", pair.name, sent.expect_err("refused").details);
    }
}

#[tokio::test]
async fn random_contents_that_we_accept_are_well_formed() {
    let stage = Stage::new().await;
    let mut sampler = Sampler::any(SEED);
    let to = USER.parse().expect("a recipient");
    let (mut kinds, mut faults) = (BTreeMap::<_, usize>::new(), Vec::new());
    for _ in 0..CONTENTS {
        let Ok(content) = content::from_proto(Some(sampler.content())) else {
            continue;
        };
        let content = with_files(&content);
        let message = wire::Message::new(&to, &content, None, "evt_1.1").expect("it has no files any more");
        *kinds.entry(content.kind()).or_default() += 1;
        if let Err(error) = stage.send(&message).await {
            faults.push(format!("{}: {} {}", content.kind(), error.code, error.details));
        }
    }
    assert_eq!(faults, Vec::<String>::new());
    assert!(
        kinds.len() == 11 && kinds.values().all(|count| *count > 20),
        "{kinds:?}"
    );
}

fn with_files(content: &Content) -> Content {
    let media: HashMap<FileId, String> = content
        .file_ids()
        .into_iter()
        .map(|file| (file, "1".to_owned()))
        .collect();
    content.with_media(&media).expect("every file has an id")
}
