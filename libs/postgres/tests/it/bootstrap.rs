use outeract_postgres::{Passwords, SERVICES, bootstrap};
use outeract_testkit::TestDatabase;
use sqlx::{Executor as _, PgPool};

async fn code(pool: &PgPool, sql: &'static str) -> Option<String> {
    let error = pool.execute(sql).await.err()?;
    error.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}

#[tokio::test]
async fn no_role_sees_another_schema() {
    let db = TestDatabase::create(&[]).await;
    for (service, ddl) in [
        (
            "connection",
            "CREATE TABLE connection.mine (x int); CREATE FUNCTION connection.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        ),
        (
            "messaging",
            "CREATE TABLE messaging.mine (x int); CREATE FUNCTION messaging.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        ),
        (
            "webhook",
            "CREATE TABLE webhook.mine (x int); CREATE FUNCTION webhook.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        ),
        (
            "tracking",
            "CREATE TABLE tracking.mine (x int); CREATE FUNCTION tracking.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        ),
    ] {
        super::run(&db.pool(service).await, ddl).await;
    }
    let touches = [
        (
            "connection",
            "SELECT * FROM connection.mine",
            "INSERT INTO connection.mine VALUES (1)",
            "SELECT connection.f()",
        ),
        (
            "messaging",
            "SELECT * FROM messaging.mine",
            "INSERT INTO messaging.mine VALUES (1)",
            "SELECT messaging.f()",
        ),
        (
            "webhook",
            "SELECT * FROM webhook.mine",
            "INSERT INTO webhook.mine VALUES (1)",
            "SELECT webhook.f()",
        ),
        (
            "tracking",
            "SELECT * FROM tracking.mine",
            "INSERT INTO tracking.mine VALUES (1)",
            "SELECT tracking.f()",
        ),
    ];
    for role in SERVICES {
        let pool = db.pool(role).await;
        for (owner, read, write, call) in touches {
            for sql in [read, write, call] {
                let expected = (role != owner).then(|| "42501".to_owned());
                assert_eq!(code(&pool, sql).await, expected, "{role}: {sql}");
            }
        }
        for sql in [
            "CREATE TABLE public.x (x int)",
            "CREATE SCHEMA mine",
            "CREATE TEMP TABLE x (x int)",
            "SET ROLE postgres",
        ] {
            assert_eq!(code(&pool, sql).await.as_deref(), Some("42501"), "{role}: {sql}");
        }
    }
}

#[tokio::test]
async fn unqualified_names_are_not_found() {
    let db = TestDatabase::create(&[]).await;
    let pool = db.pool("tracking").await;
    super::run(&pool, "CREATE TABLE tracking.mine (x int)").await;
    assert_eq!(code(&pool, "SELECT * FROM mine").await.as_deref(), Some("42P01"));
}

#[tokio::test]
async fn may_be_repeated_and_raced() {
    let db = TestDatabase::create(&[]).await;
    let (mut one, mut two) = (db.admin().acquire().await.unwrap(), db.admin().acquire().await.unwrap());
    let nobody = Passwords::default();
    for _ in 0..3 {
        let (first, second) = tokio::join!(bootstrap(&mut one, &nobody), bootstrap(&mut two, &nobody));
        first.unwrap();
        second.unwrap();
    }
    let set: String = sqlx::query_scalar("SELECT current_setting('outeract.tracking_password', true)")
        .fetch_one(&mut *one)
        .await
        .unwrap();
    assert_eq!(set, "", "a password stays in its transaction");
}

#[tokio::test]
async fn needs_no_superuser() {
    let db = TestDatabase::create(&[]).await;
    // A stranger who may create roles and owns the database. Everything is rolled back: roles belong to the cluster.
    let mut tx = db.admin().begin().await.unwrap();
    tx.execute(
        "CREATE ROLE outeract_bootstrapper CREATEROLE;
         DROP SCHEMA tracking CASCADE;
         DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO outeract_bootstrapper', current_database()); END $$;
         ALTER SCHEMA public OWNER TO outeract_bootstrapper;
         SET LOCAL ROLE outeract_bootstrapper",
    )
    .await
    .unwrap();
    bootstrap(&mut tx, &Passwords::default()).await.unwrap();
    let owner: String =
        sqlx::query_scalar("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'tracking'")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
    assert_eq!(owner, "outeract_tracking");
    let member: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_auth_members WHERE member = 'outeract_bootstrapper'::regrole AND NOT admin_option)",
    )
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    assert!(!member, "it is no member of the services' roles afterwards");
}
