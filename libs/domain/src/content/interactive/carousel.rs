use super::{ReplyButtons, UrlButton};
use crate::content::part::part;
use crate::content::{Check, Draft, Drafts, MediaSource, Private};

/// 2 to 10 cards side by side, with headers of one kind and buttons of one shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carousel {
    cards: Vec<CarouselCard>,
}

/// A card of a carousel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarouselCard {
    header: CarouselHeader,
    body: Option<Private>,
    action: CarouselAction,
}

/// What stands at the top of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CarouselHeader {
    /// A picture.
    Image(MediaSource),
    /// A film.
    Video(MediaSource),
}

/// What the recipient can do with a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CarouselAction {
    /// A button that opens a web page.
    UrlButton(UrlButton),
    /// Buttons that answer.
    ReplyButtons(ReplyButtons),
}

/// What is the same in every card of a carousel.
#[derive(PartialEq, Eq)]
struct Shape {
    video: bool,
    /// How many buttons answer; `None`: one opens a web page.
    replies: Option<usize>,
}

part!(struct Carousel { cards });
part!(struct CarouselCard { header, body, action });
part!(
    enum CarouselHeader {
        Image,
        Video,
    }
);
part!(
    enum CarouselAction {
        UrlButton,
        ReplyButtons,
    }
);

const MIN_CARDS: usize = 2;
const MAX_CARDS: usize = 10;
const MAX_BODY: usize = 160;
const MAX_LINE_BREAKS: usize = 2;
/// A card's buttons have shorter ids than others.
const MAX_ID: usize = 20;

// === impl Carousel ===

impl Carousel {
    /// These cards.
    pub fn new(cards: Drafts<CarouselCard>, check: &mut Check) -> Draft<Self> {
        check.count("cards", cards.count(), MIN_CARDS..=MAX_CARDS);
        let first = cards.iter().next().map(|(_, card)| card.shape());
        for (index, card) in cards.iter() {
            let (shape, place) = (card.shape(), format!("cards[{index}]"));
            let first = first.as_ref().unwrap_or(&shape);
            let same = "must have a header of the same kind as the others";
            check.expect(shape.video == first.video, &place, same);
            let same = "must have buttons of the same kind and number as the others";
            check.expect(shape.replies == first.replies, &place, same);
        }
        Draft(Some(Self {
            cards: cards.into_vec(),
        }))
    }

    /// The cards.
    pub fn cards(&self) -> &[CarouselCard] {
        &self.cards
    }
}

// === impl CarouselCard ===

impl CarouselCard {
    /// A card by its header, its text (at most 160 characters and two line breaks; empty: none) and its buttons.
    pub fn new(
        header: Draft<CarouselHeader>,
        body: String,
        action: Draft<CarouselAction>,
        check: &mut Check,
    ) -> Draft<Self> {
        let body = check.optional_text("body", body, MAX_BODY);
        let breaks = body.iter().flat_map(|body| body.matches('\n')).count();
        if breaks > MAX_LINE_BREAKS {
            check.note("body", format!("must have at most {MAX_LINE_BREAKS} line breaks"));
        }
        if let Draft(Some(CarouselAction::ReplyButtons(replies))) = &action {
            for (index, button) in replies.buttons().iter().enumerate() {
                if button.id().chars().count() > MAX_ID {
                    let path = format!("reply_buttons.buttons[{index}].id");
                    check.note(&path, format!("must be at most {MAX_ID} characters in a carousel"));
                }
            }
        }
        let (Draft(Some(header)), Draft(Some(action))) = (header, action) else {
            return Draft(None);
        };
        Draft(Some(Self { header, body, action }))
    }

    /// What stands at its top.
    pub fn header(&self) -> &CarouselHeader {
        &self.header
    }

    /// Its text.
    pub fn body(&self) -> Option<&str> {
        self.body.as_deref()
    }

    /// What the recipient can do.
    pub fn action(&self) -> &CarouselAction {
        &self.action
    }

    fn shape(&self) -> Shape {
        Shape {
            video: matches!(self.header, CarouselHeader::Video(_)),
            replies: match &self.action {
                CarouselAction::UrlButton(_) => None,
                CarouselAction::ReplyButtons(replies) => Some(replies.buttons().len()),
            },
        }
    }
}
