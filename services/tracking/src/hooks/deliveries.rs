//! What applications see of deliveries, and what they want sent again.

use outeract_domain::{ApplicationId, DeliveryId, EventId, SubscriptionId};
use outeract_events::timestamp;
use outeract_proto::tracking::v1::redeliver_request::Which as Wanted;
use outeract_proto::tracking::v1::{
    DeliveryOutcome, GetDeliveryRequest, ListDeliveriesRequest, ListDeliveriesResponse, RedeliverRange,
    RedeliverRequest, RedeliverResponse, WebhookDelivery,
};
use outeract_rpc::{Fault, page};
use prost_types::Timestamp;
use uuid::Uuid;

use super::Subscriptions;
use super::api::{parse_at, resume};
use crate::fault;
use crate::read::time;
use crate::store::delivery::{self, Row, Which};

/// Deliveries scheduled by one call.
const MAX_AGAIN: i64 = 1_000;

// === impl Subscriptions ===

impl Subscriptions {
    /// Answers `ListDeliveries`.
    pub(crate) async fn deliveries(
        &self,
        application: ApplicationId,
        request: &ListDeliveriesRequest,
    ) -> Result<ListDeliveriesResponse, Fault> {
        let subscription = parse_at("subscription_id", &request.subscription_id)?;
        let size = page::size(request.page_size)?;
        let outcome = match DeliveryOutcome::try_from(request.outcome) {
            Ok(DeliveryOutcome::Unspecified) => None,
            Ok(outcome) => i16::try_from(i32::from(outcome)).ok(),
            Err(_) => return Err(Fault::invalid("outcome", "must be a known outcome")),
        };
        self.row(application, subscription).await?;
        let outcome_bytes = request.outcome.to_be_bytes();
        let list: [&[u8]; 3] = [b"deliveries", subscription.as_bytes(), &outcome_bytes];
        let before = resume(&self.tokens, &list, &request.page_token)?.unwrap_or(Uuid::max());
        let mut rows = delivery::list(&self.pool, subscription, before, outcome, size + 1)
            .await
            .map_err(fault::database)?;
        let more = rows.len() as i64 > size;
        rows.truncate(size as usize);
        let last = rows.last().filter(|_| more);
        let next_page_token = last.map_or_else(String::new, |row| self.tokens.encode(&list, row.id.as_bytes()));
        let deliveries = rows
            .into_iter()
            .map(|row| self.delivery(application, subscription, row))
            .collect::<Result<_, _>>()?;
        Ok(ListDeliveriesResponse {
            deliveries,
            next_page_token,
        })
    }

    /// Answers `GetDelivery`.
    pub(crate) async fn get_delivery(
        &self,
        application: ApplicationId,
        request: &GetDeliveryRequest,
    ) -> Result<WebhookDelivery, Fault> {
        let subscription = parse_at("subscription_id", &request.subscription_id)?;
        let id = parse_delivery("id", &request.id)?;
        self.row(application, subscription).await?;
        let row = delivery::find(&self.pool, subscription, id)
            .await
            .map_err(fault::database)?
            .ok_or_else(|| Fault::not_found("delivery"))?;
        self.delivery(application, subscription, row)
    }

    /// Answers `Redeliver`.
    pub(crate) async fn redeliver(
        &self,
        application: ApplicationId,
        request: &RedeliverRequest,
    ) -> Result<RedeliverResponse, Fault> {
        let subscription = parse_at("subscription_id", &request.subscription_id)?;
        let (which, fingerprint) = match &request.which {
            None => return Err(Fault::invalid("which", "must be set")),
            Some(Wanted::DeliveryId(id)) => {
                let id = parse_delivery("delivery_id", id)?;
                (Which::One(id), id.as_bytes().to_vec())
            }
            Some(Wanted::Range(range)) => between(range)?,
            Some(Wanted::FailedSince(since)) => {
                let at = moment("failed_since", Some(since))?;
                (Which::FailedSince(at), fingerprint(&[since]))
            }
        };
        self.row(application, subscription).await?;
        let list: [&[u8]; 3] = [b"redeliver", subscription.as_bytes(), &fingerprint];
        let after = resume(&self.tokens, &list, &request.page_token)?.unwrap_or(Uuid::nil());
        let scheduled = delivery::again(&self.pool, subscription, which, after, MAX_AGAIN)
            .await
            .map_err(fault::database)?;
        if scheduled.is_empty() && matches!(which, Which::One(_)) {
            return Err(Fault::not_found("delivery"));
        }
        let last = scheduled.iter().max().filter(|_| scheduled.len() as i64 == MAX_AGAIN);
        Ok(RedeliverResponse {
            scheduled: scheduled.len() as i32,
            next_page_token: last.map_or_else(String::new, |id| self.tokens.encode(&list, id.as_bytes())),
        })
    }

    fn delivery(&self, application: ApplicationId, subscription: Uuid, row: Row) -> Result<WebhookDelivery, Fault> {
        let attempts = self.vault.open_attempts(application.uuid(), row.id, &row.attempt_log)?;
        Ok(WebhookDelivery {
            id: DeliveryId::from_uuid(row.id).to_string(),
            subscription_id: SubscriptionId::from_uuid(subscription).to_string(),
            event_id: EventId::from_uuid(row.event_id).to_string(),
            event_type: row.event_type,
            // The numbers are those of the contract.
            outcome: row.outcome.into(),
            attempt_count: row.attempts,
            attempts,
            next_attempt_time: row.due_at.map(timestamp::to_proto),
            finish_time: row.finished_at.map(timestamp::to_proto),
        })
    }
}

fn parse_delivery(path: &'static str, id: &str) -> Result<Uuid, Fault> {
    id.parse()
        .map(DeliveryId::uuid)
        .map_err(|_| Fault::invalid(path, "must be an id of the form whd_…"))
}

fn between(range: &RedeliverRange) -> Result<(Which, Vec<u8>), Fault> {
    let start = moment("range.start_time", range.start_time.as_ref())?;
    let end = moment("range.end_time", range.end_time.as_ref())?;
    if end <= start {
        return Err(Fault::invalid("range.end_time", "must be later than start_time"));
    }
    let times: Vec<&Timestamp> = range.start_time.iter().chain(&range.end_time).collect();
    Ok((Which::Between(start, end), fingerprint(&times)))
}

fn moment(path: &str, at: Option<&Timestamp>) -> Result<::time::OffsetDateTime, Fault> {
    let mut violations = Vec::new();
    let found = time(path, at, &mut violations);
    if !violations.is_empty() {
        return Err(Fault::invalid_many(violations));
    }
    // An id has no time before 1970.
    found
        .map(|found| found.max(::time::OffsetDateTime::UNIX_EPOCH))
        .ok_or_else(|| Fault::invalid(path, "must be set"))
}

fn fingerprint(times: &[&Timestamp]) -> Vec<u8> {
    times
        .iter()
        .flat_map(|at| [at.seconds.to_be_bytes().to_vec(), at.nanos.to_be_bytes().to_vec()].concat())
        .collect()
}
