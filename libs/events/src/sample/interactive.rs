use outeract_proto::messaging::v1::interactive_content::Action;
use outeract_proto::messaging::v1::interactive_header::Kind as Header;
use outeract_proto::messaging::v1::{
    Carousel, CarouselCard, Catalog, ContactRequest, Flow, FlowAction, InteractiveContent, InteractiveHeader, ListMenu,
    ListRow, ListSection, LocationRequest, Product, ProductList, ProductSection, ReplyButton, ReplyButtons, UrlButton,
    carousel_card,
};

use super::{PLAIN_LETTERS, Sampler};

/// Whether an action goes with a header.
#[derive(PartialEq, Eq)]
enum Above {
    Anything,
    Text,
    TextAlways,
    Nothing,
}

// === impl Sampler ===

impl Sampler {
    pub(super) fn interactive(&mut self) -> InteractiveContent {
        let action = self.required(Self::action);
        let above = match &action {
            Some(Action::ReplyButtons(_) | Action::UrlButton(_) | Action::Flow(_)) | None => Above::Anything,
            Some(Action::List(_)) => Above::Text,
            Some(Action::ProductList(_)) => Above::TextAlways,
            Some(
                Action::LocationRequest(_)
                | Action::ContactRequest(_)
                | Action::Product(_)
                | Action::Catalog(_)
                | Action::Carousel(_),
            ) => Above::Nothing,
        };
        let body = match &action {
            Some(Action::Product(_)) => self.optional_text(1_024),
            Some(Action::List(_)) => self.text(4_096),
            _ => self.text(1_024),
        };
        let bare = matches!(
            action,
            Some(Action::LocationRequest(_) | Action::ContactRequest(_) | Action::Carousel(_))
        );
        let footer = if bare && !self.slips() {
            String::new()
        } else {
            self.optional_text(60)
        };
        InteractiveContent {
            header: self.header(&above),
            body,
            footer,
            action,
        }
    }

    fn header(&mut self, above: &Above) -> Option<InteractiveHeader> {
        // A slip forgets what the action demands.
        let any = self.slips();
        let kind = match above {
            Above::Nothing if !any => return None,
            Above::Anything | Above::Text if self.below(2) == 0 => return None,
            Above::TextAlways if any => return None,
            Above::Text | Above::TextAlways if !any => Header::Text(self.text(60)),
            Above::Anything | Above::Text | Above::TextAlways | Above::Nothing => match self.below(4) {
                0 => Header::Text(self.text(60)),
                1 => Header::Image(self.media()),
                2 => Header::Video(self.media()),
                _ => Header::Document(self.media()),
            },
        };
        let kind = self.required(|_| kind);
        Some(InteractiveHeader { kind })
    }

    fn action(&mut self) -> Action {
        match self.below(10) {
            0 => Action::ReplyButtons(self.reply_buttons(3, 256)),
            1 => Action::List(self.list()),
            2 => Action::UrlButton(self.url_button()),
            3 => Action::LocationRequest(LocationRequest {}),
            4 => Action::ContactRequest(ContactRequest {}),
            5 => Action::Flow(self.flow()),
            6 => Action::Product(self.product()),
            7 => Action::ProductList(ProductList {
                catalog_id: self.digits(32),
                sections: self.product_sections(),
            }),
            8 => Action::Catalog(self.catalog()),
            _ => Action::Carousel(self.carousel()),
        }
    }

    fn reply_buttons(&mut self, most: usize, most_id: usize) -> ReplyButtons {
        let buttons = self.many(1, most, |sampler| sampler.reply_button(most_id));
        ReplyButtons { buttons }
    }

    fn reply_button(&mut self, most_id: usize) -> ReplyButton {
        let id = self.text(most_id);
        let id = if self.slips() {
            format!(" {id}")
        } else {
            self.distinct(id, most_id)
        };
        let title = self.text(20);
        ReplyButton {
            id,
            title: self.distinct(title, 20),
        }
    }

    fn list(&mut self) -> ListMenu {
        let mut left: usize = 10;
        let count = if self.slips() {
            11 * self.index(2)
        } else {
            1 + self.index(10)
        };
        let mut sections = Vec::new();
        for index in 0..count {
            // Every later section needs a row as well.
            let room = left.saturating_sub(count - index - 1).max(1);
            let rows = if self.slips() { 0 } else { 1 + self.index(room) };
            left = left.saturating_sub(rows);
            sections.push(ListSection {
                title: self.section_title(count),
                rows: (0..rows).map(|_| self.list_row()).collect(),
            });
        }
        if let Some(last) = sections.last_mut()
            && self.slips()
        {
            last.rows.extend((0..=left).map(|_| self.list_row()));
        }
        ListMenu {
            button: self.text(20),
            sections,
        }
    }

    fn list_row(&mut self) -> ListRow {
        let id = self.text(200);
        ListRow {
            id: self.distinct(id, 200),
            title: self.text(24),
            description: self.optional_text(72),
        }
    }

    fn section_title(&mut self, sections: usize) -> String {
        if sections == 1 {
            self.optional_text(24)
        } else if self.slips() {
            String::new()
        } else {
            self.text(24)
        }
    }

    fn url_button(&mut self) -> UrlButton {
        UrlButton {
            display_text: self.text(20),
            url: self.web_address(),
        }
    }

    fn flow(&mut self) -> Flow {
        let action = match self.below(3) {
            0 => FlowAction::Unspecified,
            1 => FlowAction::Navigate,
            _ => FlowAction::DataExchange,
        };
        let navigates = (action != FlowAction::DataExchange) != self.slips();
        let odd = self.slips();
        Flow {
            flow_id: self.digits(32),
            call_to_action: if self.slips() {
                "Book 👍".to_owned()
            } else {
                self.text_of(30, PLAIN_LETTERS)
            },
            flow_token: self.optional_text(256),
            action: if odd { 9 } else { action.into() },
            screen: if navigates { self.text(60) } else { String::new() },
            data: if navigates { self.data() } else { None },
            draft: self.below(4) == 0,
        }
    }

    pub(super) fn product(&mut self) -> Product {
        Product {
            catalog_id: self.digits(32),
            product_retailer_id: self.text(256),
        }
    }

    pub(super) fn catalog(&mut self) -> Catalog {
        Catalog {
            thumbnail_product_retailer_id: self.optional_text(256),
        }
    }

    pub(super) fn product_sections(&mut self) -> Vec<ProductSection> {
        let mut left: usize = 30;
        let count = if self.slips() {
            11 * self.index(2)
        } else {
            1 + self.index(10)
        };
        let mut sections = Vec::new();
        for index in 0..count {
            let room = left.saturating_sub(count - index - 1).max(1);
            let products = if self.slips() { 0 } else { 1 + self.index(room) };
            left = left.saturating_sub(products);
            sections.push(ProductSection {
                title: self.section_title(count),
                product_retailer_ids: (0..products).map(|_| self.text(256)).collect(),
            });
        }
        if let Some(last) = sections.last_mut()
            && self.slips()
        {
            last.product_retailer_ids.extend((0..=left).map(|_| self.text(256)));
        }
        sections
    }

    fn carousel(&mut self) -> Carousel {
        let (video, replies) = (self.below(2) == 0, self.below(4));
        let cards = self.many(2, 10, |sampler| sampler.carousel_card(video, replies));
        Carousel { cards }
    }

    fn carousel_card(&mut self, video: bool, replies: u64) -> CarouselCard {
        let video = video != self.slips();
        let replies = if self.slips() { self.below(4) } else { replies };
        let media = self.media();
        let header = self.required(|_| {
            if video {
                carousel_card::Header::Video(media)
            } else {
                carousel_card::Header::Image(media)
            }
        });
        let action = if replies == 0 {
            carousel_card::Action::UrlButton(self.url_button())
        } else {
            let buttons = (0..replies).map(|_| self.reply_button(20)).collect();
            carousel_card::Action::ReplyButtons(ReplyButtons { buttons })
        };
        let body = if self.slips() {
            "a\nb\nc\nd".to_owned()
        } else {
            self.optional_text(160)
        };
        CarouselCard {
            header,
            body,
            action: self.required(|_| action),
        }
    }
}
