//! What operators call: one file per method.

mod list_audit_entries;
mod list_holds;
mod place_hold;
mod release_hold;

use outeract_clock::{Clock, Random};
use outeract_domain::{ApplicationId, ConnectionId, KeyId, PhoneNumberId};
use outeract_proto::messaging::admin::v1::admin_service_server::AdminService;
use outeract_proto::messaging::admin::v1::hold_target::Target as Named;
use outeract_proto::messaging::admin::v1::{
    HoldTarget, ListAuditEntriesRequest, ListAuditEntriesResponse, ListHoldsRequest, ListHoldsResponse,
    PlaceHoldRequest, PlaceHoldResponse, ReleaseHoldRequest, ReleaseHoldResponse,
};
use outeract_rpc::{Fault, Reply, Violation};
use outeract_runtime::Context;
use tonic::Request;
use uuid::Uuid;

use crate::projection::Projection;
use crate::store::hold::{APPLICATION, CONNECTION, NUMBER, Target};

/// What operators call.
#[derive(Debug)]
pub(crate) struct Admin {
    pub context: Context,
    pub projection: Projection,
}

/// What is to be held or released, and why.
#[derive(Debug)]
struct Order {
    target: Target,
    /// As the contract names it.
    name: String,
    reason: String,
}

/// Characters of a reason.
const LONGEST_REASON: usize = 500;

#[tonic::async_trait]
impl AdminService for Admin {
    async fn place_hold(&self, request: Request<PlaceHoldRequest>) -> Reply<PlaceHoldResponse> {
        place_hold::place_hold(self, request).await
    }

    async fn release_hold(&self, request: Request<ReleaseHoldRequest>) -> Reply<ReleaseHoldResponse> {
        release_hold::release_hold(self, request).await
    }

    async fn list_holds(&self, _: Request<ListHoldsRequest>) -> Reply<ListHoldsResponse> {
        list_holds::list_holds(self).await
    }

    async fn list_audit_entries(&self, request: Request<ListAuditEntriesRequest>) -> Reply<ListAuditEntriesResponse> {
        list_audit_entries::list_audit_entries(self, request).await
    }
}

// === impl Admin ===

impl Admin {
    /// The id of a line in the audit log: they are listed in the order of their ids.
    fn line(&self) -> Uuid {
        line(&*self.context.clock, &*self.context.random)
    }

    /// This process follows at once, the others when they look.
    async fn refresh(&self) {
        if let Err(cause) = self.projection.refresh_holds().await {
            tracing::warn!(%cause, "Operators' holds could not be read");
        }
    }
}

// === impl Order ===

impl Order {
    /// Every broken limit at once.
    fn check(target: Option<HoldTarget>, reason: String) -> Result<Self, Vec<Violation>> {
        let target = named(target);
        let characters = reason.chars().take(LONGEST_REASON + 1).count();
        let fits = (1..=LONGEST_REASON).contains(&characters)
            && !reason.trim().is_empty()
            && !reason.chars().any(char::is_control);
        let broken = (!fits).then(|| {
            let form = format!("must be 1 to {LONGEST_REASON} characters, not all blank, without control characters");
            Violation::new("reason", form)
        });
        match (target, broken) {
            (Ok((target, name)), None) => Ok(Self { target, name, reason }),
            (target, broken) => Err(target.err().into_iter().chain(broken).collect()),
        }
    }
}

fn named(target: Option<HoldTarget>) -> Result<(Target, String), Violation> {
    let violation = |field: &str, form: String| Violation::new(format!("target.{field}"), form);
    let Some(named) = target.and_then(|target| target.target) else {
        return Err(Violation::new(
            "target",
            "must name one: a number, a connection or an application",
        ));
    };
    let (scope, key, name) = match named {
        Named::PhoneNumberId(text) => {
            let id: PhoneNumberId = text
                .parse()
                .map_err(|_| violation("phone_number_id", "must be 1 to 32 digits".to_owned()))?;
            (NUMBER, id.to_string(), id.to_string())
        }
        Named::ConnectionId(text) => {
            let id: ConnectionId = text
                .parse()
                .map_err(|error| violation("connection_id", format!("is {error}")))?;
            (CONNECTION, id.uuid().to_string(), id.to_string())
        }
        Named::ApplicationId(text) => {
            let id: ApplicationId = text
                .parse()
                .map_err(|error| violation("application_id", format!("is {error}")))?;
            (APPLICATION, id.uuid().to_string(), id.to_string())
        }
    };
    Ok((Target { scope, key }, name))
}

/// A stored target as the contract names it.
fn target(scope: i16, key: &str) -> Result<HoldTarget, Fault> {
    let uuid = || Uuid::parse_str(key).map_err(Fault::internal);
    let named = match scope {
        NUMBER => Named::PhoneNumberId(key.to_owned()),
        CONNECTION => Named::ConnectionId(ConnectionId::from_uuid(uuid()?).to_string()),
        APPLICATION => Named::ApplicationId(ApplicationId::from_uuid(uuid()?).to_string()),
        _ => return Err(Fault::internal("a stored hold has an unknown scope")),
    };
    Ok(HoldTarget { target: Some(named) })
}

fn line(clock: &dyn Clock, random: &dyn Random) -> Uuid {
    // Version 7, as every id of ours.
    KeyId::new(clock, random).uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(target: Option<Named>, reason: &str) -> Vec<String> {
        let target = target.map(|target| HoldTarget { target: Some(target) });
        let violations = Order::check(target, reason.to_owned()).err().unwrap_or_default();
        violations.into_iter().map(|violation| violation.path).collect()
    }

    #[test]
    fn every_broken_field_is_named_at_once() {
        assert_eq!(paths(None, ""), ["target", "reason"]);
        let bad = [
            (Named::PhoneNumberId("12a".to_owned()), "target.phone_number_id"),
            (Named::ConnectionId("pc_1".to_owned()), "target.connection_id"),
            (Named::ApplicationId("pc_1".to_owned()), "target.application_id"),
        ];
        for (target, path) in bad {
            assert_eq!(paths(Some(target), "why"), [path]);
        }
        let number = || Some(Named::PhoneNumberId("106540352242922".to_owned()));
        for reason in ["", "  ", "a\0b", "a\nb", &"é".repeat(501)] {
            assert_eq!(paths(number(), reason), ["reason"], "{reason:?}");
        }
        assert!(paths(number(), &"é".repeat(500)).is_empty());
    }

    #[test]
    fn stored_targets_read_back() {
        let id = Uuid::from_u128(7);
        for named in [
            Named::PhoneNumberId("106540352242922".to_owned()),
            Named::ConnectionId(ConnectionId::from_uuid(id).to_string()),
            Named::ApplicationId(ApplicationId::from_uuid(id).to_string()),
        ] {
            let asked = HoldTarget { target: Some(named) };
            let order = Order::check(Some(asked.clone()), "why".to_owned()).expect("valid");
            assert_eq!(target(order.target.scope, &order.target.key).expect("known"), asked);
        }
    }
}
