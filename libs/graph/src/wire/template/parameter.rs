use outeract_domain::content::template::{self, Currency as DomainCurrency, Header, TapTarget, Value};
use serde::Serialize;
use time::OffsetDateTime;

use crate::wire::Unresolved;
use crate::wire::interactive::Section;
use crate::wire::json::Data;
use crate::wire::location::Location;
use crate::wire::media::Medium;

/// An element of `parameters`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Parameter<'a> {
    Text {
        #[serde(skip_serializing_if = "Option::is_none")]
        parameter_name: Option<&'a str>,
        text: &'a str,
    },
    Currency {
        #[serde(skip_serializing_if = "Option::is_none")]
        parameter_name: Option<&'a str>,
        currency: Currency<'a>,
    },
    DateTime {
        #[serde(skip_serializing_if = "Option::is_none")]
        parameter_name: Option<&'a str>,
        date_time: DateTime<'a>,
    },
    Image {
        image: Medium<'a>,
    },
    Video {
        video: Medium<'a>,
    },
    Document {
        document: Medium<'a>,
    },
    Location {
        location: Location<'a>,
    },
    Product {
        product: Product<'a>,
    },
    Payload {
        payload: &'a str,
    },
    CouponCode {
        coupon_code: &'a str,
    },
    Action {
        action: Act<'a>,
    },
    LimitedTimeOffer {
        limited_time_offer: Offer,
    },
    TapTargetConfiguration {
        tap_target_configuration: [Target<'a>; 1],
    },
}

#[derive(Serialize)]
pub(super) struct Currency<'a> {
    fallback_value: &'a str,
    code: &'a str,
    amount_1000: i64,
}

#[derive(Serialize)]
pub(super) struct DateTime<'a> {
    fallback_value: &'a str,
}

#[derive(Serialize)]
pub(super) struct Product<'a> {
    product_retailer_id: &'a str,
    catalog_id: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Act<'a> {
    Flow {
        flow_token: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        flow_action_data: Option<Data<'a>>,
    },
    Products {
        thumbnail_product_retailer_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        sections: Option<Vec<Section<'a>>>,
    },
}

#[derive(Serialize)]
pub(super) struct Offer {
    expiration_time_ms: i64,
}

#[derive(Serialize)]
pub(super) struct Target<'a> {
    url: &'a str,
    title: &'a str,
}

// === impl Parameter ===

impl<'a> Parameter<'a> {
    pub(super) fn new(parameter: &'a template::Parameter) -> Self {
        let parameter_name = parameter.name();
        match parameter.value() {
            Value::Text(text) => Self::Text { parameter_name, text },
            Value::Currency(currency) => Self::Currency {
                parameter_name,
                currency: Currency::new(currency),
            },
            Value::DateTime(shown) => Self::DateTime {
                parameter_name,
                date_time: DateTime { fallback_value: shown },
            },
        }
    }

    pub(super) fn text(text: &'a str) -> Self {
        Self::Text {
            parameter_name: None,
            text,
        }
    }

    pub(super) fn of_header(header: &'a Header) -> Result<Self, Unresolved> {
        Ok(match header {
            Header::Text(parameter) => Self::new(parameter),
            Header::Image(source) => Self::Image {
                image: Medium::new(source)?,
            },
            Header::Video(source) => Self::Video {
                video: Medium::new(source)?,
            },
            Header::Document(document) => Self::Document {
                document: Medium::new(document.media())?.filename(document.filename()),
            },
            Header::Location(location) => Self::Location {
                location: Location::new(location),
            },
            Header::Product(product) => Self::Product {
                product: Product {
                    product_retailer_id: product.product_retailer_id(),
                    catalog_id: product.catalog_id(),
                },
            },
        })
    }

    pub(super) fn products(thumbnail: &'a str, sections: Option<Vec<Section<'a>>>) -> Self {
        Self::Action {
            action: Act::Products {
                thumbnail_product_retailer_id: thumbnail,
                sections,
            },
        }
    }

    pub(super) fn offer(expires_at: OffsetDateTime) -> Self {
        let millis = expires_at.unix_timestamp() * 1_000 + i64::from(expires_at.millisecond());
        Self::LimitedTimeOffer {
            limited_time_offer: Offer {
                expiration_time_ms: millis,
            },
        }
    }

    pub(super) fn tap_target(target: &'a TapTarget) -> Self {
        Self::TapTargetConfiguration {
            tap_target_configuration: [Target {
                url: target.url(),
                title: target.title(),
            }],
        }
    }
}

// === impl Currency ===

impl<'a> Currency<'a> {
    fn new(currency: &'a DomainCurrency) -> Self {
        Self {
            fallback_value: currency.fallback(),
            code: currency.code(),
            amount_1000: currency.amount_1000(),
        }
    }
}
