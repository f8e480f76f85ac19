//! The simulator's rules, answers and webhooks of sending, held against Meta's own `OpenAPI` file: what Meta shows as an example is accepted, and what comes back is as Meta says. Our client has no part
//! in it but to carry bytes.
//!
//! `META_OPENAPI` names the file; without it this check says that it was left out.

#![expect(clippy::expect_used, reason = "what is not as expected fails the test")]
#![expect(dead_code, reason = "what several tests share is not used whole by each")]

mod schema;
mod support;

use std::time::Duration;

use outeract_egress::{Client as Http, Config as HttpConfig};
use outeract_graph::{CallError, Client, Token};
use outeract_seal::Secret;
use outeract_simulator::control::{
    ChangeTemplate, ChangeUser, ChangeUserId, Client as Control, Inbound, NewTemplate, NewWorld, Preference, Tier,
    WorldCreated,
};
use outeract_simulator::{Config, Handle, Simulator, StatusDelays, Switches};
use schema::account;
use schema::{Exception, Schemas};
use serde_json::{Map, Value, json};
use support::{Sink, USER};

const ID: &str = "US.13491208655302741918";

const EXCEPTIONS: &[Exception] = &[
    Exception::Instead {
        schema: "IncomingMessage",
        of: "TextMessage",
        use_instead: "TextMessage_2",
        why: "the merge gave the webhook's text message the name of the request's",
    },
    Exception::Instead {
        schema: "TextMessage_2",
        of: "BaseMessageProperties",
        use_instead: "BaseMessageProperties_1",
        why: "the merge gave the webhook's base the name of the request's",
    },
    Exception::MayLack {
        schema: "BaseMessageProperties_1",
        property: "from",
        instead: Some("from_user_id"),
        why: "a user with a username alone has no number",
    },
    Exception::MayBe {
        schema: "Statuses",
        value: "played",
        why: "for voice messages since November 2025",
    },
    Exception::MayLack {
        schema: "Statuses",
        property: "recipient_id",
        instead: Some("recipient_user_id"),
        why: "a user with a username alone has no number",
    },
];

/// Examples of Meta's that are not accepted, and why not.
const REFUSED: &[(&str, &str)] = &[
    ("Send Order Details Message", "payments are not simulated"),
    ("Send Order Status Message", "payments are not simulated"),
    ("Send Reply to List Message", "the example lacks its type"),
    (
        "Send Sample Issue Resolution Template",
        "the example has true and false for texts",
    ),
];

struct Stage {
    meta: Handle,
    control: Control,
    world: WorldCreated,
    client: Client,
    token: Token,
    sink: Sink,
}

impl Stage {
    async fn new() -> Self {
        let sink = Sink::start().await;
        let config = Config {
            webhook_url: Some(sink.url.clone()),
            statuses: StatusDelays::NONE,
            require_proof: false,
            ..Config::default()
        };
        let secret = Secret::from(config.app_secret.as_str());
        let meta = Simulator::start(config).await.expect("starts");
        let control = meta.client().expect("control");
        let new = NewWorld {
            subscribed: true,
            ..NewWorld::default()
        };
        let world = control.create_world(&new).await.expect("world");
        let http = Http::new(&HttpConfig::default()).expect("client");
        Self {
            client: Client::new(http, &meta.url(), "v25.0"),
            token: Token::with_app_secret(Secret::from(world.token.as_str()), &secret),
            meta,
            control,
            world,
            sink,
        }
    }

    fn number(&self) -> &str {
        &self.world.wabas[0].numbers[0].phone_number_id
    }

    /// Posts to the number's messages: the answer, or the code.
    async fn post(&self, body: &Value) -> Result<Value, i32> {
        let path = format!("{}/messages", self.number());
        let body = serde_json::to_vec(body).expect("JSON");
        match self.client.post(&self.token, &path, &[], body).await {
            Ok(reply) => Ok(serde_json::from_slice(&reply.body).expect("JSON")),
            Err(CallError::Refused(error)) => Err(error.code),
            // No code of Meta's.
            Err(_) => Err(-1),
        }
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let reply = self.client.get(&self.token, path, query).await.expect("answer");
        serde_json::from_slice(&reply.body).expect("JSON")
    }

    /// A call that the client does not make.
    async fn raw(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Value {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let url = self.meta.url();
        let address = url.strip_prefix("http://").expect("http");
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
        let head = format!(
            "{method} /v25.0/{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
             content-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
            self.world.token,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.expect("writes");
        stream.write_all(body).await.expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("reads");
        let (_, body) = answer.split_once("\r\n\r\n").expect("head and body");
        serde_json::from_str(body).expect("JSON")
    }

    async fn upload(&self, mime: &str, bytes: &[u8]) -> Value {
        let mut body = format!(
            "--cut\r\ncontent-disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n--cut\r\n\
             content-disposition: form-data; name=\"file\"; filename=\"a\"\r\ncontent-type: {mime}\r\n\r\n"
        )
        .into_bytes();
        body.extend(bytes);
        body.extend(b"\r\n--cut--\r\n");
        let path = format!("{}/media", self.number());
        self.raw("POST", &path, "multipart/form-data; boundary=cut", &body)
            .await
    }

    /// A user writes: the message's id.
    async fn inbound(&self, from: &str, user_id: Option<&str>) -> String {
        let message = Inbound {
            phone_number_id: self.number().to_owned(),
            from: from.to_owned(),
            user_id: user_id.map(str::to_owned),
            text: "hi".to_owned(),
            ..Inbound::default()
        };
        let injected = self.control.inbound(&[message]).await.expect("injected");
        injected[0].wamid.clone()
    }
}

#[tokio::test]
async fn the_simulator_keeps_to_metas_file() {
    let Some(schemas) = schema::schemas_with(EXCEPTIONS) else {
        return;
    };
    let stage = Stage::new().await;
    let inbound = stage.inbound(USER, None).await;
    stage.control.set_switches(Switches::OFF).await.expect("off");
    examples(&schemas, &stage, &inbound).await;
    answers(&schemas, &stage, &inbound).await;
    events(&stage).await;
    webhooks(&schemas, &stage).await;
    assert_eq!(schemas.unused(), Vec::<String>::new(), "exceptions that nothing needs");
}

/// Meta's examples of messages, with something in the place of what they leave open.
async fn examples(schemas: &Schemas, stage: &Stage, inbound: &str) {
    let media = [
        ("image", "image/jpeg", &b"\xff\xd8\xff"[..]),
        ("audio", "audio/ogg", b"OggS"),
        ("video", "video/mp4", b"\0\0\0\x18ftyp"),
        ("document", "application/pdf", b"%PDF"),
        ("sticker", "image/webp", b"RIFF\0\0\0\0WEBPVP8 "),
    ];
    let mut ids = Map::new();
    for (kind, mime, bytes) in media {
        ids.insert(kind.to_owned(), stage.upload(mime, bytes).await["id"].clone());
    }
    let mut refused = Vec::new();
    for (name, example) in schemas.examples() {
        let mut body = example.clone();
        fill(&mut body);
        for (kind, id) in &ids {
            if let Some(place) = body.pointer_mut(&format!("/{kind}/id")) {
                *place = id.clone();
            }
        }
        for pointer in ["/message_id", "/context/message_id"] {
            if let Some(place) = body.pointer_mut(pointer) {
                *place = json!(inbound);
            }
        }
        match stage.post(&body).await {
            Ok(answer) if body.get("status").is_some() => {
                schemas.hold("MarkMessageResponsePayload", &answer, name);
            }
            Ok(answer) => schemas.hold("MessageResponsePayload", &answer, name),
            // There is no such template; what the message brings was read before that was found out.
            Err(132_001) if body["type"] == "template" => {}
            Err(_) => refused.push(name),
        }
    }
    let expected: Vec<_> = REFUSED.iter().map(|(name, _)| *name).collect();
    assert_eq!(refused, expected);
}

/// Puts something in the place of `<…>` and `{{…}}`.
fn fill(value: &mut Value) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(fill),
        Value::Object(object) => object.values_mut().for_each(fill),
        Value::String(text) if text.contains("http(s)") => "https://example.com/file".clone_into(text),
        Value::String(text) if text.starts_with("{{Recipient") => USER.clone_into(text),
        Value::String(text) if text.starts_with("{{") => "123".clone_into(text),
        Value::String(text) if text == "<HEADER_TYPE>" => "text".clone_into(text),
        Value::String(text) if text == "language-and-locale-code" => "en_US".clone_into(text),
        _ => {}
    }
}

async fn answers(schemas: &Schemas, stage: &Stage, inbound: &str) {
    let waba = &stage.world.wabas[0].waba_id;
    let uploaded = stage.upload("image/png", b"\x89PNG\r\n\x1a\n").await;
    schemas.hold(&format!("post {MEDIA}"), &uploaded, "an upload");
    let id = uploaded["id"].as_str().expect("id");
    let described = stage.get(id, &[]).await;
    schemas.hold("get /{Version}/{Media-ID}", &described, "a medium");
    let deleted = stage.raw("DELETE", id, "text/plain", b"").await;
    schemas.hold("delete /{Version}/{Media-ID}", &deleted, "a deletion");

    let list = stage.get(&format!("{waba}/message_templates"), &[("limit", "3")]).await;
    schemas.hold("get /{Version}/{WABA-ID}/message_templates", &list, "templates");
    let template = list["data"][0]["id"].as_str().expect("id");
    schemas.hold(
        "get /{Version}/{TEMPLATE_ID}",
        &stage.get(template, &[]).await,
        "a template",
    );
    let account = stage.get(waba, &[("fields", "id,name,timezone_id")]).await;
    schemas.hold("get /{Version}/{WABA-ID}", &account, "an account");

    let read = json!({"messaging_product": "whatsapp", "status": "read", "message_id": inbound});
    schemas.hold("MarkMessageRequestPayload", &read, "a receipt");
    schemas.hold(
        "MarkMessageResponsePayload",
        &stage.post(&read).await.expect("taken"),
        "a receipt",
    );
}

const MEDIA: &str = "/{Version}/{Phone-Number-ID}/media";

/// Lets everything happen that webhooks tell of.
async fn events(stage: &Stage) {
    let voice = stage.upload("audio/ogg", b"OggS").await["id"].clone();
    let voice =
        json!({"messaging_product": "whatsapp", "to": USER, "type": "audio", "audio": {"id": voice, "voice": true}});
    stage.post(&voice).await.expect("taken");
    stage.inbound("", Some(ID)).await;
    let to_id = json!({"messaging_product": "whatsapp", "recipient": ID, "type": "text", "text": {"body": "hi"}});
    stage.post(&to_id).await.expect("taken");
    let gone = ChangeUser {
        user: USER.to_owned(),
        unreachable: Some(true),
        fails_later: Some(true),
        ..ChangeUser::default()
    };
    stage.control.change_user(&gone).await.expect("declared");
    let to_gone = json!({"messaging_product": "whatsapp", "to": USER, "type": "text", "text": {"body": "hi"}});
    stage.post(&to_gone).await.expect("taken");

    let new = NewTemplate {
        waba_id: stage.world.wabas[0].waba_id.clone(),
        name: "news".to_owned(),
        ..NewTemplate::default()
    };
    let template = stage.control.create_template(&new).await.expect("created").id;
    for status in ["PAUSED", "DISABLED", "REJECTED"] {
        stage
            .control
            .set_template_status(&template, status)
            .await
            .expect("changed");
    }
    let change = ChangeTemplate {
        quality: Some("YELLOW".to_owned()),
        category: Some("MARKETING".to_owned()),
        category_to_come: Some("MARKETING".to_owned()),
        components: Some(
            json!([{"type": "HEADER", "format": "TEXT", "text": "H"}, {"type": "BODY", "text": "B"},
            {"type": "FOOTER", "text": "F"}, {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Q"}]}]),
        ),
        ..ChangeTemplate::default()
    };
    stage
        .control
        .change_template(&template, &change)
        .await
        .expect("changed");
    let portfolio = &stage.world.portfolio_id;
    stage.control.set_tier(portfolio, Tier::Users2K).await.expect("changed");
    let stop = Preference {
        phone_number_id: stage.number().to_owned(),
        user: USER.to_owned(),
        value: "stop".to_owned(),
        quietly: false,
    };
    stage.control.prefer(&stop).await.expect("told");
    let changed = ChangeUserId {
        phone_number_id: stage.number().to_owned(),
        user: USER.to_owned(),
        user_id: "US.777".to_owned(),
        quietly: false,
    };
    stage.control.change_user_id(&changed).await.expect("told");
}

/// Values of `messages` are held against the file; of other fields the file has none.
async fn webhooks(schemas: &Schemas, stage: &Stage) {
    assert!(stage.control.idle(Duration::from_secs(20)).await.expect("idle"));
    let mut seen: Vec<&str> = Vec::new();
    for (_, body) in stage.sink.posts() {
        let envelope: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(envelope["object"], "whatsapp_business_account");
        for entry in envelope["entry"].as_array().expect("entries") {
            assert!(entry["id"].is_string());
            for change in entry["changes"].as_array().expect("changes") {
                let value = &change["value"];
                match change["field"].as_str().expect("field") {
                    "messages" if value.get("statuses").is_some() => {
                        schemas.hold("StatusMessageValue", value, "statuses");
                        assert!(entry.get("time").is_none(), "{entry}");
                    }
                    "messages" => schemas.hold("IncomingMessageValueGeneral", value, "messages"),
                    field => {
                        seen.push(account::keep(field, value));
                        assert!(entry["time"].is_i64(), "{entry}");
                    }
                }
            }
        }
    }
    for (field, ..) in account::FIELDS {
        assert!(seen.contains(field), "{field} was told");
    }
}
