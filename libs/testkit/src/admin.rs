use std::sync::LazyLock;
use std::sync::mpsc as sync;
use std::thread;

use outeract_clock::{Random as _, SystemRandom};
use outeract_postgres::SERVICES;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Error, PgConnection};
use tokio::sync::{mpsc, oneshot};

use crate::template;

/// Names our advisory locks; the second number is [`BUILD`] or the hash of a process's token.
const CLASS: i32 = 0x6f74_6b74;
/// Held alone while a template is built or dropped, shared while one is cloned.
const BUILD: i32 = 1;

static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let mut bytes = [0; 6];
    SystemRandom.fill(&mut bytes);
    hex::encode(bytes)
});

static ADMIN: LazyLock<Admin> = LazyLock::new(Admin::start);

/// The one thread of this process that creates and drops databases. Its connection holds a lock on the process's token for as long as the
/// process lives: whose token can be locked by others is dead, and so are its databases.
pub(crate) struct Admin {
    jobs: mpsc::Sender<Job>,
}

enum Job {
    Create {
        services: Vec<String>,
        reply: oneshot::Sender<Result<String, String>>,
    },
    Drop {
        database: String,
        reply: sync::SyncSender<()>,
    },
}

/// The state of the thread.
struct Worker {
    options: PgConnectOptions,
    conn: Option<PgConnection>,
    created: u64,
}

/// This process's mark in the names of what it makes.
pub(crate) fn token() -> &'static str {
    &TOKEN
}

/// A database of its own name, cloned from the template of `services`.
pub(crate) async fn create(services: &[&str]) -> String {
    let (reply, answer) = oneshot::channel();
    let mut services: Vec<String> = services.iter().map(|service| (*service).to_owned()).collect();
    services.sort();
    services.dedup();
    let sent = ADMIN.jobs.send(Job::Create { services, reply }).await;
    assert!(sent.is_ok(), "the thread that creates databases has died");
    match answer.await.expect("the thread that creates databases lives") {
        Ok(name) => name,
        Err(error) => panic!("no test database: {error}"),
    }
}

/// Drops `database` and waits until it is gone.
pub(crate) fn drop_database(database: String) {
    let (reply, done) = sync::sync_channel(1);
    let mut job = Job::Drop { database, reply };
    // `blocking_send` refuses to run inside a runtime, and the queue is short.
    loop {
        match ADMIN.jobs.try_send(job) {
            Ok(()) => break,
            Err(mpsc::error::TrySendError::Full(back)) => {
                job = back;
                thread::yield_now();
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return,
        }
    }
    // An error means that the thread has died: the next test run cleans up.
    let _ = done.recv();
}

/// Runs SQL that names databases, which parameters cannot.
#[expect(clippy::disallowed_methods, reason = "the names are our own")]
pub(crate) async fn execute(conn: &mut PgConnection, sql: String) -> Result<(), Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await?;
    Ok(())
}

// === impl Admin ===

impl Admin {
    fn start() -> Self {
        let options = crate::database::options();
        let (jobs, queue) = mpsc::channel(1_024);
        thread::Builder::new()
            .name("test-databases".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(Worker::new(options).run(queue));
            })
            .expect("a thread");
        Self { jobs }
    }
}

// === impl Worker ===

impl Worker {
    fn new(options: PgConnectOptions) -> Self {
        Self {
            options,
            conn: None,
            created: 0,
        }
    }

    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.recv().await {
            match job {
                Job::Create { services, reply } => {
                    // Whoever asked may have been cancelled; then the next run drops the database.
                    let _ = reply.send(self.create(&services).await);
                }
                Job::Drop { database, reply } => {
                    if let Ok(mut conn) = self.connection().await {
                        // A database that stays is dropped by the next test run.
                        let _ = execute(&mut conn, format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")).await;
                        self.conn = Some(conn);
                    }
                    let _ = reply.send(());
                }
            }
        }
    }

    async fn create(&mut self, services: &[String]) -> Result<String, String> {
        let mut conn = self
            .connection()
            .await
            .map_err(|error| format!("cannot connect to DATABASE_URL: {error}"))?;
        let name = format!("outeract_test_{}_{}", token(), self.created);
        self.created += 1;
        let outcome = self.clone_template(&mut conn, services, &name).await;
        if outcome.is_ok() {
            // After an error the connection goes, and its locks with it.
            self.conn = Some(conn);
        }
        outcome.map(|()| name)
    }

    async fn clone_template(&self, conn: &mut PgConnection, services: &[String], name: &str) -> Result<(), String> {
        let describe = |error: Error| error.to_string();
        let template = template::name(services)?;
        lock(conn, "SELECT pg_advisory_lock_shared($1, $2)")
            .await
            .map_err(describe)?;
        let found = template::exists(conn, &template).await.map_err(describe)?;
        if !found {
            lock(conn, "SELECT pg_advisory_unlock_shared($1, $2)")
                .await
                .map_err(describe)?;
            lock(conn, "SELECT pg_advisory_lock($1, $2)").await.map_err(describe)?;
            template::build(conn, &self.options, &template, services).await?;
            lock(conn, "SELECT pg_advisory_lock_shared($1, $2)")
                .await
                .map_err(describe)?;
            lock(conn, "SELECT pg_advisory_unlock($1, $2)")
                .await
                .map_err(describe)?;
        }
        execute(conn, format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await
            .map_err(describe)?;
        template::mark_used(conn, &template).await;
        // A clone has the content of its template, not the privileges on it.
        let roles = SERVICES.map(|service| format!("outeract_{service}")).join(", ");
        let privileges =
            format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC; GRANT CONNECT ON DATABASE {name} TO {roles}");
        execute(conn, privileges).await.map_err(describe)?;
        lock(conn, "SELECT pg_advisory_unlock_shared($1, $2)")
            .await
            .map_err(describe)
    }

    /// The connection, made anew if it was lost.
    async fn connection(&mut self) -> Result<PgConnection, Error> {
        if let Some(mut conn) = self.conn.take()
            && conn.ping().await.is_ok()
        {
            return Ok(conn);
        }
        let mut conn = self.options.connect().await?;
        sqlx::query("SELECT pg_advisory_lock($1, hashtext($2))")
            .bind(CLASS)
            .bind(token())
            .execute(&mut conn)
            .await?;
        clean(&mut conn).await?;
        Ok(conn)
    }
}

/// Calls an advisory lock's function on the build lock.
async fn lock(conn: &mut PgConnection, call: &'static str) -> Result<(), Error> {
    sqlx::query(call).bind(CLASS).bind(BUILD).execute(conn).await?;
    Ok(())
}

/// Drops the databases of dead processes.
async fn clean(conn: &mut PgConnection) -> Result<(), Error> {
    let databases: Vec<String> =
        sqlx::query_scalar(r"SELECT datname::text FROM pg_database WHERE datname LIKE 'outeract\_test\_%'")
            .fetch_all(&mut *conn)
            .await?;
    for database in databases {
        let Some(owner) = database.split('_').nth(2).filter(|owner| *owner != token()) else {
            continue;
        };
        let dead: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, hashtext($2))")
            .bind(CLASS)
            .bind(owner)
            .fetch_one(&mut *conn)
            .await?;
        if dead {
            // Another process may be faster.
            let _ = execute(conn, format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")).await;
            sqlx::query("SELECT pg_advisory_unlock($1, hashtext($2))")
                .bind(CLASS)
                .bind(owner)
                .execute(&mut *conn)
                .await?;
        }
    }
    Ok(())
}
