//! Messages that wait for their template go as soon as it changes.

use std::sync::Arc;

use outeract_runtime::Stop;
use sqlx::PgPool;
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

use super::Registry;
use crate::problem::{TEMPLATE_NOT_APPROVED, TEMPLATE_PAUSED};
use crate::projection::Projection;
use crate::seldom::Seldom;
use crate::store::{DbError, quota, run};

/// Rows that are looked at in one statement.
const PAGE: i64 = 2_048;

/// Wakes the messages of accounts whose templates change, until the process stops. What is missed goes at its own time, minutes later.
pub(super) async fn wake(db: PgPool, registry: Registry, projection: Projection, stop: Stop) {
    let mut changes = registry.changes();
    let away = Seldom::default();
    loop {
        let changed = tokio::select! {
            () = stop.soft().cancelled() => return,
            changed = changes.recv() => changed,
        };
        let waba = match changed {
            Ok(waba) => Some(waba),
            Err(RecvError::Lagged(_)) => None,
            Err(RecvError::Closed) => return,
        };
        if let Err(cause) = wake_account(&db, &projection, waba).await
            && away.again()
        {
            tracing::warn!(%cause, "Messages whose template changed could not be woken");
        }
    }
}

/// Wakes the messages of one account, or of all.
async fn wake_account(db: &PgPool, projection: &Projection, waba: Option<Arc<str>>) -> Result<(), DbError> {
    for connection in projection.numbers() {
        if waba.as_deref().is_some_and(|waba| waba != connection.waba) {
            continue;
        }
        for reason in [TEMPLATE_PAUSED, TEMPLATE_NOT_APPROVED] {
            let mut after = Uuid::nil();
            while let (Some(last), _) = run!(db, "template.wake", |conn| quota::wake(
                conn,
                connection.number.as_str(),
                after,
                PAGE,
                reason
            ))? {
                after = last;
            }
        }
    }
    Ok(())
}
