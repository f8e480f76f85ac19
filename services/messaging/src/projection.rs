//! What is known of connections: pushed by the connection service, kept in the database, served from memory.
//!
//! A push reaches one process; the others see it in the database within [`Timing::refresh`](crate::config::Timing), and a pull of everything repairs what a lost push left behind.

mod brakes;
mod holds;
mod keep;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use outeract_domain::{ApplicationId, ConnectionId, PhoneNumberId};
use outeract_events::timestamp;
use outeract_proto::connection::internal::v1::ConnectionSnapshot;
use outeract_proto::connection::v1::{AutoMarkRead, ConnectionState};
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::sync::watch;
use uuid::Uuid;

use crate::limits::tier;
use crate::store::{DbError, connection as store, quota, run};
use crate::vault::Vault;

use self::brakes::Brakes;
use self::holds::Holds;

pub(crate) use self::brakes::{Brake, keep_brakes};
pub(crate) use self::holds::keep_holds;
pub(crate) use self::keep::{Keeper, keep};

/// A connection.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub id: ConnectionId,
    pub application: ApplicationId,
    pub version: i64,
    pub token_version: i64,
    pub state: ConnectionState,
    pub paused: bool,
    /// Messages from users are marked as read as soon as they are received.
    pub auto_mark_read: bool,
    /// Meta lets nothing be sent outside windows.
    pub restricted_outside: bool,
    pub throughput_per_second: u32,
    pub number: PhoneNumberId,
    pub waba: String,
    /// The portfolio whose quota counts: the one that owns the WABA or, while that is not known, the WABA itself.
    pub portfolio: Arc<str>,
    /// The business number in E.164 form.
    pub display_number: String,
}

/// Every connection. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Projection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: PgPool,
    vault: Vault,
    known: RwLock<Known>,
    holds: RwLock<Holds>,
    brakes: Brakes,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    by_id: HashMap<Uuid, Arc<Connection>>,
    /// The connections of each number: mostly one.
    by_number: HashMap<String, Vec<Arc<Connection>>>,
}

/// Meta's default, where the connection service does not know better.
const DEFAULT_THROUGHPUT: u32 = 80;

// === impl Connection ===

impl Connection {
    /// Meta can be called.
    pub(crate) fn is_active(&self) -> bool {
        self.state == ConnectionState::Active
    }

    /// Messages are taken, and sent sooner or later: what Meta forbids for a while waits until it is allowed.
    pub(crate) fn takes(&self) -> bool {
        self.is_active() || self.state == ConnectionState::Restricted
    }

    /// Messages can be sent now, as far as the connection goes.
    pub(crate) fn sends(&self) -> bool {
        self.is_active() && !self.paused
    }

    /// Why not, in words of the contract.
    pub(crate) fn obstacle(&self) -> &'static str {
        match self.state {
            ConnectionState::Active if self.paused => "PAUSED",
            ConnectionState::Active => "ACTIVE",
            ConnectionState::NeedsReauth => "NEEDS_REAUTH",
            ConnectionState::Restricted => "RESTRICTED",
            ConnectionState::Disconnected => "DISCONNECTED",
            ConnectionState::Unspecified => "UNKNOWN",
        }
    }
}

// === impl Projection ===

impl Projection {
    pub(crate) fn new(db: PgPool, vault: Vault) -> Self {
        Self(Arc::new(Inner {
            db,
            vault,
            known: RwLock::default(),
            holds: RwLock::default(),
            brakes: Brakes::default(),
            changes: watch::Sender::new(0),
        }))
    }

    /// The connection, from memory or, when it is new here, from the database.
    pub(crate) async fn get(&self, id: ConnectionId) -> Result<Option<Arc<Connection>>, DbError> {
        if let Some(connection) = self.known(id.uuid()) {
            return Ok(Some(connection));
        }
        let Some(row) = run!(self.0.db, "connection.get", |conn| store::get(conn, id.uuid()))? else {
            return Ok(None);
        };
        self.learn(vec![row]);
        Ok(self.known(id.uuid()))
    }

    /// The connection, if it is in memory.
    pub(crate) fn known(&self, id: Uuid) -> Option<Arc<Connection>> {
        self.0
            .known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .by_id
            .get(&id)
            .cloned()
    }

    /// The connection that sends from `number`, or would if it were active.
    pub(crate) fn of_number(&self, number: &str) -> Option<Arc<Connection>> {
        self.0
            .known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .of_number(number)
            .cloned()
    }

    /// The portfolio that a WABA belongs to, as [`Connection::portfolio`] has it.
    pub(crate) fn portfolio_of(&self, waba: &str) -> Option<Arc<str>> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut of_it = known.by_id.values().filter(|connection| connection.waba == waba);
        let first = of_it.next()?;
        // Of several the one that knows.
        let best = std::iter::once(first)
            .chain(of_it)
            .find(|connection| *connection.portfolio != *waba);
        Some(Arc::clone(&best.unwrap_or(first).portfolio))
    }

    /// Every number, with its connection.
    pub(crate) fn numbers(&self) -> Vec<Arc<Connection>> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        known
            .by_number
            .keys()
            .filter_map(|number| known.of_number(number).cloned())
            .collect()
    }

    /// The active connections of the account, the youngest first.
    pub(crate) fn of_account(&self, waba: &str) -> Vec<Arc<Connection>> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        let of_account = known.by_id.values().filter(|connection| connection.waba == waba);
        let mut active: Vec<_> = of_account
            .filter(|connection| connection.is_active())
            .cloned()
            .collect();
        active.sort_unstable_by_key(|connection| std::cmp::Reverse(connection.id));
        active
    }

    /// The accounts that have an active connection.
    pub(crate) fn accounts(&self) -> HashSet<String> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        let active = known.by_id.values().filter(|connection| connection.is_active());
        active.map(|connection| connection.waba.clone()).collect()
    }

    /// Follows changes.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Takes snapshots over, newer ones only: into the database, then into memory.
    pub(crate) async fn take_over(&self, snapshots: Vec<ConnectionSnapshot>) -> Result<(), TakeOverError> {
        let mut rows = snapshots
            .into_iter()
            .enumerate()
            .map(|(index, snapshot)| {
                self.row(snapshot)
                    .map_err(|field| TakeOverError::Malformed(format!("connections[{index}].{field}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        // Overlapping pushes must not wait for each other in a circle; of two snapshots of one connection the newer counts.
        rows.sort_by(|one, other| {
            let (one, other) = (&one.connection, &other.connection);
            (one.id, other.version).cmp(&(other.id, one.version))
        });
        rows.dedup_by_key(|row| row.connection.id);
        let owners = run!(self.0.db, "connection.take_over", |conn| store::take_over(conn, &rows))?;
        for (waba, portfolio) in &owners {
            run!(self.0.db, "quota.join", |conn| quota::join(conn, waba, portfolio))?;
        }
        self.learn(rows.into_iter().map(|row| row.connection).collect());
        Ok(())
    }

    /// Learns what other processes wrote since `since`. Gives the database's time to go on from.
    pub(crate) async fn refresh(&self, since: OffsetDateTime) -> Result<OffsetDateTime, DbError> {
        let (rows, now) = run!(self.0.db, "connection.changed", |conn| store::changed(conn, since))?;
        self.learn(rows);
        Ok(now)
    }

    fn row(&self, snapshot: ConnectionSnapshot) -> Result<store::Snapshot, &'static str> {
        let id = ConnectionId::from_slice(&snapshot.connection_id).ok_or("connection_id")?;
        let application = ApplicationId::from_slice(&snapshot.application_id).ok_or("application_id")?;
        let number: PhoneNumberId = snapshot.phone_number_id.parse().map_err(|_| "phone_number_id")?;
        // A word that is not known here says nothing of the limit.
        let limit = tier(&snapshot.messaging_limit).zip(snapshot.messaging_limit_time.as_ref());
        let limit = match limit {
            Some((tier, at)) => Some((
                tier.unique_users(),
                timestamp::from_proto(at).ok_or("messaging_limit_time")?,
            )),
            None => None,
        };
        let connection = store::Connection {
            id: id.uuid(),
            application: application.uuid(),
            version: snapshot.version,
            token_version: snapshot.token_version,
            throughput_per_second: snapshot.throughput_per_second,
            state: i16::try_from(snapshot.state).map_err(|_| "state")?,
            paused: snapshot.paused,
            auto_mark_read: snapshot.auto_mark_read == i32::from(AutoMarkRead::OnReceived),
            restricted_outside: snapshot.restricted_outside_windows,
            waba_id: snapshot.waba_id,
            phone_number_id: number.to_string(),
            display_number_sealed: self.0.vault.seal_display_number(
                application.uuid(),
                id,
                &snapshot.display_phone_number,
            ),
            portfolio_id: snapshot.portfolio_id,
        };
        Ok(store::Snapshot { connection, limit })
    }

    fn learn(&self, rows: Vec<store::Connection>) {
        let mut changed = false;
        for row in rows {
            if self.known(row.id).is_some_and(|known| known.version >= row.version) {
                continue;
            }
            match self.connection(&row) {
                Ok(connection) => {
                    let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
                    changed |= known.insert(Arc::new(connection));
                }
                Err(cause) => {
                    tracing::error!(connection.id = %ConnectionId::from_uuid(row.id), %cause, "A connection cannot be read");
                }
            }
        }
        if changed {
            self.0.changes.send_modify(|count| *count += 1);
        }
    }

    fn connection(&self, row: &store::Connection) -> Result<Connection, crate::vault::Unreadable> {
        Ok(Connection {
            id: ConnectionId::from_uuid(row.id),
            application: ApplicationId::from_uuid(row.application),
            version: row.version,
            token_version: row.token_version,
            // A state that this version does not know is not one that sends.
            state: ConnectionState::try_from(i32::from(row.state)).unwrap_or(ConnectionState::Unspecified),
            paused: row.paused,
            auto_mark_read: row.auto_mark_read,
            restricted_outside: row.restricted_outside,
            throughput_per_second: u32::try_from(row.throughput_per_second)
                .ok()
                .filter(|rate| *rate > 0)
                .unwrap_or(DEFAULT_THROUGHPUT),
            number: row
                .phone_number_id
                .parse()
                .map_err(|_| crate::vault::Unreadable::Form)?,
            waba: row.waba_id.clone(),
            portfolio: Arc::from(row.portfolio()),
            display_number: self
                .0
                .vault
                .open_display_number(row.application, row.id, &row.display_number_sealed)?,
        })
    }
}

/// Snapshots were not taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeOverError {
    /// A field is malformed: its path.
    #[error("{0} is malformed")]
    Malformed(String),
    #[error(transparent)]
    Database(#[from] DbError),
}

// === impl Known ===

impl Known {
    /// True: something changed.
    fn insert(&mut self, connection: Arc<Connection>) -> bool {
        let id = connection.id.uuid();
        if self
            .by_id
            .get(&id)
            .is_some_and(|known| known.version >= connection.version)
        {
            return false;
        }
        if let Some(before) = self.by_id.insert(id, Arc::clone(&connection))
            && let Some(siblings) = self.by_number.get_mut(before.number.as_str())
        {
            siblings.retain(|sibling| sibling.id != before.id);
            if siblings.is_empty() {
                self.by_number.remove(before.number.as_str());
            }
        }
        self.by_number
            .entry(connection.number.to_string())
            .or_default()
            .push(connection);
        true
    }

    /// Of a number's connections the active one counts, else the youngest.
    fn of_number(&self, number: &str) -> Option<&Arc<Connection>> {
        self.by_number
            .get(number)?
            .iter()
            .max_by_key(|connection| (connection.state == ConnectionState::Active, connection.id))
    }
}
