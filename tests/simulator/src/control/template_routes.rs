use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::routes::{Problem, Shared, absent};
use super::sending::{ChangeTemplate, NewTemplate, TemplateCreated};
use crate::graph::{owner, release};
use crate::meta::Meta;
use crate::templates::{New, Template, events};
use crate::world::Waba;

pub(super) async fn create(
    State(meta): Shared,
    Json(new): Json<NewTemplate>,
) -> Result<Json<TemplateCreated>, Problem> {
    let waba = meta.waba(&new.waba_id).ok_or_else(|| absent("WABA"))?;
    let mut templates = waba.account.templates.lock().unwrap_or_else(PoisonError::into_inner);
    let made = New {
        name: new.name,
        language: new.language,
        category: new.category,
        status: new.status,
        components: new.components,
    };
    let template = templates
        .add(meta.ids.object(), made)
        .map_err(|why| (StatusCode::BAD_REQUEST, why))?;
    drop(templates);
    if !new.quietly {
        tell(&meta, &waba, [events::status(&template, &template.status, None)]);
    }
    Ok(Json(TemplateCreated { id: template.id }))
}

pub(super) async fn change(
    State(meta): Shared,
    Path(id): Path<String>,
    Json(change): Json<ChangeTemplate>,
) -> Result<StatusCode, Problem> {
    let waba = owner(&meta, &id).ok_or_else(|| absent("template"))?;
    let mut templates = waba.account.templates.lock().unwrap_or_else(PoisonError::into_inner);
    let template = templates.get_mut(&id).ok_or_else(|| absent("template"))?;
    let told = apply(template, &change, meta.now_ms() / 1_000)?;
    let (paced, status) = (template.paced, template.status.clone());
    let fails = match status.as_str() {
        "PAUSED" => Some((132_015, "Template is paused".to_owned())),
        "DISABLED" => Some((132_016, "Template is disabled".to_owned())),
        _ => None,
    };
    let waiting = if paced && fails.is_none() {
        Vec::new()
    } else {
        templates.waiting(&id)
    };
    drop(templates);
    release(&meta, &waiting, fails.as_ref());
    if !change.quietly {
        tell(&meta, &waba, told);
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove(State(meta): Shared, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let waba = owner(&meta, &id).ok_or_else(|| absent("template"))?;
    let mut templates = waba.account.templates.lock().unwrap_or_else(PoisonError::into_inner);
    let template = templates.remove(&id).ok_or_else(|| absent("template"))?;
    let waiting = templates.waiting(&id);
    drop(templates);
    let gone = (132_001, "Template name does not exist in the translation".to_owned());
    release(&meta, &waiting, Some(&gone));
    tell(&meta, &waba, [events::status(&template, "DELETED", None)]);
    Ok(StatusCode::NO_CONTENT)
}

/// Changes the template and returns the webhooks that tell of it.
fn apply(template: &mut Template, change: &ChangeTemplate, now: i64) -> Result<Vec<events::Event>, Problem> {
    let mut told = Vec::new();
    if let Some(components) = &change.components {
        template
            .set_components(components)
            .map_err(|why| (StatusCode::BAD_REQUEST, why))?;
        told.push(events::components(template));
    }
    if let Some(status) = &change.status {
        template.status.clone_from(status);
        if let Some(reason) = &change.reason {
            template.rejected_reason.clone_from(reason);
        }
        told.push(events::status(template, status, change.reason.as_deref()));
    }
    if let Some(quality) = &change.quality {
        let previous = std::mem::replace(&mut template.quality, quality.clone());
        told.push(events::quality(template, &previous));
    }
    if let Some(category) = &change.category_to_come {
        told.push(events::category_to_come(template, category, now + 24 * 3_600));
    }
    if let Some(category) = &change.category {
        let previous = std::mem::replace(&mut template.category, category.clone());
        template.previous_category = Some(previous.clone());
        told.push(events::category(template, &previous));
    }
    if let Some(paced) = change.paced {
        template.paced = paced;
    }
    Ok(told)
}

fn tell(meta: &Meta, waba: &Arc<Waba>, told: impl IntoIterator<Item = events::Event>) {
    for event in told {
        meta.announce(&waba.id, &waba.subscribed, event.field, &event.value);
    }
}
