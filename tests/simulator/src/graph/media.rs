//! `POST /{version}/{phone-number-id}/media`, and what is done with what was uploaded.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::answer;
use crate::auth::Access;
use crate::errors::Refusal;
use crate::faults::Call;
use crate::media::{self, Medium, Upload};
use crate::meta::Meta;
use crate::respond;
use crate::world::{MESSAGING, Token, hmac_hex};

/// Largest upload that is read at all.
pub(super) const MOST: usize = 128 << 20;
/// Longest value of a field that is no file.
const VALUE: usize = 1_024;

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    /// The call fails unless the medium is this number's.
    phone_number_id: Option<String>,
}

/// What the address of a medium says.
#[derive(Debug, Deserialize)]
pub(super) struct Ticket {
    mid: String,
    /// Until when it works, in unix milliseconds.
    ext: i64,
    hash: String,
}

/// A form with a file.
#[derive(Debug, Default)]
struct Form {
    product: Option<String>,
    /// The field `type`.
    mime: Option<String>,
    file: Option<Upload>,
}

pub(super) async fn upload(
    State(meta): State<Arc<Meta>>,
    Path((version, id)): Path<(String, String)>,
    Query(access): Query<Access>,
    headers: HeaderMap,
    form: Result<Multipart, MultipartRejection>,
) -> Response {
    // Read whole before anything is said: an answer amid an upload would break the connection.
    let form = match form {
        Ok(mut form) => Form::read(&mut form).await,
        Err(_) => Err(invalid("The request body is no multipart/form-data")),
    };
    answer(&meta, &version, call("media", &id), async |_| {
        let token = meta.token(&headers, &access)?;
        let number = meta.number_for(&token, &id, MESSAGING, "post")?;
        let form = form?;
        if form.product.as_deref() != Some("whatsapp") {
            return Err(invalid("The parameter messaging_product is required."));
        }
        let file = form.file.ok_or_else(|| invalid("The parameter file is required."))?;
        let medium = file.finish(&number.id, meta.now_ms() + media::KEPT_MS)?;
        let id = meta.ids.object();
        meta.media.add(id.clone(), medium);
        Ok(respond::value(&json!({"id": id})))
    })
    .await
}

/// `GET /{version}/{media-id}`: where it can be downloaded for five minutes.
pub(super) async fn describe(
    meta: &Meta,
    (version, id): (&str, &str),
    access: &Access,
    wanted: &Wanted,
    headers: &HeaderMap,
) -> Response {
    answer(meta, version, call("media_url", id), async |_| {
        let token = meta.token(headers, access)?;
        let medium = allowed(meta, &token, id, wanted, "get")?;
        let host = headers
            .get("host")
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default();
        let until = meta.now_ms() + media::URL_MS;
        let url = format!(
            "http://{host}/whatsapp_business/attachments/?mid={id}&ext={until}&hash={}",
            hash(meta, id, until)
        );
        Ok(respond::value(&json!({
            "messaging_product": "whatsapp",
            "url": url,
            "mime_type": medium.mime,
            "sha256": hex::encode(medium.sha256),
            "file_size": medium.size.to_string(),
            "id": id,
        })))
    })
    .await
}

pub(super) async fn delete(
    State(meta): State<Arc<Meta>>,
    Path((version, id)): Path<(String, String)>,
    Query(access): Query<Access>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Response {
    answer(&meta, &version, call("media_delete", &id), async |_| {
        let token = meta.token(&headers, &access)?;
        allowed(&meta, &token, &id, &wanted, "delete")?;
        meta.media.remove(&id);
        Ok(respond::value(&json!({"success": true})))
    })
    .await
}

/// The bytes behind an address. They are on another host than the Graph API: the token alone is asked for, and there is no JSON.
pub(super) async fn download(
    State(meta): State<Arc<Meta>>,
    Query(ticket): Query<Ticket>,
    headers: HeaderMap,
) -> Response {
    answer(&meta, "v25.0", call("media_download", &ticket.mid), async |_| {
        let gone = || Refusal::new(404, 100, "The media cannot be found");
        let good = ticket.hash == hash(&meta, &ticket.mid, ticket.ext) && meta.now_ms() < ticket.ext;
        let token = meta.bearer(&headers)?;
        let medium = meta.media.get(&ticket.mid, meta.now_ms()).filter(|_| good);
        let medium = medium.ok_or_else(gone)?;
        meta.number_for(&token, &medium.phone_number_id, MESSAGING, "get")
            .map_err(|_| gone())?;
        // Large bodies were hashed and not kept: nothing can be answered that has the hash.
        let body = medium.body.ok_or_else(gone)?;
        let mut response = Response::new(Body::from(body));
        if let Ok(mime) = HeaderValue::from_str(&medium.mime) {
            response.headers_mut().insert(CONTENT_TYPE, mime);
        }
        Ok(response)
    })
    .await
}

/// A medium of a number that the caller may use.
fn allowed(meta: &Meta, token: &Token, id: &str, wanted: &Wanted, verb: &str) -> Result<Medium, Refusal> {
    let absent = || Refusal::no_object(id, verb);
    let medium = meta.media.get(id, meta.now_ms()).ok_or_else(absent)?;
    meta.number_for(token, &medium.phone_number_id, MESSAGING, verb)
        .map_err(|_| absent())?;
    match &wanted.phone_number_id {
        Some(other) if *other != medium.phone_number_id => Err(invalid(
            "Param phone_number_id is not the business phone number that this media belongs to",
        )),
        _ => Ok(medium),
    }
}

fn hash(meta: &Meta, id: &str, until: i64) -> String {
    hmac_hex(&meta.config.app_secret, format!("{id}/{until}").as_bytes())[..32].to_owned()
}

fn call<'a>(endpoint: &'a str, id: &'a str) -> Call<'a> {
    Call {
        endpoint,
        object_id: id,
        ..Call::default()
    }
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(400, 100, format!("(#100) {message}"))
}

// === impl Form ===

impl Form {
    /// Reads all of it, whatever is wrong with the file.
    async fn read(parts: &mut Multipart) -> Result<Self, Refusal> {
        let broken = || invalid("The request body is no multipart/form-data");
        let mut form = Self::default();
        let mut refused = None;
        while let Some(part) = parts.next_field().await.map_err(|_| broken())? {
            let name = part.name().unwrap_or_default().to_owned();
            match name.as_str() {
                "file" => match form.file(part).await {
                    Ok(file) => form.file = Some(file),
                    Err(refusal) => refused = refused.or(Some(refusal)),
                },
                "messaging_product" => form.product = Some(value(part).await?),
                "type" => form.mime = Some(value(part).await?),
                _ => drop(value(part).await?),
            }
        }
        refused.map_or(Ok(form), Err)
    }

    /// Reads the file. Its own content type counts; without one, that of the field `type` before it.
    async fn file(&self, mut part: Field<'_>) -> Result<Upload, Refusal> {
        let mime = part.content_type().or(self.mime.as_deref()).unwrap_or_default();
        let mut upload = Upload::begin(mime);
        while let Some(bytes) = part.chunk().await.map_err(|_| invalid("The upload ended early"))? {
            if let Ok(upload) = &mut upload {
                upload.push(&bytes);
            }
        }
        upload
    }
}

async fn value(mut part: Field<'_>) -> Result<String, Refusal> {
    let mut value = Vec::new();
    while let Some(bytes) = part.chunk().await.map_err(|_| invalid("The upload ended early"))? {
        if value.len() + bytes.len() > VALUE {
            return Err(invalid("A field is too long"));
        }
        value.extend(&bytes);
    }
    String::from_utf8(value).map_err(|_| invalid("A field is no text"))
}
