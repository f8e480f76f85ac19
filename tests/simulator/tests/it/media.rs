//! Media: uploads, addresses, and who may use them.

use std::time::Duration;

use outeract_simulator::Config;
use outeract_simulator::control::{NewTemplate, NewWorld};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::stage::{Stage, code, details};

const JPEG: &[u8] = b"\xff\xd8\xff\xe0 a picture";

async fn download(stage: &Stage, url: &str, token: &str) -> (u16, Vec<u8>) {
    let response = stage.http.get(url).bearer_auth(token).send().await.expect("answer");
    let status = response.status().as_u16();
    (status, response.bytes().await.expect("body").to_vec())
}

#[tokio::test]
async fn what_was_uploaded_can_be_read_again_and_deleted() {
    let stage = Stage::new().await;
    let id = stage.upload("image/jpeg", JPEG).await;
    let (status, medium) = stage.get(&id, &[("phone_number_id", stage.number.as_str())]).await;
    assert_eq!(status, 200, "{medium}");
    assert_eq!(medium["mime_type"], "image/jpeg");
    assert_eq!(medium["sha256"], hex::encode(Sha256::digest(JPEG)).as_str());
    assert_eq!(medium["file_size"], JPEG.len().to_string().as_str());

    let url = medium["url"].as_str().expect("url");
    assert_eq!(download(&stage, url, &stage.token).await, (200, JPEG.to_vec()));
    assert_eq!(download(&stage, url, "EAAnone").await.0, 401);
    let other = stage.control.create_world(&NewWorld::default()).await.expect("world");
    assert_eq!(download(&stage, url, &other.token).await.0, 404);
    let forged = url.replace("ext=1", "ext=2");
    assert_eq!(download(&stage, &forged, &stage.token).await.0, 404);
    stage.control.advance(Duration::from_mins(5)).await.expect("advanced");
    assert_eq!(
        download(&stage, url, &stage.token).await.0,
        404,
        "five minutes are over"
    );
    let (_, medium) = stage.get(&id, &[]).await;
    let url = medium["url"].as_str().expect("url");
    assert_eq!(download(&stage, url, &stage.token).await.0, 200, "a new address");

    let (_, gone) = stage.call(Method::DELETE, &id, &[], None).await;
    assert_eq!(gone["success"], true);
    assert_eq!(code(&stage.get(&id, &[]).await), 100);
    assert_eq!(stage.call(Method::DELETE, &id, &[], None).await.0, 400);
    assert_eq!(download(&stage, url, &stage.token).await.0, 404);
}

#[tokio::test]
async fn an_id_is_its_numbers_for_thirty_days() {
    let world = NewWorld {
        numbers_per_waba: 2,
        ..NewWorld::default()
    };
    let stage = Stage::with(Config::default(), world).await;
    let other = stage.world.wabas[0].numbers[1].phone_number_id.clone();
    stage.open_window().await;
    let (_, theirs) = stage.upload_to(&other, "image/jpeg", JPEG).await;
    let theirs = theirs["id"].as_str().expect("id");
    let answer = stage.message("image", json!({"id": theirs})).await;
    assert_eq!(code(&answer), 131_009);
    assert!(details(&answer).contains("image['id']"), "{answer:?}");
    let wrong = stage.get(theirs, &[("phone_number_id", stage.number.as_str())]).await;
    assert_eq!(code(&wrong), 100);

    let ours = stage.upload("image/jpeg", JPEG).await;
    assert_eq!(code(&stage.message("image", json!({"id": ours})).await), 0);
    stage
        .control
        .advance(Duration::from_mins(30 * 24 * 60 - 1))
        .await
        .expect("advanced");
    stage.open_window().await;
    assert_eq!(code(&stage.message("image", json!({"id": ours})).await), 0);
    stage.control.advance(Duration::from_mins(1)).await.expect("advanced");
    assert_eq!(code(&stage.message("image", json!({"id": ours})).await), 131_009);
    assert!(stage.control.medium(&ours).await.expect("answer").is_none());

    let short = stage.upload("image/jpeg", JPEG).await;
    assert_eq!(
        stage.control.medium(&short).await.expect("answer").expect("kept").size,
        JPEG.len() as u64
    );
    stage.control.expire_medium(&short).await.expect("expired");
    assert_eq!(code(&stage.message("image", json!({"id": short})).await), 131_009);
}

#[tokio::test]
async fn a_medium_is_sent_as_what_it_is() {
    let stage = Stage::new().await;
    stage.open_window().await;
    let picture = stage.upload("image/jpeg", JPEG).await;
    let sheet = stage.upload("text/csv", b"a;b").await;
    for (kind, id, expected) in [
        ("image", &picture, 0),
        ("document", &picture, 0),
        ("video", &picture, 131_053),
        ("sticker", &picture, 131_053),
        ("document", &sheet, 0),
        ("image", &sheet, 131_053),
    ] {
        assert_eq!(code(&stage.message(kind, json!({"id": id})).await), expected, "{kind}");
    }
    let header = json!({"type": "video", "video": {"id": picture}});
    let interactive = json!({"type": "button", "header": header, "body": {"text": "a"},
        "action": {"buttons": [{"type": "reply", "reply": {"id": "1", "title": "A"}}]}});
    let answer = stage.message("interactive", interactive).await;
    assert_eq!(code(&answer), 131_053);
    assert!(
        details(&answer).contains("interactive['header']['video']['id']"),
        "{answer:?}"
    );

    let new = NewTemplate {
        waba_id: stage.waba.clone(),
        name: "picture".to_owned(),
        components: json!([{"type": "HEADER", "format": "IMAGE"}, {"type": "BODY", "text": "Look"}]),
        ..NewTemplate::default()
    };
    stage.control.create_template(&new).await.expect("created");
    let with =
        |id: &str| -> Value { json!([{"type": "header", "parameters": [{"type": "image", "image": {"id": id}}]}]) };
    assert_eq!(code(&stage.send_template("picture", with(&picture)).await), 0);
    assert_eq!(code(&stage.send_template("picture", with("1")).await), 131_009);
}

#[tokio::test]
async fn uploads_that_meta_does_not_take_are_refused() {
    let stage = Stage::new().await;
    let upload = async |mime: &str, bytes: &[u8]| code(&stage.upload_to(&stage.number, mime, bytes).await);
    assert_eq!(upload("application/octet-stream", b"a").await, 100);
    assert_eq!(upload("image/gif", b"GIF89a").await, 100);
    assert_eq!(upload("image/jpeg", b"MZ an executable").await, 131_053);
    assert_eq!(upload("text/plain", b"").await, 131_053);
    let mut large = JPEG.to_vec();
    large.resize((5 << 20) + 1, 0);
    assert_eq!(upload("image/jpeg", &large).await, 131_053);
    large.pop();
    assert_eq!(upload("image/jpeg", &large).await, 0);

    let form = async |body: &'static str| {
        let request = stage
            .http
            .post(format!("{}/v25.0/{}/media", stage.handle.url(), stage.number))
            .query(&[("appsecret_proof", stage.proof.as_str())])
            .bearer_auth(&stage.token)
            .header("content-type", "multipart/form-data; boundary=cut")
            .body(body);
        let answer: Value = request.send().await.expect("answer").json().await.expect("json");
        answer["error"]["message"].as_str().unwrap_or_default().to_owned()
    };
    let product = "--cut\r\ncontent-disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n--cut--\r\n";
    assert!(form(product).await.contains("parameter file is required"));
    assert!(form("--cut--\r\n").await.contains("messaging_product is required"));
    assert!(form("nothing").await.contains("multipart"));
    let path = format!("{}/media", stage.number);
    assert_eq!(code(&stage.call(Method::POST, &path, &[], Some(json!({}))).await), 100);
}

#[tokio::test]
async fn links_are_taken_unless_they_are_declared_broken() {
    let stage = Stage::new().await;
    stage.open_window().await;
    let link = "https://example.com/gone.jpg";
    let send = async || code(&stage.message("image", json!({"link": link})).await);
    assert_eq!(send().await, 0);
    stage.control.break_links(&[link]).await.expect("broken");
    assert_eq!(send().await, 131_053);
    stage.control.break_links(&[]).await.expect("mended");
    assert_eq!(send().await, 0);
}

#[tokio::test]
async fn media_of_users_are_kept_for_a_week() {
    let stage = Stage::new().await;
    let made = stage
        .control
        .create_medium(&stage.number, "image/jpeg", JPEG.to_vec())
        .await
        .expect("made");
    let (_, medium) = stage.get(&made.id, &[]).await;
    let url = medium["url"].as_str().expect("url");
    assert_eq!(download(&stage, url, &stage.token).await.1, JPEG);
    stage
        .control
        .advance(Duration::from_hours(24 * 7))
        .await
        .expect("advanced");
    assert_eq!(code(&stage.get(&made.id, &[]).await), 100);
}
