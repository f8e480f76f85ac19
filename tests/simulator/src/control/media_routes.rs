use std::sync::PoisonError;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use bytes::Bytes;
use serde::Deserialize;

use super::routes::{Problem, Shared, absent};
use super::sending::{BrokenLinks, MediumCreated, MediumState};
use crate::media::{INBOUND_KEPT_MS, Upload};

#[derive(Debug, Deserialize)]
pub(super) struct OfUser {
    phone_number_id: String,
    mime_type: String,
}

/// A medium of a user's message: it is kept for seven days.
pub(super) async fn create(
    State(meta): Shared,
    Query(new): Query<OfUser>,
    body: Bytes,
) -> Result<Json<MediumCreated>, Problem> {
    let number = meta.number(&new.phone_number_id).ok_or_else(|| absent("number"))?;
    let medium = Upload::begin(&new.mime_type).and_then(|mut upload| {
        upload.push(&body);
        upload.finish(&number.id, meta.now_ms() + INBOUND_KEPT_MS)
    });
    let medium = medium.map_err(|refusal| {
        let why = refusal.details.unwrap_or(refusal.message);
        (StatusCode::BAD_REQUEST, why)
    })?;
    let id = meta.ids.object();
    meta.media.add(id.clone(), medium);
    Ok(Json(MediumCreated { id }))
}

pub(super) async fn state(State(meta): Shared, Path(id): Path<String>) -> Result<Json<MediumState>, Problem> {
    let medium = meta
        .media
        .get(&id, meta.now_ms())
        .ok_or_else(|| absent("medium that is still kept"))?;
    Ok(Json(MediumState {
        phone_number_id: medium.phone_number_id,
        mime_type: medium.mime,
        sha256: hex::encode(medium.sha256),
        size: medium.size,
        until_ms: medium.until_ms,
    }))
}

/// Meta forgets the medium at once.
pub(super) async fn expire(State(meta): Shared, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    if meta.media.expire(&id, meta.now_ms()) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(absent("medium"))
}

pub(super) async fn break_links(State(meta): Shared, Json(broken): Json<BrokenLinks>) -> StatusCode {
    let mut links = meta.broken_links.write().unwrap_or_else(PoisonError::into_inner);
    *links = broken.links.into_iter().collect();
    StatusCode::NO_CONTENT
}
