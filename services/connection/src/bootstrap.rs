//! The first operator key: printed once by a command, or given by the deployment.

use std::io::Write as _;
use std::sync::Arc;

use outeract_clock::SharedRandom;
use outeract_domain::KeyId;
use outeract_rpc::BoxError;
use outeract_runtime::Context;
use outeract_seal::Secret;
use sqlx::PgPool;
use subtle::ConstantTimeEq as _;

use crate::audit::BOOTSTRAP;
use crate::fault::Error;
use crate::operator_key::OperatorKey;
use crate::store::key;

/// Why a key cannot be the first or the given one.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(
        "an operator key exists already: make further ones with AdminService.CreateOperatorKey, or, if every one is lost, give the service one in \
         CONNECTION_BOOTSTRAP_OPERATOR_KEY"
    )]
    Exists,
    #[error("CONNECTION_BOOTSTRAP_OPERATOR_KEY is not an operator key")]
    Malformed,
    #[error("CONNECTION_BOOTSTRAP_OPERATOR_KEY has the id of another key")]
    Differs,
    #[error("the database failed: {0}")]
    Database(String),
}

/// Makes the first operator key and prints it: the only time that anyone sees it.
pub(crate) async fn print_first_key(context: &Context) -> Result<(), BoxError> {
    let id = KeyId::new(&*context.clock, &*context.random);
    let (name, actor) = ("First operator".to_owned(), BOOTSTRAP.to_owned());
    let (key, text) = OperatorKey::generate(id, name, None, actor, Arc::clone(&context.random));
    let stored = key.store_as_first(&context.db).await.map_err(failed)?;
    stored.ok_or(Refusal::Exists)?;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

/// Registers the key that the deployment gives, unless it is there. A revoked one stays revoked.
pub(crate) async fn register(db: &PgPool, text: &Secret, random: SharedRandom) -> Result<(), BoxError> {
    let (name, actor) = ("Given by the deployment".to_owned(), BOOTSTRAP.to_owned());
    let given = OperatorKey::from_text(text.expose(), name, actor, random).ok_or(Refusal::Malformed)?;
    let (id, secret_sha256) = (given.id(), given.secret_sha256());
    if given.store(db).await.map_err(failed)?.is_some() {
        return Ok(());
    }
    let known = key::credential(db, id).await.map_err(|error| failed(error.into()))?;
    match known {
        Some(known) if known.application.is_none() && bool::from(known.secret_sha256[..].ct_eq(&secret_sha256)) => {
            if known.revoked {
                tracing::warn!("The operator key that the deployment gives was revoked, and stays so");
            }
            Ok(())
        }
        Some(_) | None => Err(Refusal::Differs.into()),
    }
}

fn failed(error: Error) -> Refusal {
    Refusal::Database(match error {
        Error::Refused(fault) => fault.to_string(),
        Error::Database(error) => outeract_postgres::Summary(&error).to_string(),
    })
}
