//! What messages from users say, by Meta's types.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

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
    Unknown,
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

/// An address card.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Card {
    /// The person's name.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub name: CardName,
    /// Phone numbers.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub phones: Vec<CardPhone>,
    /// Mail addresses.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub emails: Vec<CardEmail>,
    /// Postal addresses.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub addresses: Vec<CardAddress>,
    /// Web addresses.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub urls: Vec<CardUrl>,
    /// Where the person works.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub org: Option<CardOrganization>,
    /// Date of birth.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub birthday: Option<String>,
    /// The card as a vCard.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub vcard: Option<String>,
}

/// A person's name on an address card.
#[derive(Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
pub struct CardName {
    /// The whole name.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub formatted_name: Option<String>,
    /// First name.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub first_name: Option<String>,
    /// Last name.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub last_name: Option<String>,
    /// Middle name.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub middle_name: Option<String>,
    /// For example `Dr.`.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub prefix: Option<String>,
    /// For example `Jr.`.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub suffix: Option<String>,
}

/// A phone number on an address card.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct CardPhone {
    /// The number as it is shown.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub phone: Option<String>,
    /// For example `CELL`.
    #[serde(rename = "type", default, deserialize_with = "lenient::optional_word")]
    pub kind: Option<String>,
    /// The WhatsApp id that belongs to it.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub wa_id: Option<String>,
}

/// A mail address on an address card.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct CardEmail {
    /// The address.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub email: Option<String>,
    /// For example `WORK`.
    #[serde(rename = "type", default, deserialize_with = "lenient::optional_word")]
    pub kind: Option<String>,
}

/// A postal address on an address card.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct CardAddress {
    /// Street and house number.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub street: Option<String>,
    /// City.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub city: Option<String>,
    /// State or region.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub state: Option<String>,
    /// Postal code.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub zip: Option<String>,
    /// Country.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub country: Option<String>,
    /// ISO 3166 code of the country.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub country_code: Option<String>,
    /// For example `HOME`.
    #[serde(rename = "type", default, deserialize_with = "lenient::optional_word")]
    pub kind: Option<String>,
}

/// A web address on an address card.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct CardUrl {
    /// The address.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub url: Option<String>,
    /// For example `WORK`.
    #[serde(rename = "type", default, deserialize_with = "lenient::optional_word")]
    pub kind: Option<String>,
}

/// Where a person works.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct CardOrganization {
    /// The company.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub company: Option<String>,
    /// The department.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub department: Option<String>,
    /// The person's title.
    #[serde(default, deserialize_with = "lenient::optional_word")]
    pub title: Option<String>,
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

/// Where the message's content stands, by its type. Only the one that the type names is read.
#[derive(Deserialize, Default)]
pub(super) struct Bodies<'a> {
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
        serde_json::from_str(raw).unwrap_or_default()
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
            "location" => object(bodies.location).map(Box::new).map(Self::Location),
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
            _ => Some(Self::Unknown),
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
            _ => Some(Self::Unknown),
        }
    }

    fn edit(raw: &RawValue) -> Option<Self> {
        let edit: WireEdit<'_> = serde_json::from_str(raw.get()).ok()?;
        let edited: Edited = object(Some(edit.message))?;
        let kind = edited.kind.as_deref().unwrap_or_default();
        // An edit of an edit is none.
        let said = if kind == "edit" {
            Self::Unknown
        } else {
            Self::read(kind, &Bodies::of(edit.message.get()))?
        };
        Some(Self::Edit(Box::new(Edit {
            original: edit.original_message_id,
            said,
        })))
    }

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
            Self::System(_) | Self::Edit(_) | Self::Revoke(_) | Self::Unsupported(_) | Self::Unknown
        )
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
            Self::Unknown => "Unknown",
        })
    }
}
