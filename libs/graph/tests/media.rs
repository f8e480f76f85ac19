//! Media given to, fetched from and deleted at the simulator.

#![expect(clippy::expect_used, reason = "what is not as expected fails the test")]

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use outeract_domain::PhoneNumberId;
use outeract_egress::{Client as Http, Config as HttpConfig, FilePart};
use outeract_graph::{CallError, Client, Token};
use outeract_seal::Secret;
use outeract_simulator::control::{Client as Control, NewWorld};
use outeract_simulator::{Config, Handle, Simulator};
use sha2::{Digest as _, Sha256};

struct Stage {
    _meta: Handle,
    control: Control,
    client: Client,
    token: Token,
    /// Two numbers of one account.
    numbers: Vec<PhoneNumberId>,
}

const JPEG: &[u8] = b"\xFF\xD8\xFF\xE0\0\x10JFIF\0 and some more";

impl Stage {
    async fn new() -> Self {
        let meta = Simulator::start(Config::default()).await.expect("starts");
        let control = meta.client().expect("control");
        let world = NewWorld {
            numbers_per_waba: 2,
            ..NewWorld::default()
        };
        let world = control.create_world(&world).await.expect("world");
        let secret = Secret::from(Config::default().app_secret.as_str());
        let http = Http::new(&HttpConfig::default()).expect("client");
        let numbers = world.wabas[0].numbers.iter();
        Self {
            client: Client::new(http, &meta.url(), "v25.0"),
            token: Token::with_app_secret(Secret::from(world.token.as_str()), &secret),
            numbers: numbers
                .map(|number| number.phone_number_id.parse().expect("digits"))
                .collect(),
            control,
            _meta: meta,
        }
    }

    async fn upload(&self, mime_type: &str, bytes: &'static [u8]) -> Result<String, CallError> {
        let pieces = bytes
            .chunks(5)
            .map(|piece| Ok::<_, Infallible>(Bytes::from_static(piece)));
        let file = FilePart::new(mime_type, bytes.len() as u64, stream::iter(pieces));
        self.client.upload_media(&self.token, &self.numbers[0], file).await
    }
}

fn code(error: &CallError) -> i32 {
    match error {
        CallError::Refused(error) => error.code,
        _ => 0,
    }
}

#[tokio::test]
async fn a_medium_is_given_fetched_and_deleted() {
    let stage = Stage::new().await;
    let (client, token, number) = (&stage.client, &stage.token, &stage.numbers[0]);
    let id = stage.upload("image/jpeg", JPEG).await.expect("uploaded");
    let medium = client.media(token, number, &id).await.expect("told");
    assert_eq!(
        (medium.mime_type.as_str(), medium.file_size, medium.sha256.as_str()),
        (
            "image/jpeg",
            JPEG.len() as u64,
            hex::encode(Sha256::digest(JPEG)).as_str()
        )
    );
    assert!(!format!("{medium:?}").contains("http"));
    let download = client.download(token, &medium.url).await.expect("opened");
    assert_eq!(download.mime_type, "image/jpeg");
    let bytes: Vec<Bytes> = download.body.try_collect().await.expect("whole");
    assert_eq!(bytes.concat(), JPEG);

    let other = client
        .media(token, &stage.numbers[1], &id)
        .await
        .expect_err("the first number's");
    assert_eq!(code(&other), 100);
    let other = client
        .delete_media(token, &stage.numbers[1], &id)
        .await
        .expect_err("the first number's");
    assert_eq!(code(&other), 100);
    client.delete_media(token, number, &id).await.expect("deleted");
    assert_eq!(
        code(&client.delete_media(token, number, &id).await.expect_err("gone")),
        100
    );
    assert!(client.media(token, number, &id).await.is_err());
    assert!(client.download(token, &medium.url).await.is_err());
}

#[tokio::test]
async fn an_address_ends_after_five_minutes_and_another_host_gets_no_token() {
    let stage = Stage::new().await;
    let (client, token, number) = (&stage.client, &stage.token, &stage.numbers[0]);
    let id = stage.upload("image/jpeg", JPEG).await.expect("uploaded");
    let medium = client.media(token, number, &id).await.expect("told");
    stage
        .control
        .advance(std::time::Duration::from_secs(301))
        .await
        .expect("advanced");
    let late = client.download(token, &medium.url).await.expect_err("too late");
    assert!(!matches!(late, CallError::Foreign), "{late:?}");
    for foreign in ["http://127.0.0.1:1/x", "https://example.com/x", "nonsense"] {
        let refused = client.download(token, foreign).await.expect_err(foreign);
        assert!(matches!(refused, CallError::Foreign), "{foreign}: {refused:?}");
    }
    for no_id in ["", "../1", "1?x=y"] {
        assert!(client.media(token, number, no_id).await.is_err(), "{no_id}");
        assert!(client.delete_media(token, number, no_id).await.is_err(), "{no_id}");
    }
}

#[tokio::test]
async fn what_meta_does_not_take_is_refused_with_its_code() {
    let stage = Stage::new().await;
    assert_eq!(
        code(
            &stage
                .upload("application/octet-stream", JPEG)
                .await
                .expect_err("no type")
        ),
        100
    );
    assert_eq!(
        code(&stage.upload("image/png", JPEG).await.expect_err("no PNG")),
        131_053
    );
}
