use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use outeract_postgres::SERVICES;
use outeract_testkit::{TestDatabase, database_url};
use sqlx::{Connection as _, Executor as _, PgConnection};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

async fn exists(name: &str) -> bool {
    let mut conn = PgConnection::connect(database_url().expose()).await.unwrap();
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(&mut conn)
        .await
        .unwrap()
}

async fn name(db: &TestDatabase) -> String {
    sqlx::query_scalar("SELECT current_database()::text")
        .fetch_one(db.admin())
        .await
        .unwrap()
}

#[tokio::test]
async fn databases_are_apart_and_go_with_their_value() {
    let (one, two) = tokio::join!(TestDatabase::create(&[]), TestDatabase::create(&[]));
    let names = [name(&one).await, name(&two).await];
    assert_ne!(names[0], names[1]);
    one.pool("tracking")
        .await
        .execute("CREATE TABLE tracking.t (x int)")
        .await
        .unwrap();
    assert!(
        two.pool("tracking")
            .await
            .execute("SELECT * FROM tracking.t")
            .await
            .is_err()
    );
    // Connections that are open do not keep it.
    let pool = one.pool("webhook").await;
    drop(one);
    assert!(!exists(&names[0]).await && exists(&names[1]).await);
    assert!(pool.execute("SELECT 1").await.is_err());
}

#[tokio::test]
async fn roles_are_the_services() {
    let db = TestDatabase::create(&[]).await;
    let role: String = sqlx::query_scalar("SELECT current_user::text")
        .fetch_one(&db.pool("messaging").await)
        .await
        .unwrap();
    assert_eq!(role, "outeract_messaging");
    let role: bool = sqlx::query_scalar("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        .fetch_one(db.admin())
        .await
        .unwrap();
    assert!(role);
}

#[tokio::test]
async fn the_migrations_of_all_services_apply_together() {
    let db = TestDatabase::create_all().await;
    for service in SERVICES {
        let clock: bool = sqlx::query_scalar("SELECT to_regprocedure($1) IS NOT NULL")
            .bind(format!("{service}.now_()"))
            .fetch_one(db.admin())
            .await
            .unwrap();
        assert!(clock, "{service}.now_() is missing");
    }
}

#[tokio::test]
async fn the_clock_of_the_schemas_is_the_test_s() {
    let db = TestDatabase::create(&[]).await;
    let pool = db.pool("tracking").await;
    pool.execute("CREATE FUNCTION tracking.now_() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE AS 'SELECT clock_timestamp()'")
        .await
        .unwrap();
    let now = async || {
        sqlx::query_scalar::<_, OffsetDateTime>("SELECT tracking.now_()")
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    let real = now().await;
    db.advance(Duration::hours(30)).await;
    let ahead = now().await - real;
    assert!(ahead >= Duration::hours(30) && ahead < Duration::hours(31), "{ahead}");
    assert!(now().await < now().await, "it runs on");

    let noon = datetime!(2026-02-28 12:00:00.123456 UTC);
    db.set_time(noon).await;
    assert_eq!(now().await, noon);
    db.advance(Duration::microseconds(1)).await;
    assert_eq!(now().await, noon + Duration::microseconds(1));
    db.advance(Duration::days(-1)).await;
    assert_eq!(now().await, noon + Duration::microseconds(1) - Duration::days(1));

    // It is still the service's own function.
    pool.execute("DROP FUNCTION tracking.now_()").await.unwrap();
}

#[tokio::test]
#[should_panic(expected = "there is no service billing")]
async fn unknown_services_are_said() {
    TestDatabase::create(&["billing"]).await;
}

/// Runs one of the ignored tests below in a process of its own.
fn child(test: &str) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn printed_name(child: &mut std::process::Child) -> String {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines
        .map(Result::unwrap)
        .find_map(|line| line.split_once("database=").map(|(_, name)| name.to_owned()))
        .unwrap()
}

#[tokio::test]
async fn what_a_killed_run_left_is_dropped_by_the_next() {
    let mut killed = child("database::holds_a_database");
    let left = printed_name(&mut killed);
    let mut alive = child("database::holds_a_database");
    let held = printed_name(&mut alive);
    assert!(exists(&left).await, "a living run keeps its own");
    killed.kill().unwrap();
    killed.wait().unwrap();

    // The server needs a moment to see that the process is gone.
    outeract_testkit::eventually(std::time::Duration::from_secs(30), async || {
        let mut next = child("database::holds_a_database");
        printed_name(&mut next);
        drop(next.stdin.take());
        next.wait().unwrap();
        !exists(&left).await
    })
    .await;
    assert!(exists(&held).await);
    drop(alive.stdin.take());
    alive.wait().unwrap();
    assert!(!exists(&held).await, "and drops it at its end");
}

#[tokio::test]
#[ignore = "run in a process of its own by the test above"]
async fn holds_a_database() {
    let db = TestDatabase::create(&[]).await;
    println!("database={}", name(&db).await);
    // Until the other side closes it.
    let _ = std::io::stdin().read(&mut [0]);
}
