use std::collections::HashMap;

use uuid::Uuid;

use super::interactive::{Action, Carousel, CarouselAction, CarouselCard, CarouselHeader, UrlButton};
use super::template::{Header, TemplateParts};
use super::*;

fn file(number: u128) -> FileId {
    FileId::from_uuid(Uuid::from_u128(number))
}

fn of_file(number: u128, check: &mut Check) -> Draft<MediaSource> {
    MediaSource::file(&file(number).to_string(), check)
}

/// Cards with these files and captions.
fn carousel(files: &[u128]) -> Content {
    Check::of(|check| {
        let cards = check.each("cards", files.to_vec(), |number, check| {
            let header = of_file(number, check).map(CarouselHeader::Image);
            let action = UrlButton::new("Open".to_owned(), "https://example.com", check);
            let action = action.map(CarouselAction::UrlButton);
            CarouselCard::new(header, String::new(), action, check)
        });
        let action = Carousel::new(cards, check).map(Action::Carousel);
        Interactive::new(None, "Look".to_owned(), String::new(), action, check)
            .map(|interactive| Content::Interactive(Box::new(interactive)))
    })
    .expect("valid")
}

fn template(number: u128) -> Content {
    Check::of(|check| {
        let parts = TemplateParts {
            name: "offer".to_owned(),
            language_code: "en_US".to_owned(),
            header: Some(of_file(number, check).map(Header::Image)),
            body: Drafts::default(),
            buttons: Drafts::default(),
            cards: Drafts::default(),
            offer_expires_at: None,
            one_time_code: String::new(),
            tap_target: None,
        };
        Template::new(parts, check).map(|template| Content::Template(Box::new(template)))
    })
    .expect("valid")
}

#[test]
fn files_come_in_order_each_once_and_give_way_to_media_ids() {
    let content = carousel(&[3, 1, 3, 2]);
    assert_eq!(content.file_ids(), [file(3), file(1), file(2)]);
    let mut media = HashMap::from([(file(1), "11".to_owned()), (file(3), "33".to_owned())]);
    assert_eq!(content.with_media(&media), Err(file(2)));
    media.insert(file(2), "22".to_owned());
    let sent = content.with_media(&media).expect("all are there");
    assert_eq!(sent.file_ids(), []);
    let mut sources = Vec::new();
    sent.media(&mut sources);
    let ids: Vec<_> = sources
        .iter()
        .map(|source| match source {
            MediaSource::Id(id) => id.as_str(),
            _ => "",
        })
        .collect();
    assert_eq!(ids, ["33", "11", "33", "22"]);
}

#[test]
fn only_templates_do_without_a_window() {
    let (template, carousel) = (template(1), carousel(&[1, 2]));
    assert!(!template.needs_window() && template.template().is_some_and(|template| template.name() == "offer"));
    assert!(carousel.needs_window() && carousel.template().is_none());
    assert_eq!(template.file_ids(), [file(1)]);
}

#[test]
fn texts_and_links_count_in_the_size_and_debug_hides_them() {
    let text = |body: &str| Content::Text(Text::new(body.to_owned(), None, "body").expect("valid"));
    assert_eq!(text("secret words").bytes() - text("s").bytes(), 11);
    assert_eq!(format!("{:?}", text("secret words")), "Text(Text(12 bytes))");
    let image = Check::of(|check| {
        let media = MediaSource::link("https://example.com/?token=hidden", check);
        Image::new(media, "secret words".to_owned(), check).map(Content::Image)
    })
    .expect("valid");
    assert_eq!(image.bytes(), size_of::<Content>() + 12 + 33);
    let shown = format!("{image:?}");
    assert!(!shown.contains("secret") && !shown.contains("hidden"), "{shown}");
}

#[test]
fn contents_do_not_make_the_enum_large() {
    assert!(size_of::<Content>() <= 64, "{}", size_of::<Content>());
}
