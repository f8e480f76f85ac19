//! One number far beyond its limit, with thousands of callers waiting on it: what another number's callers notice.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use outeract_e2e::{Api, Urls, open_windows, text_message};
use outeract_proto::messaging::v1::SendWait;
use tokio::task::JoinSet;

use crate::load::{self, Measured};
use crate::report::Report;
use crate::stage::{Stage, Tenant};

const ROUNDS: usize = 3;
const WAITERS: usize = 5_000;
/// Requests that one connection carries at a time.
const STREAMS: usize = 100;
const RATE: f64 = 20.0;
const TIME: Duration = Duration::from_secs(12);
/// Messages at [`RATE`] in [`TIME`].
const QUIET: usize = 20 * 12;

pub(crate) async fn run() -> Result<Report> {
    let mut stage = Stage::start(false, &[]).await?;
    let tenant = Arc::new(stage.tenant("Fairness", 2, 80).await?);
    let crowd_and_others = (0..WAITERS)
        .map(|index| format!("+1415{index:07}"))
        .chain((0..=QUIET).map(|index| format!("+1650{index:07}")));
    open_windows(&stage.pool, crowd_and_others).await?;
    let watch = stage.watch();
    let mut report = Report::default();
    for round in 0..ROUNDS {
        let before = watch.sample()?;
        let alone = quiet_number(&tenant, &format!("alone-{round}")).await?;
        report.row("the other number, alone", &alone, &watch.sample()?.since(&before));
        let before = watch.sample()?;
        let crowd = crowd(&stage.urls, &tenant, round).await?;
        let beside = quiet_number(&tenant, &format!("beside-{round}")).await?;
        report.row(
            "the other number, beside 5,000",
            &beside,
            &watch.sample()?.since(&before),
        );
        drop(crowd);
        emptied(&stage).await?;
    }
    let ratio = report.median("the other number, beside 5,000 p99") / report.median("the other number, alone p99");
    report.at_most("p99 beside 5,000 waiting ÷ p99 alone", ratio, 1.5);
    Ok(report)
}

/// Stores 5,000 messages on the throttled number, each with a caller that waits for its outcome.
async fn crowd(urls: &Urls, tenant: &Arc<Tenant>, round: usize) -> Result<JoinSet<()>> {
    let connection = tenant.connections.first().context("a number")?.clone();
    let mut waiting = JoinSet::new();
    // Over connections of their own: on one connection they would queue in the client, before the server sees them.
    let mut apis = Vec::new();
    for _ in 0..WAITERS.div_ceil(STREAMS) {
        apis.push(Api::new(urls, &tenant.api.key, &tenant.api.application_id)?);
    }
    for index in 0..WAITERS {
        let (mut messaging, connection) = (apis[index / STREAMS].messaging.clone(), connection.clone());
        waiting.spawn(async move {
            let recipient = format!("+1415{index:07}");
            let mut request = text_message(format!("crowd-{round}-{index}"), &connection, &recipient, "hello");
            request.wait = SendWait::Outcome.into();
            // Refused for overload or answered pending: either way the crowd has come.
            drop(messaging.send_message(request).await);
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(waiting)
}

/// `SendMessage` with its wait for Meta's answer, at a rate well within the number's limit.
async fn quiet_number(tenant: &Arc<Tenant>, run: &str) -> Result<Measured> {
    let connection = tenant.connections.get(1).context("a second number")?.clone();
    let mut index = 0_u64;
    load::open(RATE, TIME, || {
        index += 1;
        let mut messaging = tenant.api.messaging.clone();
        let mut request = text_message(
            format!("{run}-{index}"),
            &connection,
            &format!("+1650{index:07}"),
            "hello",
        );
        request.wait = SendWait::Outcome.into();
        async move {
            let answer = messaging.send_message(request).await;
            answer.is_ok_and(|answer| answer.into_inner().status.is_some_and(|status| status.success))
        }
    })
    .await
}

async fn emptied(stage: &Stage) -> Result<()> {
    loop {
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM messaging.queue WHERE phone_number_id <> ''")
            .fetch_one(&stage.pool)
            .await?;
        if left == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
