//! Interactive messages: which header, body and footer each kind takes, and what its action is. The Graph API does not look inside: what is wrong there is `WhatsApp`'s 131009, and 131008 what is missing.

mod carousel;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::Checked;
use super::content::media_object;
use super::fields::{
    ADDRESS, Field, Path, Rule, WEB, bad, fields, invalid, link, list, need, object, optional, required, text,
};
use crate::errors::Refusal;
use crate::media::Family;

/// Checks an action.
type Check = fn(&Map<String, Value>, &Path<'_>, &mut Checked) -> Result<(), Refusal>;

/// A kind of interactive message.
struct Kind {
    name: &'static str,
    headers: Headers,
    body: Part,
    footer: bool,
    action: Check,
}

/// Which headers a kind takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Headers {
    None,
    Text,
    NeedsText,
    Any,
}

/// Whether there is a body, and its length.
enum Part {
    Needed(usize),
    Optional(usize),
}

const BODY: usize = 1_024;
const FOOTER: usize = 60;

const KINDS: &[Kind] = &[
    kind("button", Headers::Any, Part::Needed(BODY), true, buttons),
    kind("list", Headers::Text, Part::Needed(4_096), true, menu),
    kind("cta_url", Headers::Any, Part::Needed(BODY), true, url),
    kind(
        "location_request_message",
        Headers::None,
        Part::Needed(BODY),
        false,
        location,
    ),
    kind("contact_request", Headers::None, Part::Needed(BODY), false, contact),
    kind("flow", Headers::Any, Part::Needed(BODY), true, flow),
    kind("product", Headers::None, Part::Optional(BODY), true, product),
    kind("product_list", Headers::NeedsText, Part::Needed(BODY), true, products),
    kind("catalog_message", Headers::None, Part::Needed(BODY), true, catalog),
    kind("carousel", Headers::None, Part::Needed(BODY), false, carousel::check),
];

const REPLY: &[Field] = &[
    required("type", Rule::OneOf(&["reply"])),
    required("reply", Rule::Object(REPLY_OBJECT)),
];
const REPLY_OBJECT: &[Field] = &[required("id", Rule::Short(256)), required("title", Rule::Short(20))];
const ROW: &[Field] = &[
    required("id", Rule::Short(200)),
    required("title", Rule::Short(24)),
    optional("description", Rule::Any(72)),
];
const PRODUCT_ITEM: &[Field] = &[required("product_retailer_id", Rule::Short(256))];
const FLOW: &[Field] = &[
    required("flow_message_version", Rule::OneOf(&["3"])),
    optional("flow_token", Rule::Short(256)),
    optional("flow_id", Rule::Digits),
    optional("flow_name", Rule::Short(256)),
    required("flow_cta", Rule::Short(30)),
    optional("mode", Rule::OneOf(&["draft", "published"])),
    optional("flow_action", Rule::OneOf(&["navigate", "data_exchange"])),
    optional(
        "flow_action_payload",
        Rule::Object(&[required("screen", Rule::Short(256)), optional("data", Rule::AnyObject)]),
    ),
];

const SECTIONS: usize = 10;
const ROWS: usize = 10;
const PRODUCTS: usize = 30;
const SECTION_TITLE: usize = 24;

const fn kind(name: &'static str, headers: Headers, body: Part, footer: bool, action: Check) -> Kind {
    Kind {
        name,
        headers,
        body,
        footer,
        action,
    }
}

/// Checks an interactive object.
pub(super) fn check(interactive: &Map<String, Value>, path: &Path<'_>, checked: &mut Checked) -> Result<(), Refusal> {
    let name = text(need(interactive, &path.key("type"))?, &path.key("type"))?;
    let kind = KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| {
        let names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
        invalid(format!("Param {} must be one of {names:?}", path.key("type")))
    })?;
    fields(interactive, &[], path, &["type", "header", "body", "footer", "action"])?;
    header(interactive.get("header"), kind.headers, &path.key("header"), checked)?;
    let (needed, most) = match kind.body {
        Part::Needed(most) => (true, most),
        Part::Optional(most) => (false, most),
    };
    part(interactive, &path.key("body"), needed, most)?;
    if !kind.footer && interactive.contains_key("footer") {
        return Err(bad(format!("{}: not allowed here", path.key("footer"))));
    }
    part(interactive, &path.key("footer"), false, FOOTER)?;
    let path = path.key("action");
    (kind.action)(object(need(interactive, &path)?, &path)?, &path, checked)
}

/// `{"text": …}`.
fn part(parent: &Map<String, Value>, path: &Path<'_>, needed: bool, most: usize) -> Result<(), Refusal> {
    match need(parent, path) {
        Err(_) if !needed => Ok(()),
        found => fields(object(found?, path)?, &[required("text", Rule::Short(most))], path, &[]),
    }
}

fn header(value: Option<&Value>, allowed: Headers, path: &Path<'_>, checked: &mut Checked) -> Result<(), Refusal> {
    let value = match (value, allowed) {
        (None | Some(Value::Null), Headers::NeedsText) => return Err(super::missing(path)),
        (None | Some(Value::Null), _) => return Ok(()),
        (Some(_), Headers::None) => return Err(bad(format!("{path}: not allowed here"))),
        (Some(value), _) => value,
    };
    let header = object(value, path)?;
    let name = text(need(header, &path.key("type"))?, &path.key("type"))?;
    let family = match name {
        "text" => {
            fields(header, &[required("text", Rule::Short(60))], path, &["type"])?;
            return Ok(());
        }
        "image" => Family::Image,
        "video" => Family::Video,
        "document" => Family::Document,
        _ => return Err(bad(format!("{}: header type invalid", path.key("type")))),
    };
    if allowed != Headers::Any {
        return Err(bad(format!("{}: only text is allowed here", path.key("type"))));
    }
    fields(header, &[], path, &["type", name])?;
    let filename = &[optional("filename", Rule::Any(240))];
    let beside: &[Field] = if family == Family::Document { filename } else { &[] };
    media_object(need(header, &path.key(name))?, &path.key(name), family, beside, checked)
}

fn buttons(action: &Map<String, Value>, path: &Path<'_>, _: &mut Checked) -> Result<(), Refusal> {
    replies(action, path, ("reply", REPLY)).map(drop)
}

/// Up to three buttons with different ids and titles; how many.
fn replies(action: &Map<String, Value>, path: &Path<'_>, (kind, known): (&str, &[Field])) -> Result<usize, Refusal> {
    fields(action, &[], path, &["buttons"])?;
    let path = path.key("buttons");
    let buttons = list(need(action, &path)?, &path, (1, 3))?;
    let (mut ids, mut titles) = (HashSet::new(), HashSet::new());
    for (index, button) in buttons.iter().enumerate() {
        let path = path.index(index);
        fields(object(button, &path)?, known, &path, &[])?;
        let path = path.key(kind);
        let word = |key: &str| button[kind][key].as_str().unwrap_or_default();
        if word("id").trim() != word("id") {
            return Err(bad(format!("{}: leading or trailing spaces", path.key("id"))));
        }
        for (seen, key) in [(&mut ids, "id"), (&mut titles, "title")] {
            if !seen.insert(word(key).to_owned()) {
                return Err(bad(format!("{}: duplicated", path.key(key))));
            }
        }
    }
    Ok(buttons.len())
}

fn menu(action: &Map<String, Value>, path: &Path<'_>, _: &mut Checked) -> Result<(), Refusal> {
    fields(action, &[required("button", Rule::Short(20))], path, &["sections"])?;
    let path = path.key("sections");
    let (mut ids, mut rows) = (HashSet::new(), 0);
    sections(need(action, &path)?, &path, "rows", |row, path| {
        fields(row, ROW, path, &[])?;
        rows += 1;
        if rows > ROWS {
            return Err(bad(format!("{path}: Total row count exceed max allowed count: {ROWS}")));
        }
        let id = row.get("id").and_then(Value::as_str).unwrap_or_default();
        if ids.insert(id.to_owned()) {
            return Ok(());
        }
        Err(bad(format!("{}: duplicated", path.key("id"))))
    })
}

/// Sections with titles, needed when there are several; `each` checks an element.
fn sections(
    value: &Value,
    path: &Path<'_>,
    elements: &'static str,
    mut each: impl FnMut(&Map<String, Value>, &Path<'_>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let sections = list(value, path, (1, SECTIONS))?;
    for (index, section) in sections.iter().enumerate() {
        let path = path.index(index);
        let section = object(section, &path)?;
        fields(
            section,
            &[optional("title", Rule::Any(SECTION_TITLE))],
            &path,
            &[elements],
        )?;
        let title = section.get("title").and_then(Value::as_str).unwrap_or_default();
        if sections.len() > 1 && title.is_empty() {
            return Err(super::missing(&path.key("title")));
        }
        let path = path.key(elements);
        let found = list(need(section, &path)?, &path, (1, PRODUCTS))?;
        for (index, element) in found.iter().enumerate() {
            let path = path.index(index);
            each(object(element, &path)?, &path)?;
        }
    }
    Ok(())
}

/// An action that is told by its name.
fn named<'v>(
    action: &'v Map<String, Value>,
    path: &Path<'_>,
    name: &'static [&'static str; 1],
) -> Result<Option<&'v Map<String, Value>>, Refusal> {
    fields(action, &[required("name", Rule::OneOf(name))], path, &["parameters"])?;
    let parameters = action.get("parameters").filter(|value| !value.is_null());
    parameters
        .map(|parameters| object(parameters, &path.key("parameters")))
        .transpose()
}

fn url(action: &Map<String, Value>, path: &Path<'_>, _: &mut Checked) -> Result<(), Refusal> {
    let parameters = named(action, path, &["cta_url"])?;
    let path = path.key("parameters");
    let parameters = parameters.ok_or_else(|| super::missing(&path))?;
    fields(
        parameters,
        &[required("display_text", Rule::Short(20))],
        &path,
        &["url"],
    )?;
    let path = path.key("url");
    link(text(need(parameters, &path)?, &path)?, WEB, ADDRESS, &path)
}

fn location(action: &Map<String, Value>, path: &Path<'_>, _: &mut Checked) -> Result<(), Refusal> {
    fields(action, &[required("name", Rule::OneOf(&["send_location"]))], path, &[])
}

fn contact(action: &Map<String, Value>, path: &Path<'_>, _: &mut Checked) -> Result<(), Refusal> {
    fields(
        action,
        &[required("name", Rule::OneOf(&["request_contact_info"]))],
        path,
        &[],
    )
}

fn flow(action: &Map<String, Value>, path: &Path<'_>, _: &mut Checked) -> Result<(), Refusal> {
    let parameters = named(action, path, &["flow"])?;
    let path = path.key("parameters");
    let parameters = parameters.ok_or_else(|| super::missing(&path))?;
    fields(parameters, FLOW, &path, &[])?;
    let given = |key: &str| parameters.get(key).is_some_and(|value| !value.is_null());
    match (given("flow_id"), given("flow_name")) {
        (false, false) => return Err(super::missing(&path.key("flow_id"))),
        (true, true) => return Err(bad(format!("{path}: exactly one of flow_id and flow_name"))),
        _ => {}
    }
    let exchange = parameters
        .get("flow_action")
        .is_some_and(|action| action == "data_exchange");
    let payload = parameters.get("flow_action_payload");
    if exchange && payload.is_some() {
        return Err(bad(format!("{}: only with navigate", path.key("flow_action_payload"))));
    }
    let label = parameters.get("flow_cta").and_then(Value::as_str).unwrap_or_default();
    if label.chars().any(is_pictograph) {
        return Err(bad(format!("{}: no emoji", path.key("flow_cta"))));
    }
    let data = payload.and_then(|payload| payload.get("data"));
    if data.is_some_and(|data| data.as_object().is_some_and(Map::is_empty)) {
        return Err(bad(format!(
            "{}: must not be empty",
            path.key("flow_action_payload").key("data")
        )));
    }
    Ok(())
}

/// Roughly the blocks in which emoji are.
fn is_pictograph(character: char) -> bool {
    matches!(u32::from(character), 0x2600..=0x27bf | 0x1_f000..=0x1_faff | 0xfe0f)
}

fn product(action: &Map<String, Value>, path: &Path<'_>, _: &mut Checked) -> Result<(), Refusal> {
    let known = &[
        required("catalog_id", Rule::Digits),
        required("product_retailer_id", Rule::Short(256)),
    ];
    fields(action, known, path, &[])
}

fn products(action: &Map<String, Value>, path: &Path<'_>, _: &mut Checked) -> Result<(), Refusal> {
    fields(action, &[required("catalog_id", Rule::Digits)], path, &["sections"])?;
    product_sections(action, path)
}

/// Up to ten sections with up to thirty products in all.
pub(super) fn product_sections(action: &Map<String, Value>, path: &Path<'_>) -> Result<(), Refusal> {
    let path = path.key("sections");
    let mut count = 0;
    sections(need(action, &path)?, &path, "product_items", |item, path| {
        fields(item, PRODUCT_ITEM, path, &[])?;
        count += 1;
        if count > PRODUCTS {
            return Err(bad(format!("{path}: at most {PRODUCTS} products in all")));
        }
        Ok(())
    })
}

fn catalog(action: &Map<String, Value>, path: &Path<'_>, _: &mut Checked) -> Result<(), Refusal> {
    let Some(parameters) = named(action, path, &["catalog_message"])? else {
        return Ok(());
    };
    let known = &[optional("thumbnail_product_retailer_id", Rule::Short(256))];
    fields(parameters, known, &path.key("parameters"), &[])
}
