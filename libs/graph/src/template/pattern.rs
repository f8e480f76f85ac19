//! Texts with places: `Hi {{1}}!` or `Hi {{name}}!`.

/// A text with places that a message fills. Keeps what a check needs: which places there are, and how long the text becomes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pattern {
    /// Characters outside of places.
    fixed: usize,
    places: Vec<Place>,
}

/// A place in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its name, or its number from 1.
    pub name: String,
    /// How many times it stands in the text.
    uses: usize,
}

// === impl Pattern ===

impl Pattern {
    /// Reads a text. Braces that enclose no name are text.
    pub fn new(text: &str) -> Self {
        let mut pattern = Self::default();
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            pattern.fixed += rest[..open].chars().count();
            rest = &rest[open..];
            if let Some((name, behind)) = place(rest) {
                pattern.enter(name);
                rest = behind;
            } else {
                // One brace at a time: `{{{1}}` holds a place too.
                pattern.fixed += 1;
                rest = &rest[1..];
            }
        }
        pattern.fixed += rest.chars().count();
        // Numbered places are filled by their numbers, wherever they stand.
        if pattern.places.iter().all(|place| place.number().is_some()) {
            pattern.places.sort_by_key(Place::number);
        }
        pattern
    }

    /// The places: numbered ones by their number, named ones in the order of the text. None twice.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Some place has a name that is no number.
    pub fn is_named(&self) -> bool {
        self.places.iter().any(|place| place.number().is_none())
    }

    /// Characters of the text with values of these lengths in its places, in their order. Places without a value count nothing.
    pub fn filled(&self, lengths: impl IntoIterator<Item = usize>) -> usize {
        let values = self.places.iter().zip(lengths);
        values.fold(self.fixed, |sum, (place, length)| {
            sum.saturating_add(place.uses.saturating_mul(length))
        })
    }

    fn enter(&mut self, name: &str) {
        match self.places.iter_mut().find(|place| place.name == name) {
            Some(place) => place.uses += 1,
            None => self.places.push(Place {
                name: name.to_owned(),
                uses: 1,
            }),
        }
    }
}

// === impl Place ===

impl Place {
    fn number(&self) -> Option<u32> {
        self.name.parse().ok()
    }
}

/// The place that `text` begins with, and what follows it.
fn place(text: &str) -> Option<(&str, &str)> {
    let (name, behind) = text.strip_prefix("{{")?.split_once("}}")?;
    let name = name.trim_matches(' ');
    let word = !name.is_empty()
        && name
            .chars()
            .all(|character| character.is_alphanumeric() || character == '_');
    word.then_some((name, behind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(text: &str) -> Vec<String> {
        Pattern::new(text)
            .places()
            .iter()
            .map(|place| place.name.clone())
            .collect()
    }

    #[test]
    fn numbered_places_come_by_number_and_named_ones_as_they_stand() {
        assert_eq!(names("{{2}} and {{1}} and {{ 10 }} and {{2}}"), ["1", "2", "10"]);
        assert_eq!(names("{{name}}, order {{order_id}}: {{name}}"), ["name", "order_id"]);
        assert!(Pattern::new("{{name}}").is_named() && !Pattern::new("{{1}}").is_named());
        assert!(names("{{}} {{ }} {1} {{a-b}} }}{{ {{").is_empty());
        assert_eq!(names("{{{1}}}"), ["1"]);
    }

    #[test]
    fn lengths_count_characters_and_every_use_of_a_place() {
        let pattern = Pattern::new("é{{1}}😀{{2}}{{1}}");
        assert_eq!(pattern.filled([3, 10]), 2 + 3 + 10 + 3);
        assert_eq!(pattern.filled([]), 2);
        assert_eq!(pattern.filled([usize::MAX, usize::MAX]), usize::MAX);
        assert_eq!(Pattern::new("{{a-b}}").filled([]), 7);
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_none_of_it_lost(text in "[{}1a ]{0,40}", length in 0_usize..20) {
            let pattern = Pattern::new(&text);
            let mut filled = text.clone();
            for place in pattern.places() {
                for padding in 0..4 {
                    for behind in 0..4 {
                        let written = format!("{{{{{}{}{}}}}}", " ".repeat(padding), place.name, " ".repeat(behind));
                        filled = filled.replace(&written, &"x".repeat(length));
                    }
                }
            }
            // More than three spaces inside of braces are not undone above.
            prop_assume!(!text.contains("    "));
            prop_assert_eq!(pattern.filled(vec![length; pattern.places().len()]), filled.chars().count());
        }
    }
}
