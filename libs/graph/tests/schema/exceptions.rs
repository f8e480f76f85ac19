//! Where Meta's file is behind Meta's pages, or damaged by the way it was merged.

use super::Exception;

pub(super) const EXCEPTIONS: &[Exception] = &[
    // === Webhooks and answers ===
    Exception::Instead {
        schema: "IncomingMessage",
        of: "TextMessage",
        use_instead: "TextMessage_2",
        why: "the merge gave the webhook's text message the name of the request's",
    },
    Exception::Instead {
        schema: "TextMessage_2",
        of: "BaseMessageProperties",
        use_instead: "BaseMessageProperties_1",
        why: "the merge gave the webhook's base the name of the request's",
    },
    Exception::MayBe {
        schema: "WhatsAppPhoneNumberStatus",
        value: "CONNECTED",
        why: "what the phone number page shows",
    },
    Exception::MayLack {
        schema: "ContextObject",
        property: "referred_product",
        instead: None,
        why: "a plain reply has none",
    },
    // === Every message ===
    Exception::MayHave {
        schema: "BaseMessageProperties",
        property: "biz_opaque_callback_data",
        why: "documented for every message; the file has it for calls only",
    },
    Exception::MayHave {
        schema: "BaseMessageProperties",
        property: "recipient",
        why: "business-scoped user ids are younger than the file",
    },
    Exception::MayLack {
        schema: "BaseMessageProperties",
        property: "to",
        instead: Some("recipient"),
        why: "with `recipient` there is no `to`",
    },
    // === Single kinds ===
    Exception::IsA {
        schema: "LocationMessage",
        property: "latitude",
        kind: "number",
        why: "the file's own example and the pages have numbers",
    },
    Exception::IsA {
        schema: "LocationMessage",
        property: "longitude",
        kind: "number",
        why: "the file's own example and the pages have numbers",
    },
    Exception::MayCount {
        schema: "ContactsMessage",
        property: "contacts",
        most: 257,
        why: "the page on contacts says 257",
    },
    Exception::IsFree {
        schema: "PhoneObject",
        property: "type",
        why: "the pages have words like CELL and Landline",
    },
    // === Interactive ===
    Exception::MayCount {
        schema: "BodyObject",
        property: "text",
        most: 4_096,
        why: "the page on lists says 4,096; that only lists may is checked elsewhere",
    },
    Exception::MayBe {
        schema: "InteractiveObject",
        value: "cta_url",
        why: "the file lacks URL buttons",
    },
    Exception::MayBe {
        schema: "InteractiveObject",
        value: "location_request_message",
        why: "the file lacks location requests",
    },
    Exception::MayBe {
        schema: "InteractiveObject",
        value: "contact_request",
        why: "contact requests are younger than the file",
    },
    Exception::MayBe {
        schema: "InteractiveObject",
        value: "carousel",
        why: "carousels are younger than the file",
    },
    Exception::MayBe {
        schema: "ActionObject",
        value: "cta_url",
        why: "the file lacks URL buttons",
    },
    Exception::MayBe {
        schema: "ActionObject",
        value: "send_location",
        why: "the file lacks location requests",
    },
    Exception::MayBe {
        schema: "ActionObject",
        value: "request_contact_info",
        why: "contact requests are younger than the file",
    },
    Exception::MayBeWith {
        schema: "ActionObject",
        property: "cards",
        why: "carousels are younger than the file",
    },
    Exception::MayLack {
        schema: "ActionObject",
        property: "parameters",
        instead: None,
        why: "without a thumbnail a catalog message shows its first product",
    },
    // === Templates ===
    Exception::MayLack {
        schema: "LanguageObject",
        property: "policy",
        instead: None,
        why: "most of the file's own examples lack it; there is only one policy",
    },
    Exception::MayBe {
        schema: "TemplateComponent",
        value: "limited_time_offer",
        why: "the file lacks limited-time offers",
    },
    Exception::MayBe {
        schema: "TemplateComponent",
        value: "carousel",
        why: "the file lacks carousel templates",
    },
    Exception::MayBe {
        schema: "TemplateComponent",
        value: "tap_target_configuration",
        why: "the file lacks tap targets",
    },
    Exception::MayBe {
        schema: "TemplateComponent",
        value: "copy_code",
        why: "the file lacks coupon codes",
    },
    Exception::MayBe {
        schema: "TemplateComponent",
        value: "flow",
        why: "the file's own example has it",
    },
    Exception::MayBe {
        schema: "TemplateComponent",
        value: "mpm",
        why: "the file lacks templates with several products",
    },
];
