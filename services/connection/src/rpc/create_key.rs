use outeract_domain::{ApplicationId, KeyId};
use outeract_postgres::run_tx;
use outeract_proto::connection::admin::v1::{CreateKeyRequest, CreateKeyResponse};
use outeract_rpc::{Fault, KeyText, Reply, caller};
use serde_json::json;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tonic::{Request, Response};

use crate::audit::Deed;
use crate::convert;
use crate::desk::Desk;
use crate::fault::Error;
use crate::fields::{self, Fields};
use crate::store::application;
use crate::store::key::{self, Key};

/// A key that an operator wants for an application.
struct Wanted {
    application: ApplicationId,
    name: String,
    environment: String,
    scopes: Vec<String>,
    expires_at: Option<OffsetDateTime>,
}

/// The key to be stored, and the operator who makes it.
struct New {
    application: ApplicationId,
    key: key::New,
    actor: String,
}

pub(super) async fn create_key(desk: &Desk, request: Request<CreateKeyRequest>) -> Reply<CreateKeyResponse> {
    let actor = caller::operator(&request)?.key.to_string();
    let wanted = Wanted::check(request.into_inner(), desk.clock.now())?;
    let id = KeyId::new(&*desk.clock, &*desk.random);
    let (secret, secret_sha256) = KeyText::generate(&wanted.environment, id, &*desk.random);
    let (new, own) = (wanted.with_secret(id, secret_sha256, actor), desk.clone());
    let stored = run_tx(&desk.db, "key.create", async move |tx| new.store(&own, tx).await).await?;
    Ok(Response::new(CreateKeyResponse {
        key: Some(convert::key(stored)),
        secret,
    }))
}

// === impl Wanted ===

impl Wanted {
    fn check(request: CreateKeyRequest, now: OffsetDateTime) -> Result<Self, Fault> {
        let mut fields = Fields::default();
        let application = fields.parsed("application_id", &request.application_id, fields::APPLICATION_ID);
        let name = fields.name("name", request.name);
        let environment = fields.environment("environment", request.environment);
        let scopes = fields.scopes("scopes", &request.scopes);
        let expires_at = fields.expiry("expire_time", request.expire_time.as_ref(), now);
        match (application, name, environment, scopes) {
            (Some(application), Some(name), Some(environment), Some(scopes)) if fields.are_valid() => Ok(Self {
                application,
                name,
                environment,
                scopes,
                expires_at,
            }),
            _ => Err(fields.fault()),
        }
    }

    fn with_secret(self, id: KeyId, secret_sha256: [u8; 32], actor: String) -> New {
        New {
            application: self.application,
            key: key::New {
                id,
                application: Some(self.application),
                name: self.name,
                environment: self.environment,
                secret_sha256,
                scopes: self.scopes,
                expires_at: self.expires_at,
            },
            actor,
        }
    }
}

// === impl New ===

impl New {
    async fn store(&self, desk: &Desk, tx: &mut PgConnection) -> Result<Key, Error> {
        if !application::lock(tx, self.application).await? {
            return Err(Fault::not_found("application").into());
        }
        let stored = key::insert(tx, &self.key).await?;
        let stored = stored.ok_or_else(|| Fault::internal("a new id was known"))?;
        let deed = Deed {
            actor: &self.actor,
            action: "key.create",
            subject: stored.id.to_string(),
            detail: json!({
                "application_id": self.application.to_string(),
                "name": stored.name,
                "environment": stored.environment,
                "scopes": stored.scopes,
            }),
        };
        deed.record(tx, &*desk.random).await?;
        Ok(stored)
    }
}
