//! Interactive contents.

use outeract_domain::content::interactive::{
    Action, Carousel, CarouselAction, CarouselCard, CarouselHeader, Flow, FlowStart, Header, Interactive, ListMenu,
    ListRow, ListSection, ProductList, ReplyButton, ReplyButtons, UrlButton,
};
use outeract_domain::content::{Check, Draft};
use outeract_proto::messaging::v1 as proto;
use proto::FlowAction;
use proto::interactive_content::Action as Given;
use proto::interactive_header::Kind as GivenHeader;

use super::{given, json, media, parts};

pub(super) fn interactive(given: proto::InteractiveContent, check: &mut Check) -> Draft<Interactive> {
    let header = check.optional("header", given.header, header);
    let action = match given.action {
        Some(given) => action(given, check),
        None => check.refuse("action", "exactly one action that this version knows must be set"),
    };
    Interactive::new(header, given.body, given.footer, action, check)
}

pub(super) fn to_proto(interactive: &Interactive) -> proto::InteractiveContent {
    proto::InteractiveContent {
        header: interactive.header().map(header_to_proto),
        body: given(interactive.body()),
        footer: given(interactive.footer()),
        action: Some(action_to_proto(interactive.action())),
    }
}

fn header(given: proto::InteractiveHeader, check: &mut Check) -> Draft<Header> {
    match given.kind {
        Some(GivenHeader::Text(text)) => Header::text(text, check),
        Some(GivenHeader::Image(given)) => check.at("image", |check| media::media(given, check)).map(Header::Image),
        Some(GivenHeader::Video(given)) => check.at("video", |check| media::media(given, check)).map(Header::Video),
        Some(GivenHeader::Document(given)) => check
            .at("document", |check| media::media(given, check))
            .map(Header::Document),
        None => check.refuse("", "must have a text, an image, a video or a document"),
    }
}

fn header_to_proto(header: &Header) -> proto::InteractiveHeader {
    let kind = match header {
        Header::Text(text) => GivenHeader::Text(text.as_str().to_owned()),
        Header::Image(source) => GivenHeader::Image(media::to_proto(source)),
        Header::Video(source) => GivenHeader::Video(media::to_proto(source)),
        Header::Document(source) => GivenHeader::Document(media::to_proto(source)),
    };
    proto::InteractiveHeader { kind: Some(kind) }
}

fn action(given: Given, check: &mut Check) -> Draft<Action> {
    match given {
        Given::ReplyButtons(given) => check
            .at("reply_buttons", |check| reply_buttons(given, check))
            .map(Action::ReplyButtons),
        Given::List(given) => check.at("list", |check| list(given, check)).map(Action::List),
        Given::UrlButton(given) => check
            .at("url_button", |check| url_button(given, check))
            .map(Action::UrlButton),
        Given::LocationRequest(proto::LocationRequest {}) => Action::LocationRequest.into(),
        Given::ContactRequest(proto::ContactRequest {}) => Action::ContactRequest.into(),
        Given::Flow(given) => check.at("flow", |check| flow(given, check)).map(Action::Flow),
        Given::Product(given) => check
            .at("product", |check| parts::product(given, check))
            .map(Action::Product),
        Given::ProductList(given) => check
            .at("product_list", |check| {
                let sections = parts::product_sections(given.sections, check);
                ProductList::new(given.catalog_id, sections, check)
            })
            .map(Action::ProductList),
        Given::Catalog(given) => check
            .at("catalog", |check| parts::catalog(given, check))
            .map(Action::Catalog),
        Given::Carousel(given) => check
            .at("carousel", |check| {
                let cards = check.each("cards", given.cards, card);
                Carousel::new(cards, check)
            })
            .map(Action::Carousel),
    }
}

fn action_to_proto(action: &Action) -> Given {
    match action {
        Action::ReplyButtons(replies) => Given::ReplyButtons(reply_buttons_to_proto(replies)),
        Action::List(list) => Given::List(list_to_proto(list)),
        Action::UrlButton(button) => Given::UrlButton(url_button_to_proto(button)),
        Action::LocationRequest => Given::LocationRequest(proto::LocationRequest {}),
        Action::ContactRequest => Given::ContactRequest(proto::ContactRequest {}),
        Action::Flow(flow) => Given::Flow(flow_to_proto(flow)),
        Action::Product(product) => Given::Product(parts::product_to_proto(product)),
        Action::ProductList(list) => Given::ProductList(proto::ProductList {
            catalog_id: list.catalog_id().to_owned(),
            sections: parts::product_sections_to_proto(list.sections()),
        }),
        Action::Catalog(catalog) => Given::Catalog(parts::catalog_to_proto(catalog)),
        Action::Carousel(carousel) => Given::Carousel(proto::Carousel {
            cards: carousel.cards().iter().map(card_to_proto).collect(),
        }),
    }
}

fn reply_buttons(given: proto::ReplyButtons, check: &mut Check) -> Draft<ReplyButtons> {
    let buttons = check.each("buttons", given.buttons, |button, check| {
        ReplyButton::new(button.id, button.title, check)
    });
    ReplyButtons::new(buttons, check)
}

fn reply_buttons_to_proto(replies: &ReplyButtons) -> proto::ReplyButtons {
    let buttons = replies.buttons().iter().map(|button| proto::ReplyButton {
        id: button.id().to_owned(),
        title: button.title().to_owned(),
    });
    proto::ReplyButtons {
        buttons: buttons.collect(),
    }
}

fn list(given: proto::ListMenu, check: &mut Check) -> Draft<ListMenu> {
    let sections = check.each("sections", given.sections, |section, check| {
        let rows = check.each("rows", section.rows, |row, check| {
            ListRow::new(row.id, row.title, row.description, check)
        });
        ListSection::new(section.title, rows, check)
    });
    ListMenu::new(given.button, sections, check)
}

fn list_to_proto(list: &ListMenu) -> proto::ListMenu {
    let row = |row: &ListRow| proto::ListRow {
        id: row.id().to_owned(),
        title: row.title().to_owned(),
        description: given(row.description()),
    };
    let sections = list.sections().iter().map(|section| proto::ListSection {
        title: given(section.title()),
        rows: section.rows().iter().map(row).collect(),
    });
    proto::ListMenu {
        button: list.button().to_owned(),
        sections: sections.collect(),
    }
}

fn url_button(given: proto::UrlButton, check: &mut Check) -> Draft<UrlButton> {
    UrlButton::new(given.display_text, &given.url, check)
}

fn url_button_to_proto(button: &UrlButton) -> proto::UrlButton {
    proto::UrlButton {
        display_text: button.display_text().to_owned(),
        url: button.url().to_owned(),
    }
}

fn flow(given: proto::Flow, check: &mut Check) -> Draft<Flow> {
    let data = json::data(given.data, check);
    let start = match FlowAction::try_from(given.action) {
        Ok(FlowAction::Unspecified | FlowAction::Navigate) => FlowStart::navigate(given.screen, data, check),
        Ok(FlowAction::DataExchange) => FlowStart::data_exchange(&given.screen, data.as_ref(), check),
        Err(_) => {
            check.note("action", "must be NAVIGATE or DATA_EXCHANGE");
            FlowStart::DataExchange
        }
    };
    Flow::new(
        given.flow_id,
        given.call_to_action,
        given.flow_token,
        start,
        given.draft,
        check,
    )
}

fn flow_to_proto(flow: &Flow) -> proto::Flow {
    let (action, screen, data) = match flow.start() {
        FlowStart::Navigate { screen, data } => (FlowAction::Navigate, screen.as_str().to_owned(), data.as_ref()),
        FlowStart::DataExchange => (FlowAction::DataExchange, String::new(), None),
    };
    proto::Flow {
        flow_id: flow.flow_id().to_owned(),
        call_to_action: flow.call_to_action().to_owned(),
        flow_token: given(flow.token()),
        action: action.into(),
        screen,
        data: data.map(json::to_proto),
        draft: flow.is_draft(),
    }
}

fn card(given: proto::CarouselCard, check: &mut Check) -> Draft<CarouselCard> {
    use proto::carousel_card::{Action as GivenAction, Header as GivenHeader};
    let header = match given.header {
        Some(GivenHeader::Image(given)) => check
            .at("image", |check| media::media(given, check))
            .map(CarouselHeader::Image),
        Some(GivenHeader::Video(given)) => check
            .at("video", |check| media::media(given, check))
            .map(CarouselHeader::Video),
        None => check.refuse("header", "must be an image or a video"),
    };
    let action = match given.action {
        Some(GivenAction::UrlButton(given)) => check
            .at("url_button", |check| url_button(given, check))
            .map(CarouselAction::UrlButton),
        Some(GivenAction::ReplyButtons(given)) => check
            .at("reply_buttons", |check| reply_buttons(given, check))
            .map(CarouselAction::ReplyButtons),
        None => check.refuse("action", "must be a url_button or reply_buttons"),
    };
    CarouselCard::new(header, given.body, action, check)
}

fn card_to_proto(card: &CarouselCard) -> proto::CarouselCard {
    use proto::carousel_card::{Action as GivenAction, Header as GivenHeader};
    let header = match card.header() {
        CarouselHeader::Image(source) => GivenHeader::Image(media::to_proto(source)),
        CarouselHeader::Video(source) => GivenHeader::Video(media::to_proto(source)),
    };
    let action = match card.action() {
        CarouselAction::UrlButton(button) => GivenAction::UrlButton(url_button_to_proto(button)),
        CarouselAction::ReplyButtons(replies) => GivenAction::ReplyButtons(reply_buttons_to_proto(replies)),
    };
    proto::CarouselCard {
        header: Some(header),
        body: given(card.body()),
        action: Some(action),
    }
}
