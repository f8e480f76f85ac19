//! What applications do with their subscriptions.

use std::sync::Arc;

use outeract_domain::{ApplicationId, DeliveryId, EventId, SubscriptionId};
use outeract_egress::guard::CallError;
use outeract_events::timestamp;
use outeract_proto::tracking::v1::{
    CreateSubscriptionRequest, CreateSubscriptionResponse, Event, ListSubscriptionsRequest, ListSubscriptionsResponse,
    RotateSecretRequest, RotateSecretResponse, Subscription, TestSubscriptionResponse, UpdateSubscriptionRequest,
};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::page::PageTokens;
use outeract_rpc::{Fault, Violation, page};
use sqlx::PgPool;
use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

use super::render::render;
use super::send::{Destination, Sender, Verdict};
use super::sign;
use super::vault::{Column, Vault};
use crate::fault;
use crate::read::Filter;
use crate::store::subscription::{self, Change, New, Row};

/// Subscriptions of one application.
const MAX_SUBSCRIPTIONS: i64 = 100;
/// Characters of a name.
const MAX_NAME: usize = 128;
/// Tests at a time, of all applications.
const MAX_TESTS: usize = 16;
/// When to come back to a test.
const BUSY: std::time::Duration = std::time::Duration::from_secs(2);

/// Answers calls about subscriptions.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    pub(super) pool: PgPool,
    pub(super) vault: Vault,
    pub(super) tokens: PageTokens,
    sender: Sender,
    changed: Arc<Notify>,
    tests: Semaphore,
}

// === impl Subscriptions ===

impl Subscriptions {
    pub(super) fn new(pool: PgPool, vault: Vault, sender: Sender, tokens: PageTokens, changed: Arc<Notify>) -> Self {
        Self {
            pool,
            vault,
            tokens,
            sender,
            changed,
            tests: Semaphore::new(MAX_TESTS),
        }
    }

    /// Answers `CreateSubscription`.
    pub(crate) async fn create(
        &self,
        application: ApplicationId,
        request: CreateSubscriptionRequest,
    ) -> Result<CreateSubscriptionResponse, Fault> {
        let mut violations = Vec::new();
        check_name(&request.name, &mut violations);
        check_patterns(&request.event_patterns, &mut violations);
        check_secret(&request.secret, &mut violations);
        let target = self.check_target(&request.target_url, &mut violations).await;
        if !violations.is_empty() {
            return Err(Fault::invalid_many(violations));
        }
        let id = self.new_id();
        let generated = request.secret.is_empty().then(|| sign::generate(self.vault.random()));
        let secret = generated.as_deref().unwrap_or(&request.secret);
        let owner = application.uuid();
        let new = New {
            id,
            application: owner,
            name: &request.name,
            patterns: &request.event_patterns,
            target: &self.vault.seal(owner, Column::Target, id, &target),
            secret: &self.vault.seal(owner, Column::Secret, id, secret),
        };
        if !subscription::create(&self.pool, &new, MAX_SUBSCRIPTIONS)
            .await
            .map_err(fault::database)?
        {
            return Err(Fault::precondition(
                ErrorReason::SubscriptionQuotaExceeded,
                "the application has as many subscriptions as it may",
            )
            .with("limit", MAX_SUBSCRIPTIONS.to_string()));
        }
        self.changed.notify_one();
        Ok(CreateSubscriptionResponse {
            subscription: Some(self.found(application, id).await?),
            secret: generated.unwrap_or_default(),
        })
    }

    /// Answers `GetSubscription`.
    pub(crate) async fn get(&self, application: ApplicationId, id: &str) -> Result<Subscription, Fault> {
        self.found(application, parse(id)?).await
    }

    /// Answers `ListSubscriptions`.
    pub(crate) async fn list(
        &self,
        application: ApplicationId,
        request: &ListSubscriptionsRequest,
    ) -> Result<ListSubscriptionsResponse, Fault> {
        let size = page::size(request.page_size)?;
        let owner = application.uuid();
        let list: [&[u8]; 2] = [b"subscriptions", owner.as_bytes()];
        let after = resume(&self.tokens, &list, &request.page_token)?.unwrap_or(Uuid::nil());
        let mut rows = subscription::list(&self.pool, owner, after, size + 1)
            .await
            .map_err(fault::database)?;
        let more = rows.len() as i64 > size;
        rows.truncate(size as usize);
        let last = rows.last().filter(|_| more);
        let next_page_token = last.map_or_else(String::new, |row| self.tokens.encode(&list, row.id.as_bytes()));
        let subscriptions = rows.iter().map(|row| self.shown(row)).collect::<Result<_, _>>()?;
        Ok(ListSubscriptionsResponse {
            subscriptions,
            next_page_token,
        })
    }

    /// Answers `UpdateSubscription`.
    pub(crate) async fn update(
        &self,
        application: ApplicationId,
        request: &UpdateSubscriptionRequest,
    ) -> Result<Subscription, Fault> {
        let id = parse(&request.id)?;
        let mut violations = Vec::new();
        let mut target = None;
        if !request.name.is_empty() {
            check_name(&request.name, &mut violations);
        }
        if !request.event_patterns.is_empty() {
            check_patterns(&request.event_patterns, &mut violations);
        }
        if !request.target_url.is_empty() {
            let url = self.check_target(&request.target_url, &mut violations).await;
            target = Some(self.vault.seal(application.uuid(), Column::Target, id, &url));
        }
        if !violations.is_empty() {
            return Err(Fault::invalid_many(violations));
        }
        let change = Change {
            name: Some(request.name.as_str()).filter(|name| !name.is_empty()),
            patterns: Some(request.event_patterns.as_slice()).filter(|patterns| !patterns.is_empty()),
            target: target.as_deref(),
        };
        let there = subscription::update(&self.pool, application.uuid(), id, &change).await;
        self.after(application, id, there).await
    }

    /// Answers `PauseSubscription`.
    pub(crate) async fn pause(&self, application: ApplicationId, id: &str) -> Result<Subscription, Fault> {
        let id = parse(id)?;
        let there = subscription::pause(&self.pool, application.uuid(), id).await;
        self.after(application, id, there).await
    }

    /// Answers `ResumeSubscription`.
    pub(crate) async fn resume(&self, application: ApplicationId, id: &str) -> Result<Subscription, Fault> {
        let id = parse(id)?;
        let there = subscription::resume(&self.pool, application.uuid(), id).await;
        self.after(application, id, there).await
    }

    /// Answers `DeleteSubscription`.
    pub(crate) async fn delete(&self, application: ApplicationId, id: &str) -> Result<(), Fault> {
        let id = parse(id)?;
        let there = subscription::delete(&self.pool, application.uuid(), id).await;
        self.changed.notify_one();
        if there.map_err(fault::database)? {
            Ok(())
        } else {
            Err(Fault::not_found("subscription"))
        }
    }

    /// Answers `RotateSecret`.
    pub(crate) async fn rotate(
        &self,
        application: ApplicationId,
        request: &RotateSecretRequest,
    ) -> Result<RotateSecretResponse, Fault> {
        let id = parse(&request.id)?;
        let mut violations = Vec::new();
        check_secret(&request.secret, &mut violations);
        if !violations.is_empty() {
            return Err(Fault::invalid_many(violations));
        }
        let generated = request.secret.is_empty().then(|| sign::generate(self.vault.random()));
        let secret = generated.as_deref().unwrap_or(&request.secret);
        let sealed = self.vault.seal(application.uuid(), Column::Secret, id, secret);
        let there = subscription::rotate(&self.pool, application.uuid(), id, &sealed).await;
        Ok(RotateSecretResponse {
            subscription: Some(self.after(application, id, there).await?),
            secret: generated.unwrap_or_default(),
        })
    }

    /// Answers `TestSubscription`.
    pub(crate) async fn test(&self, application: ApplicationId, id: &str) -> Result<TestSubscriptionResponse, Fault> {
        let id = parse(id)?;
        let row = self.row(application, id).await?;
        let _place = self.tests.try_acquire().map_err(|_| Fault::overloaded(BUSY))?;
        let owner = application.uuid();
        let target = self.vault.open(owner, Column::Target, id, &row.target)?;
        let mut secrets = vec![self.vault.open(owner, Column::Secret, id, &row.secret)?];
        if let Some(previous) = &row.previous_secret {
            secrets.push(self.vault.open(owner, Column::Secret, id, previous)?);
        }
        let destination = Destination {
            target: self.sender.guarded().target(target.expose()).ok(),
            secrets,
        };
        let delivery = DeliveryId::from_uuid(self.new_id());
        let now = Some(timestamp::to_proto(self.sender.now()));
        let event = Event {
            id: EventId::from_uuid(self.new_id()).to_string(),
            event_type: "webhook.test".to_owned(),
            occur_time: now,
            receive_time: now,
            ..Event::default()
        };
        let subscription = SubscriptionId::from_uuid(id);
        let body = render(delivery, subscription, application, &event).map_err(Fault::internal)?;
        let attempted = self.sender.send(&destination, &delivery.to_string(), body.into()).await;
        Ok(TestSubscriptionResponse {
            success: attempted.verdict == Verdict::Delivered,
            attempt: Some(attempted.attempt),
        })
    }

    /// The subscription as a change left it.
    async fn after(
        &self,
        application: ApplicationId,
        id: Uuid,
        there: sqlx::Result<bool>,
    ) -> Result<Subscription, Fault> {
        if !there.map_err(fault::database)? {
            return Err(Fault::not_found("subscription"));
        }
        self.changed.notify_one();
        self.found(application, id).await
    }

    async fn found(&self, application: ApplicationId, id: Uuid) -> Result<Subscription, Fault> {
        let row = self.row(application, id).await?;
        self.shown(&row)
    }

    pub(super) async fn row(&self, application: ApplicationId, id: Uuid) -> Result<Row, Fault> {
        subscription::find(&self.pool, application.uuid(), id)
            .await
            .map_err(fault::database)?
            .ok_or_else(|| Fault::not_found("subscription"))
    }

    fn shown(&self, row: &Row) -> Result<Subscription, Fault> {
        let target = self
            .vault
            .open(row.application_id, Column::Target, row.id, &row.target)?;
        Ok(Subscription {
            id: SubscriptionId::from_uuid(row.id).to_string(),
            name: row.name.clone(),
            target_url: target.expose().clone(),
            event_patterns: row.patterns.clone(),
            // The numbers are those of the contract.
            state: row.state.into(),
            disabled_reason: row.reason.into(),
            create_time: Some(timestamp::to_proto(row.created_at)),
            update_time: Some(timestamp::to_proto(row.updated_at)),
            failing_since: row.failing_since.map(timestamp::to_proto),
            previous_secret_expire_time: row.previous_until.map(timestamp::to_proto),
            lag: (row.head - row.position).max(0),
        })
    }

    /// The normalised URL, or a violation: its form, and where its host's name leads at present.
    async fn check_target(&self, url: &str, violations: &mut Vec<Violation>) -> String {
        let guarded = self.sender.guarded();
        let description = match guarded.target(url) {
            Ok(target) => match guarded.check(&target).await {
                Ok(()) => return target.as_str().to_owned(),
                Err(CallError::Refused(refused)) => refused.to_string(),
                Err(CallError::Unresolved | CallError::Failed(_)) => "must name a host that resolves".to_owned(),
            },
            Err(refused) => refused.to_string(),
        };
        violations.push(Violation {
            path: "target_url".to_owned(),
            description,
        });
        String::new()
    }

    fn new_id(&self) -> Uuid {
        SubscriptionId::new(self.sender.clock(), self.vault.random()).uuid()
    }
}

/// The UUID of a `ws_…`.
pub(super) fn parse(id: &str) -> Result<Uuid, Fault> {
    parse_at("id", id)
}

/// The UUID of the `ws_…` in a field.
pub(super) fn parse_at(path: &'static str, id: &str) -> Result<Uuid, Fault> {
    id.parse()
        .map(SubscriptionId::uuid)
        .map_err(|_| Fault::invalid(path, "must be an id of the form ws_…"))
}

/// The id in a page token.
pub(super) fn resume(tokens: &PageTokens, list: &[&[u8]], token: &str) -> Result<Option<Uuid>, Fault> {
    let Some(position) = tokens.decode(list, token)? else {
        return Ok(None);
    };
    Uuid::from_slice(&position)
        .map(Some)
        .map_err(|_| fault::cursor_invalid("page_token"))
}

fn check_name(name: &str, violations: &mut Vec<Violation>) {
    let length = name.chars().count();
    if !(1..=MAX_NAME).contains(&length) || name.chars().any(char::is_control) {
        violations.push(Violation {
            path: "name".to_owned(),
            description: "must be 1 to 128 characters without control characters".to_owned(),
        });
    }
}

fn check_patterns(patterns: &[String], violations: &mut Vec<Violation>) {
    let mut found = Vec::new();
    Filter::parse(patterns, &mut found);
    if patterns.is_empty() {
        found.push(Violation {
            path: "event_types".to_owned(),
            description: "must be 1 to 32 patterns".to_owned(),
        });
    }
    violations.extend(found.into_iter().map(|violation| Violation {
        path: violation.path.replace("event_types", "event_patterns"),
        ..violation
    }));
}

fn check_secret(secret: &str, violations: &mut Vec<Violation>) {
    if !secret.is_empty() && !sign::is_secret(secret) {
        violations.push(Violation {
            path: "secret".to_owned(),
            description: "must be 32 to 256 printable ASCII characters, or whsec_ and base64 of 24 to 64 bytes"
                .to_owned(),
        });
    }
}
