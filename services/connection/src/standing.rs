//! What Meta tells of accounts, taken over into the states of connections, in one transaction with what is to be told to others and the audit log.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use outeract_clock::SharedRandom;
use outeract_domain::{ApplicationId, ConnectionId};
use outeract_postgres::run_tx;
use outeract_proto::connection::internal::v1::{AccountNews, ReportOutcome};
use outeract_proto::connection::v1::ConnectionState;
use outeract_rpc::Fault;
use outeract_seal::KeyRing;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::time::{Duration, sleep};
use uuid::Uuid;

use crate::audit::{Deed, META};
use crate::desk::Desk;
use crate::fault::Error;
use crate::news::{self, Said};
use crate::push::{HOLD, Push};
use crate::store::standing::{self as store, Aspect, Concerned, Settled, Told};
use crate::store::{audit, connection, outbox};
use crate::{convert, sealed};

/// Connections that are told of a change at once; the outbox tells the others a little later.
const AT_ONCE: usize = 500;

/// What occurs in the future counts as now, by the database's clock.
const NOW: OffsetDateTime = datetime!(9999-01-01 0:00 UTC);

/// News whose time was read.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) news: AccountNews,
    pub(crate) occurred_at: OffsetDateTime,
}

/// What is to be noted.
#[derive(Debug, Default)]
struct Notes {
    told: BTreeMap<(Uuid, Aspect), Told>,
    limits: BTreeMap<Uuid, (OffsetDateTime, String)>,
}

/// Takes reports over; one outcome each, in order.
pub(crate) async fn take(desk: &Desk, reports: Vec<Report>) -> Result<Vec<ReportOutcome>, Fault> {
    let own = desk.clone();
    let reports = std::sync::Arc::new(reports);
    let (outcomes, changed) = run_tx(&desk.db, "account.report", async move |tx| {
        take_in(&own, tx, &reports).await
    })
    .await
    .map_err(Fault::from)?;
    if !changed.is_empty() {
        let changed = &changed[..changed.len().min(AT_ONCE)];
        // What cannot be told at once, the outbox tells.
        if let Ok(rows) = connection::with_ids(&desk.db, changed).await {
            let snapshots: Vec<_> = rows.iter().map(|row| convert::snapshot(&desk.ring, row)).collect();
            desk.push.at_once(&desk.db, &snapshots).await;
        }
    }
    Ok(outcomes)
}

async fn take_in(
    desk: &Desk,
    tx: &mut PgConnection,
    reports: &[Report],
) -> Result<(Vec<ReportOutcome>, Vec<Uuid>), Error> {
    let wabas: BTreeSet<&str> = reports.iter().map(|report| report.news.waba_id.as_str()).collect();
    let wabas: Vec<String> = wabas.into_iter().map(str::to_owned).collect();
    let accounts = Accounts::of(store::concerned(tx, &wabas).await?, &desk.ring);
    let mut notes = Notes::default();
    let outcomes = reports
        .iter()
        .map(|report| notes.add(report, &accounts, desk.meta.app_id()))
        .collect::<Result<_, Fault>>()
        .map_err(Error::Refused)?;
    let changed = notes.store(tx).await?;
    if !changed.is_empty() {
        let settled = store::settle(tx, &changed, false).await?;
        tell(tx, &desk.push.names(), HOLD, &settled, &desk.random).await?;
    }
    Ok((outcomes, changed))
}

/// Connections were made, or renewed: what was told of their link before does not count any more. Of what keeps them from sending, the rest still does.
pub(crate) async fn linked(tx: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<()> {
    let link = Told {
        aspect: Aspect::Link,
        occurred_at: NOW,
        word: "CONNECTED".to_owned(),
        detail: String::new(),
        restrictions: Vec::new(),
        state: ConnectionState::Active as i16,
        until: None,
    };
    let told: Vec<_> = ids.iter().map(|id| (*id, link.clone())).collect();
    store::tell(tx, &told).await?;
    store::settle(tx, ids, true).await?;
    Ok(())
}

/// Notes what others are to learn, and writes the audit log.
async fn tell(
    tx: &mut PgConnection,
    targets: &[String],
    hold: Duration,
    settled: &[Settled],
    random: &SharedRandom,
) -> sqlx::Result<()> {
    let (ids, versions) = versions(settled);
    let entries = entries(settled, random);
    outbox::enqueue(tx, targets, &ids, &versions, hold).await?;
    if !entries.is_empty() {
        audit::insert_all(tx, &entries).await?;
    }
    Ok(())
}

fn versions(settled: &[Settled]) -> (Vec<Uuid>, Vec<i64>) {
    settled.iter().map(|settled| (settled.id, settled.version)).unzip()
}

fn entries(settled: &[Settled], random: &SharedRandom) -> Vec<audit::Entry> {
    let changed = settled.iter().filter(|settled| settled.state != settled.before);
    let entries = changed.map(|settled| {
        let deed = Deed {
            actor: META,
            action: "connection.state",
            subject: ConnectionId::from_uuid(settled.id).to_string(),
            detail: json!({
                "before": name(settled.before),
                "state": name(settled.state),
                "reason": settled.state_reason,
            }),
        };
        deed.entry(&**random)
    });
    entries.collect()
}

fn name(state: i16) -> &'static str {
    ConnectionState::try_from(i32::from(state)).map_or("UNKNOWN", convert::state_name)
}

/// The connections of accounts, each with its number's digits; none for one whose number this process cannot open.
#[derive(Debug, Default)]
struct Accounts(HashMap<String, Vec<(Concerned, Option<String>)>>);

// === impl Accounts ===

impl Accounts {
    fn of(concerned: Vec<Concerned>, ring: &KeyRing) -> Self {
        let mut accounts = Self::default();
        for one in concerned {
            let application = ApplicationId::from_uuid(one.application_id);
            let number = sealed::open_number(ring, application, one.id, &one.display_number_sealed).ok();
            let digits = number.map(|number| number.trim_start_matches('+').to_owned());
            accounts.0.entry(one.waba_id.clone()).or_default().push((one, digits));
        }
        accounts
    }

    /// The connections that news concern; with `by_name`, none if they name no number. An error where the number that they name may be one that cannot be opened: they wait for its key.
    fn concerned(&self, news: &AccountNews, by_name: bool) -> Result<Vec<Uuid>, Fault> {
        let all = self.0.get(&news.waba_id).map_or(&[][..], Vec::as_slice);
        let by_number = news.phone_number_id.is_empty() && !news.phone_number.is_empty();
        let known = |(_, digits): &(Concerned, Option<String>)| digits.as_ref() == Some(&news.phone_number);
        if by_number && !all.iter().any(known) && all.iter().any(|(_, digits)| digits.is_none()) {
            return Err(Fault::data_loss("a connection's number"));
        }
        let named = |(one, digits): &&(Concerned, Option<String>)| match (&*news.phone_number_id, &*news.phone_number) {
            ("", "") => !by_name,
            ("", number) => digits.as_deref() == Some(number),
            (id, _) => one.phone_number_id == id,
        };
        Ok(all.iter().filter(named).map(|(one, _)| one.id).collect())
    }
}

// === impl Notes ===

impl Notes {
    fn add(&mut self, report: &Report, accounts: &Accounts, app: &str) -> Result<ReportOutcome, Fault> {
        let Report { news, occurred_at } = report;
        if !accounts.0.contains_key(&news.waba_id) {
            return Ok(ReportOutcome::NoConnection);
        }
        let mut outcome = ReportOutcome::Ignored;
        for said in news::read(news, *occurred_at, app) {
            let by_name = matches!(said, Said::Number(_));
            // A limit is the portfolio's, though a number is named.
            let ids = match &said {
                Said::Limit(_) => accounts.concerned(
                    &AccountNews {
                        waba_id: news.waba_id.clone(),
                        ..AccountNews::default()
                    },
                    false,
                )?,
                Said::Account(_) | Said::Number(_) => accounts.concerned(news, by_name)?,
            };
            if ids.is_empty() {
                outcome = ReportOutcome::NoConnection;
                continue;
            }
            outcome = ReportOutcome::Taken;
            for id in ids {
                self.note(id, said.clone(), *occurred_at);
            }
        }
        Ok(outcome)
    }

    /// Of those of one second the last that came counts.
    fn note(&mut self, id: Uuid, said: Said, at: OffsetDateTime) {
        match said {
            Said::Account(told) | Said::Number(told) => {
                let known = self.told.get(&(id, told.aspect));
                if known.is_none_or(|known| known.occurred_at <= told.occurred_at) {
                    self.told.insert((id, told.aspect), told);
                }
            }
            Said::Limit(word) => {
                if self.limits.get(&id).is_none_or(|(known, _)| *known <= at) {
                    self.limits.insert(id, (at, word));
                }
            }
        }
    }

    /// Gives the connections of which something is known now that was not.
    async fn store(self, tx: &mut PgConnection) -> sqlx::Result<Vec<Uuid>> {
        let mut changed = BTreeSet::new();
        if !self.told.is_empty() {
            let told: Vec<_> = self.told.into_iter().map(|((id, _), told)| (id, told)).collect();
            changed.extend(store::tell(tx, &told).await?);
        }
        if !self.limits.is_empty() {
            let ids: Vec<_> = self.limits.keys().copied().collect();
            let (times, words): (Vec<_>, Vec<_>) = self.limits.into_values().unzip();
            changed.extend(store::limit(tx, &ids, &words, &times).await?);
        }
        Ok(changed.into_iter().collect())
    }
}

/// Lets connections go on whose restriction has ended, for ever. The row says when; replicas share the rows.
#[derive(Debug, Clone)]
pub(crate) struct Resumer {
    pub(crate) db: PgPool,
    pub(crate) random: SharedRandom,
    pub(crate) push: Push,
}

const LOOK: Duration = Duration::from_secs(2);
const AFTER_FAILURE: Duration = Duration::from_secs(10);
const BATCH: i64 = 500;

// === impl Resumer ===

impl Resumer {
    /// Never ends by itself.
    pub(crate) async fn run(self) {
        loop {
            sleep(self.look().await).await;
        }
    }

    /// How long to wait until the next look.
    async fn look(&self) -> Duration {
        let this = self.clone();
        let round = run_tx(&self.db, "connection.resume", async move |tx| this.round(tx).await).await;
        match round.map_err(Fault::from) {
            Ok(true) => Duration::ZERO,
            Ok(false) => LOOK,
            Err(fault) => {
                tracing::warn!(reason = ?fault.reason(), "Connections whose restriction has ended cannot be let go on; will try again");
                AFTER_FAILURE
            }
        }
    }

    /// Whether there may be more.
    async fn round(&self, tx: &mut PgConnection) -> Result<bool, Error> {
        let due = store::due(&mut *tx, BATCH).await?;
        if due.is_empty() {
            return Ok(false);
        }
        let settled = store::settle(&mut *tx, &due, false).await?;
        store::forget_ended(&mut *tx, &due).await?;
        tell(tx, &self.push.names(), Duration::ZERO, &settled, &self.random).await?;
        Ok(due.len() as i64 == BATCH)
    }
}
