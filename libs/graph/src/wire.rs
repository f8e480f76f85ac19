//! Request bodies exactly as Meta reads them.

use outeract_domain::{Content, Recipient};
use serde::Serialize;

/// The body of `POST /{phone-number-id}/messages`.
#[derive(Debug, Serialize)]
pub struct Message<'a> {
    messaging_product: &'static str,
    recipient_type: &'static str,
    // With its `+`: without it Meta would put the business number's own country code in front.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    // A business-scoped user id. With both, Meta would take `to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<&'a str>,
    #[serde(flatten)]
    kind: Kind<'a>,
    biz_opaque_callback_data: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Kind<'a> {
    Text { text: Text<'a> },
}

#[derive(Debug, Serialize)]
struct Text<'a> {
    body: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    preview_url: Option<bool>,
}

impl<'a> Message<'a> {
    /// The body for `content` to `to`; Meta echoes `callback` in every status.
    pub fn new(to: &'a Recipient, content: &'a Content, callback: &'a str) -> Self {
        let kind = match content {
            Content::Text(text) => Kind::Text {
                text: Text {
                    body: text.body(),
                    preview_url: text.preview_url(),
                },
            },
        };
        let (to, recipient) = match to {
            Recipient::Phone(number) => (Some(number.as_str()), None),
            Recipient::User(user) => (None, Some(user.as_str())),
        };
        Self {
            messaging_product: "whatsapp",
            recipient_type: "individual",
            to,
            recipient,
            kind,
            biz_opaque_callback_data: callback,
        }
    }

    /// The body's bytes.
    pub fn to_json(&self) -> Vec<u8> {
        #[expect(
            clippy::expect_used,
            clippy::missing_panics_doc,
            reason = "strings and numbers always serialise"
        )]
        serde_json::to_vec(self).expect("strings and numbers always serialise")
    }
}

#[cfg(test)]
mod tests {
    use outeract_domain::Text as DomainText;

    use super::*;

    #[test]
    fn text_as_meta_reads_it() {
        let text = |preview| Content::Text(DomainText::new("Hello! ☺".to_owned(), preview, "body").expect("valid"));
        let json = |content: &Content| {
            String::from_utf8(Message::new(&"+14155551234".parse().expect("valid"), content, "evt_0.1").to_json())
                .expect("UTF-8")
        };
        assert_eq!(
            json(&text(None)),
            r#"{"messaging_product":"whatsapp","recipient_type":"individual","to":"+14155551234","type":"text","text":{"body":"Hello! ☺"},"biz_opaque_callback_data":"evt_0.1"}"#
        );
        let user = "US.13491208655302741918".parse().expect("valid");
        let to_user = String::from_utf8(Message::new(&user, &text(None), "evt_0.1").to_json()).expect("UTF-8");
        assert!(
            to_user.contains(r#""recipient_type":"individual","recipient":"US.13491208655302741918","type":"text""#)
        );
        assert!(json(&text(Some(true))).contains(r#""text":{"body":"Hello! ☺","preview_url":true}"#));
    }
}
