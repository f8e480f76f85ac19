use super::{Button, Header, Parameter, button, parameter};
use crate::content::part::part;
use crate::content::{Check, Draft, Drafts};

/// A card of a carousel template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    header: Header,
    body: Vec<Parameter>,
    buttons: Vec<Button>,
}

part!(struct Card { header, body, buttons });

// === impl Card ===

impl Card {
    /// What goes into a card's header (a picture, a film or a product), its body and its buttons.
    pub fn new(
        header: Draft<Header>,
        body: Drafts<Parameter>,
        buttons: Drafts<Button>,
        check: &mut Check,
    ) -> Draft<Self> {
        let fits = match &header {
            Draft(None | Some(Header::Image(_) | Header::Video(_) | Header::Product(_))) => true,
            Draft(Some(Header::Text(_) | Header::Document(_) | Header::Location(_))) => false,
        };
        check.expect(fits, "header", "must be an image, a video or a product on a card");
        parameter::check_all(&body, check);
        button::check_all(&buttons, check);
        header.map(|header| Self {
            header,
            body: body.into_vec(),
            buttons: buttons.into_vec(),
        })
    }

    /// What goes into its header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What goes into its body's places.
    pub fn body(&self) -> &[Parameter] {
        &self.body
    }

    /// What goes into its buttons.
    pub fn buttons(&self) -> &[Button] {
        &self.buttons
    }
}
