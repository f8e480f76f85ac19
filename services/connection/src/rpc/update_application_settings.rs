use outeract_domain::{ApplicationId, KeyId};
use outeract_postgres::run_tx;
use outeract_proto::connection::v1::{
    ApplicationSettings, AutoMarkRead, UpdateApplicationSettingsRequest, UpdateApplicationSettingsResponse,
};
use outeract_rpc::{Fault, Reply, caller};
use serde_json::json;
use sqlx::PgConnection;
use tonic::{Request, Response};

use crate::audit::Deed;
use crate::convert;
use crate::desk::Desk;
use crate::fault::Error;
use crate::push::HOLD;
use crate::store::application::{self, Application};
use crate::store::connection::{self, Connection};
use crate::store::outbox;

/// Connections that are told of a change at once; the outbox tells the others a little later.
const AT_ONCE: usize = 500;

/// A change of settings, and whose key makes it.
#[derive(Debug, Clone, Copy)]
struct Change {
    application: ApplicationId,
    actor: KeyId,
    auto_mark_read: AutoMarkRead,
}

pub(super) async fn update_application_settings(
    desk: &Desk,
    request: Request<UpdateApplicationSettingsRequest>,
) -> Reply<UpdateApplicationSettingsResponse> {
    let caller = caller::application(&request)?;
    let change = Change {
        application: caller.id,
        actor: caller.key,
        auto_mark_read: check(request.into_inner().settings)?,
    };
    let own = desk.clone();
    let (application, rows) = run_tx(&desk.db, "application.settings", async move |tx| {
        change.store(&own, tx).await
    })
    .await?;
    if !rows.is_empty() {
        let snapshots: Vec<_> = rows.iter().map(|row| convert::snapshot(&desk.ring, row)).collect();
        desk.push.at_once(&desk.db, &snapshots).await;
    }
    Ok(Response::new(UpdateApplicationSettingsResponse {
        application: Some(convert::application(application)),
    }))
}

fn check(settings: Option<ApplicationSettings>) -> Result<AutoMarkRead, Fault> {
    let settings = settings.unwrap_or_default();
    match AutoMarkRead::try_from(settings.auto_mark_read) {
        Ok(AutoMarkRead::Unspecified) => Err(Fault::invalid("settings", "must name at least one setting to change")),
        Ok(value) => Ok(value),
        Err(_) => Err(Fault::invalid(
            "settings.auto_mark_read",
            "must be NEVER or ON_RECEIVED",
        )),
    }
}

// === impl Change ===

impl Change {
    /// Stores the change with its line in the audit log and what is to be told to others. Gives the connections to tell of at once. What is as it should be is not changed.
    async fn store(self, desk: &Desk, tx: &mut PgConnection) -> Result<(Application, Vec<Connection>), Error> {
        if !application::lock(tx, self.application).await? {
            return Err(Fault::not_found("application").into());
        }
        let before = self.get(tx).await?;
        let value = self.auto_mark_read as i16;
        if before.auto_mark_read == value {
            return Ok((before, Vec::new()));
        }
        let ids = application::set_auto_mark_read(tx, self.application, value).await?;
        let rows = connection::with_ids(&mut *tx, &ids).await?;
        let (ids, versions): (Vec<_>, Vec<_>) = rows.iter().map(|row| (row.id, row.version)).unzip();
        if !ids.is_empty() {
            outbox::enqueue(tx, &desk.push.names(), &ids, &versions, HOLD).await?;
        }
        let actor = self.actor.to_string();
        let deed = Deed {
            actor: &actor,
            action: "application.settings",
            subject: self.application.to_string(),
            detail: json!({ "auto_mark_read": name(self.auto_mark_read) }),
        };
        deed.record(tx, &*desk.random).await?;
        let after = self.get(tx).await?;
        Ok((after, rows.into_iter().take(AT_ONCE).collect()))
    }

    async fn get(self, tx: &mut PgConnection) -> Result<Application, Error> {
        let found = application::get(tx, self.application).await?;
        found.ok_or_else(|| Fault::not_found("application").into())
    }
}

fn name(value: AutoMarkRead) -> &'static str {
    let name = value.as_str_name();
    name.strip_prefix("AUTO_MARK_READ_").unwrap_or(name)
}
