use outeract_domain::Wamid;
use serde::Serialize;

/// The body of `POST /{phone-number-id}/messages` that marks a user's message, and with it every earlier one of the conversation, as read.
#[derive(Serialize)]
pub struct Read<'a> {
    messaging_product: &'static str,
    status: &'static str,
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    typing_indicator: Option<TypingIndicator>,
}

#[derive(Serialize)]
struct TypingIndicator {
    #[serde(rename = "type")]
    kind: &'static str,
}

// === impl Read ===

impl<'a> Read<'a> {
    /// Marks the message as read.
    pub fn new(message: &'a Wamid) -> Self {
        Self {
            messaging_product: "whatsapp",
            status: "read",
            message_id: message.as_str(),
            typing_indicator: None,
        }
    }

    /// Marks the message as read and shows for 25 seconds, or until the next message, that an answer is being written. Meta has no way to show that alone.
    pub fn and_typing(message: &'a Wamid) -> Self {
        Self {
            typing_indicator: Some(TypingIndicator { kind: "text" }),
            ..Self::new(message)
        }
    }

    /// The body's bytes.
    pub fn to_json(&self) -> Vec<u8> {
        super::to_json(self)
    }
}

impl std::fmt::Debug for Read<'_> {
    // The message's id holds a phone number.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Read(…)")
    }
}
