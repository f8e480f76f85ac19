//! Message content between the domain and the contract.

use outeract_domain::{Content, Text, Violation};
use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::messaging::v1::{MessageContent, TextContent};

/// Content as the contract writes it.
pub fn to_proto(content: &Content) -> MessageContent {
    let kind = match content {
        Content::Text(text) => Kind::Text(TextContent {
            body: text.body().to_owned(),
            preview_url: text.preview_url(),
        }),
    };
    MessageContent { kind: Some(kind) }
}

/// Content that a caller gave, if it is within Meta's limits. Paths start at the content: `text.body`.
pub fn from_proto(content: Option<MessageContent>) -> Result<Content, Violation> {
    match content.and_then(|content| content.kind) {
        Some(Kind::Text(text)) => Text::new(text.body, text.preview_url, "text.body").map(Content::Text),
        Some(_) | None => Err(Violation::new(
            "kind",
            "exactly one kind of content that this version knows must be set",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        let content = Content::Text(Text::new("hello".to_owned(), Some(true), "text.body").expect("valid"));
        assert_eq!(from_proto(Some(to_proto(&content))), Ok(content));
    }

    #[test]
    fn missing_kinds_and_broken_limits_name_their_field() {
        assert_eq!(from_proto(None).expect_err("none").path, "kind");
        assert_eq!(
            from_proto(Some(MessageContent { kind: None }))
                .expect_err("unknown kind")
                .path,
            "kind"
        );
        let long = MessageContent {
            kind: Some(Kind::Text(TextContent {
                body: "a".repeat(4_097),
                preview_url: None,
            })),
        };
        assert_eq!(from_proto(Some(long)).expect_err("too long").path, "text.body");
    }
}
