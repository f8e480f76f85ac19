use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use outeract_postgres::{Class, Failure, classify, connect, retry, run_tx};
use outeract_testkit::{FaultProxy, TestDatabase, eventually};
use sqlx::{Error, Executor as _, PgConnection, PgPool};

use crate::pool::{address, through};

#[derive(Debug)]
enum Refusal {
    Database(Error),
    Ours,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl Failure for Refusal {
    fn database(&self) -> Option<&Error> {
        match self {
            Self::Database(error) => Some(error),
            Self::Ours => None,
        }
    }
}

async fn count(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM tracking.t")
        .fetch_one(pool)
        .await
        .unwrap()
}

async fn table(db: &TestDatabase) -> PgPool {
    let pool = db.pool("tracking").await;
    super::run(&pool, "CREATE TABLE tracking.t (x int)").await;
    pool
}

/// What Postgres says when two transactions meet.
async fn conflict(conn: &mut PgConnection) -> Result<(), Error> {
    conn.execute("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$")
        .await
        .map(|_| ())
}

#[tokio::test]
async fn conflicts_run_again() {
    let db = TestDatabase::create(&[]).await;
    let pool = table(&db).await;
    let calls = AtomicU32::new(0);
    let answer = run_tx(&pool, "test", async |tx| {
        tx.execute("INSERT INTO tracking.t VALUES (1)").await?;
        if calls.fetch_add(1, Ordering::Relaxed) < 4 {
            conflict(tx).await?;
        }
        Ok::<_, Error>("done")
    })
    .await
    .unwrap();
    assert_eq!(answer, "done");
    assert_eq!(calls.load(Ordering::Relaxed), 5);
    assert_eq!(count(&pool).await, 1, "what conflicted was rolled back");
}

#[tokio::test]
async fn the_fifth_conflict_is_told() {
    let db = TestDatabase::create(&[]).await;
    let pool = table(&db).await;
    let calls = AtomicU32::new(0);
    let error = retry(&pool, "test", async |conn| {
        calls.fetch_add(1, Ordering::Relaxed);
        conflict(conn).await
    })
    .await
    .unwrap_err();
    assert_eq!(classify(&error), Class::Conflict);
    assert_eq!(calls.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn real_serialization_failures_run_again() {
    let db = TestDatabase::create(&[]).await;
    let pool = table(&db).await;
    super::run(&pool, "INSERT INTO tracking.t VALUES (0)").await;
    let tasks = (0..4).map(|_| {
        let pool = pool.clone();
        // Spawned: the futures are `Send`.
        async move {
            run_tx(&pool, "test", async |tx| {
                tx.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE").await?;
                let x: i32 = sqlx::query_scalar("SELECT x FROM tracking.t")
                    .fetch_one(&mut *tx)
                    .await?;
                sqlx::query("UPDATE tracking.t SET x = $1")
                    .bind(x + 1)
                    .execute(&mut *tx)
                    .await?;
                Ok::<_, Error>(())
            })
            .await
        }
    });
    let mut set = tokio::task::JoinSet::new();
    for task in tasks {
        set.spawn(task);
    }
    for outcome in set.join_all().await {
        outcome.unwrap();
    }
    let x: i32 = sqlx::query_scalar("SELECT x FROM tracking.t")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(x, 4);
}

#[tokio::test]
async fn other_errors_roll_back_once() {
    let db = TestDatabase::create(&[]).await;
    let pool = table(&db).await;
    let calls = AtomicU32::new(0);
    let refused = run_tx(&pool, "test", async |tx| {
        calls.fetch_add(1, Ordering::Relaxed);
        tx.execute("INSERT INTO tracking.t VALUES (1)").await?;
        Err::<(), _>(Refusal::Ours)
    })
    .await;
    assert!(matches!(refused, Err(Refusal::Ours)));
    let failed = run_tx(&pool, "test", async |tx| {
        calls.fetch_add(1, Ordering::Relaxed);
        tx.execute("INSERT INTO tracking.t VALUES (1)").await?;
        tx.execute("SELECT 1 / 0").await?;
        Ok::<_, Refusal>(())
    })
    .await;
    assert!(matches!(failed, Err(Refusal::Database(_))));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    assert_eq!(count(&pool).await, 0);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_unknown() {
    let db = TestDatabase::create(&[]).await;
    let direct = table(&db).await;
    let proxy = FaultProxy::start(address(&db)).await;
    let pool = connect(&through(&db, &proxy), "tracking").await.unwrap();
    let watch = async {
        // The commit has landed; its answer is on the way to nowhere.
        eventually(Duration::from_secs(5), async || count(&direct).await == 1).await;
        proxy.reset();
    };
    let calls = AtomicU32::new(0);
    let work = run_tx(&pool, "test", async |tx| {
        calls.fetch_add(1, Ordering::Relaxed);
        tx.execute("INSERT INTO tracking.t VALUES (1)").await?;
        proxy.lose_responses();
        Ok::<_, Error>(())
    });
    let (outcome, ()) = tokio::join!(work, watch);
    assert_eq!(classify(&outcome.unwrap_err()), Class::CommitUnknown);
    assert_eq!(
        calls.load(Ordering::Relaxed),
        1,
        "only the caller may decide to run it again"
    );
    proxy.heal();
    eventually(Duration::from_secs(10), async || {
        sqlx::query("SELECT 1").execute(&pool).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn silence_does_not_last_for_ever() {
    let db = TestDatabase::create(&[]).await;
    let direct = table(&db).await;
    let proxy = FaultProxy::start(address(&db)).await;
    let pool = connect(&through(&db, &proxy), "tracking").await.unwrap();
    proxy.blackhole();
    let outcome = retry(&pool, "test", async |conn| {
        conn.execute("INSERT INTO tracking.t VALUES (1)").await?;
        Ok::<_, Error>(())
    })
    .await;
    assert_eq!(classify(&outcome.unwrap_err()), Class::CommitUnknown);
    assert_eq!(count(&direct).await, 0);
    proxy.heal();
    eventually(Duration::from_secs(10), async || {
        sqlx::query("SELECT 1").execute(&pool).await.is_ok()
    })
    .await;
}
