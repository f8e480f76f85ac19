use std::collections::HashSet;
use std::ops::RangeInclusive;

use super::Private;

/// A field that breaks its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field in the request, for example `content.text.body`.
    pub path: String,
    /// What the field must be. Names limits, never values.
    pub description: String,
}

/// Collects what breaks its limits in one content, and where. What is made on the way stays a [`Draft`] until all of it was seen: [`Check::of`] alone hands out values.
#[derive(Debug)]
pub struct Check {
    path: String,
    violations: Vec<Violation>,
}

/// A part of a content, within its limits or not.
#[derive(Debug)]
pub struct Draft<T>(pub(super) Option<T>);

/// Several parts of a content, within their limits or not.
#[derive(Debug)]
pub struct Drafts<T> {
    given: usize,
    // `None` for what cannot even be written down.
    made: Vec<Option<T>>,
}

/// Most violations that are told: an error's details must fit into 8 KiB of trailers, which is all that some clients read.
const MOST_VIOLATIONS: usize = 32;
/// Longest of Meta's ids of catalogs and flows; today's have 15 to 17 digits.
pub(super) const MAX_META_ID: usize = 32;
/// Most elements of a list that are looked at; no list may have as many.
const MOST_ELEMENTS: usize = 300;

// === impl Violation ===

impl Violation {
    /// A violation of the field at `path`.
    pub fn new(path: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            description: description.into(),
        }
    }

    /// The same violation one level further out: `prefix.path`.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        self.path = if self.path.is_empty() {
            prefix.to_owned()
        } else {
            format!("{prefix}.{}", self.path)
        };
        self
    }
}

// === impl Draft ===

impl<T> From<T> for Draft<T> {
    fn from(value: T) -> Self {
        Self(Some(value))
    }
}

impl<T> Draft<T> {
    /// What was made of the part.
    #[must_use]
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Draft<U> {
        Draft(self.0.map(change))
    }
}

// === impl Drafts ===

impl<T> Default for Drafts<T> {
    /// None.
    fn default() -> Self {
        Self {
            given: 0,
            made: Vec::new(),
        }
    }
}

impl<T> Drafts<T> {
    /// How many were given.
    pub(super) fn count(&self) -> usize {
        self.given
    }

    /// Those that could be written down, with their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let numbered = self.made.iter().enumerate();
        numbered.filter_map(|(index, made)| made.as_ref().map(|made| (index, made)))
    }

    pub(super) fn into_vec(self) -> Vec<T> {
        self.made.into_iter().flatten().collect()
    }
}

// === impl Check ===

impl Check {
    /// What `make` makes, if nothing in it breaks its limits; else everything that does, the first 32. Paths start at the value.
    pub fn of<T>(make: impl FnOnce(&mut Self) -> Draft<T>) -> Result<T, Vec<Violation>> {
        let mut check = Self {
            path: String::new(),
            violations: Vec::new(),
        };
        let draft = make(&mut check);
        match draft.0 {
            Some(value) if check.violations.is_empty() => Ok(value),
            None if check.violations.is_empty() => Err(vec![Violation::new("", "is required")]),
            _ => Err(check.violations),
        }
    }

    /// What `make` makes, one field further in.
    pub fn at<T>(&mut self, field: &str, make: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.enter(field);
        let part = make(self);
        self.path.truncate(outer);
        part
    }

    /// A field that must be set.
    pub fn required<S, T>(
        &mut self,
        field: &str,
        given: Option<S>,
        make: impl FnOnce(S, &mut Self) -> Draft<T>,
    ) -> Draft<T> {
        match given {
            Some(given) => self.at(field, |check| make(given, check)),
            None => self.refuse(field, "is required"),
        }
    }

    /// A field that may be set.
    pub fn optional<S, T>(
        &mut self,
        field: &str,
        given: Option<S>,
        make: impl FnOnce(S, &mut Self) -> Draft<T>,
    ) -> Option<Draft<T>> {
        given.map(|given| self.at(field, |check| make(given, check)))
    }

    /// The elements of a list. Its length is checked by whoever the list is for.
    pub fn each<S, T>(
        &mut self,
        field: &str,
        given: Vec<S>,
        mut make: impl FnMut(S, &mut Self) -> Draft<T>,
    ) -> Drafts<T> {
        let count = given.len();
        let elements = given.into_iter().enumerate().take(MOST_ELEMENTS);
        let drafts = elements.map(|(index, given)| self.at(&format!("{field}[{index}]"), |check| make(given, check).0));
        Drafts {
            made: drafts.collect(),
            given: count,
        }
    }

    /// Notes that a field breaks its limits; `""` is the part itself. Nothing is made of it.
    pub fn refuse<T>(&mut self, field: &str, description: impl Into<String>) -> Draft<T> {
        self.note(field, description);
        Draft(None)
    }

    /// Notes that a field breaks its limits; `""` is the part itself.
    pub fn note(&mut self, field: &str, description: impl Into<String>) {
        if self.violations.len() < MOST_VIOLATIONS {
            let outer = self.enter(field);
            self.violations.push(Violation::new(self.path.clone(), description));
            self.path.truncate(outer);
        }
    }

    /// Notes that a field breaks its limits, unless it `holds`.
    pub(super) fn expect(&mut self, holds: bool, field: &str, description: &str) {
        if !holds {
            self.note(field, description);
        }
    }

    /// A text that must be given.
    pub(super) fn text(&mut self, field: &str, text: String, most: usize) -> Private {
        if !is_within(&text, most) {
            self.note(
                field,
                format!("must be 1 to {most} characters and not only white space"),
            );
        }
        Private::from(text)
    }

    /// A text that may be empty.
    pub(super) fn optional_text(&mut self, field: &str, text: String, most: usize) -> Option<Private> {
        if text.is_empty() {
            return None;
        }
        if !is_within(&text, most) {
            self.note(
                field,
                format!("must be at most {most} characters and not only white space"),
            );
        }
        Some(Private::from(text))
    }

    /// One of Meta's ids.
    pub(super) fn digits(&mut self, field: &str, id: String, most: usize) -> Private {
        if !is_digits(&id, most) {
            self.note(field, format!("must be 1 to {most} digits"));
        }
        Private::from(id)
    }

    /// How many elements a list has.
    pub(super) fn count(&mut self, field: &str, count: usize, bounds: RangeInclusive<usize>) {
        if !bounds.contains(&count) {
            let (least, most) = bounds.into_inner();
            let bounds = if least == 0 {
                format!("at most {most}")
            } else if least == most {
                least.to_string()
            } else {
                format!("{least} to {most}")
            };
            self.note(field, format!("must have {bounds} elements"));
        }
    }

    /// Notes each element whose text an earlier one has. `places` gives the path of each text.
    pub(super) fn different<'a>(&mut self, texts: impl Iterator<Item = (String, &'a str)>) {
        let mut seen = HashSet::new();
        for (place, text) in texts {
            if !text.is_empty() && !seen.insert(text) {
                self.note(&place, "must differ from that of the others");
            }
        }
    }

    /// Goes one field further in; the answer leads back out.
    fn enter(&mut self, field: &str) -> usize {
        let outer = self.path.len();
        if !field.is_empty() {
            if outer > 0 {
                self.path.push('.');
            }
            self.path.push_str(field);
        }
        outer
    }
}

/// Whether a text is 1 to `most` digits.
pub(super) fn is_digits(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a text is 1 to `most` characters and not only white space. The byte bound comes first: counting characters reads the whole text.
pub(super) fn is_within(text: &str, most: usize) -> bool {
    text.len() <= 4 * most && text.chars().count() <= most && text.chars().any(|character| !character.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_grow_outwards() {
        assert_eq!(
            Violation::new("text.body", "…").within("content").path,
            "content.text.body"
        );
        assert_eq!(Violation::new("", "…").within("content").path, "content");
    }

    #[test]
    fn everything_is_told_at_once_and_where_it_is() {
        let made = Check::of(|check| {
            let rows = check.each("rows", vec!["a", "", "toolong"], |row, check| {
                Draft(Some(check.text("title", row.to_owned(), 5)))
            });
            check.count("rows", rows.count(), 4..=9);
            check.at("section", |check| check.note("", "is odd"));
            Draft(Some(rows.into_vec()))
        });
        let paths: Vec<_> = made
            .expect_err("broken")
            .into_iter()
            .map(|violation| violation.path)
            .collect();
        assert_eq!(paths, ["rows[1].title", "rows[2].title", "rows", "section"]);
    }

    #[test]
    fn what_is_told_and_looked_at_is_bounded() {
        let mut looked = 0;
        let made = Check::of(|check| {
            let rows = check.each("rows", vec![(); 100_000], |(), check| {
                looked += 1;
                check.refuse::<()>("", "is nothing")
            });
            assert_eq!(rows.count(), 100_000);
            Draft(Some(rows.into_vec()))
        });
        assert_eq!((made.expect_err("broken").len(), looked), (32, 300));
    }

    #[test]
    fn nothing_is_handed_out_without_a_value() {
        assert_eq!(Check::of(|_| Draft::<()>(None)).expect_err("nothing")[0].path, "");
    }

    #[test]
    fn elements_with_the_same_text_are_told() {
        let made = Check::of(|check| {
            let texts = ["a", "b", "a", "", ""];
            let places = texts.iter().enumerate();
            check.different(places.map(|(index, text)| (format!("ids[{index}]"), *text)));
            Draft(Some(()))
        });
        let violations = made.expect_err("twice");
        assert_eq!((violations.len(), violations[0].path.as_str()), (1, "ids[2]"));
    }
}
