//! A million messages queued on one number: what the callers of 99 others notice, what a message costs, and what memory it takes.
//!
//! The front of the million is stored as any message is; the rest are rows of the queue alone, which nothing reaches before the run is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use outeract_dev::{Replica, Service};

use super::accept::Clients;
use super::dispatch::{hold, store};
use crate::cpu;
use crate::report::Report;
use crate::stage::{Stage, Tenant};

const OTHERS: u64 = 99;
/// Messages of each of the others.
const EACH: u64 = 200;
const MILLION: i64 = 1_000_000;
const FEW: i64 = 10_000;
/// So many of the million are whole messages.
const FRONT: u64 = 40_000;
const RATE: i32 = 80;
const FAST: i32 = 1_000;
const SETTLING: Duration = Duration::from_secs(3);
const TIME: Duration = Duration::from_secs(8);

pub(crate) async fn run() -> Result<Report> {
    let mut stage = Stage::start(true, &[]).await?;
    let tenant = stage.tenant("Backlog", 1 + OTHERS as usize, RATE as u32).await?;
    let (one, others) = split(&tenant);
    let crowded = number_of(&stage, &one).await?;
    let mut report = Report::default();

    let alone = others_wait(&mut stage, &others, &crowded).await?;
    report.figure("p99 wait of the others, alone, s", alone);

    hold(&mut stage, true).await?;
    let clients = Clients::connect(stage.urls.get("MESSAGING_URL")?, &one).await?;
    store(&clients, FRONT).await?;
    fill(&stage, &crowded, MILLION).await?;
    let beside = others_wait(&mut stage, &others, &crowded).await?;
    report.figure("p99 wait of the others, beside a million, s", beside);

    let million = drain(&mut stage, &crowded).await?;
    million.tell(&mut report, "with 1 M rows");
    hold(&mut stage, true).await?;
    sqlx::query(
        "DELETE FROM messaging.queue WHERE phone_number_id = $1 AND message_id > (SELECT message_id FROM messaging.queue WHERE phone_number_id = $1 ORDER BY message_id OFFSET $2 LIMIT 1)",
    )
    .bind(&crowded)
    .bind(FEW)
    .execute(&stage.pool)
    .await?;
    sqlx::query("VACUUM ANALYZE messaging.queue")
        .execute(&stage.pool)
        .await?;
    let few = drain(&mut stage, &crowded).await?;
    few.tell(&mut report, "with 10 k rows");

    report.at_most("p99 wait beside a million ÷ alone", beside / alone, 1.3);
    report.at_most(
        "CPU of a message at 1 M rows ÷ at 10 k",
        million.micros / few.micros,
        1.2,
    );
    report.at_most("MiB of messaging at 1 M rows ÷ at 10 k", million.mib / few.mib, 1.1);
    Ok(report)
}

/// The tenant with its first number, and with the others.
fn split(tenant: &Tenant) -> (Tenant, Tenant) {
    let with = |connections: &[String]| Tenant {
        api: tenant.api.clone(),
        meta: tenant.meta.clone(),
        connections: connections.to_vec(),
    };
    (with(&tenant.connections[..1]), with(&tenant.connections[1..]))
}

async fn number_of(stage: &Stage, tenant: &Tenant) -> Result<String> {
    let connection = tenant.connections.first().context("a connection")?;
    let id: outeract_domain::ConnectionId = connection.parse()?;
    let number = sqlx::query_scalar("SELECT phone_number_id FROM messaging.connection WHERE connection_id = $1");
    Ok(number.bind(id.uuid()).fetch_one(&stage.pool).await?)
}

/// Adds rows to the number's queue, behind what is there, until there are so many.
async fn fill(stage: &Stage, number: &str, count: i64) -> Result<()> {
    let begun = Instant::now();
    let added = sqlx::query(
        "INSERT INTO messaging.queue (phone_number_id, message_id, contact_id, connection_id, ready_at, updated_at, epoch, attempt, tries, state, priority,
                                      on_unknown, resends, unsettled, held)
         SELECT $1, (lpad(to_hex((extract(epoch FROM clock.now) * 1000)::bigint + n / 100), 12, '0') || '7' || lpad(to_hex(n % 4096), 3, '0') || '8' || left(md5(n::text), 15))::uuid,
                gen_random_uuid(), known.connection_id, clock.now, clock.now, 0, 0, 0, 1, 2, 1, 0, 0, false
         FROM (SELECT now() AS now) clock CROSS JOIN (SELECT connection_id FROM messaging.connection WHERE phone_number_id = $1) known
         CROSS JOIN generate_series(1, $2 - (SELECT count(*) FROM messaging.queue WHERE phone_number_id = $1)) n",
    )
    .bind(number)
    .bind(count)
    .execute(&stage.pool)
    .await?
    .rows_affected();
    sqlx::query("VACUUM ANALYZE messaging.queue")
        .execute(&stage.pool)
        .await?;
    println!(
        "  {added} rows behind the front, in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Stores messages on every other number while all are held, lets them go, and gives the 99th percentile of their waits from the first that left.
async fn others_wait(stage: &mut Stage, others: &Tenant, crowded: &str) -> Result<f64> {
    hold(stage, true).await?;
    let clients: Arc<Clients> = Clients::connect(stage.urls.get("MESSAGING_URL")?, others).await?;
    store(&clients, OTHERS * EACH).await?;
    let since: time::OffsetDateTime = sqlx::query_scalar("SELECT now()").fetch_one(&stage.pool).await?;
    hold(stage, false).await?;
    let begun = Instant::now();
    loop {
        let left: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (SELECT FROM messaging.queue WHERE phone_number_id > '' AND phone_number_id <> $1 LIMIT 1) other",
        )
        .bind(crowded)
        .fetch_one(&stage.pool)
        .await?;
        if left == 0 {
            break;
        }
        anyhow::ensure!(begun.elapsed() < Duration::from_mins(2), "others are still waiting");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let p99 = sqlx::query_scalar(
        "SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM e.updated_at - first.at)::float8)
         FROM messaging.ending e JOIN messaging.message m ON m.id = e.message_id
         CROSS JOIN (SELECT min(updated_at) AS at FROM messaging.ending WHERE updated_at > $1) first
         WHERE e.updated_at > $1 AND m.phone_number_id <> $2",
    );
    Ok(p99.bind(since).bind(crowded).fetch_one(&stage.pool).await?)
}

/// What draining a queue came to.
struct Drained {
    per_second: f64,
    /// CPU of messaging and Postgres for each message.
    micros: f64,
    mib: f64,
}

impl Drained {
    fn tell(&self, report: &mut Report, what: &str) {
        report.figure(&format!("messages a second {what}"), self.per_second);
        report.figure(
            &format!("CPU-µs of messaging and Postgres a message {what}"),
            self.micros,
        );
        report.figure(&format!("MiB of messaging {what}"), self.mib);
    }
}

/// Lets the crowded number go as fast as Meta ever allows, and watches for a while.
async fn drain(stage: &mut Stage, crowded: &str) -> Result<Drained> {
    sqlx::query("UPDATE messaging.connection SET throughput_per_second = $1, version = version + 1000 WHERE phone_number_id = $2")
        .bind(FAST)
        .bind(crowded)
        .execute(&stage.pool)
        .await?;
    hold(stage, false).await?;
    tokio::time::sleep(SETTLING).await;
    let watch = stage.watch();
    let messaging = stage.suite.service(Service::Messaging).map_err(anyhow::Error::msg)?;
    let pid = Replica::pid(messaging).context("messaging runs")?;
    let (before, begun, sent) = (watch.sample()?, Instant::now(), ended(stage).await?);
    tokio::time::sleep(TIME).await;
    let (used, took) = (watch.sample()?.since(&before), begun.elapsed());
    let sent = (ended(stage).await? - sent) as u64;
    Ok(Drained {
        per_second: sent as f64 / took.as_secs_f64(),
        micros: used.micros_each("messaging", sent) + used.micros_each("postgres", sent),
        mib: cpu::resident_mib(pid)?,
    })
}

async fn ended(stage: &Stage) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM messaging.ending")
        .fetch_one(&stage.pool)
        .await?)
}
