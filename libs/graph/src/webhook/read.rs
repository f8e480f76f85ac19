//! Reads what messages say.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::lenient;
use super::said::{Edit, Order, Place, Said, Unknown, Unsupported};

/// Where the message's content stands, by its type. Only the one that the type names is read.
#[derive(Deserialize, Default)]
pub(super) struct Bodies<'a> {
    /// The whole message.
    #[serde(skip)]
    whole: &'a str,
    #[serde(default, borrow)]
    text: Option<&'a RawValue>,
    #[serde(default, borrow)]
    image: Option<&'a RawValue>,
    #[serde(default, borrow)]
    video: Option<&'a RawValue>,
    // Meta has sent voice messages under this name, too.
    #[serde(default, borrow, alias = "voice")]
    audio: Option<&'a RawValue>,
    #[serde(default, borrow)]
    document: Option<&'a RawValue>,
    #[serde(default, borrow)]
    sticker: Option<&'a RawValue>,
    #[serde(default, borrow)]
    location: Option<&'a RawValue>,
    #[serde(default, borrow)]
    contacts: Option<&'a RawValue>,
    #[serde(default, borrow)]
    reaction: Option<&'a RawValue>,
    #[serde(default, borrow)]
    button: Option<&'a RawValue>,
    #[serde(default, borrow)]
    interactive: Option<&'a RawValue>,
    #[serde(default, borrow)]
    order: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(super) system: Option<&'a RawValue>,
    #[serde(default, borrow)]
    edit: Option<&'a RawValue>,
    #[serde(default, borrow)]
    revoke: Option<&'a RawValue>,
    #[serde(default, borrow)]
    unsupported: Option<&'a RawValue>,
    #[serde(default, borrow)]
    errors: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireText {
    body: String,
}

#[derive(Deserialize)]
struct Interactive<'a> {
    #[serde(rename = "type", default, deserialize_with = "lenient::optional_word")]
    kind: Option<String>,
    #[serde(default, borrow)]
    button_reply: Option<&'a RawValue>,
    #[serde(default, borrow)]
    list_reply: Option<&'a RawValue>,
    #[serde(default, borrow)]
    nfm_reply: Option<&'a RawValue>,
    #[serde(default, borrow)]
    call_permission_reply: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireEdit<'a> {
    #[serde(deserialize_with = "lenient::word")]
    original_message_id: String,
    #[serde(borrow)]
    message: &'a RawValue,
}

#[derive(Deserialize)]
struct Edited {
    #[serde(rename = "type", default, deserialize_with = "lenient::optional_word")]
    kind: Option<String>,
}

#[derive(Deserialize, Default)]
struct WireError {
    #[serde(default, deserialize_with = "lenient::integer")]
    code: i64,
    #[serde(default, deserialize_with = "lenient::optional_text")]
    title: Option<String>,
}

#[derive(Deserialize, Default)]
struct WireUnsupported {
    #[serde(rename = "type", default, deserialize_with = "lenient::optional_word")]
    kind: Option<String>,
}

/// Longest text of a message that is kept, in bytes: far above Meta's own limit.
const MAX_BODY: usize = 64 * 1024;
/// Most address cards and lines of an order that are kept: Meta's own limits are far lower.
const MAX_LINES: usize = 1_000;

// === impl Bodies ===

impl<'a> Bodies<'a> {
    /// Of a message.
    pub(super) fn of(raw: &'a str) -> Self {
        Self {
            whole: raw,
            ..serde_json::from_str(raw).unwrap_or_default()
        }
    }
}

// === impl Said ===

impl Said {
    /// What a message of this type says. None: it is not what Meta documents.
    pub(super) fn read(kind: &str, bodies: &Bodies<'_>) -> Option<Self> {
        match kind {
            "text" => text(bodies.text).map(Self::Text),
            "image" => object(bodies.image).map(Self::Image),
            "video" => object(bodies.video).map(Self::Video),
            "audio" | "voice" => object(bodies.audio).map(Self::Audio),
            "document" => object(bodies.document).map(Self::Document),
            "sticker" => object(bodies.sticker).map(Self::Sticker),
            "location" => object(bodies.location)
                .filter(Place::is_on_earth)
                .map(Box::new)
                .map(Self::Location),
            "contacts" => list(bodies.contacts).map(Self::Contacts),
            "reaction" => object(bodies.reaction).map(Self::Reaction),
            "button" => object(bodies.button).map(Self::Button),
            "interactive" => Self::interactive(bodies),
            "order" => object(bodies.order)
                .filter(|order: &Order| order.product_items.len() <= MAX_LINES)
                .map(Self::Order),
            "system" => object(bodies.system).map(Self::System),
            "edit" => Self::edit(bodies.edit?),
            "revoke" => object(bodies.revoke).map(Self::Revoke),
            "unsupported" | "unknown" => Some(Self::Unsupported(unsupported(bodies))),
            _ => Some(Self::Unknown(Unknown::of(bodies.whole))),
        }
    }

    fn interactive(bodies: &Bodies<'_>) -> Option<Self> {
        // Meta has sent such messages without a body, and its error beside them.
        let Some(raw) = bodies.interactive else {
            return Some(Self::Unsupported(unsupported(bodies)));
        };
        let interactive: Interactive<'_> = serde_json::from_str(raw.get()).ok()?;
        match interactive.kind.as_deref() {
            Some("button_reply") => object(interactive.button_reply).map(Self::ButtonReply),
            Some("list_reply") => object(interactive.list_reply).map(Self::ListReply),
            Some("nfm_reply") => object(interactive.nfm_reply).map(Self::Flow),
            Some("call_permission_reply") => object(interactive.call_permission_reply).map(Self::CallPermission),
            _ => Some(Self::Unknown(Unknown::of(bodies.whole))),
        }
    }

    fn edit(raw: &RawValue) -> Option<Self> {
        let edit: WireEdit<'_> = serde_json::from_str(raw.get()).ok()?;
        let edited: Edited = object(Some(edit.message))?;
        let kind = edited.kind.as_deref().unwrap_or_default();
        // An edit of an edit is none.
        let said = if kind == "edit" {
            Self::Unknown(Unknown::of(edit.message.get()))
        } else {
            Self::read(kind, &Bodies::of(edit.message.get()))?
        };
        Some(Self::Edit(Box::new(Edit {
            original: edit.original_message_id,
            said,
        })))
    }
}

fn text(raw: Option<&RawValue>) -> Option<String> {
    let text: WireText = serde_json::from_str(raw?.get()).ok()?;
    (text.body.len() <= MAX_BODY).then_some(text.body)
}

/// A struct is read from an array too: insist on an object.
pub(super) fn object<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    let raw = raw?.get();
    raw.starts_with('{').then(|| serde_json::from_str(raw).ok()).flatten()
}

fn list<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<Vec<T>> {
    let list: Vec<T> = serde_json::from_str(raw?.get()).ok()?;
    (list.len() <= MAX_LINES).then_some(list)
}

fn unsupported(bodies: &Bodies<'_>) -> Unsupported {
    let told: WireUnsupported = object(bodies.unsupported).unwrap_or_default();
    let errors: Vec<WireError> = list(bodies.errors).unwrap_or_default();
    let error = errors.into_iter().next().unwrap_or_default();
    Unsupported {
        kind: told.kind,
        code: error.code,
        title: error.title,
    }
}
