//! The short form of a template's parameters, `{type, index, text}`, as the whole form has them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use outeract_domain::Violation;
use outeract_graph::template::{Button, Header, Pattern};
use outeract_proto::messaging::v1::template_button::Kind as ButtonKind;
use outeract_proto::messaging::v1::template_header::Kind as HeaderKind;
use outeract_proto::messaging::v1::template_parameter::Value;
use outeract_proto::messaging::v1::{
    Catalog, PositionalParameter, TemplateButton, TemplateContent, TemplateFlow, TemplateHeader, TemplateParameter,
};

use super::Definition;

/// A content in the whole form, and which parameter each of its fields came from.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    pub content: TemplateContent,
    header: Option<usize>,
    body: Vec<usize>,
    buttons: Vec<Option<usize>>,
    code: Option<usize>,
}

/// Parameters by place, with where each stands in the request.
#[derive(Debug, Default)]
struct Sorted {
    header: BTreeMap<i32, (usize, String)>,
    body: BTreeMap<i32, (usize, String)>,
    buttons: BTreeMap<i32, (usize, String)>,
    violations: Vec<Violation>,
}

/// More places than a template's 1,024 characters have room for.
const MOST: usize = 256;

/// The content that these parameters of a template make. Paths are the request's: `parameters[1].text`.
pub(crate) fn fill(
    definition: &Definition,
    name: &str,
    language: &str,
    parameters: Vec<PositionalParameter>,
) -> Result<Filled, Vec<Violation>> {
    let mut sorted = Sorted::of(parameters);
    let mut filled = Filled {
        content: TemplateContent {
            name: name.to_owned(),
            language_code: language.to_owned(),
            ..TemplateContent::default()
        },
        ..Filled::default()
    };
    if definition.is_one_time_code() {
        filled.code(&mut sorted);
    } else {
        filled.header(definition, &mut sorted);
        filled.body(definition, &mut sorted);
        filled.buttons(definition, &mut sorted);
    }
    if sorted.violations.is_empty() {
        Ok(filled)
    } else {
        sorted.violations.truncate(super::check::MOST_VIOLATIONS);
        Err(sorted.violations)
    }
}

// === impl Sorted ===

impl Sorted {
    fn of(parameters: Vec<PositionalParameter>) -> Self {
        let mut sorted = Self::default();
        if parameters.len() > MOST {
            sorted.refuse("parameters", format!("must be at most {MOST}"));
            return sorted;
        }
        for (at, parameter) in parameters.into_iter().enumerate() {
            let PositionalParameter { r#type, index, text } = parameter;
            let (places, least) = match r#type.to_ascii_lowercase().as_str() {
                "header" => (&mut sorted.header, 1),
                "body" => (&mut sorted.body, 1),
                "button" => (&mut sorted.buttons, 0),
                _ => {
                    sorted.refuse_at(at, "type", "must be header, body or button");
                    continue;
                }
            };
            if index < least {
                sorted.refuse_at(at, "index", format!("must be {least} or more"));
            } else if let Entry::Vacant(place) = places.entry(index) {
                place.insert((at, text));
            } else {
                sorted.refuse_at(at, "index", "must differ from that of the others of its type");
            }
        }
        sorted
    }

    fn refuse(&mut self, path: impl Into<String>, description: impl Into<String>) {
        self.violations.push(Violation::new(path, description));
    }

    fn refuse_at(&mut self, at: usize, field: &str, description: impl Into<String>) {
        self.refuse(format!("parameters[{at}].{field}"), description);
    }

    /// None of these is wanted.
    fn refuse_all(&mut self, places: BTreeMap<i32, (usize, String)>, description: &str) {
        for (at, _) in places.into_values() {
            self.refuse_at(at, "type", description);
        }
    }
}

// === impl Filled ===

impl Filled {
    /// Where the field that a path of the whole request names stands in the short one.
    pub(crate) fn path(&self, path: &str) -> String {
        let Some(path) = path.strip_prefix("content.template") else {
            return path.to_owned();
        };
        let path = path.strip_prefix('.').unwrap_or(path);
        match path {
            "name" => return "template_name".to_owned(),
            "language_code" => return "language_code".to_owned(),
            _ => {}
        }
        let field = path.split(['.', '[']).next().unwrap_or_default();
        let place = || path.split_once('[')?.1.split_once(']')?.0.parse::<usize>().ok();
        let parameter = match field {
            "header" => self.header,
            "body" => place().and_then(|place| self.body.get(place).copied()),
            "buttons" => place().and_then(|place| self.buttons.get(place).copied().flatten()),
            "one_time_code" => self.code,
            _ => None,
        };
        parameter.map_or_else(|| "parameters".to_owned(), |at| format!("parameters[{at}].text"))
    }

    fn header(&mut self, definition: &Definition, sorted: &mut Sorted) {
        let parts = definition.parts();
        let place = match parts.map(|parts| parts.header.as_ref()) {
            Some(Some(Header::Text(pattern))) => pattern.places().first(),
            Some(None) => None,
            Some(Some(Header::Other)) | None => {
                return self.take_header("", sorted);
            }
            Some(Some(_)) => {
                sorted.refuse(
                    "parameters",
                    "cannot fill this template's header: send it with SendMessage and the content kind template",
                );
                return;
            }
        };
        let Some(place) = place else {
            let header = std::mem::take(&mut sorted.header);
            return sorted.refuse_all(header, "must not be header: the template's header has no place");
        };
        self.take_header(if definition.is_named() { &place.name } else { "" }, sorted);
        if self.header.is_none() {
            sorted.refuse("parameters", "must have a header with index 1");
        }
    }

    fn take_header(&mut self, name: &str, sorted: &mut Sorted) {
        for (index, (at, text)) in std::mem::take(&mut sorted.header) {
            if index != 1 {
                sorted.refuse_at(at, "index", "must be 1: a header has one place");
                continue;
            }
            self.header = Some(at);
            self.content.header = Some(TemplateHeader {
                kind: Some(HeaderKind::Text(parameter(name.to_owned(), text))),
            });
        }
    }

    fn body(&mut self, definition: &Definition, sorted: &mut Sorted) {
        let parts = definition.parts();
        let pattern = parts.map(|parts| parts.body.as_ref().map_or(&[][..], Pattern::places));
        let named = definition.is_named();
        let mut expected = 1;
        for (index, (at, text)) in std::mem::take(&mut sorted.body) {
            let place = usize::try_from(index - 1).ok();
            let name = match (pattern, place) {
                (Some(places), Some(place)) => match places.get(place) {
                    Some(place) if named => place.name.clone(),
                    Some(_) => String::new(),
                    None => {
                        let most = places.len();
                        sorted.refuse_at(
                            at,
                            "index",
                            format!("must be at most {most}: the body has no more places"),
                        );
                        continue;
                    }
                },
                _ => String::new(),
            };
            if index != expected && pattern.is_none() {
                sorted.refuse_at(
                    at,
                    "index",
                    format!("must be {expected}: places are filled in their order"),
                );
            }
            for missing in expected..index.min(MOST as i32) {
                if pattern.is_some() {
                    sorted.refuse("parameters", format!("must have a body with index {missing}"));
                }
            }
            expected = index + 1;
            self.body.push(at);
            self.content.body.push(parameter(name, text));
        }
        let count = pattern.map_or(0, <[_]>::len) as i32;
        for missing in expected..=count {
            sorted.refuse("parameters", format!("must have a body with index {missing}"));
        }
    }

    fn buttons(&mut self, definition: &Definition, sorted: &mut Sorted) {
        let parts = definition.parts();
        let known = parts.map_or(&[][..], |parts| &parts.buttons);
        for (index, (at, text)) in std::mem::take(&mut sorted.buttons) {
            let button = usize::try_from(index).ok().and_then(|index| known.get(index));
            let kind = match (button, parts) {
                (Some(Button::QuickReply), _) => ButtonKind::QuickReplyPayload(text),
                (Some(Button::CopyCode), _) => ButtonKind::CouponCode(text),
                (Some(Button::Flow), _) => ButtonKind::Flow(TemplateFlow {
                    flow_token: text,
                    data: None,
                }),
                (Some(Button::Catalog), _) => ButtonKind::Catalog(Catalog {
                    thumbnail_product_retailer_id: text,
                }),
                (Some(Button::Products), _) => {
                    sorted.refuse_at(
                        at,
                        "type",
                        "cannot fill this button: send it with SendMessage and the content kind template",
                    );
                    continue;
                }
                (Some(Button::Url(_) | Button::OneTimeCode | Button::Fixed | Button::Other), _) | (None, None) => {
                    ButtonKind::UrlSuffix(text)
                }
                (None, Some(_)) => {
                    sorted.refuse_at(
                        at,
                        "index",
                        format!("must be less than {}: the template has no more buttons", known.len()),
                    );
                    continue;
                }
            };
            self.button(index, kind, Some(at));
        }
        // A flow's button is to be named, and needs no parameter.
        for (index, _) in known.iter().enumerate().filter(|(_, button)| **button == Button::Flow) {
            let index = index as i32;
            if self.content.buttons.iter().all(|given| given.index != index) {
                self.button(index, ButtonKind::Flow(TemplateFlow::default()), None);
            }
        }
    }

    fn button(&mut self, index: i32, kind: ButtonKind, at: Option<usize>) {
        self.buttons.push(at);
        self.content.buttons.push(TemplateButton {
            index,
            kind: Some(kind),
        });
    }

    /// A one-time code fills the body and the button: given for one of them, or for both alike.
    fn code(&mut self, sorted: &mut Sorted) {
        let header = std::mem::take(&mut sorted.header);
        sorted.refuse_all(
            header,
            "must not be header: an authentication template has none to fill",
        );
        let places = [
            (std::mem::take(&mut sorted.body), 1),
            (std::mem::take(&mut sorted.buttons), 0),
        ];
        for (places, place) in places {
            for (index, (at, text)) in places {
                if index != place {
                    sorted.refuse_at(at, "index", format!("must be {place}: the code has no other place"));
                } else if self.code.is_none() {
                    self.code = Some(at);
                    self.content.one_time_code = text;
                } else if self.content.one_time_code != text {
                    sorted.refuse_at(at, "text", "must be the same code as in the body");
                }
            }
        }
        if self.code.is_none() {
            sorted.refuse("parameters", "must have a body with index 1: the code");
        }
    }
}

fn parameter(name: String, text: String) -> TemplateParameter {
    TemplateParameter {
        name,
        value: Some(Value::Text(text)),
    }
}
