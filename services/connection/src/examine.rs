//! Asks Meta once a day what it says of the connected accounts: limits and throughput change there without a webhook that one could rely on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use outeract_clock::SharedRandom;
use outeract_domain::WabaId;
use outeract_graph::PhoneNumber;
use outeract_postgres::{Summary, run_tx};
use outeract_rpc::Fault;
use outeract_seal::KeyRing;
use sqlx::PgPool;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::connect::{clean, quality, throughput};
use crate::fault::Error;
use crate::meta::Meta;
use crate::push::Push;
use crate::sealed;
use crate::store::examination::{self, Due, Finding};
use crate::store::outbox;

/// Asks about accounts that are due, for ever.
#[derive(Debug)]
pub(crate) struct Examiner {
    pub(crate) db: PgPool,
    pub(crate) ring: Arc<KeyRing>,
    pub(crate) random: SharedRandom,
    pub(crate) meta: Arc<Meta>,
    pub(crate) push: Push,
}

/// Between two questions about one account.
const DAY: Duration = Duration::from_hours(24);
/// An account about which Meta could not be asked is due again after this.
const LEASE: Duration = Duration::from_mins(15);
const CHECK: Duration = Duration::from_mins(1);
/// For all that is asked about one account.
const PATIENCE: Duration = Duration::from_mins(1);

// === impl Examiner ===

impl Examiner {
    /// Never ends by itself. Replicas share the accounts.
    pub(crate) async fn run(self) {
        loop {
            match self.round().await {
                Ok(true) => {}
                Ok(false) => sleep(CHECK).await,
                Err(error) => {
                    tracing::warn!("Accounts that are due cannot be read: {}", Summary(&error));
                    sleep(CHECK).await;
                }
            }
        }
    }

    /// Whether there was an account that was due.
    async fn round(&self) -> sqlx::Result<bool> {
        let due = examination::take(&self.db, LEASE).await?;
        let Some(first) = due.first() else { return Ok(false) };
        match timeout(PATIENCE, self.examine(first, &due)).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => {
                tracing::warn!(waba.id = %first.waba_id, reason = ?fault.reason(), "What Meta says of an account could not be read; it is asked again in 15 minutes");
            }
            Err(_) => tracing::warn!(waba.id = %first.waba_id, "Meta does not say what it knows of an account"),
        }
        Ok(true)
    }

    async fn examine(&self, first: &Due, due: &[Due]) -> Result<(), Fault> {
        let token = sealed::open_token(&self.ring, first.application, first.grant_id, &first.token_sealed)?;
        let waba: WabaId = first
            .waba_id
            .parse()
            .map_err(|_| Fault::internal("a stored account id is no id"))?;
        let numbers = self.meta.numbers(&token, &waba).await?;
        let numbers: HashMap<&str, &PhoneNumber> = numbers.iter().map(|number| (number.id.as_str(), number)).collect();
        let any = due.iter().find_map(|due| numbers.get(due.phone_number_id.as_str()));
        let Some(any) = any else {
            // Meta lists none of them any more: that is another reader's news.
            return Ok(());
        };
        let portfolio = self.meta.portfolio(&token, &waba, &any.id).await;
        let findings: Vec<_> = due
            .iter()
            .filter_map(|due| {
                let number = numbers.get(due.phone_number_id.as_str())?;
                Some(Finding {
                    id: due.id,
                    throughput_per_second: throughput(number),
                    quality_rating: quality(&number.quality_rating),
                    verified_name: clean(&number.verified_name),
                    portfolio_id: portfolio.id.clone(),
                    messaging_limit: portfolio.messaging_limit.clone(),
                })
            })
            .collect();
        let targets = self.push.names();
        let (asked_at, again_after) = (first.taken_at, self.again_after());
        run_tx(&self.db, "examination.note", async move |tx| {
            let changed = examination::note(tx, &findings, asked_at, again_after).await?;
            let (ids, versions): (Vec<Uuid>, Vec<i64>) = changed.into_iter().unzip();
            if !ids.is_empty() {
                outbox::enqueue(tx, &targets, &ids, &versions, Duration::ZERO).await?;
            }
            Ok::<_, Error>(())
        })
        .await
        .map_err(Fault::from)
    }

    /// A day, 10 % more or less: accounts that were connected together are not asked about together for ever.
    fn again_after(&self) -> Duration {
        let mut byte = [0];
        self.random.fill(&mut byte);
        DAY.mul_f64(0.9 + 0.2 * f64::from(byte[0]) / 255.0)
    }
}
