//! `GET /{version}/{id}`: what is answered depends on what the id is of.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::{accounts, media, templates};
use crate::auth::Access;
use crate::meta::Meta;

pub(super) async fn get(
    State(meta): State<Arc<Meta>>,
    Path((version, id)): Path<(String, String)>,
    Query(access): Query<Access>,
    Query(fields): Query<accounts::Wanted>,
    Query(of_media): Query<media::Wanted>,
    headers: HeaderMap,
) -> Response {
    let at = (version.as_str(), id.as_str());
    if meta.media.knows(&id) {
        return media::describe(&meta, at, &access, &of_media, &headers).await;
    }
    let wanted = fields.fields.as_deref();
    if meta.waba(&id).is_some() {
        return accounts::waba(&meta, at, &access, wanted, &headers).await;
    }
    if let Some(waba) = templates::owner(&meta, &id) {
        return templates::one(&meta, at, &waba, &access, wanted, &headers).await;
    }
    accounts::phone_number(&meta, at, &access, wanted, &headers).await
}
