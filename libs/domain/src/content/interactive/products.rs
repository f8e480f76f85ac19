use super::list::check_titles;
use crate::content::check::MAX_META_ID;
use crate::content::part::part;
use crate::content::{Check, Draft, Drafts, Private};

/// One product of a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    catalog_id: Private,
    product_retailer_id: Private,
}

/// Several products of a catalog: 1 to 10 sections with at most 30 products in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductList {
    catalog_id: Private,
    sections: Vec<ProductSection>,
}

/// A section of products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductSection {
    title: Option<Private>,
    product_retailer_ids: Vec<Private>,
}

/// The whole catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    thumbnail_product_retailer_id: Option<Private>,
}

part!(struct Product { catalog_id, product_retailer_id });
part!(struct ProductList { catalog_id, sections });
part!(struct ProductSection { title, product_retailer_ids });
part!(struct Catalog { thumbnail_product_retailer_id });

const MAX_SECTIONS: usize = 10;
const MAX_PRODUCTS: usize = 30;
const MAX_SECTION_TITLE: usize = 24;
/// Most characters of a product's id. Meta states none.
const MAX_ID: usize = 256;

// === impl Product ===

impl Product {
    /// A product by Meta's id of the catalog and its id there.
    pub fn new(catalog_id: String, product_retailer_id: String, check: &mut Check) -> Draft<Self> {
        Draft(Some(Self {
            catalog_id: check.digits("catalog_id", catalog_id, MAX_META_ID),
            product_retailer_id: check.text("product_retailer_id", product_retailer_id, MAX_ID),
        }))
    }

    /// Meta's id of the catalog.
    pub fn catalog_id(&self) -> &str {
        &self.catalog_id
    }

    /// The product's id in the catalog.
    pub fn product_retailer_id(&self) -> &str {
        &self.product_retailer_id
    }
}

// === impl ProductList ===

impl ProductList {
    /// Products by Meta's id of the catalog and their ids there.
    pub fn new(catalog_id: String, sections: Drafts<ProductSection>, check: &mut Check) -> Draft<Self> {
        let catalog_id = check.digits("catalog_id", catalog_id, MAX_META_ID);
        let sections = sections_of_products(sections, check);
        Draft(Some(Self { catalog_id, sections }))
    }

    /// Meta's id of the catalog.
    pub fn catalog_id(&self) -> &str {
        &self.catalog_id
    }

    /// The sections.
    pub fn sections(&self) -> &[ProductSection] {
        &self.sections
    }
}

// === impl ProductSection ===

impl ProductSection {
    /// A section by its title (at most 24 characters, required if it is not the only one) and its products, at least one.
    pub fn new(title: String, product_retailer_ids: Vec<String>, check: &mut Check) -> Draft<Self> {
        let title = check.optional_text("title", title, MAX_SECTION_TITLE);
        check.count("product_retailer_ids", product_retailer_ids.len(), 1..=MAX_PRODUCTS);
        let ids = check.each("product_retailer_ids", product_retailer_ids, |id, check| {
            Draft(Some(check.text("", id, MAX_ID)))
        });
        Draft(Some(Self {
            title,
            product_retailer_ids: ids.into_vec(),
        }))
    }

    /// Its title.
    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// Ids of the products in the catalog.
    pub fn product_retailer_ids(&self) -> impl Iterator<Item = &str> {
        self.product_retailer_ids.iter().map(Private::as_str)
    }
}

// === impl Catalog ===

impl Catalog {
    /// A catalog by the product whose picture stands above the body; empty: its first.
    pub fn new(thumbnail_product_retailer_id: String, check: &mut Check) -> Draft<Self> {
        let thumbnail = "thumbnail_product_retailer_id";
        Draft(Some(Self {
            thumbnail_product_retailer_id: check.optional_text(thumbnail, thumbnail_product_retailer_id, MAX_ID),
        }))
    }

    /// The product whose picture stands above the body.
    pub fn thumbnail_product_retailer_id(&self) -> Option<&str> {
        self.thumbnail_product_retailer_id.as_deref()
    }
}

/// 1 to 10 sections, each with a title if there are several, with at most 30 products in all.
pub(in crate::content) fn sections_of_products(
    sections: Drafts<ProductSection>,
    check: &mut Check,
) -> Vec<ProductSection> {
    check.count("sections", sections.count(), 1..=MAX_SECTIONS);
    check_titles(
        sections.iter().map(|(index, section)| (index, section.title.is_some())),
        sections.count(),
        check,
    );
    let products: usize = sections
        .iter()
        .map(|(_, section)| section.product_retailer_ids.len())
        .sum();
    if products > MAX_PRODUCTS {
        check.note("sections", format!("must have at most {MAX_PRODUCTS} products in all"));
    }
    sections.into_vec()
}
