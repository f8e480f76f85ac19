//! What a caller asks to send, checked as far as that goes without asking anybody.

use outeract_domain::{ConnectionId, Content, FileId, OnUnknown, Priority, Recipient, Wamid};
use outeract_events::{content, timestamp};
use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::messaging::v1::{
    MessageContent, OnUnknown as OnUnknownProto, Priority as PriorityProto, SendMessageRequest, SendWait, TextContent,
};
use outeract_rpc::Violation;
use prost_types::Timestamp;
use time::{Duration, OffsetDateTime};

use crate::ids::MOST_PARTS;

/// A request that keeps every limit.
#[derive(Debug)]
pub(crate) struct Draft {
    pub connection: ConnectionId,
    pub to: Recipient,
    pub body: Body,
    pub reply_to: Option<Wamid>,
    /// A template.
    pub fallback: Option<Content>,
    pub sandbox: bool,
    pub on_unknown: OnUnknown,
    /// None: by the content.
    pub priority: Option<Priority>,
    pub send_at: Option<OffsetDateTime>,
    pub expires_at: Option<OffsetDateTime>,
    /// Whether the caller waits for Meta's answer.
    pub wait: bool,
}

/// What a request says.
#[derive(Debug)]
pub(crate) enum Body {
    Content(Content),
    /// Files, each to be a message of its kind, and text to go with them.
    Files {
        text: Option<String>,
        files: Vec<FileId>,
    },
}

const LONGEST_KEY: usize = 128;
/// One message may be text that goes before the files.
const MOST_FILES: usize = MOST_PARTS - 2;
/// How far ahead a message may be sent, and how long it may wait.
const AHEAD: Duration = Duration::days(30);

/// The limits of an idempotency key.
pub(crate) fn check_key(key: &str) -> Result<(), Violation> {
    if (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        Ok(())
    } else {
        Err(Violation::new(
            "idempotency_key",
            format!("must be 1 to {LONGEST_KEY} printable ASCII characters"),
        ))
    }
}

/// Every broken limit at once, but those of the key.
pub(crate) fn check(request: SendMessageRequest, now: OffsetDateTime) -> Result<Draft, Vec<Violation>> {
    let mut found = Found::default();
    let wait = found.wait(&request);
    let on_unknown = found.on_unknown(&request);
    let priority = found.priority(&request);
    let (send_at, expires_at) = found.times(request.send_time.as_ref(), request.expire_time.as_ref(), now);
    let connection = found.take(request.connection_id.parse(), "connection_id", |error| {
        format!("is {error}")
    });
    let to = found.take(
        request.to_external_id.parse(),
        "to_external_id",
        |error: outeract_domain::InvalidRecipient| error.to_string(),
    );
    let body = found.body(request.content, request.message, &request.file_ids);
    let reply_to = found.reply_to(request.reply_to_external_message_id, body.as_ref());
    let fallback = request.fallback_template.and_then(|template| {
        let kind = Some(Kind::Template(template));
        found.content(Some(MessageContent { kind }), "fallback_template", "template")
    });
    match (connection, to, body, on_unknown, wait) {
        (Some(connection), Some(to), Some(body), Some(on_unknown), Some(wait)) if found.0.is_empty() => Ok(Draft {
            connection,
            to,
            body,
            reply_to,
            fallback,
            sandbox: request.sandbox,
            on_unknown,
            priority,
            send_at,
            expires_at,
            wait,
        }),
        _ => Err(found.0),
    }
}

/// What was found to be wrong.
#[derive(Debug, Default)]
struct Found(Vec<Violation>);

// === impl Found ===

impl Found {
    fn add(&mut self, path: &str, description: impl Into<String>) {
        self.0.push(Violation::new(path, description));
    }

    fn take<T, E>(&mut self, read: Result<T, E>, path: &str, description: impl Fn(E) -> String) -> Option<T> {
        read.map_err(|error| self.add(path, description(error))).ok()
    }

    fn wait(&mut self, request: &SendMessageRequest) -> Option<bool> {
        match SendWait::try_from(request.wait) {
            Ok(SendWait::Unspecified | SendWait::Outcome) => Some(true),
            Ok(SendWait::Stored) => Some(false),
            Err(_) => {
                self.add("wait", "must be OUTCOME or STORED");
                None
            }
        }
    }

    fn on_unknown(&mut self, request: &SendMessageRequest) -> Option<OnUnknown> {
        match OnUnknownProto::try_from(request.on_unknown) {
            Ok(OnUnknownProto::Unspecified | OnUnknownProto::Hold) => Some(OnUnknown::Hold),
            Ok(OnUnknownProto::Resend) => Some(OnUnknown::Resend),
            Ok(OnUnknownProto::Fail) => Some(OnUnknown::Fail),
            Err(_) => {
                self.add("on_unknown", "must be HOLD, RESEND or FAIL");
                None
            }
        }
    }

    fn priority(&mut self, request: &SendMessageRequest) -> Option<Priority> {
        match PriorityProto::try_from(request.priority) {
            Ok(PriorityProto::Unspecified) => None,
            Ok(PriorityProto::Urgent) => Some(Priority::Urgent),
            Ok(PriorityProto::Normal) => Some(Priority::Normal),
            Ok(PriorityProto::Bulk) => Some(Priority::Bulk),
            Err(_) => {
                self.add("priority", "must be URGENT, NORMAL or BULK");
                None
            }
        }
    }

    /// When it is to be sent, and until when. A time to send that has passed is no time at all.
    fn times(
        &mut self,
        send: Option<&Timestamp>,
        expire: Option<&Timestamp>,
        now: OffsetDateTime,
    ) -> (Option<OffsetDateTime>, Option<OffsetDateTime>) {
        let send = self.time(send, "send_time").filter(|at| *at > now);
        let expire = self.time(expire, "expire_time");
        if send.is_some_and(|at| at > now + AHEAD) {
            self.add("send_time", "must be at most 30 days ahead");
        }
        if let Some(expire) = expire {
            let from = send.unwrap_or(now);
            if expire <= from {
                self.add("expire_time", "must be after now and after send_time");
            } else if expire > from + AHEAD {
                self.add("expire_time", "must be at most 30 days after the message may be sent");
            }
        }
        (send, expire)
    }

    fn time(&mut self, at: Option<&Timestamp>, path: &str) -> Option<OffsetDateTime> {
        let at = at?;
        let read = timestamp::from_proto(at);
        if read.is_none() {
            self.add(path, "must be a time between the years 1 and 9999");
        }
        read
    }

    fn body(&mut self, content: Option<MessageContent>, message: String, files: &[String]) -> Option<Body> {
        match (content, message, files) {
            (Some(_), message, files) if !message.is_empty() || !files.is_empty() => {
                self.add("content", "must not be set together with `message` or `file_ids`");
                None
            }
            (content, message, []) if message.is_empty() => self.content(content, "content", "").map(Body::Content),
            (_, message, []) => self
                .content(Some(text(message)), "message", "text.body")
                .map(Body::Content),
            (_, message, files) => self.files(message, files),
        }
    }

    fn files(&mut self, message: String, files: &[String]) -> Option<Body> {
        if files.len() > MOST_FILES {
            self.add("file_ids", format!("must be at most {MOST_FILES}"));
            return None;
        }
        // Text that is no caption is a message of its own, and keeps that one's limits.
        if !message.is_empty() {
            self.content(Some(text(message.clone())), "message", "text.body")?;
        }
        let mut read = Vec::with_capacity(files.len());
        for (index, file) in files.iter().enumerate() {
            let path = format!("file_ids[{index}]");
            read.extend(self.take(file.parse::<FileId>(), &path, |error| format!("is {error}")));
        }
        (read.len() == files.len()).then(|| Body::Files {
            text: Some(message).filter(|text| !text.is_empty()),
            files: read,
        })
    }

    /// Content that keeps its limits; its own paths stand below `path`, without `inner` in front.
    fn content(&mut self, content: Option<MessageContent>, path: &str, inner: &str) -> Option<Content> {
        let violations = match content::from_proto(content) {
            Ok(content) => return Some(content),
            Err(violations) => violations,
        };
        for violation in violations {
            let rest = violation.path.strip_prefix(inner).unwrap_or(&violation.path);
            let rest = rest.trim_start_matches('.').to_owned();
            self.0.push(Violation::new(rest, violation.description).within(path));
        }
        None
    }

    fn reply_to(&mut self, wamid: String, body: Option<&Body>) -> Option<Wamid> {
        if wamid.is_empty() {
            return None;
        }
        if matches!(body, Some(Body::Content(content)) if content.is_reaction()) {
            self.add("reply_to_external_message_id", "must not be set for a reaction");
        }
        let read = Wamid::new(wamid);
        if read.is_none() {
            self.add("reply_to_external_message_id", "must be at most 512 bytes");
        }
        read
    }
}

fn text(body: String) -> MessageContent {
    let kind = Kind::Text(TextContent {
        body,
        preview_url: None,
    });
    MessageContent { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-25 12:00 UTC);

    fn request() -> SendMessageRequest {
        SendMessageRequest {
            connection_id: ConnectionId::from_uuid(uuid::Uuid::from_u128(7)).to_string(),
            to_external_id: "+14155551234".to_owned(),
            content: Some(text("hello".to_owned())),
            ..SendMessageRequest::default()
        }
    }

    fn paths(request: SendMessageRequest) -> Vec<String> {
        let violations = check(request, NOW).expect_err("broken");
        violations.into_iter().map(|violation| violation.path).collect()
    }

    fn at(at: OffsetDateTime) -> Timestamp {
        timestamp::to_proto(at)
    }

    #[test]
    fn defaults_are_hold_and_wait_and_at_once() {
        let draft = check(request(), NOW).expect("valid");
        assert_eq!((draft.on_unknown, draft.wait), (OnUnknown::Hold, true));
        assert_eq!((draft.priority, draft.send_at, draft.expires_at), (None, None, None));
    }

    #[test]
    fn every_broken_field_is_named_at_once() {
        let broken = SendMessageRequest {
            connection_id: "pc_1".to_owned(),
            to_external_id: "14155551234".to_owned(),
            content: None,
            on_unknown: 9,
            wait: -1,
            priority: 4,
            send_time: Some(at(NOW + Duration::days(31))),
            expire_time: Some(at(NOW)),
            reply_to_external_message_id: "w".repeat(513),
            ..SendMessageRequest::default()
        };
        assert_eq!(
            paths(broken),
            [
                "wait",
                "on_unknown",
                "priority",
                "send_time",
                "expire_time",
                "connection_id",
                "to_external_id",
                "content.kind",
                "reply_to_external_message_id",
            ]
        );
    }

    #[test]
    fn a_key_is_printable_ascii() {
        for key in [String::new(), "a".repeat(129), "tab\t".to_owned(), "é".to_owned()] {
            assert_eq!(check_key(&key).expect_err("broken").path, "idempotency_key");
        }
        assert!(check_key(&"a b~".repeat(32)).is_ok());
    }

    #[test]
    fn what_it_says_is_given_in_one_form_only() {
        let seed = |message: &str, files: &[&str]| SendMessageRequest {
            content: None,
            message: message.to_owned(),
            file_ids: files.iter().map(|file| (*file).to_owned()).collect(),
            ..request()
        };
        let file = FileId::from_uuid(uuid::Uuid::from_u128(9)).to_string();
        assert!(matches!(
            check(seed("hi", &[]), NOW).expect("valid").body,
            Body::Content(_)
        ));
        let with_files = check(seed("hi", &[&file, &file]), NOW).expect("valid").body;
        assert!(matches!(with_files, Body::Files { text: Some(text), files } if text == "hi" && files.len() == 2));
        let bare = check(seed("", &[&file]), NOW).expect("valid").body;
        assert!(matches!(bare, Body::Files { text: None, .. }));

        assert_eq!(paths(seed(&"a".repeat(4_097), &[])), ["message"]);
        assert_eq!(paths(seed(&"a".repeat(4_097), &[&file])), ["message"]);
        assert_eq!(paths(seed("", &[&file, "file_1"])), ["file_ids[1]"]);
        assert_eq!(paths(seed("", &[&*file; 31])), ["file_ids"]);
        let both = SendMessageRequest {
            message: "hi".to_owned(),
            ..request()
        };
        assert_eq!(paths(both), ["content"]);
    }

    #[test]
    fn a_time_to_send_that_has_passed_is_none() {
        let draft = check(
            SendMessageRequest {
                send_time: Some(at(NOW - Duration::SECOND)),
                expire_time: Some(at(NOW + Duration::HOUR)),
                ..request()
            },
            NOW,
        )
        .expect("valid");
        assert_eq!((draft.send_at, draft.expires_at), (None, Some(NOW + Duration::HOUR)));
        let backwards = SendMessageRequest {
            send_time: Some(at(NOW + Duration::HOUR)),
            expire_time: Some(at(NOW + Duration::MINUTE)),
            ..request()
        };
        assert_eq!(paths(backwards), ["expire_time"]);
    }
}
