//! The message templates of an account.

mod defaults;
mod definition;
pub(crate) mod events;
mod fit;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

pub(crate) use self::defaults::defaults;
pub(crate) use self::definition::Definition;
use crate::errors::Refusal;
use crate::outbox::Sent;

/// A template in one language.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) id: String,
    /// Its place among the account's, never used again.
    seq: u64,
    pub(crate) name: String,
    pub(crate) language: String,
    /// `MARKETING`, `UTILITY` or `AUTHENTICATION`.
    pub(crate) category: String,
    pub(crate) previous_category: Option<String>,
    /// `APPROVED`, `PENDING`, `PAUSED` and so on.
    pub(crate) status: String,
    pub(crate) rejected_reason: String,
    /// `GREEN`, `YELLOW`, `RED` or `UNKNOWN`.
    pub(crate) quality: String,
    pub(crate) components: Value,
    pub(crate) definition: Arc<Definition>,
    /// Messages are held until the first ones were judged.
    pub(crate) paced: bool,
}

/// What a new template is made of.
#[derive(Debug, Clone)]
pub(crate) struct New {
    pub(crate) name: String,
    pub(crate) language: String,
    pub(crate) category: String,
    pub(crate) status: String,
    pub(crate) components: Value,
}

/// Which templates to list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) status: Option<&'a str>,
    pub(crate) category: Option<&'a str>,
    pub(crate) language: Option<&'a str>,
}

/// All templates of an account.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    /// By their place.
    all: BTreeMap<u64, Template>,
    by_name: HashMap<String, Vec<u64>>,
    next_seq: u64,
    /// Accepted messages that wait until their template was judged, by its id.
    waiting: HashMap<String, Vec<Arc<Sent>>>,
}

/// Fields without which a template is not listed unless the caller names others.
const FIELDS: &str = "name,parameter_format,components,language,status,category";

// === impl Templates ===

impl Templates {
    /// Adds a template, or says why it is none.
    pub(crate) fn add(&mut self, id: String, new: New) -> Result<Template, String> {
        if self.find(&new.name, &new.language).is_some() {
            return Err("there is a template of this name in this language".to_owned());
        }
        let definition = Definition::read(&new.components, &new.category)?;
        self.next_seq += 1;
        let template = Template {
            id,
            seq: self.next_seq,
            name: new.name,
            language: new.language,
            category: new.category,
            previous_category: None,
            status: new.status,
            rejected_reason: "NONE".to_owned(),
            quality: "UNKNOWN".to_owned(),
            components: new.components,
            definition: Arc::new(definition),
            paced: false,
        };
        self.by_name
            .entry(template.name.clone())
            .or_default()
            .push(template.seq);
        self.all.insert(template.seq, template.clone());
        Ok(template)
    }

    /// The template of this name in exactly this language.
    pub(crate) fn find(&self, name: &str, language: &str) -> Option<&Template> {
        let mut found = self.by_name.get(name)?.iter().filter_map(|seq| self.all.get(seq));
        found.find(|template| template.language == language)
    }

    /// A template by its id.
    pub(crate) fn get(&self, id: &str) -> Option<&Template> {
        self.all.values().find(|template| template.id == id)
    }

    /// A template by its id, to be changed.
    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Template> {
        self.all.values_mut().find(|template| template.id == id)
    }

    /// Removes a template.
    pub(crate) fn remove(&mut self, id: &str) -> Option<Template> {
        let seq = self.get(id)?.seq;
        let template = self.all.remove(&seq)?;
        if let Some(places) = self.by_name.get_mut(&template.name) {
            places.retain(|other| *other != seq);
        }
        Some(template)
    }

    /// Lets an accepted message wait until its template was judged.
    pub(crate) fn hold(&mut self, id: &str, sent: Arc<Sent>) {
        self.waiting.entry(id.to_owned()).or_default().push(sent);
    }

    /// The messages that wait for a template; they wait no longer.
    pub(crate) fn waiting(&mut self, id: &str) -> Vec<Arc<Sent>> {
        self.waiting.remove(id).unwrap_or_default()
    }

    /// A page of templates after this cursor, and whether there are more.
    pub(crate) fn page(
        &self,
        filter: &Filter<'_>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<&Template>, bool), Refusal> {
        let after = match after {
            None => 0,
            Some(cursor) => position(cursor).ok_or_else(|| Refusal::new(400, 100, "(#100) Invalid cursors values"))?,
        };
        let later = self.all.range(after.saturating_add(1)..).map(|(_, template)| template);
        let mut found = later.filter(|template| filter.passes(template));
        let page: Vec<_> = found.by_ref().take(limit).collect();
        Ok((page, found.next().is_some()))
    }
}

// === impl Filter ===

impl Filter<'_> {
    fn passes(&self, template: &Template) -> bool {
        let same = |wanted: Option<&str>, has: &str| wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(has));
        same(self.name, &template.name)
            && same(self.status, &template.status)
            && same(self.category, &template.category)
            && same(self.language, &template.language)
    }
}

// === impl Template ===

impl Template {
    /// Where the page that ends with it goes on.
    pub(crate) fn cursor(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.seq.to_string())
    }

    /// Gives it other components, or says why they are none.
    pub(crate) fn set_components(&mut self, components: &Value) -> Result<(), String> {
        self.definition = Arc::new(Definition::read(components, &self.category)?);
        self.components = components.clone();
        Ok(())
    }

    /// The fields that are wanted, or Meta's usual ones.
    pub(crate) fn describe(&self, wanted: Option<&str>) -> Result<Value, Refusal> {
        let mut object = Map::new();
        for field in wanted
            .unwrap_or(FIELDS)
            .split(',')
            .map(str::trim)
            .filter(|field| !field.is_empty())
        {
            let value = match field {
                "id" => continue,
                "name" => json!(self.name),
                "status" => json!(self.status),
                "category" => json!(self.category),
                "language" => json!(self.language),
                "components" => self.components.clone(),
                "parameter_format" => json!(if self.definition.named { "NAMED" } else { "POSITIONAL" }),
                "quality_score" => json!({"score": self.quality}),
                "rejected_reason" => json!(self.rejected_reason),
                "previous_category" => json!(self.previous_category),
                "message_send_ttl_seconds" => json!((self.category == "AUTHENTICATION").then_some(600)),
                _ => {
                    return Err(Refusal::new(
                        400,
                        100,
                        format!("(#100) Tried accessing nonexisting field ({field})"),
                    ));
                }
            };
            // What a template has not is left out.
            if !value.is_null() {
                object.insert(field.to_owned(), value);
            }
        }
        object.insert("id".to_owned(), json!(self.id));
        Ok(Value::Object(object))
    }
}

fn position(cursor: &str) -> Option<u64> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    std::str::from_utf8(&bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Templates {
        let mut templates = Templates::default();
        for (id, language) in [("1", "en_US"), ("2", "de"), ("3", "es")] {
            let new = New {
                name: "order".to_owned(),
                language: language.to_owned(),
                category: "UTILITY".to_owned(),
                status: "APPROVED".to_owned(),
                components: json!([{"type": "BODY", "text": "hi"}]),
            };
            templates.add(id.to_owned(), new).expect("added");
        }
        templates
    }

    #[test]
    fn a_language_is_exact() {
        let templates = three();
        assert_eq!(templates.find("order", "de").map(|found| found.id.as_str()), Some("2"));
        assert!(templates.find("order", "en").is_none() && templates.find("orders", "de").is_none());
    }

    #[test]
    fn pages_go_on_after_what_was_removed() {
        let mut templates = three();
        let (page, more) = templates.page(&Filter::default(), None, 2).expect("page");
        let (cursor, ids) = (
            page[1].cursor(),
            page.iter().map(|one| one.id.clone()).collect::<Vec<_>>(),
        );
        assert_eq!((ids, more), (vec!["1".to_owned(), "2".to_owned()], true));
        templates.remove("2").expect("removed");
        let (page, more) = templates.page(&Filter::default(), Some(&cursor), 2).expect("page");
        assert_eq!((page.len(), page[0].id.as_str(), more), (1, "3", false));
        assert!(templates.page(&Filter::default(), Some("?"), 2).is_err());
        let filter = Filter {
            language: Some("es"),
            ..Filter::default()
        };
        assert_eq!(templates.page(&filter, None, 2).expect("page").0.len(), 1);
    }
}
