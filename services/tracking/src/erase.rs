//! Erasure of users from the log. Rows, ids, positions and times stay, so no reader meets a gap; what events say of their user goes, and so does what subscribers answered to them.
//!
//! A call does one page. What an event says is replaced together with its mark, and counted in the same transaction: whoever asks again, and whenever either side dies, each event counts once.

mod scrub;

use std::sync::Arc;

use outeract_domain::{EventId, SubscriptionId, event_id};
use outeract_events::timestamp;
use outeract_postgres::run_tx;
use outeract_proto::tracking::internal::v1::{
    EraseUserRequest, EraseUserResponse, ListUserMessagesRequest, ListUserMessagesResponse,
};
use outeract_rpc::Fault;
use prost::Message as _;
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use self::scrub::scrub;
use crate::fault;
use crate::hooks::Vault;
use crate::read::Reader;
use crate::sealed::Bodies;
use crate::store::erasure::{self as store, Answered, Place, Sum};
use crate::store::subscription;

/// Erases users.
#[derive(Debug)]
pub(crate) struct Eraser {
    pool: PgPool,
    bodies: Bodies,
    vault: Vault,
    reader: Arc<Reader>,
}

/// An event that is to lose what it says, or has lost it.
struct Event {
    id: Uuid,
    received: OffsetDateTime,
    /// Sealed; none: it has lost it already.
    left: Option<Vec<u8>>,
}

/// What is written for a page: events and deliveries, with what is left of each.
struct Page {
    events: Vec<Uuid>,
    bodies: Vec<Vec<u8>>,
    answered: Vec<Answered>,
    logs: Vec<Vec<u8>>,
}

/// Events of one page.
const PAGE: i64 = 20;
/// Children of one event that one call erases; the next call goes on with the others.
const CHILDREN: i64 = 200;
/// Messages of one page.
const MESSAGES: i64 = 200;
/// `message.outbound`, in the table of event types.
const OUTBOUND: i16 = 2;
/// Subscriptions of one application: there are no more.
const SUBSCRIPTIONS: i64 = 1_000;
/// Deliveries that one statement looks for.
const DELIVERIES: usize = 5_000;

// === impl Eraser ===

impl Eraser {
    pub(crate) fn new(pool: PgPool, bodies: Bodies, vault: Vault, reader: Arc<Reader>) -> Self {
        Self {
            pool,
            bodies,
            vault,
            reader,
        }
    }

    /// A page of a user's messages.
    pub(crate) async fn messages(&self, request: &ListUserMessagesRequest) -> Result<ListUserMessagesResponse, Fault> {
        let application = uuid("application_id", &request.application_id)?;
        let contact = uuid("contact_id", &request.contact_id)?;
        let places = self.places(application, contact, request.after, MESSAGES).await?;
        let outbound = places.iter().filter(|place| place.event_type == OUTBOUND);
        Ok(ListUserMessagesResponse {
            message_ids: outbound.map(|place| place.event_id.as_bytes().to_vec()).collect(),
            next: last(&places, MESSAGES).unwrap_or(0),
        })
    }

    /// Erases a page of a user's events.
    pub(crate) async fn erase(&self, request: &EraseUserRequest) -> Result<EraseUserResponse, Fault> {
        let application = uuid("application_id", &request.application_id)?;
        let erasure = uuid("erasure_id", &request.erasure_id)?;
        let contact = uuid("contact_id", &request.contact_id)?;
        let places = self.places(application, contact, request.after, PAGE).await?;
        let (events, whole) = self.kin(application, &places).await?;
        let (answered, logs) = self.answered(application, &events).await?.into_iter().unzip();
        let left = events.into_iter().filter_map(|event| Some((event.id, event.left?)));
        let (events, bodies) = left.unzip();
        let page = Page {
            events,
            bodies,
            answered,
            logs,
        };
        let sum = self.write(application, erasure, page).await?;
        // Of an event with more children than that the others are left: the same page once more.
        let next = if whole {
            last(&places, PAGE)
        } else {
            Some(request.after)
        };
        Ok(EraseUserResponse {
            next: next.unwrap_or(0),
            done: next.is_none(),
            events: sum.events,
            deliveries: sum.deliveries,
        })
    }

    async fn places(&self, application: Uuid, contact: Uuid, after: i64, most: i64) -> Result<Vec<Place>, Fault> {
        let _slot = self.reader.slot().await?;
        store::of_contact(&self.pool, application, contact, after, most)
            .await
            .map_err(fault::database)
    }

    /// The events at these places with their children; and whether those are all that are not erased.
    async fn kin(&self, application: Uuid, places: &[Place]) -> Result<(Vec<Event>, bool), Fault> {
        if places.is_empty() {
            return Ok((Vec::new(), true));
        }
        let ids: Vec<Uuid> = places.iter().map(|place| place.event_id).collect();
        let times: Vec<_> = ids.iter().map(|id| EventId::from_uuid(*id).same_time()).collect();
        let found = {
            let _slot = self.reader.slot().await?;
            store::kin(&self.pool, application, &ids, &times, CHILDREN)
                .await
                .map_err(fault::database)?
        };
        // Where so many were found that one event may have more, and none of them had been looked at before.
        let whole = (found.len() as i64) < CHILDREN || found.iter().all(|kin| kin.erased);
        let mut events = Vec::with_capacity(found.len());
        for kin in found {
            // Opening is plain work: between events, others have their turn.
            tokio::task::consume_budget().await;
            let event = self.bodies.decode(application, kin.id, &kin.body)?;
            let received = event.receive_time.as_ref().and_then(timestamp::from_proto);
            events.push(Event {
                id: kin.id,
                received: received.unwrap_or(OffsetDateTime::UNIX_EPOCH),
                left: (!kin.erased).then(|| self.bodies.seal(application, kin.id, &scrub(event).encode_to_vec())),
            });
        }
        Ok((events, whole))
    }

    /// Deliveries of these events that keep what was answered, with what is left of each.
    async fn answered(&self, application: Uuid, events: &[Event]) -> Result<Vec<(Answered, Vec<u8>)>, Fault> {
        let _slot = self.reader.slot().await?;
        let subscriptions = subscription::list(&self.pool, application, Uuid::nil(), SUBSCRIPTIONS)
            .await
            .map_err(fault::database)?;
        let pairs: Vec<(Uuid, Uuid)> = subscriptions
            .iter()
            .flat_map(|row| {
                let subscription = SubscriptionId::from_uuid(row.id);
                events.iter().map(move |event| {
                    let id = event_id::delivery(subscription, EventId::from_uuid(event.id), event.received);
                    (row.id, id.uuid())
                })
            })
            .collect();
        let mut answered = Vec::new();
        for pairs in pairs.chunks(DELIVERIES) {
            let (subscriptions, ids): (Vec<Uuid>, Vec<Uuid>) = pairs.iter().copied().unzip();
            let found = store::answered(&self.pool, &subscriptions, &ids)
                .await
                .map_err(fault::database)?;
            for one in found {
                let mut attempts = self.vault.open_attempts(application, one.id, &one.attempt_log)?;
                if attempts.iter().all(|attempt| attempt.response_excerpt.is_empty()) {
                    continue;
                }
                for attempt in &mut attempts {
                    attempt.response_excerpt.clear();
                }
                let left = self.vault.seal_attempts(application, one.id, attempts);
                answered.push((one, left));
            }
        }
        Ok(answered)
    }

    async fn write(&self, application: Uuid, erasure: Uuid, page: Page) -> Result<Sum, Fault> {
        let page = Arc::new(page);
        let (sum, more) = run_tx(&self.pool, "erasure.page", async move |conn| {
            let mut more = Sum::default();
            if !page.events.is_empty() {
                more.events = store::blank(&mut *conn, application, &page.events, &page.bodies).await?;
            }
            if !page.answered.is_empty() {
                more.deliveries = store::replace(&mut *conn, &page.answered, &page.logs).await?;
            }
            Ok::<_, sqlx::Error>((store::add(conn, erasure, application, more).await?, more))
        })
        .await
        .map_err(fault::database)?;
        metrics::counter!("tracking_erased_total", "what" => "event").increment(more.events.unsigned_abs());
        metrics::counter!("tracking_erased_total", "what" => "delivery").increment(more.deliveries.unsigned_abs());
        Ok(sum)
    }
}

/// Where the next page begins, if this one is full.
fn last(places: &[Place], most: i64) -> Option<i64> {
    let last = places.last().filter(|_| places.len() as i64 == most);
    last.map(|place| place.position)
}

fn uuid(path: &'static str, bytes: &[u8]) -> Result<Uuid, Fault> {
    Uuid::from_slice(bytes)
        .ok()
        .filter(|uuid| !uuid.is_nil())
        .ok_or_else(|| Fault::invalid(path, "must be 16 bytes"))
}
