//! Sends webhooks: signed, in batches, again until they are answered with 200.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::meta::Meta;
use crate::outbox::{Post, Update};
use crate::webhook;
use crate::world::hmac_hex;

/// The shortest sleep: what becomes due within it goes out together.
const TICK_MS: i64 = 2;

/// Makes ready what becomes due, for ever.
pub(crate) async fn pump(meta: Arc<Meta>) {
    loop {
        let now_ms = meta.now_ms();
        match meta.outbox.advance(now_ms) {
            None => meta.outbox.sooner().await,
            Some(next_ms) => {
                let wait = Duration::from_millis((next_ms - now_ms).max(TICK_MS) as u64);
                // What is scheduled for sooner than this wait ends it, but not before the tick has passed.
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = meta.outbox.sooner() => tokio::time::sleep(Duration::from_millis(TICK_MS as u64)).await,
                }
            }
        }
    }
}

/// Sends what is ready, one POST after the other, for ever.
pub(crate) async fn send(meta: Arc<Meta>) {
    loop {
        let mut post = meta.outbox.take(meta.config.webhooks.max_items).await;
        if post.body.is_empty() {
            prepare(&meta, &mut post);
        }
        let callback = meta.callback();
        match callback.filter(|_| !post.body.is_empty()) {
            Some(url) => attempt(&meta, &url, post).await,
            None => lose(&meta, &post),
        }
        meta.outbox.done();
    }
}

fn prepare(meta: &Meta, post: &mut Post) {
    let before = post.updates.len();
    post.updates.retain(Update::subscribed);
    let left_out = (before - post.updates.len()) as u64;
    meta.ledger.lock().unwrap_or_else(PoisonError::into_inner).lost += left_out;
    if let Some(body) = webhook::render(&post.updates) {
        post.signature = format!("sha256={}", hmac_hex(&meta.config.app_secret, &body));
        post.body = Bytes::from(body);
        post.first_try_ms = meta.now_ms();
    }
}

async fn attempt(meta: &Meta, url: &str, mut post: Post) {
    let status = push(meta, url, post.body.clone(), Some(&post.signature)).await;
    meta.counts.posts.add(1);
    if status == Some(200) {
        arrive(meta, &post);
        return;
    }
    meta.counts.posts_failed.add(1);
    let settings = &meta.config.webhooks;
    let now_ms = meta.now_ms();
    if now_ms - post.first_try_ms > settings.give_up_after_ms as i64 {
        lose(meta, &post);
        return;
    }
    let wait = settings.retry_first_ms << post.failures.min(20);
    post.failures += 1;
    meta.outbox
        .retry(now_ms + wait.min(settings.retry_longest_ms) as i64, post);
}

/// POSTs a body and returns the HTTP status of the answer, if there was one.
pub(crate) async fn push(meta: &Meta, url: &str, body: Bytes, signature: Option<&str>) -> Option<u16> {
    let mut request = meta
        .http
        .post(url)
        .timeout(Duration::from_millis(meta.config.webhooks.timeout_ms))
        .header("content-type", "application/json")
        .header("user-agent", "facebookexternalua");
    if let Some(signature) = signature {
        request = request.header("x-hub-signature-256", signature);
    }
    let response = request.body(body).send().await.ok()?;
    let status = response.status().as_u16();
    // Read to its end, so that the connection is used again.
    let _ = response.bytes().await;
    Some(status)
}

fn arrive(meta: &Meta, post: &Post) {
    let mut ledger = meta.ledger.lock().unwrap_or_else(PoisonError::into_inner);
    for update in &post.updates {
        match update {
            Update::Status(sent, _) => {
                ledger.deliver(update.kind(), Some((sent.entry, &sent.wamid)));
                if sent.plan.early {
                    sent.first.notify_one();
                }
            }
            Update::Item { .. } | Update::Change { .. } => ledger.deliver(update.kind(), None),
        }
    }
}

fn lose(meta: &Meta, post: &Post) {
    let mut ledger = meta.ledger.lock().unwrap_or_else(PoisonError::into_inner);
    ledger.lost += post.updates.len() as u64;
}
