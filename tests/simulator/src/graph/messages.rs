//! `POST /{version}/{phone-number-id}/messages`.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::admit::{Admitted, admit};
use super::{answer, receipts};
use crate::auth::Access;
use crate::errors::Refusal;
use crate::faults::Call;
use crate::known;
use crate::ledger::{Content, Entry};
use crate::meta::Meta;
use crate::outbox::{Recipient, Sent, StatusPlan};
use crate::respond;
use crate::rules::{self, Checked, MediaUse, Request, Source, Target};
use crate::world::{MESSAGING, Number};

/// How long an answer waits for its first status when a rule wants the status first.
const EARLY: Duration = Duration::from_secs(5);
/// Places in `KINDS`.
const SENT: u8 = 0;
const DELIVERED: u8 = 1;
const READ: u8 = 2;
const FAILED: u8 = 3;
const PLAYED: u8 = 6;

#[derive(Serialize)]
struct Acceptance<'a> {
    messaging_product: &'static str,
    contacts: [Contact<'a>; 1],
    messages: [Message<'a>; 1],
}

#[derive(Serialize)]
struct Contact<'a> {
    input: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    wa_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_status: Option<&'static str>,
}

pub(super) async fn send(
    State(meta): State<Arc<Meta>>,
    Path((version, id)): Path<(String, String)>,
    Query(access): Query<Access>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // The number's country decides where a recipient without `+` goes; the token is checked before anything is said.
    let number = meta.number(&id);
    let country = number.as_ref().map_or("1", |number| number.country.as_str());
    let request = rules::check(&body, country);
    let (endpoint, checked) = match &request {
        Ok(Request::Message(checked)) => ("messages", Some(checked)),
        Ok(Request::Receipt(_)) => ("receipts", None),
        Err(_) => ("messages", None),
    };
    let call = Call {
        endpoint,
        object_id: &id,
        to: checked.map(|checked| checked.input.as_str()),
        callback: checked.and_then(|checked| checked.callback.as_deref()),
        ..Call::default()
    };
    answer(&meta, &version, call, async |plan| {
        let token = meta.token(&headers, &access)?;
        let number = meta.number_for(&token, &id, MESSAGING, "post")?;
        let checked = match &request {
            Err(refusal) => return Err(refusal.clone()),
            Ok(Request::Receipt(receipt)) => return receipts::take(&meta, &number, receipt),
            Ok(Request::Message(checked)) => checked,
        };
        let (sent, message_status) = accept(&meta, number, checked, &body, plan.statuses.clone())?;
        if sent.plan.early {
            let _ = timeout(EARLY, sent.first.notified()).await;
        }
        Ok(respond::value(&Acceptance {
            messaging_product: "whatsapp",
            contacts: [Contact {
                input: &checked.input,
                wa_id: sent.recipient.wa_id.as_deref(),
                // With both a number and a user id Meta uses the number, and says nothing of the id.
                user_id: (!checked.both).then_some(&sent.recipient.user_id),
            }],
            messages: [Message {
                id: &sent.wamid,
                message_status,
            }],
        }))
    })
    .await
}

/// Accepts a message: holds it against everything, writes it into the ledger, schedules its statuses.
fn accept(
    meta: &Meta,
    number: Arc<Number>,
    checked: &Checked,
    body: &[u8],
    mut plan: StatusPlan,
) -> Result<(Arc<Sent>, Option<&'static str>), Refusal> {
    let now_ms = meta.now_ms();
    let admitted = admit(meta, &number, checked, now_ms, &mut plan)?;
    let user = &admitted.user;
    let shown = user.wa_id.as_deref().unwrap_or_default();
    let wamid = meta.ids.outbound(shown);
    let message = known::Message::outbound(&number.id, &user.key, now_ms, checked.reacts_to.is_some());
    meta.known.note(&wamid, message);
    let entry = entry(&number, checked, &admitted, body, now_ms, wamid.clone());
    let entry = meta
        .ledger
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .accept(entry, body);
    let paced = admitted.template.as_ref().is_some_and(|template| template.paced);
    let steps = if paced {
        Vec::new()
    } else {
        steps(meta, now_ms, &plan, checked)
    };
    let sent = Arc::new(Sent {
        recipient: Recipient {
            wa_id: admitted.user.wa_id,
            user_id: admitted.user.user_id,
            parent_user_id: admitted.user.parent_user_id,
            by_user_id: matches!(checked.target, Target::UserId(_)),
        },
        category: admitted.template.as_ref().map(|template| template.category),
        number,
        wamid,
        callback: checked.callback.clone(),
        entry,
        plan,
        steps,
        first: Notify::new(),
    });
    match admitted.template {
        Some(template) if paced => {
            let account = sent.number.account.clone();
            let mut templates = account.templates.lock().unwrap_or_else(PoisonError::into_inner);
            templates.hold(&template.id, sent.clone());
            Ok((sent, Some("held_for_quality_assessment")))
        }
        template => {
            meta.outbox.statuses(sent.clone());
            Ok((sent, template.map(|_| "accepted")))
        }
    }
}

fn entry(number: &Number, checked: &Checked, admitted: &Admitted, body: &[u8], now_ms: i64, wamid: String) -> Entry {
    let source = |used: &MediaUse| match &used.source {
        Source::Id(source) | Source::Link(source) => source.clone(),
    };
    let content = Content {
        template: checked
            .template
            .as_ref()
            .map(|used| (used.name.clone(), used.language.clone())),
        media: checked.media.iter().map(source).collect(),
        context: checked.context.clone(),
        reacts_to: checked.reacts_to.clone(),
    };
    Entry {
        wamid,
        phone_number_id: number.id.clone(),
        to: checked.input.clone(),
        wa_id: admitted.user.wa_id.clone(),
        user: admitted.user.key.clone(),
        callback: checked.callback.clone(),
        kind: checked.kind,
        // Most messages are plain texts.
        content: (!content.is_empty()).then(|| Box::new(content)),
        outside_window: !admitted.open,
        body_sha256: Sha256::digest(body).into(),
        at_ms: now_ms,
        delivered: 0,
    }
}

/// Which statuses come, and when.
fn steps(meta: &Meta, now_ms: i64, plan: &StatusPlan, checked: &Checked) -> Vec<(u8, i64)> {
    let delays = meta.delays();
    let sent = now_ms + meta.ids.between(delays.sent_ms) as i64;
    let mut steps = Vec::with_capacity(3);
    if plan.fail.is_some() {
        steps.push((FAILED, sent));
    } else if checked.reacts_to.is_some() {
        // Nothing else follows a reaction.
        steps.push((SENT, sent));
    } else {
        let delivered = sent + meta.ids.between(delays.delivered_ms) as i64;
        steps.extend([(SENT, sent), (DELIVERED, delivered)]);
        if meta.ids.chance(delays.read_probability) {
            let read = delivered + meta.ids.between(delays.read_ms) as i64;
            steps.push((READ, read));
            if checked.voice {
                steps.push((PLAYED, read));
            }
        }
    }
    steps.retain(|(kind, _)| plan.comes(*kind));
    steps
}
