//! News of accounts: so far what Meta says of portfolios' limits.

use outeract_events::timestamp;
use outeract_proto::messaging::internal::v1::{AccountItem, ItemOutcome, ItemResult};
use outeract_rpc::Fault;

use super::{Applier, Routed, reason, refused};
use crate::limits::Limits;

// === impl Applier ===

impl Applier {
    pub(super) async fn apply_accounts(
        &self,
        items: &[Routed<AccountItem>],
        results: &mut [ItemResult],
    ) -> Result<(), Fault> {
        let mut news = Vec::new();
        for routed in items {
            let item = &routed.item;
            let received = item.receive_time.as_ref().and_then(timestamp::from_proto);
            let at = received.unwrap_or_else(|| self.clock.now());
            let read = self
                .limits
                .read(&routed.connection.waba, &item.field, &item.value_json, at);
            results[routed.index] = match read {
                Ok(told) if Limits::concerns(&item.field) => {
                    news.extend(told);
                    applied()
                }
                // Nothing acts on the other fields yet.
                Ok(_) | Err(_) => refused(reason::MALFORMED),
            };
        }
        Ok(self.limits.take_over(news).await?)
    }
}

fn applied() -> ItemResult {
    ItemResult {
        outcome: ItemOutcome::Applied.into(),
        ..ItemResult::default()
    }
}
