use outeract_postgres::{Class, Summary, classify};
use outeract_testkit::TestDatabase;
use sqlx::{Error, Executor as _, PgPool};

async fn error(pool: &PgPool, sql: &'static str) -> Error {
    pool.execute(sql).await.unwrap_err()
}

#[tokio::test]
async fn errors_of_the_server_are_sorted() {
    let db = TestDatabase::create(&[]).await;
    let pool = db.pool("tracking").await;
    super::run(
        &pool,
        "CREATE TABLE tracking.t (x int PRIMARY KEY CHECK (x < 100)); INSERT INTO tracking.t VALUES (1)",
    )
    .await;
    for (sql, class) in [
        ("INSERT INTO tracking.t VALUES (1)", Class::Data),
        ("INSERT INTO tracking.t VALUES (100)", Class::Data),
        ("SELECT 'not a number +4915112345678'::int", Class::Data),
        ("SELECT 1 / 0", Class::Data),
        ("DO $$ BEGIN RAISE EXCEPTION 'no'; END $$", Class::Data),
        ("SELECT * FROM tracking.nothing", Class::Bug),
        ("SELEC", Class::Bug),
        ("SELECT * FROM webhook.t", Class::Bug),
        (
            "SET statement_timeout = '20ms'; SELECT pg_sleep(10)",
            Class::Unavailable,
        ),
        (
            "SET LOCAL transaction_read_only = on; DELETE FROM tracking.t",
            Class::Unavailable,
        ),
    ] {
        let pool = db.pool("tracking").await;
        assert_eq!(classify(&error(&pool, sql).await), class, "{sql}");
    }
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_unavailable() {
    let db = TestDatabase::create(&[]).await;
    let mut conn = db.pool("tracking").await.acquire().await.unwrap();
    conn.execute("SET statement_timeout = '20ms'").await.unwrap();
    let late = conn.execute("SELECT pg_sleep(10)").await.unwrap_err();
    assert_eq!(classify(&late), Class::Unavailable);
}

#[tokio::test]
async fn a_lock_waited_for_too_long_is_unavailable() {
    let db = TestDatabase::create(&[]).await;
    let pool = db.pool("tracking").await;
    super::run(&pool, "CREATE TABLE tracking.t (x int)").await;
    let mut holder = pool.begin().await.unwrap();
    holder.execute("LOCK TABLE tracking.t").await.unwrap();
    let late = error(&pool, "SET lock_timeout = '20ms'; SELECT * FROM tracking.t").await;
    assert_eq!(classify(&late), Class::Unavailable);
}

#[tokio::test]
async fn a_killed_session_may_have_committed() {
    let db = TestDatabase::create(&[]).await;
    let pool = db.pool("tracking").await;
    let killed = error(&pool, "SELECT pg_terminate_backend(pg_backend_pid())").await;
    assert_eq!(classify(&killed), Class::CommitUnknown);
}

#[tokio::test]
async fn summaries_hold_no_values() {
    let db = TestDatabase::create(&[]).await;
    let pool = db.pool("tracking").await;
    let quoted = error(&pool, "SELECT 'not a number +4915112345678'::int").await;
    assert!(
        quoted.to_string().contains("+4915112345678"),
        "Postgres quotes values: {quoted}"
    );
    assert_eq!(Summary(&quoted).to_string(), "postgres error 22P02");
    super::run(
        &pool,
        "CREATE TABLE tracking.t (x text CONSTRAINT t_key UNIQUE); INSERT INTO tracking.t VALUES ('+49')",
    )
    .await;
    let twice = error(&pool, "INSERT INTO tracking.t VALUES ('+49')").await;
    assert_eq!(Summary(&twice).to_string(), "postgres error 23505 on t by t_key");
}
