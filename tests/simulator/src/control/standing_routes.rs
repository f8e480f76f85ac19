use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::routes::{Problem, Shared, absent};
use super::sending::AccountChange;
use crate::meta::Meta;
use crate::world::Waba;

/// Partner events come under the partner's own id.
const PARTNER: &str = "900000000000001";
/// Events after which the app is not subscribed any more.
const ENDING: [&str; 3] = ["ACCOUNT_DELETED", "PARTNER_APP_UNINSTALLED", "PARTNER_REMOVED"];

pub(super) async fn change(
    State(meta): Shared,
    Path(id): Path<String>,
    Json(change): Json<AccountChange>,
) -> Result<StatusCode, Problem> {
    let waba = meta.waba(&id).ok_or_else(|| absent("WABA"))?;
    apply(&waba, &change, meta.now_ms());
    let (entry, field, value) = told(&meta, &waba, &change)?;
    meta.announce(entry, &waba.subscribed, field, &value);
    if let AccountChange::Linked { event } = &change
        && ENDING.contains(&event.as_str())
    {
        waba.subscribed.store(false, Ordering::Relaxed);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// What follows for sends.
fn apply(waba: &Waba, change: &AccountChange, now_ms: i64) {
    let mut standing = waba.account.standing.lock().unwrap_or_else(PoisonError::into_inner);
    match change {
        AccountChange::Banned => standing.banned = true,
        AccountChange::Reinstated => standing.banned = false,
        AccountChange::Restricted { restrictions, seconds } => {
            standing.restrictions.clone_from(restrictions);
            standing.restricted_until = seconds.map(|seconds| now_ms + i64::from(seconds) * 1_000);
        }
        _ => {}
    }
}

/// The webhook: under which id, its field, its value.
fn told<'a>(meta: &Meta, waba: &'a Waba, change: &AccountChange) -> Result<(&'a str, &'static str, Value), Problem> {
    let ban = |state: &str| {
        let info = json!({"waba_ban_state": state, "waba_ban_date": "today"});
        json!({"event": "DISABLED_UPDATE", "ban_info": info})
    };
    let account = |value| (waba.id.as_str(), "account_update", value);
    let number = |id: &str| {
        let number = meta.number(id).filter(|number| number.waba_id == waba.id);
        number
            .map(|number| number.digits.clone())
            .ok_or_else(|| absent("number"))
    };
    Ok(match change {
        AccountChange::Banned => account(ban("DISABLE")),
        AccountChange::BanScheduled => account(ban("SCHEDULE_FOR_DISABLE")),
        AccountChange::Reinstated => account(ban("REINSTATE")),
        AccountChange::Restricted { restrictions, seconds } => {
            let until = seconds.map(|seconds| meta.now_ms() / 1_000 + i64::from(seconds));
            let list: Vec<_> = restrictions
                .iter()
                .map(|kind| match until {
                    Some(until) => json!({"restriction_type": kind, "expiration": until}),
                    None => json!({"restriction_type": kind}),
                })
                .collect();
            account(json!({"event": "ACCOUNT_RESTRICTION", "restriction_info": list}))
        }
        AccountChange::Linked { event } if event.starts_with("PARTNER_") => {
            let info = json!({"waba_id": waba.id, "owner_business_id": waba.portfolio.id});
            (PARTNER, "account_update", json!({"event": event, "waba_info": info}))
        }
        AccountChange::Linked { event } => account(json!({"event": event})),
        AccountChange::Reviewed { decision } => (&waba.id, "account_review_update", json!({"decision": decision})),
        AccountChange::NameDecided {
            phone_number_id,
            decision,
        } => {
            let value = json!({"display_phone_number": number(phone_number_id)?, "decision": decision});
            (&waba.id, "phone_number_name_update", value)
        }
        AccountChange::UsernameChanged {
            phone_number_id,
            username,
            status,
        } => {
            let mut value = json!({"display_phone_number": number(phone_number_id)?, "status": status});
            if !username.is_empty() {
                value["username"] = json!(username);
            }
            (&waba.id, "business_username_update", value)
        }
        AccountChange::Quality {
            phone_number_id,
            event,
            limit,
        } => {
            let value =
                json!({"display_phone_number": number(phone_number_id)?, "event": event, "current_limit": limit});
            (&waba.id, "phone_number_quality_update", value)
        }
    })
}
