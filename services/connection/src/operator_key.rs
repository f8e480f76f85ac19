//! Operator keys: made by operators, or, for the first one, by whoever runs the deployment.

use outeract_clock::SharedRandom;
use outeract_domain::KeyId;
use outeract_postgres::run_tx;
use outeract_rpc::KeyText;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;

use crate::audit::Deed;
use crate::fault::Error;
use crate::store::key::{self, Key, New};

const ENVIRONMENT: &str = "op";

/// An operator key to be stored, and who stores it: the id of a key, or [`crate::audit::BOOTSTRAP`].
#[derive(Debug)]
pub(crate) struct OperatorKey {
    new: New,
    actor: String,
    random: SharedRandom,
}

// === impl OperatorKey ===

impl OperatorKey {
    /// A new key, and its text, which is shown once and kept nowhere.
    pub(crate) fn generate(
        id: KeyId,
        name: String,
        expires_at: Option<OffsetDateTime>,
        actor: String,
        random: SharedRandom,
    ) -> (Self, String) {
        let (text, secret_sha256) = KeyText::generate(ENVIRONMENT, id, &*random);
        let new = New {
            expires_at,
            ..with_hash(id, name, secret_sha256)
        };
        (Self { new, actor, random }, text)
    }

    /// The key that this text is the only copy of; `None` when it is not an operator key's.
    pub(crate) fn from_text(text: &str, name: String, actor: String, random: SharedRandom) -> Option<Self> {
        let text = KeyText::parse(text).ok().filter(KeyText::is_operator)?;
        let new = with_hash(text.key, name, text.secret_sha256());
        Some(Self { new, actor, random })
    }

    pub(crate) fn id(&self) -> KeyId {
        self.new.id
    }

    pub(crate) fn secret_sha256(&self) -> [u8; 32] {
        self.new.secret_sha256
    }

    /// Stores it; `None` when its id is known already.
    pub(crate) async fn store(self, db: &PgPool) -> Result<Option<Key>, Error> {
        run_tx(db, "operator_key.create", async move |tx| self.store_in(tx).await).await
    }

    /// Stores it, unless an operator key counts already; then `None`.
    pub(crate) async fn store_as_first(self, db: &PgPool) -> Result<Option<Key>, Error> {
        run_tx(db, "operator_key.bootstrap", async move |tx| {
            self.store_as_first_in(tx).await
        })
        .await
    }

    async fn store_as_first_in(&self, tx: &mut PgConnection) -> Result<Option<Key>, Error> {
        if key::lock_and_find_operator(tx).await? {
            return Ok(None);
        }
        self.store_in(tx).await
    }

    async fn store_in(&self, tx: &mut PgConnection) -> Result<Option<Key>, Error> {
        let key = key::insert(tx, &self.new).await?;
        if key.is_some() {
            let deed = Deed {
                actor: &self.actor,
                action: "operator_key.create",
                subject: self.new.id.to_string(),
                detail: json!({ "name": self.new.name }),
            };
            deed.record(tx, &*self.random).await?;
        }
        Ok(key)
    }
}

fn with_hash(id: KeyId, name: String, secret_sha256: [u8; 32]) -> New {
    New {
        id,
        application: None,
        name,
        environment: ENVIRONMENT.to_owned(),
        secret_sha256,
        scopes: Vec::new(),
        expires_at: None,
    }
}
