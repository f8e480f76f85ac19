//! What Meta calls: `GET` and `POST /webhooks/whatsapp`.

mod body;
mod handshake;
mod meter;
mod post;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use outeract_clock::{SharedClock, SharedRandom};
use outeract_graph::signature::Verifier;
use outeract_seal::{KeyRing, Secret};
use sha2::{Digest, Sha256};

use crate::board::Board;
use crate::ingest::Ingest;
use body::Intake;
use meter::Meter;

/// Where Meta sends webhooks.
pub const PATH: &str = "/webhooks/whatsapp";

/// What Meta proves itself with.
#[derive(Debug)]
pub struct Credentials {
    /// The app secret, and the one before it while it is being rotated.
    pub app_secrets: Vec<Secret>,
    /// What the handshake must name.
    pub verify_token: Secret,
}

/// What happens to a webhook whose signature is right.
pub(crate) enum Storage {
    /// It is sealed and committed.
    Durable(Durable),
    /// It is dropped: the floor that benchmarks compare with.
    None,
}

/// What storing needs.
pub(crate) struct Durable {
    /// The batcher.
    pub ingest: Ingest,
    /// Says when there is no room for more.
    pub board: Arc<Board>,
    /// Seals bodies.
    pub keyring: Arc<KeyRing>,
    /// Gives ids their time.
    pub clock: SharedClock,
    /// Gives ids and nonces.
    pub random: SharedRandom,
}

/// State of the routes.
struct Edge {
    verifier: Verifier,
    verify_token_sha256: [u8; 32],
    storage: Storage,
    intake: Intake,
    meter: Meter,
}

/// The routes in front of `storage`.
pub(crate) fn router(credentials: &Credentials, storage: Storage) -> Router {
    let edge = Edge {
        verify_token_sha256: Sha256::digest(credentials.verify_token.expose()).into(),
        verifier: Verifier::new(&credentials.app_secrets),
        storage,
        intake: Intake::new(),
        meter: Meter::new(),
    };
    Router::new()
        .route(PATH, get(handshake::handshake).post(post::post))
        .with_state(Arc::new(edge))
}

/// The same routes with nothing behind them: a webhook whose signature is right is answered 200 and dropped. Only for benchmarks, in their own process:
/// no setting of the service leads here.
pub fn router_without_storage(credentials: &Credentials) -> Router {
    router(credentials, Storage::None)
}
