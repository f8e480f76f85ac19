//! Which values are sealed, and the place each is bound to.

use outeract_clock::Random;
use outeract_domain::{ApplicationId, E164};
use outeract_rpc::Fault;
use outeract_seal::{Aad, KeyRing, OpenError, Secret};
use uuid::Uuid;

/// Seals the token of a grant.
pub(crate) fn seal_token(
    ring: &KeyRing,
    application: ApplicationId,
    grant: Uuid,
    token: &Secret,
    random: &dyn Random,
) -> Vec<u8> {
    ring.seal(&token_place(application, &grant), token.expose().as_bytes(), random)
}

/// Opens the token of a grant.
pub(crate) fn open_token(
    ring: &KeyRing,
    application: ApplicationId,
    grant: Uuid,
    sealed: &[u8],
) -> Result<Secret, Fault> {
    ring.open_secret(&token_place(application, &grant), sealed)
        .map_err(Fault::data_loss)
}

/// Seals a connection's own phone number; none where Meta shows none in a form that can be read.
pub(crate) fn seal_number(
    ring: &KeyRing,
    application: ApplicationId,
    connection: Uuid,
    number: Option<&E164>,
    random: &dyn Random,
) -> Vec<u8> {
    let text = number.map_or("", E164::as_str);
    ring.seal(&number_place(application, &connection), text.as_bytes(), random)
}

/// Opens a connection's own phone number.
pub(crate) fn open_number(
    ring: &KeyRing,
    application: ApplicationId,
    connection: Uuid,
    sealed: &[u8],
) -> Result<String, OpenError> {
    let bytes = ring.open(&number_place(application, &connection), sealed)?;
    String::from_utf8(bytes).map_err(|_| OpenError::Malformed)
}

fn token_place(application: ApplicationId, grant: &Uuid) -> Aad<'_> {
    Aad::new(Some(application.uuid()), "token_grant", "token", grant.as_bytes())
}

fn number_place(application: ApplicationId, connection: &Uuid) -> Aad<'_> {
    Aad::new(
        Some(application.uuid()),
        "connection",
        "display_number",
        connection.as_bytes(),
    )
}
