use std::fmt;

use super::part::Part;
use super::{Check, Draft, Violation, check};

/// Plain text of 1 to 4,096 characters. It is private: `Debug` shows only its length.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    body: String,
    preview_url: Option<bool>,
}

// === impl Text ===

impl Text {
    /// Most characters (Unicode scalar values) that Meta accepts.
    pub const MAX_CHARACTERS: usize = 4_096;
    /// Most bytes in UTF-8: four for each character.
    pub const MAX_BYTES: usize = 4 * Self::MAX_CHARACTERS;

    /// The text, if it is within the limits. `path` is where the text stands in the request.
    pub fn new(body: String, preview_url: Option<bool>, path: &str) -> Result<Self, Violation> {
        if check::is_within(&body, Self::MAX_CHARACTERS) {
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

    /// The text, as a part of a content.
    pub fn checked(body: String, preview_url: Option<bool>, check: &mut Check) -> Draft<Self> {
        match Self::new(body, preview_url, "body") {
            Ok(text) => Draft(Some(text)),
            Err(violation) => check.refuse(&violation.path, violation.description),
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

impl Part for Text {
    fn heap(&self) -> usize {
        self.body.len()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.body.len())
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
}
