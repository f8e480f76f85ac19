//! The services that a decoded item goes to, as calls that can be bisected.

use outeract_domain::{ContactId, EventId, FileId};
use outeract_proto::connection::internal::v1::connection_internal_service_client::ConnectionInternalServiceClient;
use outeract_proto::connection::internal::v1::{AccountNews, ReportAccountsRequest, ReportOutcome};
use outeract_proto::messaging::internal::v1::messaging_internal_service_client::MessagingInternalServiceClient;
use outeract_proto::messaging::internal::v1::{ApplyItemsRequest, Item, ItemOutcome, ItemResult};
use outeract_proto::tracking::internal::v1::tracking_internal_service_client::TrackingInternalServiceClient;
use outeract_proto::tracking::internal::v1::{EventRecord, RecordEventsRequest, RecordResult};
use outeract_rpc::Channel;
use prost::Message as _;
use tonic::Code;

use super::bisect::{Call, Failure, Patience, Stalled, call_all};

/// Connection, messaging and tracking.
#[derive(Debug, Clone)]
pub(crate) struct Siblings {
    connection: ConnectionInternalServiceClient<Channel>,
    messaging: MessagingInternalServiceClient<Channel>,
    tracking: TrackingInternalServiceClient<Channel>,
}

/// What messaging did with an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Applied {
    /// A message from this contact, and the file that its medium becomes.
    Inbound { contact: ContactId, file: Option<FileId> },
    /// A status of this message.
    Status(EventId),
    /// News that belong to no message.
    News,
    /// A status of a message that is not known yet: messaging keeps it, and records its event itself.
    Kept,
    /// It cannot be applied.
    Refused(String),
}

struct ReportAccounts(ConnectionInternalServiceClient<Channel>);

struct ApplyItems(MessagingInternalServiceClient<Channel>);

struct RecordEvents(TrackingInternalServiceClient<Channel>);

// === impl Siblings ===

impl Siblings {
    /// Over these channels.
    pub(crate) fn new(connection: Channel, messaging: Channel, tracking: Channel) -> Self {
        Self {
            connection: ConnectionInternalServiceClient::new(connection),
            messaging: MessagingInternalServiceClient::new(messaging),
            tracking: TrackingInternalServiceClient::new(tracking),
        }
    }

    /// Has news of accounts taken over, in order.
    pub(super) async fn report(
        &self,
        news: &[AccountNews],
        patience: Patience,
    ) -> Result<Vec<Result<ReportOutcome, Code>>, Stalled> {
        call_all(&ReportAccounts(self.connection.clone()), news, patience).await
    }

    /// Has items applied, in order.
    pub(super) async fn apply(
        &self,
        items: &[Item],
        patience: Patience,
    ) -> Result<Vec<Result<Applied, Code>>, Stalled> {
        call_all(&ApplyItems(self.messaging.clone()), items, patience).await
    }

    /// Has events recorded, in order.
    pub(super) async fn record(
        &self,
        events: &[EventRecord],
        patience: Patience,
    ) -> Result<Vec<Result<RecordResult, Code>>, Stalled> {
        call_all(&RecordEvents(self.tracking.clone()), events, patience).await
    }
}

// === impl Call ===

impl Call for ReportAccounts {
    type Item = AccountNews;
    type Output = ReportOutcome;

    fn weight(&self, news: &AccountNews) -> usize {
        news.encoded_len()
    }

    async fn call(&self, news: &[AccountNews]) -> Result<Vec<ReportOutcome>, Failure> {
        let request = ReportAccountsRequest { news: news.to_vec() };
        let answer = self
            .0
            .clone()
            .report_accounts(request)
            .await
            .map_err(|status| Failure::of(&status))?;
        let outcomes = answer.into_inner().outcomes.into_iter();
        let known = |outcome| {
            ReportOutcome::try_from(outcome)
                .ok()
                .filter(|outcome| *outcome != ReportOutcome::Unspecified)
        };
        outcomes.map(|outcome| known(outcome).ok_or(BROKEN)).collect()
    }
}

impl Call for ApplyItems {
    type Item = Item;
    type Output = Applied;

    fn weight(&self, item: &Item) -> usize {
        item.encoded_len()
    }

    async fn call(&self, items: &[Item]) -> Result<Vec<Applied>, Failure> {
        let request = ApplyItemsRequest { items: items.to_vec() };
        let answer = self
            .0
            .clone()
            .apply_items(request)
            .await
            .map_err(|status| Failure::of(&status))?;
        answer.into_inner().results.into_iter().map(applied).collect()
    }
}

impl Call for RecordEvents {
    type Item = EventRecord;
    type Output = RecordResult;

    fn weight(&self, event: &EventRecord) -> usize {
        event.encoded_len()
    }

    async fn call(&self, events: &[EventRecord]) -> Result<Vec<RecordResult>, Failure> {
        let request = RecordEventsRequest {
            events: events.to_vec(),
        };
        let answer = self
            .0
            .clone()
            .record_events(request)
            .await
            .map_err(|status| Failure::of(&status))?;
        let results = answer.into_inner().results.into_iter();
        let known = |result| {
            RecordResult::try_from(result)
                .ok()
                .filter(|result| *result != RecordResult::Unspecified)
        };
        results.map(|result| known(result).ok_or(BROKEN)).collect()
    }
}

/// An answer that breaks the contract says nothing of the items.
const BROKEN: Failure = Failure::Away(Code::Internal);

fn applied(result: ItemResult) -> Result<Applied, Failure> {
    match result.outcome() {
        ItemOutcome::Applied if result.contact_id.is_empty() && result.message_id.is_empty() => Ok(Applied::News),
        ItemOutcome::Applied => {
            let contact = ContactId::from_slice(&result.contact_id).map(|contact| Applied::Inbound {
                contact,
                file: FileId::from_slice(&result.file_id),
            });
            let message = EventId::from_slice(&result.message_id).map(Applied::Status);
            contact.or(message).ok_or(BROKEN)
        }
        ItemOutcome::Orphaned | ItemOutcome::Erased => Ok(Applied::Kept),
        ItemOutcome::Refused => Ok(Applied::Refused(result.reason)),
        ItemOutcome::Unspecified => Err(BROKEN),
    }
}
