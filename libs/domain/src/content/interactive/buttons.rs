use crate::content::media::address;
use crate::content::part::part;
use crate::content::{Check, Draft, Drafts, Private};

/// 1 to 3 buttons that answer, with different ids and titles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyButtons {
    buttons: Vec<ReplyButton>,
}

/// A button that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyButton {
    id: Private,
    title: Private,
}

/// A button that opens a web page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlButton {
    display_text: Private,
    url: Private,
}

part!(struct ReplyButtons { buttons });
part!(struct ReplyButton { id, title });
part!(struct UrlButton { display_text, url });

const MAX_BUTTONS: usize = 3;
const MAX_ID: usize = 256;
const MAX_TITLE: usize = 20;
const MAX_DISPLAY_TEXT: usize = 20;
/// Longest address that a button opens.
pub(in crate::content) const MAX_URL: usize = 2_000;

// === impl ReplyButtons ===

impl ReplyButtons {
    /// These buttons.
    pub fn new(buttons: Drafts<ReplyButton>, check: &mut Check) -> Draft<Self> {
        check.count("buttons", buttons.count(), 1..=MAX_BUTTONS);
        check.different(
            buttons
                .iter()
                .map(|(index, button)| (format!("buttons[{index}].id"), button.id())),
        );
        check.different(
            buttons
                .iter()
                .map(|(index, button)| (format!("buttons[{index}].title"), button.title())),
        );
        Draft(Some(Self {
            buttons: buttons.into_vec(),
        }))
    }

    /// The buttons.
    pub fn buttons(&self) -> &[ReplyButton] {
        &self.buttons
    }
}

// === impl ReplyButton ===

impl ReplyButton {
    /// A button by what comes back with the answer (1 to 256 characters, no white space around it) and its label (1 to 20 characters).
    pub fn new(id: String, title: String, check: &mut Check) -> Draft<Self> {
        check.expect(
            id.trim() == id || id.trim().is_empty(),
            "id",
            "must not begin or end with white space",
        );
        Draft(Some(Self {
            id: check.text("id", id, MAX_ID),
            title: check.text("title", title, MAX_TITLE),
        }))
    }

    /// Comes back with the answer.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The label.
    pub fn title(&self) -> &str {
        &self.title
    }
}

// === impl UrlButton ===

impl UrlButton {
    /// A button by its label (1 to 20 characters) and the address that it opens, `http` or `https`, at most 2,000 characters.
    pub fn new(display_text: String, url: &str, check: &mut Check) -> Draft<Self> {
        let display_text = check.text("display_text", display_text, MAX_DISPLAY_TEXT);
        let url = web_address("url", url, check);
        Draft(Some(Self { display_text, url }))
    }

    /// The label.
    pub fn display_text(&self) -> &str {
        &self.display_text
    }

    /// What it opens.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// An address that a browser opens.
pub(in crate::content) fn web_address(field: &str, url: &str, check: &mut Check) -> Private {
    let written = address(url, &["https", "http"], MAX_URL);
    check.expect(
        written.is_some(),
        field,
        &format!("must be an https:// or http:// address of at most {MAX_URL} characters"),
    );
    Private::from(written.unwrap_or_default())
}
