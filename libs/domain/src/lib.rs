//! The nouns of the product: ids, phone numbers, content, states, deliveries. Pure values: no I/O, no wire format.

mod callback;
pub mod content;
mod delivery;
pub mod event_id;
mod id;
mod phone;
mod plan;
mod recipient;
mod state;

pub use callback::{Callback, InvalidCallback};
pub use content::{Content, MediaSource, Template, Text, Violation};
pub use delivery::{Delivery, DeliveryState, DeliveryStatus};
pub use id::{
    ApplicationId, ConnectionId, ContactId, DeliveryId, ErasureId, EventId, FileId, InvalidId, KeyId, ReplayId,
    SubscriptionId, WebhookId,
};
pub use phone::{E164, InvalidNumber, PhoneNumberId, WabaId, Wamid};
pub use recipient::{InvalidRecipient, Recipient, UserId};
pub use state::{OnUnknown, Priority, Submission, UnknownCode};
