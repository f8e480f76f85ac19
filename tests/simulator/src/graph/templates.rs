//! An account's message templates.

use std::sync::{Arc, PoisonError};

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::answer;
use crate::auth::Access;
use crate::errors::Refusal;
use crate::faults::Call;
use crate::meta::Meta;
use crate::respond;
use crate::templates::Filter;
use crate::world::{MANAGEMENT, Waba};

/// Templates on a page unless the caller wants fewer or more.
const PAGE: usize = 25;
/// Most templates on a page.
const MOST: usize = 1_000;

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    fields: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
    name: Option<String>,
    status: Option<String>,
    category: Option<String>,
    language: Option<String>,
}

pub(super) async fn list(
    State(meta): State<Arc<Meta>>,
    Path((version, id)): Path<(String, String)>,
    Query(access): Query<Access>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Response {
    answer(&meta, &version, call("message_templates", &id), async |_| {
        let token = meta.token(&headers, &access)?;
        let waba = meta.waba_for(&token, &id, MANAGEMENT, "get")?;
        let limit = wanted.limit.unwrap_or(PAGE).clamp(1, MOST);
        let templates = waba.account.templates.lock().unwrap_or_else(PoisonError::into_inner);
        let (page, more) = templates.page(&wanted.filter(), wanted.after.as_deref(), limit)?;
        let fields = wanted.fields.as_deref();
        let data = page.iter().map(|template| template.describe(fields));
        let mut answer = json!({"data": data.collect::<Result<Vec<_>, _>>()?});
        if let (Some(first), Some(last)) = (page.first(), page.last()) {
            answer["paging"] = json!({"cursors": {"before": first.cursor(), "after": last.cursor()}});
            if more {
                let after = last.cursor();
                answer["paging"]["next"] = json!(format!(
                    "https://graph.facebook.com/{version}/{id}/message_templates?limit={limit}&after={after}"
                ));
            }
        }
        Ok(respond::value(&answer))
    })
    .await
}

/// `GET /{version}/{template-id}`.
pub(super) async fn one(
    meta: &Meta,
    (version, id): (&str, &str),
    waba: &Waba,
    access: &Access,
    fields: Option<&str>,
    headers: &HeaderMap,
) -> Response {
    answer(meta, version, call("message_template", id), async |_| {
        let token = meta.token(headers, access)?;
        let absent = |refusal: Refusal| match refusal.subcode {
            Some(33) => Refusal::no_object(id, "get"),
            _ => refusal,
        };
        let waba = meta.waba_for(&token, &waba.id, MANAGEMENT, "get").map_err(absent)?;
        let templates = waba.account.templates.lock().unwrap_or_else(PoisonError::into_inner);
        let template = templates.get(id).ok_or_else(|| Refusal::no_object(id, "get"))?;
        Ok(respond::value(&template.describe(fields)?))
    })
    .await
}

/// The account that has this template.
pub(crate) fn owner(meta: &Meta, id: &str) -> Option<Arc<Waba>> {
    let world = meta.world();
    let mut wabas = world.wabas.values();
    let has = |waba: &&Arc<Waba>| {
        let templates = waba.account.templates.lock().unwrap_or_else(PoisonError::into_inner);
        templates.get(id).is_some()
    };
    wabas.find(has).cloned()
}

fn call<'a>(endpoint: &'a str, id: &'a str) -> Call<'a> {
    Call {
        endpoint,
        object_id: id,
        managed: true,
        ..Call::default()
    }
}

// === impl Wanted ===

impl Wanted {
    fn filter(&self) -> Filter<'_> {
        Filter {
            name: self.name.as_deref(),
            status: self.status.as_deref(),
            category: self.category.as_deref(),
            language: self.language.as_deref(),
        }
    }
}
