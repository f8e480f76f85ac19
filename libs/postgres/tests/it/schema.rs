use outeract_postgres::{SchemaError, check_schema, migrate};
use outeract_testkit::TestDatabase;
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

fn migrator(migrations: &[(i64, &'static str)]) -> Migrator {
    let up = |&(version, sql): &(i64, &'static str)| {
        Migration::new(
            version,
            format!("m{version}").into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    };
    let mut migrator = Migrator::with_migrations(migrations.iter().map(up).collect());
    migrator.dangerous_set_table_name("tracking._sqlx_migrations");
    migrator
}

const ONE: (i64, &str) = (
    1,
    "CREATE TABLE tracking.one AS SELECT current_setting('statement_timeout') AS timeout",
);
const TWO: (i64, &str) = (2, "CREATE TABLE tracking.two (x int)");

#[tokio::test]
async fn only_the_schema_that_is_known_is_accepted() {
    let db = TestDatabase::create(&[]).await;
    let pool = db.pool("tracking").await;
    let (old, new) = (migrator(&[ONE]), migrator(&[ONE, TWO]));

    assert!(matches!(check_schema(&pool, &old).await, Err(SchemaError::Missing(versions, _)) if versions == [1]));
    migrate(&pool, &old).await.unwrap();
    check_schema(&pool, &old).await.unwrap();
    assert!(matches!(check_schema(&pool, &new).await, Err(SchemaError::Missing(versions, _)) if versions == [2]));

    migrate(&pool, &new).await.unwrap();
    migrate(&pool, &new).await.unwrap();
    check_schema(&pool, &new).await.unwrap();
    assert!(matches!(check_schema(&pool, &old).await, Err(SchemaError::Newer(versions, _)) if versions == [2]));
    assert!(matches!(migrate(&pool, &old).await, Err(SchemaError::Newer(versions, _)) if versions == [2]));

    let edited = migrator(&[(1, "SELECT 1"), TWO]);
    assert!(matches!(
        check_schema(&pool, &edited).await,
        Err(SchemaError::Changed(1, _))
    ));
    assert!(matches!(migrate(&pool, &edited).await, Err(SchemaError::Changed(1, _))));

    let timeout: String = sqlx::query_scalar("SELECT timeout FROM tracking.one")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(timeout, "0", "a migration may take long");
}

#[tokio::test]
async fn migrators_take_turns() {
    let db = TestDatabase::create(&[]).await;
    let pool = db.pool("tracking").await;
    let migrator = migrator(&[(1, "SELECT pg_sleep(0.3); CREATE TABLE tracking.one (x int)"), TWO]);
    let (one, two, three) = tokio::join!(
        migrate(&pool, &migrator),
        migrate(&pool, &migrator),
        migrate(&pool, &migrator)
    );
    one.unwrap();
    two.unwrap();
    three.unwrap();
    check_schema(&pool, &migrator).await.unwrap();
}

#[tokio::test]
async fn a_failed_migration_leaves_nothing() {
    let db = TestDatabase::create(&[]).await;
    let pool = db.pool("tracking").await;
    let broken = migrator(&[ONE, (2, "CREATE TABLE tracking.two (x int); SELECT 1 / 0")]);
    assert!(matches!(migrate(&pool, &broken).await, Err(SchemaError::Migrate(_))));
    assert!(matches!(check_schema(&pool, &broken).await, Err(SchemaError::Missing(versions, _)) if versions == [2]));
    // And no lock: the repaired one passes.
    migrate(&pool, &migrator(&[ONE, TWO])).await.unwrap();
}
