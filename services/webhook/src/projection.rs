//! What the connection service says of connections, taken over into routes; and the start of un-parking for numbers that can be routed now.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use outeract_clock::SharedRandom;
use outeract_domain::{PhoneNumberId, WabaId};
use outeract_postgres::{Summary, run_tx};
use outeract_proto::connection::internal::v1::connection_internal_service_client::ConnectionInternalServiceClient;
use outeract_proto::connection::internal::v1::{ConnectionSnapshot, ListConnectionStatesRequest};
use outeract_rpc::{Channel, Violation};
use outeract_seal::KeyRing;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::board::Board;
use crate::sealed;
use crate::store::{park, route};

/// How often everything is asked again: it repairs what a lost push left behind.
const PULL_EVERY: Duration = Duration::from_secs(30);
/// Connections per page, and per transaction.
const PAGE: i32 = 500;

/// Takes over snapshots of connections.
#[derive(Clone)]
pub(crate) struct Projection {
    /// The database.
    pub db: PgPool,
    /// Seals phone numbers.
    pub keyring: Arc<KeyRing>,
    /// Gives nonces.
    pub random: SharedRandom,
    /// Wakes un-parking.
    pub board: Arc<Board>,
}

/// Why a pull failed.
#[derive(Debug, thiserror::Error)]
enum PullError {
    #[error("the connection service answered {0:?}")]
    Call(tonic::Code),
    #[error("{}", Summary(.0))]
    Database(#[from] sqlx::Error),
    #[error("the connection service sent a snapshot whose {0} is not valid")]
    Malformed(String),
}

// === impl Projection ===

impl Projection {
    /// Takes over snapshots that were checked. Those that are known already cost one read.
    pub(crate) async fn take(&self, snapshots: Vec<Snapshot>) -> sqlx::Result<()> {
        let newest = newest(snapshots);
        if newest.is_empty() {
            return Ok(());
        }
        let this = self.clone();
        let started = run_tx(&self.db, "route.take", async move |connection| {
            this.take_in(connection, &newest).await
        })
        .await?;
        if started > 0 {
            self.board.unparked();
        }
        Ok(())
    }

    /// Returns how many numbers began to be un-parked.
    async fn take_in(&self, connection: &mut PgConnection, newest: &HashMap<Uuid, Snapshot>) -> sqlx::Result<u64> {
        let (ids, versions): (Vec<_>, Vec<_>) = newest.values().map(|new| (new.connection_id, new.version)).unzip();
        let news = route::changes(&mut *connection, &ids, &versions).await?;
        if news.is_empty() {
            return Ok(0);
        }
        let changed = || news.iter().filter_map(|change| newest.get(&change.connection_id));
        let old = news.iter().filter_map(|change| change.old_number.clone());
        let numbers: BTreeSet<String> = changed().map(|new| new.phone_number_id.clone()).chain(old).collect();
        let numbers: Vec<String> = numbers.into_iter().collect();
        // Whoever parks an item of these numbers did so before, and is seen below; or waits here, and then sees the new routes.
        park::lock_numbers(&mut *connection, &numbers).await?;
        let columns = self.columns(changed());
        route::upsert(&mut *connection, &columns).await?;
        park::start(connection, &numbers).await
    }

    fn columns<'a>(&self, snapshots: impl Iterator<Item = &'a Snapshot>) -> route::Snapshots {
        let mut columns = route::Snapshots::default();
        for new in snapshots {
            let place = sealed::display_number(new.application_id, new.connection_id.as_bytes());
            columns
                .display_numbers
                .push(self.keyring.seal(&place, new.display_number.as_bytes(), &*self.random));
            columns.connection_ids.push(new.connection_id);
            columns.application_ids.push(new.application_id);
            columns.versions.push(new.version);
            columns.waba_ids.push(new.waba_id.clone());
            columns.phone_number_ids.push(new.phone_number_id.clone());
            columns.states.push(new.state);
        }
        columns
    }

    /// Asks for everything now and every 30 seconds.
    pub(crate) async fn pull(self, channel: Channel) {
        let mut client = ConnectionInternalServiceClient::new(channel);
        let mut every = tokio::time::interval(PULL_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let pulled = self.pull_all(&mut client).await;
            metrics::counter!("webhook_connection_pulls_total", "outcome" => if pulled.is_ok() { "done" } else { "failed" }).increment(1);
            if let Err(error) = pulled {
                tracing::warn!(%error, "Connections could not be asked for; routes stay as they were last known");
            }
        }
    }

    async fn pull_all(&self, client: &mut ConnectionInternalServiceClient<Channel>) -> Result<(), PullError> {
        let mut page_token = String::new();
        loop {
            let request = ListConnectionStatesRequest {
                page_size: PAGE,
                page_token,
            };
            let page = client
                .list_connection_states(request)
                .await
                .map_err(|status| PullError::Call(status.code()))?
                .into_inner();
            let checked: Result<Vec<_>, _> = page.connections.into_iter().map(Snapshot::check).collect();
            self.take(checked.map_err(|violation| PullError::Malformed(violation.path))?)
                .await?;
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(());
            }
        }
    }
}

/// A snapshot of a connection, checked.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    connection_id: Uuid,
    application_id: Uuid,
    version: i64,
    waba_id: String,
    phone_number_id: String,
    state: i16,
    display_number: String,
}

// === impl Snapshot ===

impl Snapshot {
    /// The snapshot, if its ids are ids. A state of a newer version is taken over: it routes nothing until this version learns of it.
    pub(crate) fn check(raw: ConnectionSnapshot) -> Result<Self, Violation> {
        let id = |field: &str, bytes: &[u8]| {
            Uuid::from_slice(bytes).map_err(|_| Violation::new(field, "must be the 16 bytes of a UUID"))
        };
        let digits = |field: &str| Violation::new(field, "must be 1 to 32 digits");
        raw.waba_id.parse::<WabaId>().map_err(|_| digits("waba_id"))?;
        raw.phone_number_id
            .parse::<PhoneNumberId>()
            .map_err(|_| digits("phone_number_id"))?;
        if raw.display_phone_number.len() > 32 {
            return Err(Violation::new("display_phone_number", "must be at most 32 characters"));
        }
        Ok(Self {
            connection_id: id("connection_id", &raw.connection_id)?,
            application_id: id("application_id", &raw.application_id)?,
            version: raw.version,
            waba_id: raw.waba_id,
            phone_number_id: raw.phone_number_id,
            state: i16::try_from(raw.state).map_err(|_| Violation::new("state", "must be a small number"))?,
            display_number: raw.display_phone_number,
        })
    }
}

/// One snapshot per connection: the highest version.
fn newest(snapshots: Vec<Snapshot>) -> HashMap<Uuid, Snapshot> {
    let mut newest: HashMap<Uuid, Snapshot> = HashMap::with_capacity(snapshots.len());
    for snapshot in snapshots {
        match newest.entry(snapshot.connection_id) {
            std::collections::hash_map::Entry::Occupied(known) if known.get().version >= snapshot.version => {}
            std::collections::hash_map::Entry::Occupied(mut known) => {
                known.insert(snapshot);
            }
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(snapshot);
            }
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw() -> ConnectionSnapshot {
        ConnectionSnapshot {
            connection_id: vec![1; 16],
            application_id: vec![2; 16],
            version: 1,
            waba_id: "10".to_owned(),
            phone_number_id: "20".to_owned(),
            state: 1,
            ..ConnectionSnapshot::default()
        }
    }

    #[test]
    fn ids_are_checked_and_named() {
        assert!(Snapshot::check(raw()).is_ok());
        let broken = [
            (
                "connection_id",
                ConnectionSnapshot {
                    connection_id: vec![1; 15],
                    ..raw()
                },
            ),
            (
                "application_id",
                ConnectionSnapshot {
                    application_id: Vec::new(),
                    ..raw()
                },
            ),
            (
                "waba_id",
                ConnectionSnapshot {
                    waba_id: "1a".to_owned(),
                    ..raw()
                },
            ),
            (
                "phone_number_id",
                ConnectionSnapshot {
                    phone_number_id: String::new(),
                    ..raw()
                },
            ),
        ];
        for (path, snapshot) in broken {
            assert_eq!(Snapshot::check(snapshot).expect_err(path).path, path);
        }
    }

    #[test]
    fn the_highest_version_of_a_connection_is_kept() {
        let at = |version| Snapshot::check(ConnectionSnapshot { version, ..raw() }).expect("valid");
        let kept = newest(vec![at(2), at(3), at(1)]);
        assert_eq!(kept.values().map(|snapshot| snapshot.version).collect::<Vec<_>>(), [3]);
    }
}
