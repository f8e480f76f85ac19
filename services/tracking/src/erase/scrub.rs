//! What is left of an event whose user is erased: what is named here, and nothing that the contract gains later.

use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::tracking::v1::{
    Edges, Event, FilePayload, MessagePayload, Party, StatusPayload, SuppressionPayload,
};

/// The event without what it says of its user.
pub(super) fn scrub(event: Event) -> Event {
    Event {
        event_type: event.event_type,
        occur_time: event.occur_time,
        receive_time: event.receive_time,
        late: event.late,
        payload: event.payload.and_then(payload),
        edges: event.edges.map(edges),
        erased: true,
        ..Event::default()
    }
}

fn payload(payload: Payload) -> Option<Payload> {
    Some(match payload {
        Payload::Message(message) => Payload::Message(MessagePayload {
            platform: message.platform,
            role: message.role,
            ..MessagePayload::default()
        }),
        // What the states of a message add up to, and what they cost, stays.
        Payload::Status(status) => Payload::Status(StatusPayload {
            status: status.status,
            error: status.error,
            attempt: status.attempt,
            pricing: status.pricing,
            ..StatusPayload::default()
        }),
        Payload::Suppression(suppression) => Payload::Suppression(SuppressionPayload {
            platform_user_id: suppression.platform_user_id,
            source: suppression.source,
            ..SuppressionPayload::default()
        }),
        Payload::File(file) => Payload::File(FilePayload {
            file_id: file.file_id,
            mime_type: file.mime_type,
            reason: file.reason,
            ..FilePayload::default()
        }),
        // What Meta tells of an account is no user's; one that names a user all the same loses it.
        Payload::Account(_) => return None,
        // They hold ids of ours only.
        Payload::UserMerged(_) | Payload::UserErased(_) | Payload::SubscriptionDisabled(_) => payload,
    })
}

fn edges(edges: Edges) -> Edges {
    Edges {
        sent_by: edges.sent_by.map(party),
        sent_to: edges.sent_to.map(party),
    }
}

fn party(party: Party) -> Party {
    if party.system {
        return party;
    }
    Party {
        platform_user_id: party.platform_user_id,
        ..Party::default()
    }
}

#[cfg(test)]
mod tests {
    use outeract_proto::messaging::v1::SendError;
    use outeract_proto::tracking::v1::{Conversation, MediaInfo, Pricing, UserIdentity};
    use prost::Message as _;

    use super::*;

    const SECRET: &str = "canary";

    fn secret() -> String {
        SECRET.to_owned()
    }

    fn names(event: &Event) -> bool {
        let bytes = event.encode_to_vec();
        bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
    }

    fn of(payload: Payload) -> Event {
        let user = Party {
            external_id: secret(),
            platform_user_id: "pu_1".to_owned(),
            name: secret(),
            system: false,
        };
        let business = Party {
            external_id: "+1".to_owned(),
            system: true,
            ..Party::default()
        };
        Event {
            event_type: "message.sent".to_owned(),
            late: true,
            payload: Some(payload),
            edges: Some(Edges {
                sent_by: Some(user),
                sent_to: Some(business),
            }),
            ..Event::default()
        }
    }

    #[test]
    fn nothing_that_names_the_user_or_says_what_was_said_is_left() {
        let payloads = [
            Payload::Message(MessagePayload {
                external_message_id: secret(),
                role: "user".to_owned(),
                reply_to_external_message_id: secret(),
                group_id: secret(),
                media_info: Some(MediaInfo::default()),
                identity: Some(UserIdentity::default()),
                ..MessagePayload::default()
            }),
            Payload::Status(StatusPayload {
                status: "sent".to_owned(),
                external_message_id: secret(),
                conversation: Some(Conversation {
                    id: secret(),
                    ..Conversation::default()
                }),
                group_id: secret(),
                participant_external_id: secret(),
                pricing: Some(Pricing::default()),
                error: Some(SendError::default()),
                attempt: 2,
            }),
            Payload::Suppression(SuppressionPayload {
                external_id: secret(),
                ..SuppressionPayload::default()
            }),
            Payload::File(FilePayload {
                file_name: secret(),
                sha256: secret(),
                ..FilePayload::default()
            }),
        ];
        for payload in payloads {
            let event = of(payload);
            assert!(names(&event));
            let left = scrub(event);
            assert!(!names(&left) && left.erased && left.late, "{left:?}");
            let edges = left.edges.expect("edges");
            assert_eq!(edges.sent_by.expect("a user").platform_user_id, "pu_1");
            assert_eq!(edges.sent_to.expect("the business").external_id, "+1");
        }
    }

    #[test]
    fn what_statuses_add_up_to_and_cost_is_left() {
        let event = of(Payload::Status(StatusPayload {
            status: "failed".to_owned(),
            attempt: 2,
            pricing: Some(Pricing::default()),
            ..StatusPayload::default()
        }));
        let Some(Payload::Status(left)) = scrub(event).payload else {
            panic!("a status");
        };
        assert_eq!((left.status.as_str(), left.attempt), ("failed", 2));
        assert!(left.pricing.is_some());
    }
}
