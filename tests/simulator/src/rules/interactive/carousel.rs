//! Cards side by side.

use serde_json::{Map, Value};

use super::super::Checked;
use super::super::fields::{Field, Path, Rule, bad, fields, list, need, object, required};
use super::{Headers, header, part, replies, url};
use crate::errors::Refusal;

const QUICK_REPLY: &[Field] = &[
    required("type", Rule::OneOf(&["quick_reply"])),
    required("quick_reply", Rule::Object(QUICK_REPLY_OBJECT)),
];
/// On a carousel's card the id is as short as the title.
const QUICK_REPLY_OBJECT: &[Field] = &[required("id", Rule::Short(20)), required("title", Rule::Short(20))];
/// Longest body of a card.
const CARD_BODY: usize = 160;

/// Checks two to ten cards with the same buttons.
pub(super) fn check(action: &Map<String, Value>, path: &Path<'_>, checked: &mut Checked) -> Result<(), Refusal> {
    fields(action, &[], path, &["cards"])?;
    let path = path.key("cards");
    let mut shape = None;
    for (index, value) in list(need(action, &path)?, &path, (2, 10))?.iter().enumerate() {
        let path = path.index(index);
        let quick_replies = card(object(value, &path)?, &path, index, checked)?;
        if *shape.get_or_insert(quick_replies) != quick_replies {
            return Err(bad(format!("{path}: all cards must have the same buttons")));
        }
    }
    Ok(())
}

/// Checks a card: how many quick replies it has, or none for an address.
fn card(card: &Map<String, Value>, path: &Path<'_>, index: usize, checked: &mut Checked) -> Result<usize, Refusal> {
    // Also a card of quick replies is of type `cta_url`: what stands in its action tells them apart.
    let known = &[
        required("card_index", Rule::Integer),
        required("type", Rule::OneOf(&["cta_url"])),
    ];
    fields(card, known, path, &["header", "body", "action"])?;
    if card.get("card_index").and_then(Value::as_u64) != Some(index as u64) {
        return Err(bad(format!("{}: must be {index}", path.key("card_index"))));
    }
    let place = path.key("header");
    let kind = need(card, &place)?["type"].as_str().unwrap_or_default();
    if !["image", "video"].contains(&kind) {
        return Err(bad(format!("{place}: must be an image or a video")));
    }
    header(card.get("header"), Headers::Any, &place, checked)?;
    part(card, &path.key("body"), false, CARD_BODY)?;
    let body = card
        .get("body")
        .and_then(|body| body["text"].as_str())
        .unwrap_or_default();
    if body.matches('\n').count() > 2 {
        let place = path.key("body");
        return Err(bad(format!("{}: at most two line breaks", place.key("text"))));
    }
    let place = path.key("action");
    let action = object(need(card, &place)?, &place)?;
    if action.contains_key("buttons") {
        return replies(action, &place, ("quick_reply", QUICK_REPLY));
    }
    url(action, &place, checked).map(|()| 0)
}
