//! 10,000 random contents around Meta's limits: what we accept Meta's file accepts, and what Meta refuses we refuse, with the place of each fault.

#![expect(clippy::expect_used, reason = "what is not as expected fails the test")]
#![expect(dead_code, reason = "what several tests share is not used whole by each")]

mod oracle;
mod schema;

use std::collections::{BTreeMap, HashMap};

use outeract_domain::{Content, FileId, Violation};
use outeract_events::content;
use outeract_events::sample::Sampler;
use outeract_graph::wire;
use outeract_proto::messaging::v1::MessageContent;
use schema::{Schemas, schemas};
use serde_json::Value;

const SEED: u64 = 2026;
const CONTENTS: usize = 10_000;

/// What became of the contents.
#[derive(Debug, Default)]
struct Tally {
    accepted: usize,
    refused: usize,
    refused_by_meta: BTreeMap<&'static str, usize>,
}

// === impl Tally ===

impl Tally {
    fn count(&mut self, given: &MessageContent, checked: Result<Content, Vec<Violation>>, schemas: Option<&Schemas>) {
        let refusal = oracle::refusal(given);
        match checked {
            Ok(content) => {
                self.accepted += 1;
                assert_eq!(refusal, None, "Meta refuses what we accept: {given:?}");
                let body = written(&content);
                if let Some(schemas) = schemas {
                    schemas.hold_message(&body, content.kind());
                }
            }
            Err(violations) => {
                self.refused += 1;
                *self.refused_by_meta.entry(refusal.unwrap_or("")).or_default() += 1;
                let told = |violation: &Violation| !violation.path.is_empty() && !violation.description.is_empty();
                assert!(!violations.is_empty() && violations.iter().all(told), "{violations:?}");
            }
        }
    }
}

/// The content as Meta reads it, with ids for its files.
fn written(content: &Content) -> Value {
    let media: HashMap<FileId, String> = content
        .file_ids()
        .into_iter()
        .map(|file| (file, "1".to_owned()))
        .collect();
    let content = content.with_media(&media).expect("every file has an id");
    let to = "+16505551234".parse().expect("a recipient");
    let message = wire::Message::new(&to, &content, None, "evt_1.1").expect("it has no files any more");
    serde_json::from_slice(&message.to_json()).expect("JSON")
}

#[test]
fn what_we_accept_meta_accepts_and_what_meta_refuses_we_refuse() {
    let schemas = schemas();
    let mut sampler = Sampler::any(SEED);
    let mut tally = Tally::default();
    for _ in 0..CONTENTS {
        let given = sampler.content();
        tally.count(&given, content::from_proto(Some(given.clone())), schemas.as_ref());
    }
    assert!(tally.accepted > 3_000 && tally.refused > 3_000, "{tally:?}");
    // Few are refused for what only we forbid, and nearly every reason of Meta's occurs.
    let ours = tally.refused_by_meta.get("").copied().unwrap_or_default();
    assert!(
        ours * 2 < tally.refused && tally.refused_by_meta.len() > 50,
        "{tally:?}"
    );
}

#[test]
fn what_keeps_every_limit_is_accepted() {
    let schemas = schemas();
    let mut sampler = Sampler::valid(SEED);
    let mut tally = Tally::default();
    for _ in 0..CONTENTS / 4 {
        let given = sampler.content();
        let checked = content::from_proto(Some(given.clone()));
        assert!(checked.is_ok(), "{checked:?}");
        tally.count(&given, checked, schemas.as_ref());
    }
    assert_eq!(tally.accepted, CONTENTS / 4);
}
