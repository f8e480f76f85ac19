use std::time::Duration;

use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::model::{
    Advance, ChangeNumber, ChangeToken, Echo, Inbound, InboundAccepted, LedgerQuery, NewWorld, Pause, Posted,
    RawChange, RawItem, RawPost, Reset, RuleApplied, Stats, WorldCreated,
};
use crate::config::StatusDelays;
use crate::faults::{Effect, Match, Rule};
use crate::ledger::{Accepted, Summary};
use crate::meta::Switches;

/// Speaks the control API of a simulator, wherever it runs.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

/// The simulator did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No answer.
    #[error("the simulator cannot be reached")]
    Transport(#[from] reqwest::Error),
    /// An answer other than success.
    #[error("the simulator answered {status}: {body}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said.
        body: String,
    },
}

pub(super) type Answer<T> = Result<T, ClientError>;

// === impl Client ===

impl Client {
    /// A client of the simulator at this address, for example `http://127.0.0.1:7050`.
    pub fn new(base: impl Into<String>) -> Answer<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self {
            base: base.into().trim_end_matches('/').to_owned(),
            http,
        })
    }

    pub(super) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}/control/{path}", self.base);
        self.http.request(method, url).timeout(Duration::from_mins(2))
    }

    pub(super) async fn call<T: Serialize + ?Sized>(&self, method: Method, path: &str, body: &T) -> Answer<String> {
        read(self.request(method, path).json(body).send().await?).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer<String> {
        read(self.request(Method::GET, path).send().await?).await
    }

    /// Whether it answers.
    pub async fn healthy(&self) -> bool {
        self.get("health").await.is_ok()
    }

    /// Makes a portfolio with accounts, numbers and tokens.
    pub async fn create_world(&self, new: &NewWorld) -> Answer<WorldCreated> {
        decode(&self.call(Method::POST, "worlds", new).await?)
    }

    /// Changes a number.
    pub async fn change_number(&self, phone_number_id: &str, change: &ChangeNumber) -> Answer<()> {
        self.call(Method::PATCH, &format!("numbers/{phone_number_id}"), change)
            .await
            .map(drop)
    }

    /// Changes a token.
    pub async fn change_token(&self, change: &ChangeToken) -> Answer<()> {
        self.call(Method::PATCH, "tokens", change).await.map(drop)
    }

    /// Lets users write. The windows open at once; the webhooks follow.
    pub async fn inbound(&self, messages: &[Inbound]) -> Answer<Vec<InboundAccepted>> {
        decode(&self.call(Method::POST, "inbound", messages).await?)
    }

    /// Lets businesses write from their own apps.
    pub async fn echoes(&self, messages: &[Echo]) -> Answer<Vec<InboundAccepted>> {
        decode(&self.call(Method::POST, "echoes", messages).await?)
    }

    /// Sends items of any kind in webhooks of their numbers.
    pub async fn items(&self, items: &[RawItem]) -> Answer<()> {
        self.call(Method::POST, "items", items).await.map(drop)
    }

    /// Sends changes of any field.
    pub async fn changes(&self, changes: &[RawChange]) -> Answer<()> {
        self.call(Method::POST, "changes", changes).await.map(drop)
    }

    /// Sends one POST, once, and returns what was answered.
    pub async fn post(&self, post: &RawPost) -> Answer<Posted> {
        decode(&self.call(Method::POST, "posts", post).await?)
    }

    /// The limits that are enforced.
    pub async fn switches(&self) -> Answer<Switches> {
        decode(&self.get("switches").await?)
    }

    /// Enforces these limits and no others.
    pub async fn set_switches(&self, switches: Switches) -> Answer<()> {
        self.call(Method::PUT, "switches", &switches).await.map(drop)
    }

    /// Sets when statuses come.
    pub async fn set_statuses(&self, delays: StatusDelays) -> Answer<()> {
        self.call(Method::PUT, "statuses", &delays).await.map(drop)
    }

    /// Holds webhooks back, or lets them go.
    pub async fn pause_webhooks(&self, paused: bool) -> Answer<()> {
        self.call(Method::PUT, "webhooks", &Pause { paused }).await.map(drop)
    }

    /// Adds a fault for the calls that match.
    pub async fn fault(&self, matches: Match, effect: Effect) -> Answer<u64> {
        let added: RuleApplied = decode(&self.call(Method::POST, "faults", &Rule { matches, effect }).await?)?;
        Ok(added.id)
    }

    /// How often each fault was applied.
    pub async fn faults(&self) -> Answer<Vec<RuleApplied>> {
        decode(&self.get("faults").await?)
    }

    /// Removes all faults.
    pub async fn clear_faults(&self) -> Answer<()> {
        self.call(Method::DELETE, "faults", &()).await.map(drop)
    }

    /// Acceptances.
    pub async fn ledger(&self, query: &LedgerQuery) -> Answer<Vec<Accepted>> {
        let request = self.request(Method::GET, "ledger").query(query);
        decode(&read(request.send().await?).await?)
    }

    /// All acceptances, page by page.
    pub async fn whole_ledger(&self) -> Answer<Vec<Accepted>> {
        let mut all: Vec<Accepted> = Vec::new();
        loop {
            let query = LedgerQuery {
                after: all.last().map_or(0, |last| last.index + 1),
                limit: Some(10_000),
                ..LedgerQuery::default()
            };
            let page = self.ledger(&query).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// What the ledger adds up to.
    pub async fn summary(&self) -> Answer<Summary> {
        decode(&self.get("ledger/summary").await?)
    }

    /// What happened so far.
    pub async fn stats(&self) -> Answer<Stats> {
        decode(&self.get("stats").await?)
    }

    /// Waits until every webhook was delivered or given up; false when that took too long.
    pub async fn idle(&self, at_most: Duration) -> Answer<bool> {
        match self.get(&format!("idle?timeout_ms={}", at_most.as_millis())).await {
            Ok(_) => Ok(true),
            Err(ClientError::Refused { status: 504, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Moves the simulator's clock on.
    pub async fn advance(&self, by: Duration) -> Answer<()> {
        let advance_ms = by.as_millis() as i64;
        self.call(Method::POST, "clock", &Advance { advance_ms })
            .await
            .map(drop)
    }

    /// Forgets ledger, faults, scheduled webhooks and switches; with `world` also everything that was made.
    pub async fn reset(&self, world: bool) -> Answer<()> {
        self.call(Method::POST, "reset", &Reset { world }).await.map(drop)
    }
}

pub(super) async fn read(response: reqwest::Response) -> Answer<String> {
    let status = response.status();
    let body = response.text().await?;
    if status.is_success() {
        return Ok(body);
    }
    Err(ClientError::Refused {
        status: status.as_u16(),
        body,
    })
}

pub(super) fn decode<T: DeserializeOwned>(body: &str) -> Answer<T> {
    serde_json::from_str(body).map_err(|error| ClientError::Refused {
        status: 200,
        body: error.to_string(),
    })
}
