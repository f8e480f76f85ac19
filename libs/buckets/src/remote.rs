use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outeract_seal::Secret;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, Pipeline, RedisError, Script, ServerErrorKind};
use tokio::time::timeout;

use crate::gcra::DEBT;
use crate::{GiveBack, Grant, Spend, Take};

/// For everything that one call needs, connecting included.
const PATIENCE: Duration = Duration::from_millis(250);

/// The buckets in Redis.
pub(crate) struct Remote {
    client: Client,
    prefix: String,
    take: Script,
    give_back: Script,
    spend: Script,
    connection: Mutex<Option<Numbered>>,
    numbers: AtomicU64,
}

/// A connection and its number, so that who met an error drops that connection and not a fresh one.
#[derive(Clone)]
struct Numbered(u64, MultiplexedConnection);

/// Why the buckets' configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not `redis://…`, `rediss://…` or `redis+unix://…`. The URL is not repeated since it may hold a password.
    #[error("the Redis URL cannot be read")]
    Url,
    /// A prefix with braces, which would become the hash tag of every key.
    #[error("the prefix must not contain braces")]
    Prefix,
}

// === impl Remote ===

impl Remote {
    pub(crate) fn new(url: &Secret, prefix: &str) -> Result<Self, ConnectError> {
        if prefix.contains(['{', '}']) {
            return Err(ConnectError::Prefix);
        }
        Ok(Self {
            client: Client::open(url.expose().as_str()).map_err(|_| ConnectError::Url)?,
            prefix: prefix.to_owned(),
            take: Script::new(include_str!("take.lua")),
            give_back: Script::new(include_str!("give_back.lua")),
            spend: Script::new(include_str!("spend.lua")),
            connection: Mutex::new(None),
            numbers: AtomicU64::new(0),
        })
    }

    pub(crate) async fn take(&self, takes: &[Take]) -> Result<Vec<Grant>, RedisError> {
        let groups = groups(takes, |take| &take.key);
        let mut pipeline = Pipeline::with_capacity(groups.len());
        for group in &groups {
            let call = self.call(
                &mut pipeline,
                &self.take,
                group.iter().map(|&index| takes[index].key.as_str()),
            );
            for &index in group {
                let shape = takes[index].shape();
                call.arg(shape.interval)
                    .arg(shape.burst)
                    .arg(takes[index].want)
                    .arg(DEBT);
            }
        }
        let answers: Vec<Vec<i64>> = self.run(&pipeline, &self.take).await?;
        let mut grants = vec![None; takes.len()];
        for (group, answer) in groups.iter().zip(&answers) {
            for (&index, pair) in group.iter().zip(answer.chunks_exact(2)) {
                grants[index] = Some(Grant {
                    granted: pair[0].clamp(0, i64::from(takes[index].want)) as u32,
                    retry_after: Duration::from_micros(pair[1].max(0).unsigned_abs()),
                    degraded: false,
                });
            }
        }
        grants
            .into_iter()
            .collect::<Option<_>>()
            .ok_or_else(|| (ErrorKind::UnexpectedReturnType, "an answer is missing").into())
    }

    pub(crate) async fn give_back(&self, returns: &[&GiveBack]) -> Result<(), RedisError> {
        let groups = groups(returns, |tokens| &tokens.key);
        let mut pipeline = Pipeline::with_capacity(groups.len());
        for group in &groups {
            let keys = group.iter().map(|&index| returns[index].key.as_str());
            let call = self.call(&mut pipeline, &self.give_back, keys);
            for &index in group {
                call.arg(returns[index].shape.interval).arg(returns[index].count);
            }
        }
        let _: Vec<i64> = self.run(&pipeline, &self.give_back).await?;
        Ok(())
    }

    pub(crate) async fn spend(&self, spends: &[Spend]) -> Result<(), RedisError> {
        let groups = groups(spends, |spend| &spend.key);
        let mut pipeline = Pipeline::with_capacity(groups.len());
        for group in &groups {
            let keys = group.iter().map(|&index| spends[index].key.as_str());
            let call = self.call(&mut pipeline, &self.spend, keys);
            for &index in group {
                let shape = spends[index].shape();
                call.arg(shape.interval)
                    .arg(shape.burst)
                    .arg(spends[index].count)
                    .arg(DEBT);
            }
        }
        let _: Vec<i64> = self.run(&pipeline, &self.spend).await?;
        Ok(())
    }

    /// Begins a script call with its keys.
    fn call<'p, 'k>(
        &self,
        pipeline: &'p mut Pipeline,
        script: &Script,
        keys: impl ExactSizeIterator<Item = &'k str>,
    ) -> &'p mut Pipeline {
        let call = pipeline.cmd("EVALSHA").arg(script.get_hash()).arg(keys.len());
        for key in keys {
            call.arg(format!("{}{key}", self.prefix));
        }
        call
    }

    /// Runs the calls in one round trip. Any error costs the connection: one that hangs must not meet the next call.
    async fn run<T: redis::FromRedisValue>(&self, pipeline: &Pipeline, script: &Script) -> Result<T, RedisError> {
        let mut used = None;
        let outcome = timeout(PATIENCE, self.query(pipeline, script, &mut used)).await;
        let outcome = outcome.unwrap_or_else(|_| Err((ErrorKind::Io, "no answer in time").into()));
        if outcome.is_err() {
            self.lock().take_if(|connection| Some(connection.0) == used);
        }
        outcome
    }

    async fn query<T: redis::FromRedisValue>(
        &self,
        pipeline: &Pipeline,
        script: &Script,
        used: &mut Option<u64>,
    ) -> Result<T, RedisError> {
        let Numbered(number, mut connection) = self.connection().await?;
        *used = Some(number);
        match pipeline.query_async(&mut connection).await {
            // A restarted Redis has forgotten the scripts: it ran none of the calls.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                script.load_async(&mut connection).await?;
                pipeline.query_async(&mut connection).await
            }
            outcome => outcome,
        }
    }

    async fn connection(&self) -> Result<Numbered, RedisError> {
        let known = self.lock().clone();
        if let Some(known) = known {
            return Ok(known);
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let fresh = Numbered(self.numbers.fetch_add(1, Ordering::Relaxed), connection);
        Ok(self.lock().insert(fresh).clone())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Numbered>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Indices by hash tag, in order of first sight.
fn groups<T>(items: &[T], key: impl Fn(&T) -> &String) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut by_tag = std::collections::HashMap::new();
    for (index, item) in items.iter().enumerate() {
        let group = *by_tag.entry(hash_tag(key(item))).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(index);
    }
    groups
}

/// The part of a key that decides on its slot, by the rule of Redis Cluster.
fn hash_tag(key: &str) -> &str {
    let tag = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .map(|(tag, _)| tag);
    tag.filter(|tag| !tag.is_empty()).unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_hash_tags() {
        assert_eq!(hash_tag("{123}:n"), "123");
        assert_eq!(hash_tag("{123}:c:{4}"), "123");
        assert_eq!(hash_tag("plain"), "plain");
        assert_eq!(hash_tag("{}:n"), "{}:n");
        assert_eq!(hash_tag("{123"), "{123");
    }

    #[test]
    fn groups_by_tag() {
        let keys = ["{1}:n", "{2}:n", "{1}:c"].map(str::to_owned);
        assert_eq!(groups(&keys, |key| key), vec![vec![0, 2], vec![1]]);
    }
}
