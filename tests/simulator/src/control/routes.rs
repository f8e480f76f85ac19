use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, patch, post, put};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use super::model::{
    Advance, ChangeToken, Inbound, InboundAccepted, LedgerQuery, NewWorld, Pause, Posted, RawChange, RawItem, RawPost,
    Reset, RuleApplied, Stats, WorldCreated,
};
use super::samples::sample;
use super::sending::ReceiptQuery;
use super::{account_routes, echo_routes, media_routes, standing_routes, template_routes, user_routes};
use crate::config::StatusDelays;
use crate::faults::Rule;
use crate::ledger::{Accepted, Entry, Receipt, Summary};
use crate::meta::{Meta, Switches};
use crate::outbox::Update;
use crate::world::hmac_hex;
use crate::{deliver, known, webhook};

/// Types of inbound messages that open no window.
const SILENT: [&str; 4] = ["edit", "revoke", "system", "unsupported"];
/// Acceptances on one page at most.
const PAGE: usize = 10_000;

pub(super) type Shared = State<Arc<Meta>>;
pub(super) type Problem = (StatusCode, String);

#[derive(Debug, Deserialize)]
struct Wait {
    timeout_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct OfMessage {
    wamid: String,
}

/// The routes.
pub(crate) fn routes() -> Router<Arc<Meta>> {
    Router::new()
        .route("/control/health", get(async || StatusCode::OK))
        .route("/control/worlds", post(create_world))
        .route("/control/numbers/{id}", patch(account_routes::change_number))
        .route("/control/wabas/{id}", patch(account_routes::change_waba))
        .route("/control/wabas/{id}/standing", post(standing_routes::change))
        .route(
            "/control/portfolios/{id}",
            get(account_routes::portfolio).patch(account_routes::change_portfolio),
        )
        .route("/control/tokens", patch(change_token))
        .route("/control/inbound", post(inbound))
        .route("/control/echoes", post(echo_routes::echoes))
        .route("/control/items", post(raw_items))
        .route("/control/changes", post(raw_changes))
        .route("/control/posts", post(raw_post))
        .route("/control/switches", get(switches).put(set_switches))
        .route("/control/statuses", put(set_delays))
        .route("/control/webhooks", put(pause))
        .route("/control/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/control/faults/{id}", delete(clear_fault))
        .route("/control/ledger", get(ledger))
        .route("/control/ledger/summary", get(summary))
        .route("/control/ledger/body", get(body))
        .route("/control/receipts", get(receipts))
        .route("/control/stats", get(stats))
        .route("/control/idle", get(idle))
        .route("/control/clock", post(advance))
        .route("/control/reset", post(reset))
        .merge(declarations())
        .layer(DefaultBodyLimit::max(64 << 20))
}

/// The routes that declare templates, users and media.
fn declarations() -> Router<Arc<Meta>> {
    Router::new()
        .route("/control/templates", post(template_routes::create))
        .route(
            "/control/templates/{id}",
            patch(template_routes::change).delete(template_routes::remove),
        )
        .route("/control/users", patch(user_routes::change))
        .route("/control/users/{phone_number_id}/{user}", get(user_routes::seen))
        .route("/control/preferences", post(user_routes::prefer))
        .route("/control/user_ids", post(user_routes::change_id))
        .route("/control/media", post(media_routes::create))
        .route("/control/media/{id}", get(media_routes::state))
        .route("/control/media/{id}/expire", post(media_routes::expire))
        .route("/control/links/broken", put(media_routes::break_links))
}

async fn create_world(State(meta): Shared, Json(new): Json<NewWorld>) -> Json<WorldCreated> {
    let now = meta.now_ms() / 1_000;
    let created = meta.world_mut().create(&new, &meta.ids, &meta.config.app_secret, now);
    Json(created)
}

async fn change_token(State(meta): Shared, Json(change): Json<ChangeToken>) -> Result<StatusCode, Problem> {
    let token = meta.find_token(&change.token).ok_or_else(|| absent("token"))?;
    if let Some(revoked) = change.revoked {
        token.revoked.store(revoked, Ordering::Relaxed);
    }
    if let Some(seconds) = change.expires_in_seconds {
        let at = if seconds == 0 {
            0
        } else {
            meta.now_ms() / 1_000 + seconds
        };
        token.expires_at.store(at, Ordering::Relaxed);
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn inbound(
    State(meta): Shared,
    Json(messages): Json<Vec<Inbound>>,
) -> Result<Json<Vec<InboundAccepted>>, Problem> {
    let mut updates = Vec::with_capacity(messages.len());
    let mut accepted = Vec::with_capacity(messages.len());
    let now_ms = meta.now_ms();
    for message in &messages {
        let number = meta.number(&message.phone_number_id).ok_or_else(|| absent("number"))?;
        let from = message.from.trim_start_matches('+');
        let user = meta
            .users
            .introduce(number.portfolio.viewer(), from, message.user_id.as_deref());
        let at = message.timestamp.unwrap_or(now_ms / 1_000);
        let wamid = message.wamid.clone().unwrap_or_else(|| meta.ids.inbound(from));
        let ready = ready(message)?;
        let other = message.message.as_ref().or(ready.as_ref());
        let kind = other.and_then(|other| other.get("type")?.as_str());
        let group = other.is_some_and(|other| other.contains_key("group_id"));
        let known = known::Message::inbound(&number.id, &user.key, at * 1_000, kind == Some("reaction"));
        meta.known.note(&wamid, known);
        let mut limits = number.limits.lock().unwrap_or_else(PoisonError::into_inner);
        if !group && !kind.is_some_and(|kind| SILENT.contains(&kind)) {
            limits.open_window(&user.key, at * 1_000);
        }
        // What comes in counts, but Meta does not refuse a user.
        let _ = limits.take_throughput(now_ms);
        drop(limits);
        let said = webhook::Said {
            name: message.name.as_deref().unwrap_or("Simulated User"),
            text: &message.text,
            other,
            // What has a context of its own, or names the message in its content, needs no other.
            reply_to: message
                .reply_to
                .as_deref()
                .filter(|_| !message.names_another() && !other.is_some_and(|other| other.contains_key("context"))),
        };
        let (item, contact) = webhook::message(&number, &user, &wamid, at, &said);
        updates.push(Update::Item {
            number,
            list: "messages",
            item: Arc::from(item),
            // Meta shows nobody beside what it says itself.
            contact: (kind != Some("system")).then(|| Arc::from(contact)),
        });
        accepted.push(InboundAccepted { wamid });
    }
    meta.ledger.lock().unwrap_or_else(PoisonError::into_inner).inbound += messages.len() as u64;
    meta.outbox.now(updates);
    Ok(Json(accepted))
}

/// The ready message that is asked for.
fn ready(message: &Inbound) -> Result<Option<serde_json::Map<String, serde_json::Value>>, Problem> {
    let Some(kind) = &message.sample else { return Ok(None) };
    sample(kind, message.reply_to.as_deref().unwrap_or_default())
        .map(Some)
        .ok_or_else(|| (StatusCode::BAD_REQUEST, "no such sample".to_owned()))
}

async fn raw_items(State(meta): Shared, Json(items): Json<Vec<RawItem>>) -> Result<StatusCode, Problem> {
    let mut updates = Vec::with_capacity(items.len());
    for raw in &items {
        let list = ["messages", "statuses", "errors"]
            .into_iter()
            .find(|list| *list == raw.list);
        let number = meta.number(&raw.phone_number_id).ok_or_else(|| absent("number"))?;
        if let (Some("messages"), Some(wamid)) = (list, raw.item["id"].as_str()) {
            // It can be marked as read; whether it opens a window is not guessed from what it looks like.
            let from = raw.item["from"].as_str().unwrap_or_default();
            let known = known::Message::inbound(&number.id, from, meta.now_ms(), raw.item["type"] == "reaction");
            meta.known.note(wamid, known);
        }
        updates.push(Update::Item {
            number,
            list: list.ok_or_else(|| (StatusCode::BAD_REQUEST, "no such list".to_owned()))?,
            item: Arc::from(webhook::raw(&raw.item)),
            contact: None,
        });
    }
    meta.outbox.now(updates);
    Ok(StatusCode::NO_CONTENT)
}

async fn raw_changes(State(meta): Shared, Json(changes): Json<Vec<RawChange>>) -> StatusCode {
    let at = meta.now_ms() / 1_000;
    meta.outbox.now(changes.into_iter().map(|change| Update::Change {
        value: Arc::from(webhook::raw(&change.value)),
        at,
        waba_id: change.waba_id,
        field: change.field,
    }));
    StatusCode::NO_CONTENT
}

async fn raw_post(State(meta): Shared, Json(post): Json<RawPost>) -> Result<Json<Posted>, Problem> {
    let url = meta.callback().ok_or_else(|| absent("callback"))?;
    let body = match post.body_base64 {
        Some(encoded) => STANDARD
            .decode(encoded)
            .map_err(|_| (StatusCode::BAD_REQUEST, "not base64".to_owned()))?,
        None => post.body.unwrap_or_default().into_bytes(),
    };
    let signature = match post.signature.as_deref() {
        None | Some("good") => Some(format!("sha256={}", hmac_hex(&meta.config.app_secret, &body))),
        Some("none") => None,
        Some(literal) => Some(literal.to_owned()),
    };
    let start = Instant::now();
    let status = deliver::push(&meta, &url, Bytes::from(body), signature.as_deref()).await;
    let elapsed_ms = start.elapsed().as_millis() as u64;
    Ok(Json(Posted { status, elapsed_ms }))
}

async fn switches(State(meta): Shared) -> Json<Switches> {
    Json(meta.switches())
}

async fn set_switches(State(meta): Shared, Json(switches): Json<Switches>) -> StatusCode {
    *meta.switches.write().unwrap_or_else(PoisonError::into_inner) = switches;
    StatusCode::NO_CONTENT
}

async fn set_delays(State(meta): Shared, Json(delays): Json<StatusDelays>) -> StatusCode {
    *meta.delays.write().unwrap_or_else(PoisonError::into_inner) = delays;
    StatusCode::NO_CONTENT
}

async fn pause(State(meta): Shared, Json(pause): Json<Pause>) -> StatusCode {
    meta.outbox.pause(pause.paused);
    StatusCode::NO_CONTENT
}

async fn add_fault(State(meta): Shared, Json(rule): Json<Rule>) -> Json<RuleApplied> {
    let id = meta.faults.add(rule);
    Json(RuleApplied { id, applied: 0 })
}

async fn faults(State(meta): Shared) -> Json<Vec<RuleApplied>> {
    let applied = meta.faults.applied().into_iter();
    Json(applied.map(|(id, applied)| RuleApplied { id, applied }).collect())
}

async fn clear_faults(State(meta): Shared) -> StatusCode {
    meta.faults.clear(None);
    StatusCode::NO_CONTENT
}

async fn clear_fault(State(meta): Shared, Path(id): Path<u64>) -> StatusCode {
    meta.faults.clear(Some(id));
    StatusCode::NO_CONTENT
}

async fn ledger(State(meta): Shared, Query(query): Query<LedgerQuery>) -> Json<Vec<Accepted>> {
    let ledger = meta.ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = query.limit.unwrap_or(1_000).min(PAGE);
    let page = ledger.page(query.after, limit, |entry| wanted(entry, &query));
    Json(page)
}

fn wanted(entry: &Entry, query: &LedgerQuery) -> bool {
    let same = |wanted: &Option<String>, has: &str| wanted.as_deref().is_none_or(|wanted| wanted == has);
    let callback = entry.callback.as_deref().unwrap_or_default();
    let content = entry.content.as_deref();
    let template = content.and_then(|content| content.template.as_ref());
    let uses = |medium: &String| content.is_some_and(|content| content.media.contains(medium));
    query
        .callback
        .as_deref()
        .is_none_or(|start| callback.starts_with(start))
        && same(&query.to, &entry.to)
        && same(&query.phone_number_id, &entry.phone_number_id)
        && same(&query.r#type, entry.kind)
        && same(&query.user, &entry.user)
        && same(&query.template, template.map_or("", |(name, _)| name))
        && query.media.as_ref().is_none_or(uses)
}

async fn body(State(meta): Shared, Query(of): Query<OfMessage>) -> Result<Bytes, Problem> {
    let ledger = meta.ledger.lock().unwrap_or_else(PoisonError::into_inner);
    ledger.body(&of.wamid).ok_or_else(|| absent("body among the last"))
}

async fn receipts(State(meta): Shared, Query(query): Query<ReceiptQuery>) -> Json<Vec<Receipt>> {
    let same = |wanted: &Option<String>, has: &str| wanted.as_deref().is_none_or(|wanted| wanted == has);
    let ledger = meta.ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let receipts = ledger.receipts.iter().skip(query.after as usize);
    let passing = receipts
        .filter(|receipt| same(&query.phone_number_id, &receipt.phone_number_id) && same(&query.wamid, &receipt.wamid));
    let limit = query.limit.unwrap_or(1_000).min(PAGE);
    Json(passing.take(limit).cloned().collect())
}

async fn summary(State(meta): Shared) -> Json<Summary> {
    Json(meta.ledger.lock().unwrap_or_else(PoisonError::into_inner).summary())
}

async fn stats(State(meta): Shared) -> Json<Stats> {
    Json(Stats {
        calls: meta.counts.calls.get(),
        refused: meta
            .counts
            .refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone(),
        posts: meta.counts.posts.get(),
        posts_failed: meta.counts.posts_failed.get(),
        waiting: meta.outbox.waiting(),
    })
}

/// Answers when nothing is scheduled, ready or under way: 204; or after the time allowed: 504.
async fn idle(State(meta): Shared, Query(wait): Query<Wait>) -> StatusCode {
    let limit = Duration::from_millis(wait.timeout_ms.unwrap_or(30_000));
    match tokio::time::timeout(limit, meta.outbox.idle()).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::GATEWAY_TIMEOUT,
    }
}

async fn advance(State(meta): Shared, Json(by): Json<Advance>) -> StatusCode {
    meta.advance(by.advance_ms);
    StatusCode::NO_CONTENT
}

async fn reset(State(meta): Shared, Json(what): Json<Reset>) -> StatusCode {
    meta.outbox.clear();
    meta.outbox.pause(false);
    meta.faults.clear(None);
    *meta.ledger.lock().unwrap_or_else(PoisonError::into_inner) = crate::ledger::Ledger::default();
    meta.known.clear();
    *meta.switches.write().unwrap_or_else(PoisonError::into_inner) = Switches::default();
    *meta.delays.write().unwrap_or_else(PoisonError::into_inner) = meta.config.statuses;
    if what.world {
        meta.forget_world();
    }
    StatusCode::NO_CONTENT
}

pub(super) fn absent(what: &str) -> Problem {
    (StatusCode::NOT_FOUND, format!("no such {what}"))
}
