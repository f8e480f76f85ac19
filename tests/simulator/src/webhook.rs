//! What webhooks look like.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use crate::ledger::KINDS;
use crate::outbox::{Sent, Update};
use crate::respond::json_bytes;
use crate::users::User;
use crate::world::Number;

#[derive(Serialize)]
struct Envelope<'a> {
    object: &'static str,
    entry: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    /// Of what happened to an account; messages have times of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<i64>,
    changes: Vec<Change<'a>>,
}

#[derive(Serialize)]
struct Change<'a> {
    value: Value<'a>,
    field: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Number(NumberValue<'a>),
    Raw(&'a RawValue),
}

/// The `value` of a number's change.
#[derive(Serialize)]
struct NumberValue<'a> {
    messaging_product: &'static str,
    metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contacts: Vec<Contact<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<StatusItem<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<&'a RawValue>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    display_phone_number: &'a str,
    phone_number_id: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Contact<'a> {
    Raw(&'a RawValue),
    Recipient(SentTo<'a>),
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the names are Meta's")]
struct SentTo<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    wa_id: Option<&'a str>,
    user_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_user_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum StatusItem<'a> {
    Raw(&'a RawValue),
    Ours(Box<OurStatus<'a>>),
}

#[derive(Serialize)]
struct OurStatus<'a> {
    id: &'a str,
    status: &'static str,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_parent_user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    biz_opaque_callback_data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<[StatusError<'a>; 1]>,
}

#[derive(Serialize)]
struct Price {
    billable: bool,
    pricing_model: &'static str,
    category: &'static str,
    r#type: &'static str,
}

#[derive(Serialize)]
struct StatusError<'a> {
    code: i32,
    title: &'a str,
    message: &'a str,
    error_data: StatusErrorData<'a>,
    href: &'static str,
}

#[derive(Serialize)]
struct StatusErrorData<'a> {
    details: &'a str,
}

/// A message from a user, as it stands in `messages`.
#[derive(Serialize)]
struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    from_user_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_parent_user_id: Option<&'a str>,
    id: &'a str,
    timestamp: String,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text { text: Text<'a>, r#type: &'static str },
    Other(&'a Map<String, Json>),
}

#[derive(Serialize)]
struct Text<'a> {
    body: &'a str,
}

#[derive(Serialize)]
struct Context<'a> {
    from: &'a str,
    id: &'a str,
}

#[derive(Serialize)]
struct Sender<'a> {
    profile: Profile<'a>,
    #[serde(flatten)]
    ids: SentTo<'a>,
}

#[derive(Serialize)]
struct Profile<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
}

/// What a user says.
pub(crate) struct Said<'a> {
    /// The user's name.
    pub(crate) name: &'a str,
    pub(crate) text: &'a str,
    /// The message's type and content in place of the text.
    pub(crate) other: Option<&'a Map<String, Json>>,
    pub(crate) reply_to: Option<&'a str>,
}

/// The body of a webhook with these items; `None` without any.
pub(crate) fn render(updates: &[Update]) -> Option<Vec<u8>> {
    let mut builder = Builder::default();
    for update in updates {
        builder.add(update);
    }
    (!builder.entries.is_empty()).then(|| {
        json_bytes(&Envelope {
            object: "whatsapp_business_account",
            entry: builder.entries,
        })
    })
}

/// A message's item and the user's entry in `contacts`.
pub(crate) fn message(
    number: &Number,
    user: &User,
    wamid: &str,
    at: i64,
    said: &Said<'_>,
) -> (Box<RawValue>, Box<RawValue>) {
    let message = Message {
        context: said.reply_to.map(|id| Context {
            from: &number.digits,
            id,
        }),
        from: user.wa_id.as_deref(),
        from_user_id: &user.user_id,
        from_parent_user_id: user.parent_user_id.as_deref(),
        id: wamid,
        timestamp: at.to_string(),
        content: said.other.map_or(
            Content::Text {
                text: Text { body: said.text },
                r#type: "text",
            },
            Content::Other,
        ),
    };
    (raw(&message), sender(user, said.name))
}

/// The user's entry in `contacts`.
pub(crate) fn sender(user: &User, name: &str) -> Box<RawValue> {
    raw(&Sender {
        profile: Profile {
            name,
            username: user.username.as_deref(),
        },
        ids: SentTo {
            wa_id: user.wa_id.as_deref(),
            user_id: &user.user_id,
            parent_user_id: user.parent_user_id.as_deref(),
        },
    })
}

/// A value as JSON that is written as it is.
pub(crate) fn raw<T: Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    let text = String::from_utf8(json_bytes(value)).unwrap_or_default();
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Gathers items by WABA and number.
#[derive(Default)]
struct Builder<'a> {
    entries: Vec<Entry<'a>>,
    entry_of: HashMap<&'a str, usize>,
    change_of: HashMap<(&'a str, bool), (usize, usize)>,
}

// === impl Builder ===

impl<'a> Builder<'a> {
    fn add(&mut self, update: &'a Update) {
        match update {
            Update::Status(sent, step) => {
                let Some(value) = self.value(&sent.number, true) else {
                    return;
                };
                let status = OurStatus::new(sent, *step);
                if status.errors.is_none() {
                    value.contacts.push(Contact::Recipient(SentTo {
                        wa_id: sent.recipient.wa_id.as_deref(),
                        user_id: &sent.recipient.user_id,
                        parent_user_id: sent.recipient.parent_user_id.as_deref(),
                    }));
                }
                value.statuses.push(StatusItem::Ours(Box::new(status)));
            }
            Update::Item {
                number,
                list,
                item,
                contact,
            } => {
                let Some(value) = self.value(number, *list == "statuses") else {
                    return;
                };
                match *list {
                    "statuses" => value.statuses.push(StatusItem::Raw(item)),
                    "errors" => value.errors.push(item),
                    _ => value.messages.push(item),
                }
                value.contacts.extend(contact.as_deref().map(Contact::Raw));
            }
            Update::Change {
                waba_id,
                field,
                value,
                at,
            } => self.entries.push(Entry {
                id: waba_id,
                time: Some(*at),
                changes: vec![Change {
                    value: Value::Raw(value),
                    field,
                }],
            }),
        }
    }

    fn entry(&mut self, waba_id: &'a str) -> usize {
        *self.entry_of.entry(waba_id).or_insert_with(|| {
            self.entries.push(Entry {
                id: waba_id,
                time: None,
                changes: Vec::new(),
            });
            self.entries.len() - 1
        })
    }

    /// The number's `value`: one for statuses, one for everything else.
    fn value(&mut self, number: &'a Number, statuses: bool) -> Option<&mut NumberValue<'a>> {
        let key = (number.id.as_str(), statuses);
        let (entry, change) = if let Some(found) = self.change_of.get(&key) {
            *found
        } else {
            let entry = self.entry(&number.waba_id);
            let changes = &mut self.entries[entry].changes;
            changes.push(Change {
                value: Value::Number(NumberValue::new(number)),
                field: "messages",
            });
            let place = (entry, changes.len() - 1);
            self.change_of.insert(key, place);
            place
        };
        match &mut self.entries[entry].changes[change].value {
            Value::Number(value) => Some(value),
            Value::Raw(_) => None,
        }
    }
}

impl<'a> NumberValue<'a> {
    fn new(number: &'a Number) -> Self {
        Self {
            messaging_product: "whatsapp",
            metadata: Metadata {
                display_phone_number: &number.digits,
                phone_number_id: &number.id,
            },
            contacts: Vec::new(),
            messages: Vec::new(),
            statuses: Vec::new(),
            errors: Vec::new(),
        }
    }
}

impl<'a> OurStatus<'a> {
    fn new(sent: &'a Sent, step: usize) -> Self {
        let (kind, due_ms) = sent.steps[step];
        let failure = sent.plan.fail.as_ref();
        let recipient = &sent.recipient;
        // What failed on its way to a number says nothing of the user behind it.
        let tells_id = failure.is_none() || recipient.by_user_id;
        Self {
            id: &sent.wamid,
            status: KINDS[usize::from(kind)],
            timestamp: (due_ms / 1_000).to_string(),
            recipient_id: recipient.wa_id.as_deref(),
            recipient_user_id: tells_id.then_some(&recipient.user_id),
            recipient_parent_user_id: recipient.parent_user_id.as_deref().filter(|_| tells_id),
            biz_opaque_callback_data: sent.callback.as_deref().filter(|_| !sent.plan.drop_callback),
            // On `sent` and on one of the two others.
            pricing: (kind < 2).then_some(Price {
                billable: sent.category.is_some(),
                pricing_model: "PMP",
                category: sent.category.unwrap_or("service"),
                r#type: if sent.category.is_some() {
                    "regular"
                } else {
                    "free_customer_service"
                },
            }),
            errors: failure.map(|(code, title)| {
                [StatusError {
                    code: *code,
                    title,
                    message: title,
                    error_data: StatusErrorData { details: title },
                    href: "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
                }]
            }),
        }
    }
}
