//! What messages from users say, by Meta's types.

use serde::{Deserialize, Serialize};

use super::card::Card;
use super::lenient;

/// What a message says.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// Text.
    Text(String),
    /// A picture.
    Image(Medium),
    /// A film.
    Video(Medium),
    /// Sound.
    Audio(Medium),
    /// Any file.
    Document(Medium),
    /// A sticker.
    Sticker(Medium),
    /// A place.
    Location(Box<Place>),
    /// Address cards.
    Contacts(Vec<Card>),
    /// A reaction to a message, or its removal.
    Reaction(Reaction),
    /// A button of a template was pressed.
    Button(Button),
    /// A button of an interactive message was pressed.
    ButtonReply(Reply),
    /// A row of a list was chosen.
    ListReply(Reply),
    /// A flow, or a form of Meta's, was filled in.
    Flow(Flow),
    /// The user said whether they may be called.
    CallPermission(CallPermission),
    /// An order from a catalog.
    Order(Order),
    /// Meta tells of the user.
    System(System),
    /// The user changed an earlier message.
    Edit(Box<Edit>),
    /// The user took an earlier message back.
    Revoke(Revoke),
    /// Meta cannot show what the user sent.
    Unsupported(Unsupported),
    /// Of a type that this version does not know.
    Unknown(Unknown),
}

/// A medium at Meta.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Medium {
    /// Meta's id of it.
    #[serde(deserialize_with = "lenient::word")]
    pub id: String,
    /// Its MIME type as Meta tells it.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub mime_type: Option<String>,
    /// Base64 of its SHA-256.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub sha256: Option<String>,
    /// The text below it.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub caption: Option<String>,
    /// Name of the file.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub filename: Option<String>,
    /// Where it can be fetched at once.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub url: Option<String>,
    /// It was recorded in WhatsApp.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub voice: bool,
    /// The sticker moves.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub animated: bool,
}

/// A place. Degrees are kept as Meta wrote them.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Place {
    /// Degrees.
    #[serde(deserialize_with = "lenient::word")]
    pub latitude: String,
    /// Degrees.
    #[serde(deserialize_with = "lenient::word")]
    pub longitude: String,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub name: Option<String>,
    /// Its address.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub address: Option<String>,
    /// Its page on the web.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub url: Option<String>,
}

/// A reaction.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Reaction {
    /// Meta's id of the message it is about.
    #[serde(deserialize_with = "lenient::word")]
    pub message_id: String,
    /// None: the reaction was taken back.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub emoji: Option<String>,
}

/// A button of a template.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Button {
    /// What the sender of the template gave with it.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub payload: Option<String>,
    /// What stands on it.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub text: Option<String>,
}

/// A button or a row that was chosen.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Reply {
    /// The id that its sender gave it.
    #[serde(deserialize_with = "lenient::word")]
    pub id: String,
    /// What stands on it.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub title: Option<String>,
    /// What stands below.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub description: Option<String>,
}

/// A form that was filled in.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Flow {
    /// `flow`, or for example `address_message`.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub name: Option<String>,
    /// What the chat shows.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub body: Option<String>,
    /// What was filled in: a JSON object as text.
    #[serde(default, deserialize_with = "lenient::json_text")]
    pub response_json: Option<String>,
}

/// Whether the user may be called.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct CallPermission {
    /// `accept` or `reject`.
    #[serde(deserialize_with = "lenient::word")]
    pub response: String,
    /// Until when, in unix seconds.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub expiration_timestamp: Option<i64>,
    /// `user_action` or `automatic`.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub response_source: Option<String>,
}

/// An order.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Order {
    /// Meta's id of the catalog.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub catalog_id: Option<String>,
    /// What the user wrote to it.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub text: Option<String>,
    /// What is ordered.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub product_items: Vec<OrderItem>,
}

/// One line of an order.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct OrderItem {
    /// The seller's id of the product.
    #[serde(deserialize_with = "lenient::word")]
    pub product_retailer_id: String,
    /// How many.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub quantity: Option<String>,
    /// The price of one, as Meta wrote it.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub item_price: Option<String>,
    /// ISO 4217.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub currency: Option<String>,
}

/// Meta tells of the user.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct System {
    /// Meta's word, for example `customer_identity_changed`.
    #[serde(rename = "type", default, deserialize_with = "lenient::optional_word")]
    pub kind: Option<String>,
    /// Meta's own words for it.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub body: Option<String>,
}

/// The user's identity at WhatsApp, where a number has such checks on.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Identity {
    /// The business has acknowledged it.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub acknowledged: bool,
    /// Since when it holds, in unix seconds.
    #[serde(default, deserialize_with = "lenient::optional_integer")]
    pub created_timestamp: Option<i64>,
    /// Hash of it.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub hash: Option<String>,
}

/// A change of an earlier message.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// Meta's id of the message.
    pub original: String,
    /// What it says now.
    pub said: Said,
}

/// An earlier message was taken back.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Revoke {
    /// Meta's id of the message.
    #[serde(deserialize_with = "lenient::word")]
    pub original_message_id: String,
}

/// Meta cannot show what the user sent.
#[derive(Clone, PartialEq, Eq, Default, Serialize)]
pub struct Unsupported {
    /// What it was, where Meta tells: for example `poll`.
    pub kind: Option<String>,
    /// Meta's error code; 0: none.
    pub code: i64,
    /// Meta's words for it.
    pub title: Option<String>,
}

/// What this version does not know, as Meta wrote it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// The JSON, or as much of its beginning as is kept.
    pub json: String,
    /// The rest is left out.
    pub cut: bool,
}

/// Most of a message that is not understood that goes into its event, in bytes; the webhook itself is kept whole.
const MAX_UNKNOWN: usize = 16 * 1024;

// === impl Unknown ===

impl Unknown {
    pub(super) fn of(raw: &str) -> Self {
        let kept = raw.floor_char_boundary(MAX_UNKNOWN);
        Self {
            json: raw[..kept].to_owned(),
            cut: kept < raw.len(),
        }
    }
}

// === impl Place ===

impl Place {
    /// Both are degrees.
    pub(super) fn is_on_earth(&self) -> bool {
        let within = |degrees: &str, most: f64| degrees.trim().parse().is_ok_and(|at: f64| at.abs() <= most);
        within(&self.latitude, 90.0) && within(&self.longitude, 180.0)
    }
}

// === impl Said ===

impl Said {
    /// What the user wrote, or what stands on what they pressed.
    pub fn words(&self) -> Option<&str> {
        match self {
            Self::Text(body) => Some(body),
            Self::Button(button) => button.text.as_deref(),
            Self::ButtonReply(reply) | Self::ListReply(reply) => reply.title.as_deref(),
            _ => None,
        }
    }

    /// The medium, if it is one.
    pub fn medium(&self) -> Option<&Medium> {
        match self {
            Self::Image(medium)
            | Self::Video(medium)
            | Self::Audio(medium)
            | Self::Document(medium)
            | Self::Sticker(medium) => Some(medium),
            _ => None,
        }
    }

    /// It opens the 24-hour window: it is what a user says. Edits, revocations and what Meta itself writes do not; of what Meta cannot show nobody knows.
    pub fn opens_window(&self) -> bool {
        !matches!(
            self,
            Self::System(_) | Self::Edit(_) | Self::Revoke(_) | Self::Unsupported(_) | Self::Unknown(_)
        )
    }
}

// What users write is private: only the type is shown.
impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text",
            Self::Image(_) => "Image",
            Self::Video(_) => "Video",
            Self::Audio(_) => "Audio",
            Self::Document(_) => "Document",
            Self::Sticker(_) => "Sticker",
            Self::Location(_) => "Location",
            Self::Contacts(_) => "Contacts",
            Self::Reaction(_) => "Reaction",
            Self::Button(_) => "Button",
            Self::ButtonReply(_) => "ButtonReply",
            Self::ListReply(_) => "ListReply",
            Self::Flow(_) => "Flow",
            Self::CallPermission(_) => "CallPermission",
            Self::Order(_) => "Order",
            Self::System(_) => "System",
            Self::Edit(_) => "Edit",
            Self::Revoke(_) => "Revoke",
            Self::Unsupported(_) => "Unsupported",
            Self::Unknown(_) => "Unknown",
        })
    }
}
