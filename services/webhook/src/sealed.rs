//! What is sealed, and what each blob is bound to.

use outeract_seal::Aad;
use uuid::Uuid;

/// The body of a webhook. It belongs to no application: one body may carry items of many.
pub(crate) fn body(post_id: &[u8; 16]) -> Aad<'_> {
    Aad::new(None, "post", "body", post_id)
}

/// Whom an erasure is about.
pub(crate) fn identities(application: Uuid, erasure_id: &[u8; 16]) -> Aad<'_> {
    Aad::new(Some(application), "erasure", "identities", erasure_id)
}

/// The phone number of a connection.
pub(crate) fn display_number(application: Uuid, connection_id: &[u8; 16]) -> Aad<'_> {
    Aad::new(Some(application), "route", "display_number", connection_id)
}
