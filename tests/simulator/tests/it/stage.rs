//! A simulator with a world and a callback.

use std::time::Duration;

use outeract_simulator::control::{Client as Control, Inbound, NewWorld, WorldCreated};
use outeract_simulator::{Config, Handle, Simulator, StatusDelays, Webhooks};
use serde_json::{Value, json};

use crate::sink::{self, Sink};

pub(crate) const USER: &str = "+16505551234";

pub(crate) struct Stage {
    pub(crate) handle: Handle,
    pub(crate) control: Control,
    pub(crate) http: reqwest::Client,
    pub(crate) sink: Sink,
    pub(crate) token: String,
    pub(crate) proof: String,
    pub(crate) portfolio: String,
    pub(crate) waba: String,
    pub(crate) number: String,
    pub(crate) world: WorldCreated,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default(), NewWorld::default()).await
    }

    pub(crate) async fn with(config: Config, world: NewWorld) -> Self {
        let sink = Sink::start(&config).await;
        let secret = config.app_secret.clone();
        let config = Config {
            webhook_url: Some(sink.url.clone()),
            statuses: StatusDelays::NONE,
            webhooks: Webhooks {
                retry_first_ms: 5,
                ..config.webhooks
            },
            ..config
        };
        let handle = Simulator::start(config).await.expect("starts");
        let control = handle.client().expect("client");
        let world = NewWorld {
            subscribed: true,
            ..world
        };
        let world = control.create_world(&world).await.expect("world");
        let http = reqwest::Client::builder().no_proxy().build().expect("client");
        Self {
            proof: sink::hmac_hex(&secret, world.token.as_bytes()),
            token: world.token.clone(),
            portfolio: world.portfolio_id.clone(),
            waba: world.wabas[0].waba_id.clone(),
            number: world.wabas[0].numbers[0].phone_number_id.clone(),
            handle,
            control,
            http,
            sink,
            world,
        }
    }

    pub(crate) async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> (u16, Value) {
        let mut request = self
            .http
            .request(method, format!("{}/v25.0/{path}", self.handle.url()))
            .query(&[("appsecret_proof", self.proof.as_str())])
            .query(query)
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("answer");
        (response.status().as_u16(), response.json().await.unwrap_or(Value::Null))
    }

    pub(crate) async fn send(&self, to: &str, callback: &str) -> (u16, Value) {
        let path = format!("{}/messages", self.number);
        self.call(reqwest::Method::POST, &path, &[], Some(text(to, callback)))
            .await
    }

    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> (u16, Value) {
        self.call(reqwest::Method::GET, path, query, None).await
    }

    /// Sends a message of any type to the user, from the first number.
    pub(crate) async fn message(&self, kind: &str, content: Value) -> (u16, Value) {
        self.message_with(kind, content, &json!({"to": USER})).await
    }

    /// Sends a message of any type with these keys in its envelope.
    pub(crate) async fn message_with(&self, kind: &str, content: Value, envelope: &Value) -> (u16, Value) {
        let mut body = json!({"messaging_product": "whatsapp", "type": kind});
        body[kind] = content;
        for (key, value) in envelope.as_object().expect("object") {
            body[key] = value.clone();
        }
        let path = format!("{}/messages", self.number);
        self.call(reqwest::Method::POST, &path, &[], Some(body)).await
    }

    /// Uploads a file, with this type, to this number.
    pub(crate) async fn upload_to(&self, number: &str, mime: &str, bytes: &[u8]) -> (u16, Value) {
        let mut body = format!(
            "--cut\r\ncontent-disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n--cut\r\n\
             content-disposition: form-data; name=\"file\"; filename=\"a\"\r\ncontent-type: {mime}\r\n\r\n"
        )
        .into_bytes();
        body.extend(bytes);
        body.extend(b"\r\n--cut--\r\n");
        let request = self
            .http
            .post(format!("{}/v25.0/{number}/media", self.handle.url()))
            .query(&[("appsecret_proof", self.proof.as_str())])
            .bearer_auth(&self.token)
            .header("content-type", "multipart/form-data; boundary=cut")
            .body(body);
        let response = request.send().await.expect("answer");
        (response.status().as_u16(), response.json().await.expect("json"))
    }

    /// Uploads a file to the first number: its id.
    pub(crate) async fn upload(&self, mime: &str, bytes: &[u8]) -> String {
        let (status, answer) = self.upload_to(&self.number, mime, bytes).await;
        assert_eq!(status, 200, "{answer}");
        answer["id"].as_str().expect("id").to_owned()
    }

    /// The statuses of an accepted message, in order of their names.
    pub(crate) async fn statuses(&self, answer: &(u16, Value)) -> Vec<Value> {
        self.idle().await;
        let id = &answer.1["messages"][0]["id"];
        assert!(id.is_string(), "{answer:?}");
        let mut found = self.sink.items();
        found.retain(|item| &item["id"] == id);
        found.sort_by_key(|item| item["status"].to_string());
        found
    }

    /// The ids of the default templates by name.
    pub(crate) async fn template(&self, name: &str) -> String {
        let path = format!("{}/message_templates", self.waba);
        let (_, page) = self.get(&path, &[("name", name), ("fields", "id")]).await;
        page["data"][0]["id"].as_str().expect("id").to_owned()
    }

    /// Sends a template without anything in it.
    pub(crate) async fn send_template(&self, name: &str, components: Value) -> (u16, Value) {
        let template = json!({"name": name, "language": {"code": "en_US"}, "components": components});
        self.message("template", template).await
    }

    /// The user writes to the first number: the message's id.
    pub(crate) async fn open_window(&self) -> String {
        let message = Inbound {
            phone_number_id: self.number.clone(),
            from: USER.to_owned(),
            text: "hi".to_owned(),
            ..Inbound::default()
        };
        let injected = self.control.inbound(&[message]).await.expect("injected");
        injected[0].wamid.clone()
    }

    pub(crate) async fn idle(&self) {
        assert!(self.control.idle(Duration::from_secs(20)).await.expect("idle"));
    }
}

pub(crate) fn text(to: &str, callback: &str) -> Value {
    json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": to, "type": "text",
        "text": {"body": "hello"}, "biz_opaque_callback_data": callback})
}

pub(crate) fn code(answer: &(u16, Value)) -> i64 {
    answer.1["error"]["code"].as_i64().unwrap_or(0)
}

/// What a refusal says of the field.
pub(crate) fn details(answer: &(u16, Value)) -> &str {
    answer.1["error"]["error_data"]["details"].as_str().unwrap_or_default()
}
