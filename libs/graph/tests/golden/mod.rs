//! Requests beside what Meta reads.

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

use outeract_domain::{Content, Recipient, Wamid};
use outeract_events::content;
use outeract_graph::wire;
use outeract_proto::FILE_DESCRIPTOR_SET;
use outeract_proto::messaging::v1::SendMessageRequest;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value;

/// What Meta echoes in the golden requests.
const CALLBACK: &str = "evt_01jd00000000000000000000aa.1";

/// A request and what Meta reads.
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) to: Recipient,
    pub(crate) content: Content,
    pub(crate) reply_to: Option<Wamid>,
    pub(crate) expected: Value,
}

// === impl Pair ===

impl Pair {
    /// What is written for Meta.
    pub(crate) fn written(&self) -> Value {
        let message = wire::Message::new(&self.to, &self.content, self.reply_to.as_ref(), CALLBACK);
        let json = message.expect("it has no files").to_json();
        serde_json::from_slice(&json).expect("JSON")
    }
}

/// All pairs, by name.
pub(crate) fn pairs() -> Vec<Pair> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("tests/wire");
    let files = fs::read_dir(&folder).expect("pairs");
    let names = files.map(|file| file.expect("file").file_name().into_string().expect("name"));
    let names: BTreeSet<_> = names.collect();
    let requests = names.iter().filter_map(|name| name.strip_suffix(".content.json"));
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the contract");
    let read = |name: String| fs::read_to_string(folder.join(&name)).expect(&name);
    let pairs: Vec<_> = requests
        .map(|name| {
            let request = request(&pool, &read(format!("{name}.content.json")), name);
            let wamid = request.reply_to_external_message_id;
            Pair {
                name: name.to_owned(),
                to: request.to_external_id.parse().expect(name),
                content: content::from_proto(request.content).expect(name),
                reply_to: (!wamid.is_empty()).then(|| Wamid::new(wamid).expect(name)),
                expected: serde_json::from_str(&read(format!("{name}.json"))).expect(name),
            }
        })
        .collect();
    assert!(pairs.len() * 2 == names.len(), "each request has what Meta reads");
    pairs
}

fn request(pool: &DescriptorPool, json: &str, name: &str) -> SendMessageRequest {
    let kind = "outeract.messaging.v1.SendMessageRequest";
    let kind = pool.get_message_by_name(kind).expect("it is in the contract");
    let mut reader = serde_json::Deserializer::from_str(json);
    let request = DynamicMessage::deserialize(kind, &mut reader).expect(name);
    request.transcode_to().expect(name)
}
