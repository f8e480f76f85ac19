//! Parts that interactive contents and templates share.

use outeract_domain::content::interactive::{Catalog, Product, ProductSection};
use outeract_domain::content::{Check, Draft, Drafts};
use outeract_proto::messaging::v1 as proto;

use super::given;

pub(super) fn product(given: proto::Product, check: &mut Check) -> Draft<Product> {
    Product::new(given.catalog_id, given.product_retailer_id, check)
}

pub(super) fn product_to_proto(product: &Product) -> proto::Product {
    proto::Product {
        catalog_id: product.catalog_id().to_owned(),
        product_retailer_id: product.product_retailer_id().to_owned(),
    }
}

pub(super) fn product_sections(given: Vec<proto::ProductSection>, check: &mut Check) -> Drafts<ProductSection> {
    check.each("sections", given, |section, check| {
        ProductSection::new(section.title, section.product_retailer_ids, check)
    })
}

pub(super) fn product_sections_to_proto(sections: &[ProductSection]) -> Vec<proto::ProductSection> {
    let written = sections.iter().map(|section| proto::ProductSection {
        title: given(section.title()),
        product_retailer_ids: section.product_retailer_ids().map(str::to_owned).collect(),
    });
    written.collect()
}

pub(super) fn catalog(given: proto::Catalog, check: &mut Check) -> Draft<Catalog> {
    Catalog::new(given.thumbnail_product_retailer_id, check)
}

pub(super) fn catalog_to_proto(catalog: &Catalog) -> proto::Catalog {
    proto::Catalog {
        thumbnail_product_retailer_id: given(catalog.thumbnail_product_retailer_id()),
    }
}
