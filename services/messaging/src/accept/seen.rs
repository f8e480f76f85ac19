//! What was stored before under idempotency keys.

use outeract_domain::ApplicationId;
use sqlx::PgPool;

use super::Accepted;
use super::prepare::Identity;
use crate::store::{DbError, accept as store, run};

/// For each request that was stored before, and each whose key belongs to another, what became of it; none where the key is free. Asks Postgres once.
pub(crate) async fn seen(
    db: &PgPool,
    application: ApplicationId,
    requests: &[Identity],
) -> Result<Vec<Option<Accepted>>, DbError> {
    let mut seen = vec![None; requests.len()];
    if requests.is_empty() {
        return Ok(seen);
    }
    let keys: Vec<_> = requests.iter().map(|request| &request.key_hash[..]).collect();
    let taken = run!(db, "accept.taken", |conn| store::taken(conn, application.uuid(), &keys))?;
    for taken in taken {
        let index = taken.ordinal as usize - 1;
        if let (Some(seen), Some(request)) = (seen.get_mut(index), requests.get(index)) {
            *seen = Some(if taken.fingerprint == request.fingerprint {
                Accepted::Replayed {
                    first: taken.message,
                    parts: usize::try_from(taken.parts).unwrap_or_default(),
                }
            } else {
                Accepted::Reused
            });
        }
    }
    Ok(seen)
}
