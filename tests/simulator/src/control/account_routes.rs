use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::json;

use super::Tier;
use super::model::ChangeNumber;
use super::routes::{Problem, Shared, absent};
use super::sending::{ChangePortfolio, ChangeWaba, PortfolioState, Told};

pub(super) async fn change_number(
    State(meta): Shared,
    Path(id): Path<String>,
    Json(change): Json<ChangeNumber>,
) -> Result<StatusCode, Problem> {
    let number = meta.number(&id).ok_or_else(|| absent("number"))?;
    if let Some(throughput) = change.throughput {
        number.limits.lock().unwrap_or_else(PoisonError::into_inner).throughput = throughput;
        if change.announce {
            let tier = *number.portfolio.tier.lock().unwrap_or_else(PoisonError::into_inner);
            let value = json!({
                "display_phone_number": number.digits,
                "event": "THROUGHPUT_UPGRADE",
                "max_daily_conversations_per_business": tier,
                "current_limit": tier,
            });
            let field = "phone_number_quality_update";
            meta.announce(&number.waba_id, &number.subscribed, field, &value);
        }
    }
    if let Some(deleted) = change.deleted {
        number.deleted.store(deleted, Ordering::Relaxed);
    }
    let mut allowed = number.allowed.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(recipients) = change.test_recipients {
        let digits = recipients
            .iter()
            .map(|recipient| recipient.trim_start_matches('+').to_owned());
        *allowed = Some(digits.collect());
    }
    if change.live == Some(true) {
        *allowed = None;
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn change_waba(
    State(meta): Shared,
    Path(id): Path<String>,
    Json(change): Json<ChangeWaba>,
) -> Result<StatusCode, Problem> {
    let waba = meta.waba(&id).ok_or_else(|| absent("WABA"))?;
    if let Some(disabled) = change.marketing_disabled {
        waba.account.marketing_disabled.store(disabled, Ordering::Relaxed);
    }
    if change.management_calls_per_hour.is_some() {
        let mut usage = waba.account.usage.lock().unwrap_or_else(PoisonError::into_inner);
        usage.limit = change.management_calls_per_hour;
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn change_portfolio(
    State(meta): Shared,
    Path(id): Path<String>,
    Json(change): Json<ChangePortfolio>,
) -> Result<StatusCode, Problem> {
    let wabas: Vec<_> = {
        let world = meta.world();
        let wabas = world.wabas.values().filter(|waba| waba.portfolio.id == id);
        wabas.cloned().collect()
    };
    let portfolio = wabas
        .first()
        .map(|waba| &waba.portfolio)
        .ok_or_else(|| absent("portfolio"))?;
    let Some(tier) = change.tier else {
        return Ok(StatusCode::NO_CONTENT);
    };
    *portfolio.tier.lock().unwrap_or_else(PoisonError::into_inner) = tier;
    let limit = match change.told {
        Told::Nowhere => return Ok(StatusCode::NO_CONTENT),
        Told::Word => json!(tier),
        Told::Number => tier.users().map_or(json!(-1), |users| json!(users)),
    };
    let value = json!({
        "max_daily_conversations_per_business": limit,
        "max_phone_numbers_per_business": 20,
        "max_phone_numbers_per_waba": 20,
    });
    for waba in &wabas {
        meta.announce(&waba.id, &waba.subscribed, "business_capability_update", &value);
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn portfolio(State(meta): Shared, Path(id): Path<String>) -> Result<Json<PortfolioState>, Problem> {
    let portfolio = {
        let world = meta.world();
        let mut portfolios = world.wabas.values().map(|waba| &waba.portfolio);
        portfolios.find(|portfolio| portfolio.id == id).cloned()
    };
    let portfolio = portfolio.ok_or_else(|| absent("portfolio"))?;
    let tier: Tier = *portfolio.tier.lock().unwrap_or_else(PoisonError::into_inner);
    let mut unique = portfolio.unique.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Json(PortfolioState {
        tier,
        unique_users: unique.count(meta.now_ms()),
    }))
}
