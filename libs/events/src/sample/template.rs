use outeract_proto::messaging::v1::template_button::Kind as Button;
use outeract_proto::messaging::v1::template_header::Kind as Header;
use outeract_proto::messaging::v1::template_parameter::Value;
use outeract_proto::messaging::v1::{
    TapTarget, TemplateButton, TemplateCard, TemplateContent, TemplateCurrency, TemplateDocument, TemplateFlow,
    TemplateHeader, TemplateParameter, TemplateProducts,
};
use prost_types::Timestamp;

use super::Sampler;

// === impl Sampler ===

impl Sampler {
    pub(super) fn template(&mut self) -> TemplateContent {
        let bad_names = ["", "Order", "order-1", "bestätigung"];
        let bad_languages = ["", "en-US", "e", "english_united_states"];
        let mut template = TemplateContent {
            name: if self.slips() {
                bad_names[self.index(4)].to_owned()
            } else {
                "order_1".repeat(1 + self.index(70))
            },
            language_code: if self.slips() {
                bad_languages[self.index(4)].to_owned()
            } else {
                self.one_of(&["en_US", "de", "zh_CN", "fil"]).to_owned()
            },
            header: self.maybe(Self::template_header),
            body: self.parameters(),
            buttons: self.template_buttons(),
            cards: Vec::new(),
            offer_expire_time: self.maybe(|sampler| Timestamp {
                seconds: 1_795_000_000,
                nanos: if sampler.slips() { -1 } else { 123_000_000 },
            }),
            one_time_code: String::new(),
            tap_target: self.maybe(|sampler| TapTarget {
                url: sampler.web_address(),
                title: sampler.text(250),
            }),
        };
        match self.below(4) {
            0 => {
                template.one_time_code = self.template_text(15);
                if !self.slips() {
                    template.body.clear();
                    template.buttons.clear();
                }
            }
            1 => template.cards = self.many(0, 10, Self::template_card),
            _ => {}
        }
        template
    }

    fn parameters(&mut self) -> Vec<TemplateParameter> {
        let named = self.below(2) == 0;
        self.many(0, 6, |sampler| {
            let text = sampler.template_text(1_024);
            sampler.parameter(named, text)
        })
    }

    fn parameter(&mut self, named: bool, text: String) -> TemplateParameter {
        let named = named != self.slips();
        let name = if named {
            self.distinct("place_".to_owned(), 30)
        } else {
            String::new()
        };
        let name = if self.slips() { "place 1".to_owned() } else { name };
        let value = match self.below(6) {
            0 => Value::Currency(TemplateCurrency {
                fallback_value: text,
                code: if self.slips() { "usd" } else { "USD" }.to_owned(),
                amount_1000: 100_990,
            }),
            1 => Value::DateTime(text),
            _ => Value::Text(text),
        };
        TemplateParameter {
            name,
            value: self.required(|_| value),
        }
    }

    fn template_header(&mut self) -> TemplateHeader {
        let kind = match self.below(6) {
            0 => {
                let text = self.template_text(60);
                let text = if self.slips() { "x".repeat(61) } else { text };
                Header::Text(TemplateParameter {
                    name: String::new(),
                    value: self.required(|_| Value::Text(text)),
                })
            }
            1 => Header::Document(TemplateDocument {
                media: self.required(Self::media),
                filename: self.file_name(),
            }),
            2 => Header::Location(self.location()),
            _ => self.card_header(),
        };
        TemplateHeader {
            kind: self.required(|_| kind),
        }
    }

    fn card_header(&mut self) -> Header {
        match self.below(3) {
            0 => Header::Image(self.media()),
            1 => Header::Video(self.media()),
            _ => Header::Product(self.product()),
        }
    }

    fn template_buttons(&mut self) -> Vec<TemplateButton> {
        let mut index = -1;
        self.many(0, 10, |sampler| {
            if !sampler.slips() {
                index += 1;
            }
            sampler.template_button(index)
        })
    }

    fn template_button(&mut self, index: i32) -> TemplateButton {
        let kind = match self.below(6) {
            0 => Button::QuickReplyPayload(self.text(256)),
            1 => Button::UrlSuffix(self.text(2_000)),
            2 => Button::CouponCode(self.text(20)),
            3 => Button::Flow(TemplateFlow {
                flow_token: self.optional_text(256),
                data: self.data(),
            }),
            4 => Button::Catalog(self.catalog()),
            _ => Button::Products(TemplateProducts {
                thumbnail_product_retailer_id: self.text(256),
                sections: self.product_sections(),
            }),
        };
        TemplateButton {
            index,
            kind: self.required(|_| kind),
        }
    }

    fn template_card(&mut self) -> TemplateCard {
        let header = if self.slips() {
            Header::Location(self.location())
        } else {
            self.card_header()
        };
        TemplateCard {
            header: self.required(|_| TemplateHeader { kind: Some(header) }),
            body: self.parameters(),
            buttons: self.template_buttons(),
        }
    }
}
