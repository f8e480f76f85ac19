//! Reading an account's templates from Meta: page by page, within its limits, with the token of any of the account's connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use outeract_buckets::{Buckets, Take};
use outeract_clock::{SharedClock, SharedRandom};
use outeract_domain::WabaId;
use outeract_egress::{Cause, SendError};
use outeract_graph::fault::{Class, Scope, classify};
use outeract_graph::template::{Parts, Template, TemplatePage};
use outeract_graph::{CallError, Client, GraphError, Usage};
use outeract_proto::messaging::v1::TemplateStatus;
use outeract_runtime::Stop;
use sqlx::PgPool;
use tonic::Code;

use super::words;
use crate::dispatch::{Credential, Credentials};
use crate::projection::{Connection, Projection};
use crate::store::template_sync::{self as store, Listed, Reading};
use crate::store::{DbError, run};

/// Reads templates.
#[derive(Debug)]
pub(crate) struct Reader {
    pub db: PgPool,
    pub projection: Projection,
    pub credentials: Credentials,
    /// Takes answers of several megabytes.
    pub graph: Client,
    pub buckets: Buckets,
    pub clock: SharedClock,
    pub random: SharedRandom,
    pub stop: Stop,
}

/// Why a reading did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Halt {
    #[error("no connection of the account is active")]
    NoConnection,
    #[error("no token to read with: the connection service answered {0:?}")]
    NoToken(Code),
    #[error(transparent)]
    Refused(GraphError),
    #[error("{0}")]
    Away(CallError),
    /// For so long Meta is not to be asked.
    #[error("the account's management calls are used up for {} s", .0.as_secs())]
    Limited(Duration),
    #[error("the account has more templates than Meta allows")]
    TooMany,
    #[error("another process reads the templates")]
    Overtaken,
    #[error("the process stops")]
    Stopping,
    #[error(transparent)]
    Database(#[from] DbError),
}

/// What a whole reading found.
struct Found {
    /// Name and language.
    keys: Vec<(String, String)>,
    usage: Usage,
}

/// The connections whose tokens may be used, and the one that is.
struct Lenders {
    /// Of those that are left the last is next.
    left: Vec<Arc<Connection>>,
    connection: Arc<Connection>,
    credential: Arc<Credential>,
}

/// Templates of a page; of a page whose answer is too long with these.
const PAGE: usize = 100;
const SMALL_PAGE: usize = 10;
/// Meta allows an account 6,000.
const MOST_TEMPLATES: usize = 20_000;
const MOST_PAGES: usize = MOST_TEMPLATES / SMALL_PAGE;
/// Connections whose tokens are tried.
const MOST_LENDERS: usize = 3;
/// Of the 5,000 management calls an hour for an account that has a registered number, as one with an active connection has, the connection service needs some: at most 4,500 are made in
/// any hour here. Should Meta count the account among those with 200, its own figures say so in time.
const CALLS_PER_SECOND: f64 = 4_000.0 / 3_600.0;
const CALLS_BURST: u32 = 500;
/// From this share on, in percent, no more calls are made until Meta gives access again, or for [`RECOVERY`].
const NEARLY_ALL: u32 = 90;
const RECOVERY: Duration = Duration::from_mins(5);
const HOUR: Duration = Duration::from_hours(1);

// === impl Reader ===

impl Reader {
    /// Carries a reading that has begun to its end. Gives how many templates there are.
    pub(super) async fn carry(&self, mut reading: Reading) -> Result<usize, Halt> {
        let start = Instant::now();
        let read = tokio::select! {
            read = self.pages(&mut reading) => read,
            () = self.stop.soft().cancelled() => Err(Halt::Stopping),
        };
        let ended = match read {
            Ok(found) => self.finish(&reading, &found).await,
            Err(halt) => Err(halt),
        };
        if let Err(halt) = &ended
            && let Err(cause) = self.halt(&reading, halt).await
        {
            tracing::warn!(waba.id = reading.waba, %cause, "A reading of templates could not be ended");
        }
        metrics::histogram!("messaging_template_sync_seconds").record(start.elapsed());
        let outcome = if ended.is_ok() { "whole" } else { "halted" };
        metrics::counter!("messaging_template_syncs_total", "outcome" => outcome).increment(1);
        ended
    }

    async fn pages(&self, reading: &mut Reading) -> Result<Found, Halt> {
        let waba: WabaId = reading.waba.parse().map_err(|_| Halt::NoConnection)?;
        let mut lenders = self.lenders(&reading.waba).await?;
        let mut found = Found {
            keys: Vec::new(),
            usage: Usage::default(),
        };
        let (mut after, mut size) = (None, PAGE);
        for _ in 0..MOST_PAGES {
            self.within_budget(&reading.waba).await?;
            let token = &lenders.credential.token;
            let (answer, usage) = self.graph.list_templates(token, &waba, after.as_deref(), size).await;
            found.usage = usage;
            let page = match answer {
                Ok(page) => page,
                Err(CallError::Unreachable(SendError::AfterFirstByte(Cause::TooLong))) if size > SMALL_PAGE => {
                    size = SMALL_PAGE;
                    continue;
                }
                Err(CallError::Refused(error)) => {
                    self.refused(error, usage, &mut lenders, reading.failures).await?;
                    continue;
                }
                Err(error) => return Err(Halt::Away(error)),
            };
            after = self.take_over(reading, page, &mut found.keys).await?;
            if usage.app_percent >= NEARLY_ALL {
                self.pause_all(RECOVERY).await?;
            }
            if after.is_none() {
                return Ok(found);
            }
            if let Some(pause) = pause(usage) {
                return Err(Halt::Limited(pause));
            }
            if found.keys.len() > MOST_TEMPLATES {
                break;
            }
        }
        Err(Halt::TooMany)
    }

    /// Stores a page. Gives where the next begins.
    async fn take_over(
        &self,
        reading: &mut Reading,
        page: TemplatePage,
        keys: &mut Vec<(String, String)>,
    ) -> Result<Option<String>, Halt> {
        if page.unreadable > 0 {
            tracing::warn!(
                waba.id = reading.waba,
                count = page.unreadable,
                "Templates that cannot be read were left out"
            );
        }
        let listed: Vec<_> = page.templates.into_iter().map(listed).collect();
        let stored = run!(self.db, "template_sync.take_over", |conn| store::take_over(
            conn, reading, &listed
        ))?;
        reading.at = stored.ok_or(Halt::Overtaken)?;
        keys.extend(listed.into_iter().map(|template| (template.name, template.language)));
        Ok(page.after)
    }

    async fn finish(&self, reading: &Reading, found: &Found) -> Result<usize, Halt> {
        let interval = self.about(HOUR);
        let pause = pause(found.usage).unwrap_or_default().as_secs_f64();
        let keys = &found.keys;
        let mine = run!(self.db, "template_sync.finish", |conn| store::finish(
            conn, reading, keys, interval, pause
        ))?;
        if mine { Ok(keys.len()) } else { Err(Halt::Overtaken) }
    }

    /// Writes down that a reading ended early, and when the next may begin.
    async fn halt(&self, reading: &Reading, halt: &Halt) -> Result<(), DbError> {
        let (rest, retry, wait) = match halt {
            Halt::Overtaken => return Ok(()),
            Halt::NoConnection => (true, None, Duration::ZERO),
            Halt::Stopping => (false, None, Duration::ZERO),
            Halt::Limited(wait) => (false, Some(*wait), *wait),
            Halt::Refused(_) => (false, Some(backoff(RECOVERY, reading.failures)), Duration::ZERO),
            Halt::TooMany => (false, Some(HOUR), Duration::ZERO),
            Halt::NoToken(_) | Halt::Away(_) | Halt::Database(_) => {
                let retry = backoff(Duration::from_mins(1), reading.failures);
                (false, Some(retry), Duration::ZERO)
            }
        };
        let Some(retry) = retry else {
            return run!(self.db, "template_sync.give_up", |conn| store::give_up(
                conn, reading, rest
            ));
        };
        tracing::warn!(waba.id = reading.waba, cause = %halt, "Templates could not be read");
        let retry = self.about(retry);
        run!(self.db, "template_sync.fail", |conn| store::fail(
            conn,
            reading,
            retry,
            wait.as_secs_f64()
        ))
    }

    async fn pause_all(&self, pause: Duration) -> Result<(), DbError> {
        run!(self.db, "template_sync.pause_all", |conn| store::pause_all(
            conn,
            pause.as_secs_f64()
        ))
    }

    /// Meta said no: with another token the same page may be asked for again.
    async fn refused(&self, error: GraphError, usage: Usage, lenders: &mut Lenders, failures: i32) -> Result<(), Halt> {
        let Some(scope) = limit(&error) else {
            let token = classify(&error).class == Class::Authorisation;
            let other = token && lenders.change(&self.credentials).await;
            return if other { Ok(()) } else { Err(Halt::Refused(error)) };
        };
        let wait = usage.regain_after.max(backoff(RECOVERY, failures));
        if scope == Scope::App {
            self.pause_all(wait).await?;
        }
        Err(Halt::Limited(wait))
    }

    async fn lenders(&self, waba: &str) -> Result<Lenders, Halt> {
        let mut left = self.projection.of_account(waba);
        left.truncate(MOST_LENDERS);
        left.reverse();
        let mut halt = Halt::NoConnection;
        while let Some(connection) = left.pop() {
            match self.credentials.get(&connection).await {
                Ok(credential) => {
                    return Ok(Lenders {
                        left,
                        connection,
                        credential,
                    });
                }
                Err(cause) => halt = Halt::NoToken(cause.0),
            }
        }
        Err(halt)
    }

    /// Takes one call from the account's budget; waits for it a moment, not longer.
    async fn within_budget(&self, waba: &str) -> Result<(), Halt> {
        let take = Take {
            key: format!("{{{waba}}}:management"),
            rate_per_second: CALLS_PER_SECOND,
            burst: CALLS_BURST,
            want: 1,
        };
        loop {
            match self.buckets.take(std::slice::from_ref(&take)).await.first() {
                Some(grant) if grant.granted > 0 => return Ok(()),
                Some(grant) if grant.retry_after <= Duration::from_secs(2) => {
                    tokio::time::sleep(grant.retry_after.max(Duration::from_millis(10))).await;
                }
                Some(grant) => return Err(Halt::Limited(grant.retry_after)),
                None => return Err(Halt::Limited(RECOVERY)),
            }
        }
    }

    /// That time, in seconds, a tenth more or less: accounts that began together drift apart.
    fn about(&self, time: Duration) -> f64 {
        let mut bytes = [0; 2];
        self.random.fill(&mut bytes);
        let share = f64::from(u16::from_be_bytes(bytes)) / f64::from(u16::MAX);
        time.as_secs_f64() * (0.9 + 0.2 * share)
    }
}

// === impl Lenders ===

impl Lenders {
    /// Turns to a younger token, or to another connection's. False: there is none.
    async fn change(&mut self, credentials: &Credentials) -> bool {
        if let Some(younger) = credentials.younger(self.connection.id, self.credential.version).await {
            self.credential = younger;
            return true;
        }
        while let Some(connection) = self.left.pop() {
            if let Ok(credential) = credentials.get(&connection).await {
                (self.connection, self.credential) = (connection, credential);
                return true;
            }
        }
        false
    }
}

/// Meta limits calls: whose.
fn limit(error: &GraphError) -> Option<Scope> {
    match error.code {
        4 | 17 | 32 | 613 => Some(Scope::App),
        80_000..=80_099 => Some(Scope::Waba),
        _ => (error.http_status == 429).then_some(Scope::Waba),
    }
}

/// How long no more calls are to be made, if nearly all are used up.
fn pause(usage: Usage) -> Option<Duration> {
    let most = usage.account_percent.max(usage.app_percent);
    (most >= NEARLY_ALL).then(|| usage.regain_after.max(RECOVERY))
}

/// Twice as long with each failure, an hour at most.
fn backoff(first: Duration, failures: i32) -> Duration {
    let doublings = u32::try_from(failures.clamp(0, 10)).unwrap_or(0);
    first.saturating_mul(2_u32.pow(doublings)).min(HOUR)
}

fn listed(template: Template) -> Listed {
    let meta_status = template.status.to_ascii_uppercase();
    let named = template
        .named
        .or_else(|| Parts::parse(template.components.as_bytes()).map(|parts| parts.is_named()));
    Listed {
        status: words::code(words::status(&meta_status).unwrap_or(TemplateStatus::Other)),
        meta_status,
        category: words::code(words::category(&template.category.to_ascii_uppercase())),
        quality: template.quality,
        reason: template.reason,
        named: named.unwrap_or(false),
        name: template.name,
        language: template.language,
        meta_id: template.id,
        components: template.components,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        let waits: Vec<_> = [-1, 0, 1, 5, 6, i32::MAX]
            .map(|failures| backoff(Duration::from_mins(1), failures).as_secs() / 60)
            .to_vec();
        assert_eq!(waits, [1, 1, 2, 32, 60, 60]);
    }

    #[test]
    fn nearly_all_is_enough_to_pause() {
        let usage = |account_percent, minutes| Usage {
            account_percent,
            app_percent: 0,
            regain_after: Duration::from_mins(minutes),
        };
        assert_eq!(pause(usage(89, 40)), None);
        assert_eq!(pause(usage(90, 0)), Some(RECOVERY));
        assert_eq!(pause(usage(101, 40)), Some(Duration::from_mins(40)));
    }

    #[test]
    fn limits_are_told_from_other_refusals() {
        assert_eq!(limit(&GraphError::from_code(4)), Some(Scope::App));
        assert_eq!(limit(&GraphError::from_code(80_007)), Some(Scope::Waba));
        assert_eq!(limit(&GraphError::from_code(190)), None);
    }
}
