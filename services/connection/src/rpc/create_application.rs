use outeract_domain::ApplicationId;
use outeract_postgres::run_tx;
use outeract_proto::connection::admin::v1::{CreateApplicationRequest, CreateApplicationResponse};
use outeract_rpc::{Reply, caller};
use serde_json::json;
use sqlx::PgConnection;
use tonic::{Request, Response};

use crate::audit::Deed;
use crate::convert;
use crate::desk::Desk;
use crate::fault::Error;
use crate::fields::Fields;
use crate::store::application::{self, Application};

/// An application to be made, and the operator who makes it.
struct New {
    id: ApplicationId,
    name: String,
    actor: String,
}

pub(super) async fn create_application(
    desk: &Desk,
    request: Request<CreateApplicationRequest>,
) -> Reply<CreateApplicationResponse> {
    let actor = caller::operator(&request)?.key.to_string();
    let mut fields = Fields::default();
    let Some(name) = fields.name("name", request.into_inner().name) else {
        return Err(fields.fault().into());
    };
    let id = ApplicationId::new(&*desk.clock, &*desk.random);
    let (new, own) = (New { id, name, actor }, desk.clone());
    let stored = run_tx(&desk.db, "application.create", async move |tx| {
        new.store(&own, tx).await
    })
    .await?;
    Ok(Response::new(CreateApplicationResponse {
        application: Some(convert::application(stored)),
    }))
}

// === impl New ===

impl New {
    async fn store(&self, desk: &Desk, tx: &mut PgConnection) -> Result<Application, Error> {
        let application = application::insert(tx, self.id, &self.name).await?;
        let deed = Deed {
            actor: &self.actor,
            action: "application.create",
            subject: self.id.to_string(),
            detail: json!({ "name": self.name }),
        };
        deed.record(tx, &*desk.random).await?;
        Ok(application)
    }
}
