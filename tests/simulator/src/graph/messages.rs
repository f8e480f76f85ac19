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

use super::answer;
use crate::auth::Access;
use crate::errors::Refusal;
use crate::faults::Call;
use crate::ledger::Entry;
use crate::meta::Meta;
use crate::outbox::{Sent, StatusPlan};
use crate::rules::{self, Checked};
use crate::world::{MESSAGING, Number};
use crate::{ids, respond};

/// How long an answer waits for its first status when a rule wants the status first.
const EARLY: Duration = Duration::from_secs(5);
/// Places in `KINDS`.
const SENT: u8 = 0;
const DELIVERED: u8 = 1;
const READ: u8 = 2;
const FAILED: u8 = 3;

#[derive(Serialize)]
struct Acceptance<'a> {
    messaging_product: &'static str,
    contacts: [Contact<'a>; 1],
    messages: [Message<'a>; 1],
}

#[derive(Serialize)]
struct Contact<'a> {
    input: &'a str,
    wa_id: &'a str,
    user_id: String,
}

#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
}

pub(super) async fn send(
    State(meta): State<Arc<Meta>>,
    Path((version, id)): Path<(String, String)>,
    Query(access): Query<Access>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // The number's country decides where a recipient without `+` goes; the token is checked before anything is said.
    let country = meta.number(&id).map_or("1", |number| number.country);
    let checked = rules::check(&body, country);
    let call = Call {
        endpoint: "messages",
        object_id: &id,
        to: checked.as_ref().ok().map(|checked| checked.to.as_str()),
        callback: checked.as_ref().ok().and_then(|checked| checked.callback.as_deref()),
    };
    answer(&meta, &version, call, async |plan| {
        let token = meta.token(&headers, &access)?;
        let number = meta.number_for(&token, &id, MESSAGING, "post")?;
        let checked = checked.as_ref().map_err(Clone::clone)?;
        let sent = accept(&meta, number, checked, &body, plan.statuses.clone())?;
        if sent.plan.early {
            let _ = timeout(EARLY, sent.first.notified()).await;
        }
        Ok(respond::value(&Acceptance {
            messaging_product: "whatsapp",
            contacts: [Contact {
                input: &checked.to,
                wa_id: &checked.wa_id,
                user_id: ids::user_id(&sent.number.portfolio.id, &checked.wa_id),
            }],
            messages: [Message { id: &sent.wamid }],
        }))
    })
    .await
}

/// Accepts a message: holds it against the limits, writes it into the ledger, schedules its statuses.
fn accept(
    meta: &Meta,
    number: Arc<Number>,
    checked: &Checked,
    body: &[u8],
    mut plan: StatusPlan,
) -> Result<Arc<Sent>, Refusal> {
    let now_ms = meta.now_ms();
    admit(meta, &number, &checked.wa_id, now_ms, &mut plan)?;
    let wamid = meta.ids.outbound(&checked.wa_id);
    let entry = Entry {
        wamid: wamid.clone(),
        phone_number_id: number.id.clone(),
        to: checked.to.clone(),
        wa_id: checked.wa_id.clone(),
        callback: checked.callback.clone(),
        body_sha256: Sha256::digest(body).into(),
        at_ms: now_ms,
        delivered: 0,
    };
    let steps = steps(meta, now_ms, &plan);
    let entry = meta.ledger.lock().unwrap_or_else(PoisonError::into_inner).accept(entry);
    let sent = Arc::new(Sent {
        number,
        wamid,
        wa_id: checked.wa_id.clone(),
        callback: checked.callback.clone(),
        entry,
        plan,
        steps,
        first: Notify::new(),
    });
    meta.outbox.statuses(sent.clone());
    Ok(sent)
}

fn admit(meta: &Meta, number: &Number, user: &str, now_ms: i64, plan: &mut StatusPlan) -> Result<(), Refusal> {
    let switches = meta.switches();
    if user == number.digits {
        return Err(Refusal::of_code(131_021).details("Recipient and sender phone number is the same."));
    }
    let mut limits = number.limits.lock().unwrap_or_else(PoisonError::into_inner);
    if switches.throughput && !limits.take_throughput(now_ms) {
        return Err(Refusal::of_code(130_429).details("Cloud API message throughput has been reached."));
    }
    let open = limits.window_open(user, now_ms);
    if switches.window && !open {
        let details = "Message failed to send because more than 24 hours have passed since the customer last replied to \
                       this number.";
        if !switches.window_fails_later {
            return Err(Refusal::of_code(131_047).details(details));
        }
        plan.fail = Some((131_047, "Re-engagement message".to_owned()));
    }
    if switches.pair && !limits.take_pair(user, now_ms) {
        return Err(Refusal::of_code(131_056).details(
            "Message failed to send because there were too many messages sent from this phone number to the same phone \
             number in a short period of time.",
        ));
    }
    drop(limits);
    if switches.tier && !open {
        let tier = *number.portfolio.tier.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unique = number.portfolio.unique.lock().unwrap_or_else(PoisonError::into_inner);
        if !unique.take(user, tier.users(), now_ms) {
            return Err(
                Refusal::of_code(131_048).details("The messaging limit of the business portfolio has been reached.")
            );
        }
    }
    Ok(())
}

/// Which statuses come, and when.
fn steps(meta: &Meta, now_ms: i64, plan: &StatusPlan) -> Vec<(u8, i64)> {
    let delays = meta.delays();
    let sent = now_ms + meta.ids.between(delays.sent_ms) as i64;
    let mut steps = Vec::with_capacity(3);
    if plan.fail.is_some() {
        steps.push((FAILED, sent));
    } else {
        let delivered = sent + meta.ids.between(delays.delivered_ms) as i64;
        steps.extend([(SENT, sent), (DELIVERED, delivered)]);
        if meta.ids.chance(delays.read_probability) {
            steps.push((READ, delivered + meta.ids.between(delays.read_ms) as i64));
        }
    }
    steps.retain(|(kind, _)| plan.comes(*kind));
    steps
}
