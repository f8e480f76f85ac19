//! `GetEvent`: one event, its children, and what became of the message.

use std::time::Duration;

use outeract_domain::{ApplicationId, Delivery, DeliveryState, DeliveryStatus, EventId};
use outeract_events::timestamp;
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::tracking::v1::{self as proto, Event, GetEventRequest, GetEventResponse};
use outeract_rpc::Fault;
use time::OffsetDateTime;
use tokio::time::{Instant, timeout_at};

use super::{Reader, patience};
use crate::fault;
use crate::store;

/// Children of one answer.
const MAX_CHILDREN: usize = 1_000;
/// An event may come this long after its message was stored.
const YOUNG: Duration = Duration::from_secs(1);
/// What the clocks of two machines may differ by.
const SKEW: Duration = Duration::from_secs(5);
/// How often to look for an event that another process may record.
const POLL: Duration = Duration::from_millis(50);

/// An event and its children, as far as they are there.
struct Family {
    event: Option<Event>,
    children: Vec<Event>,
}

// === impl Reader ===

impl Reader {
    /// Answers `GetEvent`.
    pub(crate) async fn get(
        &self,
        application: ApplicationId,
        request: &GetEventRequest,
    ) -> Result<GetEventResponse, Fault> {
        let id: EventId = request
            .id
            .parse()
            .map_err(|_| Fault::invalid("id", "must be an id of the form evt_…"))?;
        let family = if self.is_young(id) {
            self.awaited(application, id).await?
        } else {
            self.family(application, id).await?
        };
        if family.event.is_none() && family.children.is_empty() {
            return Err(Fault::not_found("event"));
        }
        Ok(family.answer())
    }

    fn is_young(&self, id: EventId) -> bool {
        let now = self.clock.now().unix_timestamp_nanos() / 1_000_000;
        let age = now - i128::from(id.unix_millis());
        -(SKEW.as_millis() as i128) < age && age < YOUNG.as_millis() as i128
    }

    /// The family once its event is there, or what there is of it after a second.
    async fn awaited(&self, application: ApplicationId, id: EventId) -> Result<Family, Fault> {
        let until = Instant::now() + patience(YOUNG);
        let Some(wait) = self.waiters.wait(id.uuid()) else {
            return self.family(application, id).await;
        };
        loop {
            let recorded = wait.recorded();
            let family = self.family(application, id).await?;
            let now = Instant::now();
            if family.event.is_some() || now >= until {
                return Ok(family);
            }
            // Either way it is time to look again.
            let _ = timeout_at(until.min(now + POLL), recorded).await;
        }
    }

    async fn family(&self, application: ApplicationId, id: EventId) -> Result<Family, Fault> {
        let rows = {
            let _slot = self.slot().await?;
            let limit = MAX_CHILDREN as i64 + 1;
            store::event::family(&self.pool, application.uuid(), id.uuid(), id.same_time(), limit)
                .await
                .map_err(fault::database)?
        };
        let mut family = Family {
            event: None,
            children: Vec::with_capacity(rows.len()),
        };
        for entry in &rows {
            let event = self.bodies.open(application, entry)?;
            if entry.id == id.uuid() {
                family.event = Some(event);
            } else {
                family.children.push(event);
            }
        }
        // Rows come in the order of recording, which stays among equals: Meta reports whole seconds.
        family
            .children
            .sort_by_key(|child| child.occur_time.as_ref().map(|at| at.seconds));
        family.children.truncate(MAX_CHILDREN);
        Ok(family)
    }
}

// === impl Family ===

impl Family {
    fn answer(self) -> GetEventResponse {
        // Only outbound messages have children.
        let outbound = self
            .event
            .as_ref()
            .is_none_or(|event| event.event_type == "message.outbound");
        let delivery = outbound.then(|| delivery(&self.children));
        GetEventResponse {
            event: self.event,
            child_events: self.children,
            delivery,
        }
    }
}

/// What the statuses among the children add up to.
fn delivery(children: &[Event]) -> proto::Delivery {
    let statuses = children.iter().filter_map(|child| {
        let Some(Payload::Status(status)) = &child.payload else {
            return None;
        };
        let word = DeliveryStatus::from_word(&status.status)?;
        Some((word, timestamp::from_proto(child.occur_time.as_ref()?)?))
    });
    let folded = Delivery::fold(statuses);
    let state = match folded.state() {
        None => proto::DeliveryState::Unspecified,
        Some(DeliveryState::Sent) => proto::DeliveryState::Sent,
        Some(DeliveryState::Delivered) => proto::DeliveryState::Delivered,
        Some(DeliveryState::Read) => proto::DeliveryState::Read,
        Some(DeliveryState::Played) => proto::DeliveryState::Played,
        Some(DeliveryState::Failed) => proto::DeliveryState::Failed,
    };
    let time = |at: Option<OffsetDateTime>| at.map(timestamp::to_proto);
    proto::Delivery {
        state: state.into(),
        sent_time: time(folded.sent),
        delivered_time: time(folded.delivered),
        read_time: time(folded.read),
        played_time: time(folded.played),
        failed_time: time(folded.failed),
        contradictory: folded.contradictory(),
    }
}
