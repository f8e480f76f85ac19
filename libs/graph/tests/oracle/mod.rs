//! What Meta refuses, written down from Meta's pages by itself: it shares nothing with the checks that it is held against. It reads contents as a caller gives them.

mod template;

use std::collections::BTreeSet;

use outeract_proto::messaging::v1::interactive_content::Action;
use outeract_proto::messaging::v1::interactive_header::Kind as Header;
use outeract_proto::messaging::v1::media::Source;
use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::messaging::v1::{
    Carousel, ContactCard, ContactsContent, Flow, InteractiveContent, ListMenu, LocationContent, Media, MessageContent,
    ProductSection, ReplyButtons, UrlButton, carousel_card,
};

/// Why Meta would refuse the content; `None`: it would not, as far as its pages say.
pub(crate) fn refusal(content: &MessageContent) -> Option<&'static str> {
    match content.kind.as_ref() {
        None => Some("nothing is said"),
        Some(Kind::Text(text)) => sized(&text.body, 1, 4_096, "text body"),
        Some(Kind::Image(image)) => medium(image.media.as_ref()).or(caption(&image.caption)),
        Some(Kind::Video(video)) => medium(video.media.as_ref()).or(caption(&video.caption)),
        Some(Kind::Audio(audio)) => medium(audio.media.as_ref()),
        Some(Kind::Document(document)) => medium(document.media.as_ref()).or(caption(&document.caption)),
        Some(Kind::Sticker(sticker)) => medium(sticker.media.as_ref()),
        Some(Kind::Location(place)) => location(place),
        Some(Kind::Contacts(contacts)) => cards(contacts),
        Some(Kind::Reaction(reaction)) => (!reaction.external_message_id.starts_with("wamid.")).then_some("no message"),
        Some(Kind::Interactive(given)) => interactive(given),
        Some(Kind::Template(given)) => template::refusal(given),
    }
}

fn interactive(given: &InteractiveContent) -> Option<&'static str> {
    let Some(action) = given.action.as_ref() else {
        return Some("no action");
    };
    let body_most = if matches!(action, Action::List(_)) {
        4_096
    } else {
        1_024
    };
    let body_least = usize::from(!matches!(action, Action::Product(_)));
    sized(&given.body, body_least, body_most, "body")
        .or(sized(&given.footer, 0, 60, "footer"))
        .or(header(given, action))
        .or(match action {
            Action::ReplyButtons(replies) => reply_buttons(replies, 256),
            Action::List(menu) => list(menu),
            Action::UrlButton(button) => url_button(button),
            Action::LocationRequest(_) | Action::ContactRequest(_) | Action::Catalog(_) => None,
            Action::Flow(given) => flow(given),
            Action::Product(product) => blank(&product.catalog_id).or(blank(&product.product_retailer_id)),
            Action::ProductList(list) => blank(&list.catalog_id).or(products(&list.sections)),
            Action::Carousel(given) => carousel(given),
        })
}

fn header(given: &InteractiveContent, action: &Action) -> Option<&'static str> {
    let kind = given.header.as_ref().map(|header| header.kind.as_ref());
    let wrong = match (action, kind) {
        (_, Some(None)) => Some("empty header"),
        (Action::List(_), Some(Some(kind))) if !matches!(kind, Header::Text(_)) => Some("header must be text"),
        (Action::ProductList(_), kind) if !matches!(kind, Some(Some(Header::Text(_)))) => Some("header must be text"),
        (Action::Carousel(_), Some(_)) => Some("carousel with a header"),
        // The pages show none with requests, products and catalogs, and forbid none in words.
        _ => None,
    };
    wrong.or(match kind {
        Some(Some(Header::Text(text))) => sized(text, 1, 60, "header text"),
        Some(Some(Header::Image(media) | Header::Video(media) | Header::Document(media))) => medium(Some(media)),
        _ => None,
    })
}

fn reply_buttons(replies: &ReplyButtons, most_id: usize) -> Option<&'static str> {
    let buttons = &replies.buttons;
    let ids: BTreeSet<_> = buttons.iter().map(|button| &button.id).collect();
    let titles: BTreeSet<_> = buttons.iter().map(|button| &button.title).collect();
    if buttons.is_empty() || buttons.len() > 3 {
        return Some("1 to 3 buttons");
    }
    if ids.len() < buttons.len() || titles.len() < buttons.len() {
        return Some("buttons alike");
    }
    buttons
        .iter()
        .find_map(|button| sized(&button.id, 1, most_id, "button id").or(sized(&button.title, 1, 20, "button title")))
}

fn list(menu: &ListMenu) -> Option<&'static str> {
    let rows: Vec<_> = menu.sections.iter().flat_map(|section| &section.rows).collect();
    let ids: BTreeSet<_> = rows.iter().map(|row| &row.id).collect();
    if menu.sections.is_empty() || menu.sections.len() > 10 || rows.is_empty() || rows.len() > 10 {
        return Some("1 to 10 sections, 10 rows in all");
    }
    if ids.len() < rows.len() {
        return Some("rows alike");
    }
    if menu.sections.len() > 1 && menu.sections.iter().any(|section| section.title.is_empty()) {
        return Some("a section without title");
    }
    let sections = menu.sections.iter();
    sized(&menu.button, 1, 20, "list button")
        .or(sections
            .clone()
            .find_map(|section| sized(&section.title, 0, 24, "section title")))
        .or(rows.iter().find_map(|row| {
            sized(&row.id, 1, 200, "row id")
                .or(sized(&row.title, 1, 24, "row title"))
                .or(sized(&row.description, 0, 72, "row description"))
        }))
}

fn url_button(button: &UrlButton) -> Option<&'static str> {
    sized(&button.display_text, 1, 20, "URL button").or(web_address(&button.url))
}

fn flow(given: &Flow) -> Option<&'static str> {
    let emoji = given
        .call_to_action
        .chars()
        .any(|character| matches!(character, '\u{1f300}'..='\u{1faff}'));
    let navigates = matches!(given.action, 0 | 1);
    blank(&given.flow_id)
        .or(sized(&given.call_to_action, 1, 30, "flow button"))
        .or(emoji.then_some("emoji in the flow button"))
        .or((!(0..=2).contains(&given.action)).then_some("unknown flow action"))
        .or((navigates && given.screen.is_empty()).then_some("no screen to go to"))
}

fn carousel(given: &Carousel) -> Option<&'static str> {
    use carousel_card::{Action, Header};
    if !(2..=10).contains(&given.cards.len()) {
        return Some("2 to 10 cards");
    }
    let mut shapes = BTreeSet::new();
    for card in &given.cards {
        let (video, media) = match card.header.as_ref() {
            Some(Header::Image(media)) => (false, media),
            Some(Header::Video(media)) => (true, media),
            None => return Some("a card without header"),
        };
        let (replies, wrong) = match card.action.as_ref() {
            Some(Action::UrlButton(button)) => (0, url_button(button)),
            Some(Action::ReplyButtons(replies)) => (replies.buttons.len(), reply_buttons(replies, 20)),
            None => return Some("a card without action"),
        };
        shapes.insert((video, replies));
        let breaks = card.body.chars().filter(|character| *character == '\n').count();
        let wrong = wrong
            .or(medium(Some(media)))
            .or(sized(&card.body, 0, 160, "card body"))
            .or((breaks > 2).then_some("too many lines on a card"));
        if wrong.is_some() {
            return wrong;
        }
    }
    (shapes.len() > 1).then_some("cards of several shapes")
}

/// Sections of products.
fn products(sections: &[ProductSection]) -> Option<&'static str> {
    let all: usize = sections.iter().map(|section| section.product_retailer_ids.len()).sum();
    if sections.is_empty() || sections.len() > 10 || !(1..=30).contains(&all) {
        return Some("1 to 10 sections, 30 products in all");
    }
    if sections.len() > 1 && sections.iter().any(|section| section.title.is_empty()) {
        return Some("a section without title");
    }
    sections.iter().find_map(|section| {
        let ids = section.product_retailer_ids.iter();
        sized(&section.title, 0, 24, "section title")
            .or(section
                .product_retailer_ids
                .is_empty()
                .then_some("a section without products"))
            .or(ids.map(|id| blank(id)).find_map(|wrong| wrong))
    })
}

fn cards(contacts: &ContactsContent) -> Option<&'static str> {
    match (contacts.contacts.is_empty(), contacts.vcard.is_empty()) {
        (true, true) => return Some("no card"),
        // What is in a vCard is not looked at here.
        (true, false) => return (!contacts.vcard.ends_with("END:VCARD\r\n")).then_some("an open vCard"),
        (false, false) => return Some("cards of both kinds"),
        (false, true) => {}
    }
    if contacts.contacts.len() > 257 {
        return Some("at most 257 cards");
    }
    contacts.contacts.iter().find_map(card)
}

fn card(card: &ContactCard) -> Option<&'static str> {
    let Some(name) = card.name.as_ref() else {
        return Some("a card without name");
    };
    let parts = [
        &name.first_name,
        &name.last_name,
        &name.middle_name,
        &name.prefix,
        &name.suffix,
    ];
    blank(&name.formatted_name)
        .or(parts
            .iter()
            .all(|part| part.is_empty())
            .then_some("a name without parts"))
        .or(card.phones.iter().find_map(|phone| blank(&phone.phone)))
        .or(card.emails.iter().find_map(|email| blank(&email.email)))
        .or(card.urls.iter().find_map(|url| blank(&url.url)))
        .or((!matches!(card.birthday.as_str(), "" | "1999-01-23" | "2000-02-29")).then_some("no date"))
}

fn location(place: &LocationContent) -> Option<&'static str> {
    let on_earth = (-90.0..=90.0).contains(&place.latitude) && (-180.0..=180.0).contains(&place.longitude);
    (!on_earth).then_some("not on earth")
}

fn medium(media: Option<&Media>) -> Option<&'static str> {
    match media.and_then(|media| media.source.as_ref()) {
        None => Some("no medium"),
        Some(Source::FileId(id)) => (!id.starts_with("file_")).then_some("no file"),
        Some(Source::Link(link)) => link
            .strip_prefix("https://")
            .is_none_or(|rest| rest.is_empty() || rest.contains(' '))
            .then_some("no public link"),
        Some(Source::MediaId(id)) => {
            (id.is_empty() || id.contains(|digit: char| !digit.is_ascii_digit())).then_some("no media id")
        }
    }
}

fn caption(text: &str) -> Option<&'static str> {
    sized(text, 0, 1_024, "caption")
}

fn web_address(url: &str) -> Option<&'static str> {
    let rest = url.strip_prefix("https://").or(url.strip_prefix("http://"));
    (rest.is_none_or(str::is_empty) || url.len() > 2_000).then_some("no web address")
}

fn blank(text: &str) -> Option<&'static str> {
    text.trim().is_empty().then_some("empty")
}

fn sized(text: &str, least: usize, most: usize, what: &'static str) -> Option<&'static str> {
    let count = text.chars().count();
    (count < least || count > most || (least > 0 && text.trim().is_empty())).then_some(what)
}
