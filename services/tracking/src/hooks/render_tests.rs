//! The bodies of deliveries, letter by letter.

use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::messaging::v1::{
    ContactsContent, ImageContent, LocationContent, MessageContent, SendError, TextContent,
};
use outeract_proto::tracking::v1::{
    Edges, ReceivedContent, ReplyContent, SubscriptionDisabledPayload, UserMergedPayload, received_content,
};
use prost_types::Timestamp;
use uuid::Uuid;

use super::*;

const APPLICATION: ApplicationId = ApplicationId::from_uuid(Uuid::from_u128(1));
const SUBSCRIPTION: SubscriptionId = SubscriptionId::from_uuid(Uuid::from_u128(2));
const DELIVERY: DeliveryId = DeliveryId::from_uuid(Uuid::from_u128(3));

fn rendered(event: &Event) -> Value {
    serde_json::from_slice(&render(DELIVERY, SUBSCRIPTION, APPLICATION, event).unwrap()).unwrap()
}

fn event(event_type: &str, payload: Payload) -> Event {
    Event {
        id: "evt_0000000000000000000000000a".to_owned(),
        event_type: event_type.to_owned(),
        connection_id: "pc_0000000000000000000000000b".to_owned(),
        occur_time: Some(Timestamp {
            seconds: 1_795_500_000,
            nanos: 0,
        }),
        receive_time: Some(Timestamp {
            seconds: 1_795_500_001,
            nanos: 500_000_000,
        }),
        payload: Some(payload),
        ..Event::default()
    }
}

fn inbound(kind: Kind) -> Event {
    let message = MessagePayload {
        platform: "whatsapp".to_owned(),
        external_message_id: "wamid.xyz123".to_owned(),
        role: "user".to_owned(),
        content: Some(MessageContent { kind: Some(kind) }),
        ..MessagePayload::default()
    };
    Event {
        edges: Some(Edges {
            sent_by: Some(Party {
                external_id: "+14155559999".to_owned(),
                platform_user_id: "pu_0000000000000000000000000c".to_owned(),
                name: "Ada".to_owned(),
                system: false,
            }),
            sent_to: Some(Party {
                external_id: "+15550001111".to_owned(),
                system: true,
                ..Party::default()
            }),
        }),
        ..event("message.inbound", Payload::Message(message))
    }
}

#[test]
fn a_message_is_the_envelope_that_was_promised_and_more() {
    let text = Kind::Text(TextContent {
        body: "Hello!".to_owned(),
        ..TextContent::default()
    });
    assert_eq!(
        rendered(&inbound(text)),
        json!({
            "id": "whd_00000000000000000000000003",
            "subscription_id": "ws_00000000000000000000000002",
            "event_id": "evt_0000000000000000000000000a",
            "event_type": "message.inbound",
            "app_id": "app_00000000000000000000000001",
            "connection_id": "pc_0000000000000000000000000b",
            "occurred_at": "2026-11-24T06:00:00Z",
            "received_at": "2026-11-24T06:00:01.5Z",
            "late": false,
            "payload": {
                "message": {
                    "text": "Hello!", "role": "user", "type": "text",
                    "content": {"text": {"body": "Hello!"}},
                },
                "platform": "whatsapp",
                "external_message_id": "wamid.xyz123",
            },
            "edges": {
                "sent_by": {
                    "platform_user_id": "pu_0000000000000000000000000c", "external_id": "+14155559999", "name": "Ada",
                },
                "sent_to": {"external_id": "+15550001111", "system": true},
            },
        })
    );
}

#[test]
fn a_status_says_when_it_happened_under_its_own_name() {
    let delivered = StatusPayload {
        status: "delivered".to_owned(),
        external_message_id: "wamid.abc456".to_owned(),
        ..StatusPayload::default()
    };
    let event = Event {
        origin_event_id: "evt_0000000000000000000000000d".to_owned(),
        late: true,
        ..event("message.delivered", Payload::Status(delivered))
    };
    let found = rendered(&event);
    assert_eq!(
        found["payload"],
        json!({
            "status": "delivered", "external_message_id": "wamid.abc456", "delivered_at": "2026-11-24T06:00:00Z",
        })
    );
    assert_eq!(found["origin_event_id"], "evt_0000000000000000000000000d");
    assert_eq!(found["late"], true);
    assert_eq!(found["edges"], json!({}));
    let failed = StatusPayload {
        status: "failed".to_owned(),
        error: Some(SendError {
            meta_code: 131_026,
            ..SendError::default()
        }),
        attempt: 2,
        ..StatusPayload::default()
    };
    let failed = super::render(
        DELIVERY,
        SUBSCRIPTION,
        APPLICATION,
        &self::event("message.failed", Payload::Status(failed)),
    );
    let failed: Value = serde_json::from_slice(&failed.unwrap()).unwrap();
    assert_eq!(
        failed["payload"],
        json!({
            "status": "failed", "error": {"meta_code": 131_026}, "attempt": 2, "failed_at": "2026-11-24T06:00:00Z",
        })
    );
}

#[test]
fn contacts_carry_their_vcards_and_captions_are_text() {
    let contacts = Kind::Contacts(ContactsContent {
        vcard: "BEGIN:VCARD\r\nEND:VCARD\r\n".to_owned(),
        ..ContactsContent::default()
    });
    let message = &rendered(&inbound(contacts))["payload"]["message"];
    assert_eq!((&message["type"], &message["text"]), (&json!("contacts"), &json!("")));
    assert_eq!(message["vcard"], "BEGIN:VCARD\r\nEND:VCARD\r\n");
    let image = Kind::Image(ImageContent {
        caption: "Look".to_owned(),
        ..ImageContent::default()
    });
    assert_eq!(rendered(&inbound(image))["payload"]["message"]["text"], "Look");
    let place = Kind::Location(LocationContent {
        latitude: 52.5,
        longitude: 13.4,
        ..LocationContent::default()
    });
    let message = &rendered(&inbound(place))["payload"]["message"];
    assert_eq!(
        message["content"],
        json!({"location": {"latitude": 52.5, "longitude": 13.4}})
    );
}

#[test]
fn what_can_only_be_received_says_its_words_too() {
    let Some(Payload::Message(message)) = inbound(Kind::Text(TextContent::default())).payload else {
        panic!("a message");
    };
    let reply = ReplyContent {
        id: "yes".to_owned(),
        title: "Yes, please".to_owned(),
        ..ReplyContent::default()
    };
    let message = MessagePayload {
        content: None,
        received: Some(ReceivedContent {
            kind: Some(received_content::Kind::Reply(reply)),
        }),
        forwarded: true,
        ..message
    };
    let payload = &rendered(&event("message.inbound", Payload::Message(message)))["payload"];
    assert_eq!(
        payload["message"],
        json!({
            "text": "Yes, please", "role": "user", "type": "reply",
            "content": {"reply": {"id": "yes", "title": "Yes, please"}},
        })
    );
    assert_eq!(
        (&payload["forwarded"], &payload["received"]),
        (&json!(true), &Value::Null)
    );
}

#[test]
fn other_payloads_have_the_fields_of_the_contract() {
    let merged = UserMergedPayload {
        source_user_id: "pu_1".to_owned(),
        target_user_id: "pu_2".to_owned(),
    };
    let found = rendered(&event("user.merged", Payload::UserMerged(merged)));
    assert_eq!(
        found["payload"],
        json!({"source_user_id": "pu_1", "target_user_id": "pu_2"})
    );
    let disabled = SubscriptionDisabledPayload {
        subscription_id: "ws_1".to_owned(),
        reason: "gone".to_owned(),
    };
    let found = rendered(&event("subscription.disabled", Payload::SubscriptionDisabled(disabled)));
    assert_eq!(found["payload"], json!({"subscription_id": "ws_1", "reason": "gone"}));
}

#[test]
fn an_event_whose_payload_is_gone_is_rendered_all_the_same() {
    let event = Event {
        payload: None,
        ..event("message.inbound", Payload::UserMerged(UserMergedPayload::default()))
    };
    assert_eq!(rendered(&event)["payload"], json!({}));
}
