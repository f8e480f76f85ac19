//! The rules of the send protocol and of what hangs on it, each against a real Postgres.

mod accepting;
mod aside;
mod braking;
mod consenting;
mod evidence;
mod files;
mod lifetime;
mod merging;
mod ownership;
mod plans;
mod quota;
mod receipts;
mod recording;
mod retiring;
mod settling;
mod templates;
mod waiting;

use outeract_testkit::TestDatabase;
use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres};
use uuid::Uuid;

use super::accept::{self, NewMessage};
use super::intent::{self, Begun, Intent};
use super::owner;
use super::record::{Accepted, Missed};

/// A database, and what the tests put there.
pub(super) struct World {
    pub(super) database: TestDatabase,
    pub(super) pool: PgPool,
}

/// The process that owns the number of most tests.
pub(super) const WORKER: Uuid = Uuid::from_u128(0xa11ce);
pub(super) const NUMBER: &str = "106540352242922";
pub(super) const APPLICATION: Uuid = Uuid::from_u128(0xa99);
pub(super) const CONNECTION: Uuid = Uuid::from_u128(0xc0);

/// States as they stand in the tables.
pub(super) const QUEUED: i16 = 1;
pub(super) const SENDING: i16 = 2;
pub(super) const ACCEPTED: i16 = 3;
pub(super) const UNKNOWN: i16 = 4;
pub(super) const FAILED: i16 = 5;

/// Policies as they stand in the tables.
pub(super) const HOLD: i16 = 1;
pub(super) const RESEND: i16 = 2;
pub(super) const FAIL: i16 = 3;

impl World {
    pub(super) async fn new() -> Self {
        let database = TestDatabase::create(&["messaging"]).await;
        let pool = database.pool("messaging").await;
        Self { database, pool }
    }

    pub(super) async fn conn(&self) -> PoolConnection<Postgres> {
        self.pool.acquire().await.expect("a connection")
    }

    /// Stores a message and gives its id.
    pub(super) async fn message(&self, on_unknown: i16) -> Uuid {
        let id = new_id();
        let key = id.as_bytes();
        let message = NewMessage {
            id,
            first: id,
            parts: 1,
            application: APPLICATION,
            connection: CONNECTION,
            contact: Uuid::from_u128(7),
            number: NUMBER,
            key_hash: key,
            fingerprint: key,
            on_unknown,
            priority: 2,
            send_at: None,
            expires_at: None,
            lifetime_seconds: 86_400.0,
            traceparent: None,
            sealed: b"sealed",
        };
        let stored = accept::insert(&mut *self.conn().await, &[message])
            .await
            .expect("stored");
        assert_eq!(stored.len(), 1);
        id
    }

    /// Makes [`WORKER`] the owner of the number and gives the epoch.
    pub(super) async fn own(&self, worker: Uuid) -> i64 {
        let mut conn = self.conn().await;
        owner::introduce(&mut conn, &[NUMBER]).await.expect("introduced");
        let seen = owner::owners(&mut conn).await.expect("owners");
        let epoch = seen.iter().find(|owner| owner.number == NUMBER).expect("known").epoch;
        let acquired = owner::acquire(&mut conn, worker, &[(NUMBER, epoch)])
            .await
            .expect("acquired");
        assert_eq!(acquired.len(), 1);
        acquired[0].epoch
    }

    /// Tries to begin an attempt.
    pub(super) async fn begin(&self, worker: Uuid, epoch: i64, message: Uuid) -> Option<Begun> {
        let intent = Intent {
            number: NUMBER,
            message,
            epoch,
            nonce: Uuid::now_v7(),
        };
        intent::begin(&mut *self.conn().await, worker, &[intent])
            .await
            .expect("no error")
            .pop()
    }

    /// A message whose first attempt has begun.
    pub(super) async fn sending(&self, on_unknown: i16) -> Uuid {
        let epoch = self.own(WORKER).await;
        let message = self.message(on_unknown).await;
        let begun = self.begin(WORKER, epoch, message).await.expect("begun");
        assert_eq!((begun.attempt, begun.tries), (1, 1));
        message
    }

    /// State, attempt, tries and unsettled in the queue, if the message stands there.
    pub(super) async fn queued(&self, message: Uuid) -> Option<(i16, i32, i32, i16)> {
        sqlx::query_as("SELECT state, attempt, tries, unsettled FROM messaging.queue WHERE message_id = $1")
            .bind(message)
            .fetch_optional(self.database.admin())
            .await
            .expect("a row or none")
    }

    /// State, attempt and duplicates at the end; QUEUED and zeros while there is none.
    pub(super) async fn ended(&self, message: Uuid) -> (i16, i32, i16) {
        sqlx::query_as("SELECT state, attempt, duplicates FROM messaging.ending WHERE message_id = $1")
            .bind(message)
            .fetch_optional(self.database.admin())
            .await
            .expect("a row or none")
            .unwrap_or((QUEUED, 0, 0))
    }

    /// Kinds and attempts of the events that wait.
    pub(super) async fn outbox(&self, message: Uuid) -> Vec<(i16, i32)> {
        sqlx::query_as("SELECT kind, attempt FROM messaging.outbox WHERE message_id = $1 ORDER BY kind, attempt")
            .bind(message)
            .fetch_all(self.database.admin())
            .await
            .expect("rows")
    }

    /// Puts a queue row into a state that would take long to reach.
    pub(super) async fn force(&self, message: Uuid, state: i16, attempt: i32, unsettled: i16) {
        let done =
            sqlx::query("UPDATE messaging.queue SET state = $2, attempt = $3, unsettled = $4 WHERE message_id = $1")
                .bind(message)
                .bind(state)
                .bind(attempt)
                .bind(unsettled)
                .execute(self.database.admin())
                .await
                .expect("updated");
        assert_eq!(done.rows_affected(), 1);
    }
}

pub(super) fn new_id() -> Uuid {
    Uuid::now_v7()
}

pub(super) fn acceptance(message: Uuid, attempt: i32, wamid: u8) -> Accepted {
    Accepted {
        number: NUMBER.to_owned(),
        application: APPLICATION,
        message,
        attempt,
        wamid_hash: [wamid; 16],
        wamid_sealed: vec![wamid],
    }
}

pub(super) fn miss(message: Uuid, attempt: i32) -> Missed {
    Missed {
        number: NUMBER.to_owned(),
        message,
        attempt,
        reason: "RECIPIENT_UNREACHABLE",
        meta_code: Some(131_026),
        http_status: Some(400),
        fbtrace: None,
    }
}
