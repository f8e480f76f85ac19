use outeract_domain::content;
use serde::Serialize;

/// The value of `reaction`. An empty emoji takes the reaction back.
#[derive(Serialize)]
pub(super) struct Reaction<'a> {
    message_id: &'a str,
    emoji: &'a str,
}

// === impl Reaction ===

impl<'a> Reaction<'a> {
    pub(super) fn new(reaction: &'a content::Reaction) -> Self {
        Self {
            message_id: reaction.message().as_str(),
            emoji: reaction.emoji().unwrap_or_default(),
        }
    }
}
