use std::fmt;

/// What a message says. Every value of this type is within Meta's limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Plain text.
    Text(Text),
}

/// Plain text of 1 to 4,096 characters. It is private: `Debug` shows only its length.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    body: String,
    preview_url: Option<bool>,
}

/// A field that breaks its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field in the request, for example `content.text.body`.
    pub path: String,
    /// What the field must be. Names limits, never values.
    pub description: String,
}

// === impl Text ===

impl Text {
    /// Most characters (Unicode scalar values) that Meta accepts.
    pub const MAX_CHARACTERS: usize = 4_096;
    /// Most bytes in UTF-8: four for each character.
    pub const MAX_BYTES: usize = 4 * Self::MAX_CHARACTERS;

    /// The text, if it is within the limits. `path` is where the text stands in the request.
    pub fn new(body: String, preview_url: Option<bool>, path: &str) -> Result<Self, Violation> {
        // The byte bound comes first: counting characters reads the whole text.
        let within = body.len() <= Self::MAX_BYTES && body.chars().count() <= Self::MAX_CHARACTERS;
        if within && body.chars().any(|character| !character.is_whitespace()) {
            Ok(Self { body, preview_url })
        } else {
            Err(Violation::new(
                path,
                format!(
                    "must be 1 to {} characters and not only white space",
                    Self::MAX_CHARACTERS
                ),
            ))
        }
    }

    /// The text itself.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Whether Meta shows a preview of the first link; `None` leaves it to Meta.
    pub fn preview_url(&self) -> Option<bool> {
        self.preview_url
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.body.len())
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_count_characters_not_bytes() {
        assert!(Text::new("é".repeat(4_096), None, "body").is_ok());
        assert!(Text::new("😀".repeat(4_096), None, "body").is_ok());
        let violation = Text::new("a".repeat(4_097), None, "content.text.body").expect_err("too long");
        assert_eq!(violation.path, "content.text.body");
        for blank in ["", " ", "\n\t"] {
            assert!(Text::new(blank.to_owned(), None, "body").is_err());
        }
    }

    #[test]
    fn debug_hides_the_text() {
        let text = Content::Text(Text::new("secret words".to_owned(), None, "body").expect("valid"));
        assert_eq!(format!("{text:?}"), "Text(Text(12 bytes))");
    }

    #[test]
    fn paths_grow_outwards() {
        assert_eq!(
            Violation::new("text.body", "…").within("content").path,
            "content.text.body"
        );
        assert_eq!(Violation::new("", "…").within("content").path, "content");
    }
}
