use serde::Serialize;

/// The value of `text`.
#[derive(Serialize)]
pub(super) struct Text<'a> {
    body: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    preview_url: Option<bool>,
}

// === impl Text ===

impl<'a> Text<'a> {
    pub(super) fn new(text: &'a outeract_domain::Text) -> Self {
        Self {
            body: text.body(),
            preview_url: text.preview_url(),
        }
    }
}
