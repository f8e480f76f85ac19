//! Ids of events that are made from what happened: the same occurrence has the same id however often it is reported, so a repetition meets itself in the event log.
//!
//! An id is a version-7 UUID. Its 48 time bits are those of the occurrence, or of the parent for a child, so that a child lies beside its parent. The rest is a hash of what
//! makes the occurrence unique.

use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::{ApplicationId, DeliveryId, EventId, FileId, PhoneNumberId, SubscriptionId, Wamid};

/// The event of a message from a user.
pub fn inbound(number: &PhoneNumberId, wamid: &Wamid, occurred: OffsetDateTime) -> EventId {
    from_parts(
        millis(occurred),
        &[b"inbound", number.as_str().as_bytes(), wamid.as_str().as_bytes()],
    )
}

/// The event of a status that Meta reported of a message. Failures with different codes are different events.
pub fn status(parent: EventId, wamid: &Wamid, word: &str, error_code: i32) -> EventId {
    let code = error_code.to_be_bytes();
    let wamid = wamid.as_str().as_bytes();
    from_parts(
        parent.unix_millis(),
        &[b"status", parent.uuid().as_bytes(), wamid, word.as_bytes(), &code],
    )
}

/// The event of a step on the way to Meta: `kind` is its last word, for example `accepted`.
pub fn submission(parent: EventId, attempt: i32, kind: &str) -> EventId {
    let attempt = attempt.to_be_bytes();
    from_parts(
        parent.unix_millis(),
        &[b"submission", parent.uuid().as_bytes(), &attempt, kind.as_bytes()],
    )
}

/// The event of a subscription that was disabled at a moment.
pub fn disabled(subscription: SubscriptionId, disabled: OffsetDateTime) -> EventId {
    from_parts(millis(disabled), &[b"disabled", subscription.uuid().as_bytes()])
}

/// The delivery of an event to a subscription, whoever makes it and however often. Its time bits say when the event was received.
pub fn delivery(subscription: SubscriptionId, event: EventId, received: OffsetDateTime) -> DeliveryId {
    let (subscription, event) = (subscription.uuid(), event.uuid());
    let id = from_parts(
        millis(received),
        &[b"delivery", subscription.as_bytes(), event.as_bytes()],
    );
    DeliveryId::from_uuid(id.uuid())
}

/// The file of a medium that a user's message, whose event is `parent`, carries.
pub fn inbound_file(parent: EventId) -> FileId {
    FileId::from_uuid(from_parts(parent.unix_millis(), &[b"file", parent.uuid().as_bytes()]).uuid())
}

/// The event of what became of such a file: `kind` is its last word, `inbound` or `failed`.
pub fn file(parent: EventId, kind: &str) -> EventId {
    from_parts(
        parent.unix_millis(),
        &[b"file event", parent.uuid().as_bytes(), kind.as_bytes()],
    )
}

/// The event of news that Meta reported of an account. One for each application; the notice's time and value tell a repetition from a new notice.
pub fn account(
    application: ApplicationId,
    waba_id: &str,
    field: &str,
    value: &[u8],
    occurred: OffsetDateTime,
) -> EventId {
    let application = application.uuid();
    from_parts(
        millis(occurred),
        &[
            b"account",
            application.as_bytes(),
            waba_id.as_bytes(),
            field.as_bytes(),
            value,
        ],
    )
}

fn millis(at: OffsetDateTime) -> u64 {
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}

fn from_parts(millis: u64, parts: &[&[u8]]) -> EventId {
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps ("ab", "c") apart from ("a", "bc").
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut tail = [0; 10];
    tail.copy_from_slice(&digest[..10]);
    EventId::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn the_same_occurrence_has_the_same_id_and_others_do_not() {
        let number: PhoneNumberId = "1065".parse().expect("digits");
        let other: PhoneNumberId = "1066".parse().expect("digits");
        let wamid = Wamid::new("wamid.A").expect("valid");
        let at = datetime!(2026-11-23 10:00 UTC);
        let parent = inbound(&number, &wamid, at);
        assert_eq!(parent, inbound(&number, &wamid, at));
        assert_ne!(parent, inbound(&other, &wamid, at));
        assert_eq!(parent.uuid().get_version_num(), 7);

        let children = [
            status(parent, &wamid, "sent", 0),
            status(parent, &wamid, "failed", 131_026),
            status(parent, &wamid, "failed", 131_047),
            submission(parent, 1, "accepted"),
            submission(parent, 2, "accepted"),
            submission(parent, 1, "unknown"),
            file(parent, "inbound"),
            file(parent, "failed"),
            EventId::from_uuid(inbound_file(parent).uuid()),
        ];
        for (index, child) in children.iter().enumerate() {
            assert_eq!(child.unix_millis(), parent.unix_millis());
            assert!(!children[..index].contains(child));
        }
    }
}
