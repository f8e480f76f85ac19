//! What messages and statuses say, as the event log writes it.

use outeract_events::timestamp;
use outeract_graph::webhook::{
    Button, CallPermission, Card, Conversation, Edit, Flow, Medium, Message, Order, Place, Pricing, Reply, Said,
    Status, System, Unsupported,
};
use outeract_proto::messaging::v1::media::Source;
use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::messaging::v1::{
    AudioContent, ContactAddress, ContactCard, ContactEmail, ContactName, ContactOrganization, ContactPhone,
    ContactUrl, ContactsContent, DocumentContent, ImageContent, LocationContent, Media, MessageContent,
    ReactionContent, StickerContent, TextContent, VideoContent,
};
use outeract_proto::tracking::v1::received_content::Kind as Received;
use outeract_proto::tracking::v1::{
    CallPermissionContent, Conversation as ConversationTold, EditContent, FlowReplyContent, MediaInfo, MessagePayload,
    OrderContent, OrderItem, Pricing as PricingTold, ReceivedContent, Referral, ReferredProduct, ReplyContent,
    ReplySource, RevokeContent, StatusPayload, SystemContent, UnknownContent, UnsupportedContent, UserIdentity,
};
use time::OffsetDateTime;

/// What a message says. `file`: the id of its medium here, where one is kept.
pub(super) fn payload(message: &Message, file: Option<&str>) -> MessagePayload {
    let context = &message.context;
    let content = sendable(&message.said, file);
    let received = if content.is_some() {
        None
    } else {
        received(&message.said, &message.what)
    };
    MessagePayload {
        content: content.map(|kind| MessageContent { kind: Some(kind) }),
        received: received.map(|kind| ReceivedContent { kind: Some(kind) }),
        reply_to_external_message_id: text(context.reply_to.as_deref()),
        forwarded: context.forwarded,
        frequently_forwarded: context.frequently_forwarded,
        referred_product: context.product.as_ref().map(|product| ReferredProduct {
            catalog_id: text(product.catalog_id.as_deref()),
            product_retailer_id: text(product.product_retailer_id.as_deref()),
        }),
        referral: message.referral.as_ref().map(|told| Referral {
            source_url: text(told.source_url.as_deref()),
            source_id: text(told.source_id.as_deref()),
            source_type: text(told.source_type.as_deref()),
            headline: text(told.headline.as_deref()),
            body: text(told.body.as_deref()),
            media_type: text(told.media_type.as_deref()),
            image_url: text(told.image_url.as_deref()),
            video_url: text(told.video_url.as_deref()),
            thumbnail_url: text(told.thumbnail_url.as_deref()),
            ctwa_clid: text(told.ctwa_clid.as_deref()),
            welcome_text: text(told.welcome_message.text.as_deref()),
        }),
        group_id: text(message.group.as_deref()),
        media_info: message.said.medium().map(|medium| MediaInfo {
            mime_type: text(medium.mime_type.as_deref()),
            sha256: text(medium.sha256.as_deref()),
            animated: medium.animated,
        }),
        identity: message.identity.as_ref().map(|told| UserIdentity {
            acknowledged: told.acknowledged,
            create_time: told.created_timestamp.and_then(time),
            hash: text(told.hash.as_deref()),
        }),
        ..MessagePayload::default()
    }
}

/// What Meta tells with a status.
pub(super) fn told(status: &Status) -> StatusPayload {
    StatusPayload {
        pricing: status.pricing.as_deref().map(pricing),
        conversation: status.conversation.as_deref().map(conversation),
        group_id: status
            .group
            .as_ref()
            .map(|member| text(member.group.as_deref()))
            .unwrap_or_default(),
        participant_external_id: status
            .group
            .as_ref()
            .map(|member| text(member.participant.as_deref()))
            .unwrap_or_default(),
        ..StatusPayload::default()
    }
}

fn pricing(pricing: &Pricing) -> PricingTold {
    PricingTold {
        billable: pricing.billable,
        pricing_model: text(pricing.pricing_model.as_deref()),
        r#type: text(pricing.kind.as_deref()),
        category: text(pricing.category.as_deref()),
    }
}

fn conversation(conversation: &Conversation) -> ConversationTold {
    ConversationTold {
        id: text(conversation.id.as_deref()),
        expire_time: conversation.expiration_timestamp.and_then(time),
        origin: text(conversation.origin.kind.as_deref()),
    }
}

/// As content that could be sent as well.
fn sendable(said: &Said, file: Option<&str>) -> Option<Kind> {
    Some(match said {
        Said::Text(body) => Kind::Text(TextContent {
            body: body.clone(),
            preview_url: None,
        }),
        Said::Image(medium) => Kind::Image(ImageContent {
            media: Some(media(medium, file)),
            caption: text(medium.caption.as_deref()),
        }),
        Said::Video(medium) => Kind::Video(VideoContent {
            media: Some(media(medium, file)),
            caption: text(medium.caption.as_deref()),
        }),
        Said::Audio(medium) => Kind::Audio(AudioContent {
            media: Some(media(medium, file)),
            voice: medium.voice,
        }),
        Said::Document(medium) => Kind::Document(DocumentContent {
            media: Some(media(medium, file)),
            caption: text(medium.caption.as_deref()),
            filename: text(medium.filename.as_deref()),
        }),
        Said::Sticker(medium) => Kind::Sticker(StickerContent {
            media: Some(media(medium, file)),
        }),
        Said::Location(place) => Kind::Location(location(place)?),
        Said::Contacts(cards) => Kind::Contacts(ContactsContent {
            contacts: cards.iter().map(card).collect(),
            vcard: cards
                .iter()
                .filter_map(|card| card.vcard.as_deref())
                .collect::<Vec<_>>()
                .join("\n"),
        }),
        Said::Reaction(reaction) => Kind::Reaction(ReactionContent {
            external_message_id: reaction.message_id.clone(),
            emoji: text(reaction.emoji.as_deref()),
        }),
        _ => return None,
    })
}

fn media(medium: &Medium, file: Option<&str>) -> Media {
    let source = file.map_or_else(
        || Source::MediaId(medium.id.clone()),
        |file| Source::FileId(file.to_owned()),
    );
    Media { source: Some(source) }
}

fn location(place: &Place) -> Option<LocationContent> {
    Some(LocationContent {
        latitude: place.latitude.trim().parse().ok()?,
        longitude: place.longitude.trim().parse().ok()?,
        name: text(place.name.as_deref()),
        address: text(place.address.as_deref()),
    })
}

fn card(card: &Card) -> ContactCard {
    let phones = card.phones.iter().map(|phone| ContactPhone {
        phone: text(phone.phone.as_deref()),
        r#type: text(phone.kind.as_deref()),
        wa_id: text(phone.wa_id.as_deref()),
    });
    let emails = card.emails.iter().map(|email| ContactEmail {
        email: text(email.email.as_deref()),
        r#type: text(email.kind.as_deref()),
    });
    let addresses = card.addresses.iter().map(|address| ContactAddress {
        street: text(address.street.as_deref()),
        city: text(address.city.as_deref()),
        state: text(address.state.as_deref()),
        zip: text(address.zip.as_deref()),
        country: text(address.country.as_deref()),
        country_code: text(address.country_code.as_deref()),
        r#type: text(address.kind.as_deref()),
    });
    let urls = card.urls.iter().map(|url| ContactUrl {
        url: text(url.url.as_deref()),
        r#type: text(url.kind.as_deref()),
    });
    let name = &card.name;
    ContactCard {
        name: Some(ContactName {
            formatted_name: text(name.formatted_name.as_deref()),
            first_name: text(name.first_name.as_deref()),
            last_name: text(name.last_name.as_deref()),
            middle_name: text(name.middle_name.as_deref()),
            prefix: text(name.prefix.as_deref()),
            suffix: text(name.suffix.as_deref()),
        }),
        phones: phones.collect(),
        emails: emails.collect(),
        addresses: addresses.collect(),
        urls: urls.collect(),
        organization: card.org.as_ref().map(|org| ContactOrganization {
            company: text(org.company.as_deref()),
            department: text(org.department.as_deref()),
            title: text(org.title.as_deref()),
        }),
        birthday: text(card.birthday.as_deref()),
    }
}

/// As content of which nothing like it can be sent.
fn received(said: &Said, what: &str) -> Option<Received> {
    Some(match said {
        Said::Button(button) => Received::Reply(pressed(button)),
        Said::ButtonReply(reply) => Received::Reply(chosen(reply, ReplySource::Button)),
        Said::ListReply(reply) => Received::Reply(chosen(reply, ReplySource::List)),
        Said::Flow(flow) => Received::FlowReply(filled(flow)),
        Said::CallPermission(permission) => Received::CallPermission(may_call(permission)),
        Said::Order(order) => Received::Order(ordered(order)),
        Said::System(system) => Received::System(notice(system)),
        Said::Edit(edit) => Received::Edit(edited(edit)),
        Said::Revoke(revoke) => Received::Revoke(RevokeContent {
            original_external_message_id: revoke.original_message_id.clone(),
        }),
        Said::Unsupported(unsupported) => Received::Unsupported(not_shown(unsupported)),
        Said::Unknown(unknown) => Received::Unknown(UnknownContent {
            r#type: what.strip_prefix("message.").unwrap_or(what).to_owned(),
            json: unknown.json.clone(),
            cut: unknown.cut,
        }),
        _ => return None,
    })
}

fn pressed(button: &Button) -> ReplyContent {
    ReplyContent {
        source: ReplySource::TemplateButton.into(),
        id: text(button.payload.as_deref()),
        title: text(button.text.as_deref()),
        description: String::new(),
    }
}

fn chosen(reply: &Reply, source: ReplySource) -> ReplyContent {
    ReplyContent {
        source: source.into(),
        id: reply.id.clone(),
        title: text(reply.title.as_deref()),
        description: text(reply.description.as_deref()),
    }
}

fn filled(flow: &Flow) -> FlowReplyContent {
    FlowReplyContent {
        name: text(flow.name.as_deref()),
        body: text(flow.body.as_deref()),
        response_json: text(flow.response_json.as_deref()),
    }
}

fn may_call(permission: &CallPermission) -> CallPermissionContent {
    CallPermissionContent {
        accepted: permission.response == "accept",
        expire_time: permission.expiration_timestamp.and_then(time),
        source: text(permission.response_source.as_deref()),
    }
}

fn ordered(order: &Order) -> OrderContent {
    let items = order.product_items.iter().map(|item| OrderItem {
        product_retailer_id: item.product_retailer_id.clone(),
        quantity: text(item.quantity.as_deref()),
        item_price: text(item.item_price.as_deref()),
        currency: text(item.currency.as_deref()),
    });
    OrderContent {
        catalog_id: text(order.catalog_id.as_deref()),
        text: text(order.text.as_deref()),
        items: items.collect(),
    }
}

fn notice(system: &System) -> SystemContent {
    SystemContent {
        r#type: text(system.kind.as_deref()),
        body: text(system.body.as_deref()),
    }
}

fn edited(edit: &Edit) -> EditContent {
    EditContent {
        original_external_message_id: edit.original.clone(),
        content: sendable(&edit.said, None).map(|kind| MessageContent { kind: Some(kind) }),
    }
}

fn not_shown(unsupported: &Unsupported) -> UnsupportedContent {
    UnsupportedContent {
        r#type: text(unsupported.kind.as_deref()),
        meta_code: i32::try_from(unsupported.code).unwrap_or_default(),
        title: text(unsupported.title.as_deref()),
    }
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

fn time(seconds: i64) -> Option<prost_types::Timestamp> {
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .map(timestamp::to_proto)
}
