//! Phone numbers, and the app's subscription to an account.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{answer, parameters};
use crate::auth::Access;
use crate::errors::Refusal;
use crate::faults::Call;
use crate::meta::Meta;
use crate::respond;
use crate::world::{MANAGEMENT, Number, Waba};

/// Numbers on a page unless the caller wants fewer or more.
const PAGE: usize = 25;

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    pub(super) fields: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

type Params = Path<(String, String)>;

pub(super) async fn phone_number(
    meta: &Meta,
    (version, id): (&str, &str),
    access: &Access,
    fields: Option<&str>,
    headers: &HeaderMap,
) -> Response {
    answer(meta, version, call("phone_number", id), async |_| {
        let token = meta.token(headers, access)?;
        let number = meta.number_for(&token, id, MANAGEMENT, "get")?;
        Ok(respond::value(&describe(meta, &number, fields)?))
    })
    .await
}

pub(super) async fn waba(
    meta: &Meta,
    (version, id): (&str, &str),
    access: &Access,
    fields: Option<&str>,
    headers: &HeaderMap,
) -> Response {
    answer(meta, version, call("waba", id), async |_| {
        let token = meta.token(headers, access)?;
        let waba = meta.waba_for(&token, id, MANAGEMENT, "get")?;
        Ok(respond::value(&describe_waba(&waba, fields)?))
    })
    .await
}

pub(super) async fn phone_numbers(
    State(meta): State<Arc<Meta>>,
    Path((version, id)): Params,
    Query(access): Query<Access>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Response {
    answer(&meta, &version, call("phone_numbers", &id), async |_| {
        let token = meta.token(&headers, &access)?;
        let waba = meta.waba_for(&token, &id, MANAGEMENT, "get")?;
        let after = match wanted.after.as_deref() {
            None => 0,
            Some(cursor) => {
                let last = waba.numbers.iter().position(|number| number == cursor);
                last.ok_or_else(|| Refusal::new(400, 100, "(#100) Invalid cursors values"))? + 1
            }
        };
        let limit = wanted.limit.unwrap_or(PAGE).clamp(1, 100);
        let ids: Vec<_> = waba.numbers.iter().skip(after).take(limit).collect();
        let numbers = ids.iter().filter_map(|id| meta.number(id));
        let data = numbers.map(|number| describe(&meta, &number, wanted.fields.as_deref()));
        let mut page = json!({"data": data.collect::<Result<Vec<_>, _>>()?});
        if let (Some(first), Some(last)) = (ids.first(), ids.last()) {
            page["paging"] = json!({"cursors": {"before": first, "after": last}});
            if after + ids.len() < waba.numbers.len() {
                page["paging"]["next"] = json!(format!(
                    "https://graph.facebook.com/{version}/{id}/phone_numbers?limit={limit}&after={last}"
                ));
            }
        }
        Ok(respond::value(&page))
    })
    .await
}

pub(super) async fn subscribe(
    State(meta): State<Arc<Meta>>,
    Path((version, id)): Params,
    Query(access): Query<Access>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer(&meta, &version, call("subscribed_apps", &id), async |_| {
        let token = meta.token(&headers, &access)?;
        let waba = meta.waba_for(&token, &id, MANAGEMENT, "post")?;
        let override_wanted: Map<String, Value> = parameters(&headers, &body)?;
        if override_wanted.contains_key("override_callback_uri") {
            return Err(Refusal::new(400, 100, "This simulator has no override_callback_uri"));
        }
        waba.subscribed.store(true, Ordering::Relaxed);
        Ok(respond::value(&json!({"success": true})))
    })
    .await
}

pub(super) async fn unsubscribe(
    State(meta): State<Arc<Meta>>,
    Path((version, id)): Params,
    Query(access): Query<Access>,
    headers: HeaderMap,
) -> Response {
    answer(&meta, &version, call("subscribed_apps", &id), async |_| {
        let token = meta.token(&headers, &access)?;
        let waba = meta.waba_for(&token, &id, MANAGEMENT, "delete")?;
        waba.subscribed.store(false, Ordering::Relaxed);
        Ok(respond::value(&json!({"success": true})))
    })
    .await
}

pub(super) async fn subscribed_apps(
    State(meta): State<Arc<Meta>>,
    Path((version, id)): Params,
    Query(access): Query<Access>,
    headers: HeaderMap,
) -> Response {
    answer(&meta, &version, call("subscribed_apps", &id), async |_| {
        let token = meta.token(&headers, &access)?;
        let waba = meta.waba_for(&token, &id, MANAGEMENT, "get")?;
        let app = json!({"whatsapp_business_api_data": {
            "id": meta.config.app_id,
            "name": "Simulated App",
            "link": "https://www.facebook.com/games/?app_id=".to_owned() + &meta.config.app_id,
        }});
        let apps: &[Value] = if waba.subscribed.load(Ordering::Relaxed) {
            &[app]
        } else {
            &[]
        };
        Ok(respond::value(&json!({"data": apps})))
    })
    .await
}

fn call<'a>(endpoint: &'a str, id: &'a str) -> Call<'a> {
    Call {
        endpoint,
        object_id: id,
        managed: true,
        ..Call::default()
    }
}

/// A number's fields: those that are wanted, or Meta's default set.
fn describe(meta: &Meta, number: &Number, wanted: Option<&str>) -> Result<Value, Refusal> {
    let wanted = wanted.unwrap_or("verified_name,display_phone_number,quality_rating,code_verification_status");
    let throughput = number.limits.lock().unwrap_or_else(PoisonError::into_inner).throughput;
    let tier = *number.portfolio.tier.lock().unwrap_or_else(PoisonError::into_inner);
    let subscription = meta.callback();
    let mut object = Map::new();
    for field in wanted.split(',').map(str::trim).filter(|field| !field.is_empty()) {
        let value = match field {
            "id" => continue,
            "display_phone_number" => json!(number.display()),
            "verified_name" => json!(number.name),
            "quality_rating" => json!("GREEN"),
            "status" => json!("CONNECTED"),
            "code_verification_status" => json!("VERIFIED"),
            "name_status" => json!("APPROVED"),
            "account_mode" => json!("LIVE"),
            "platform_type" | "host_platform" => json!("CLOUD_API"),
            "is_official_business_account" | "is_on_biz_app" => json!(false),
            "country_dial_code" => json!(number.country),
            "throughput" => json!({"level": if throughput > 80 { "HIGH" } else { "STANDARD" }}),
            "whatsapp_business_manager_messaging_limit" => json!(tier),
            "webhook_configuration" => json!({"application": subscription}),
            _ => return Err(nonexisting(field)),
        };
        object.insert(field.to_owned(), value);
    }
    object.insert("id".to_owned(), json!(number.id));
    Ok(Value::Object(object))
}

/// An account's fields: those that are wanted, or Meta's default set.
fn describe_waba(waba: &Waba, wanted: Option<&str>) -> Result<Value, Refusal> {
    let wanted = wanted.unwrap_or("name,timezone_id,message_template_namespace");
    let tier = *waba.portfolio.tier.lock().unwrap_or_else(PoisonError::into_inner);
    let mut object = Map::new();
    for field in wanted.split(',').map(str::trim).filter(|field| !field.is_empty()) {
        let value = match field {
            "id" => continue,
            "name" => json!("Simulated Account"),
            "timezone_id" => json!("1"),
            "message_template_namespace" => json!(format!("simulated_{}", waba.id)),
            "currency" => json!("USD"),
            "country" => json!("US"),
            "account_review_status" => json!("APPROVED"),
            "business_verification_status" => json!("verified"),
            "ownership_type" => json!("SELF"),
            "owner_business_info" => json!({"name": "Simulated Portfolio", "id": waba.portfolio.id}),
            "whatsapp_business_manager_messaging_limit" => json!(tier),
            "marketing_messages_onboarding_status" => json!("ELIGIBLE"),
            _ => return Err(nonexisting(field)),
        };
        object.insert(field.to_owned(), value);
    }
    object.insert("id".to_owned(), json!(waba.id));
    Ok(Value::Object(object))
}

fn nonexisting(field: &str) -> Refusal {
    Refusal::new(400, 100, format!("(#100) Tried accessing nonexisting field ({field})"))
}
