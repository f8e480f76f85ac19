use std::sync::PoisonError;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::json;

use super::routes::{Problem, Shared, absent};
use super::sending::{ChangeUser, ChangeUserId, Preference, UserSeen};
use crate::meta::Meta;
use crate::users::User;
use crate::webhook;
use crate::world::Number;

pub(super) async fn change(State(meta): Shared, Json(change): Json<ChangeUser>) -> StatusCode {
    let user = digits(&change.user);
    if let Some(wa_id) = &change.wa_id {
        meta.users.alias(user, digits(wa_id));
    }
    meta.users.declare(user, |traits, hidden, username| {
        let set = |place: &mut bool, wanted: Option<bool>| *place = wanted.unwrap_or(*place);
        set(&mut traits.unreachable, change.unreachable);
        set(&mut traits.marketing_capped, change.marketing_capped);
        set(&mut traits.in_experiment, change.in_experiment);
        set(&mut traits.fails_later, change.fails_later);
        set(hidden, change.hidden);
        if change.username.is_some() {
            username.clone_from(&change.username);
        }
    });
    StatusCode::NO_CONTENT
}

pub(super) async fn seen(
    State(meta): Shared,
    Path((phone_number_id, user)): Path<(String, String)>,
) -> Result<Json<UserSeen>, Problem> {
    let number = meta.number(&phone_number_id).ok_or_else(|| absent("number"))?;
    let user = find(&meta, &number, &user);
    let limits = number.limits.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Json(UserSeen {
        window_open: limits.window_open(&user.key, meta.now_ms()),
        wa_id: user.wa_id,
        user_id: user.user_id,
        parent_user_id: user.parent_user_id,
    }))
}

pub(super) async fn prefer(State(meta): Shared, Json(told): Json<Preference>) -> Result<StatusCode, Problem> {
    let number = meta.number(&told.phone_number_id).ok_or_else(|| absent("number"))?;
    let user = find(&meta, &number, &told.user);
    let detail = match told.value.as_str() {
        "stop" => "User requested to stop marketing messages",
        "resume" => "User requested to resume marketing messages",
        "signup" => "User signed up for marketing messages",
        _ => return Err((StatusCode::BAD_REQUEST, "stop, resume or signup".to_owned())),
    };
    meta.users.stop(&user.key, &number.portfolio.id, told.value == "stop");
    if told.quietly {
        return Ok(StatusCode::NO_CONTENT);
    }
    let mut item = json!({
        "detail": detail,
        "category": "marketing_messages",
        "value": told.value,
        "timestamp": meta.now_ms() / 1_000,
        "user_id": user.user_id,
    });
    if let Some(wa_id) = &user.wa_id {
        item["wa_id"] = json!(wa_id);
    }
    tell(&meta, &number, &user, "user_preferences", &item);
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn change_id(State(meta): Shared, Json(change): Json<ChangeUserId>) -> Result<StatusCode, Problem> {
    let number = meta.number(&change.phone_number_id).ok_or_else(|| absent("number"))?;
    let before = find(&meta, &number, &change.user);
    meta.users
        .change_user_id(&before.key, &number.portfolio.id, &change.user_id);
    if change.quietly {
        return Ok(StatusCode::NO_CONTENT);
    }
    let mut item = json!({
        "detail": "The user's id has changed",
        "user_id": {"previous": before.user_id, "current": change.user_id},
        "timestamp": meta.now_ms() / 1_000,
    });
    if let Some(wa_id) = &before.wa_id {
        item["wa_id"] = json!(wa_id);
    }
    let after = find(&meta, &number, &change.user_id);
    tell(&meta, &number, &after, "user_id_update", &item);
    Ok(StatusCode::NO_CONTENT)
}

/// A webhook of a number's, in a field of its own.
fn tell(meta: &Meta, number: &Number, user: &User, field: &str, item: &serde_json::Value) {
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": number.digits, "phone_number_id": number.id},
        "contacts": [webhook::sender(user, "Simulated User")],
        field: [item],
    });
    meta.announce(&number.waba_id, &number.subscribed, field, &value);
}

fn find(meta: &Meta, number: &Number, user: &str) -> User {
    let viewer = number.portfolio.viewer();
    if user.contains('.') {
        meta.users.introduce(viewer, "", Some(user))
    } else {
        meta.users.introduce(viewer, digits(user), None)
    }
}

fn digits(number: &str) -> &str {
    number.trim_start_matches('+')
}
