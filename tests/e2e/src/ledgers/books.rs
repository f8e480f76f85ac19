//! The four ledgers, and what they must agree in.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use outeract_proto::messaging::v1::{GetMessageRequest, SubmissionState};
use outeract_simulator::Accepted;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::load::{TOLD_AGAIN, Told, index_of, locked};
use crate::Api;

/// The number of a message → its id, as the client was promised it.
pub(super) type Promises = HashMap<usize, String>;

/// What Postgres holds when nothing moves any more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored {
    /// Messages: one for each idempotency key.
    pub messages: usize,
    /// Those whose outcome is not known.
    pub unknown: usize,
}

/// How long everything may take to settle.
const SETTLES: Duration = Duration::from_mins(3);
/// Calls at a time.
const CALLS: usize = 32;

/// Waits until no message is on its way any more.
pub(super) async fn stored(db: &PgPool) -> Result<Stored> {
    let deadline = Instant::now() + SETTLES;
    loop {
        // Of one moment: messages, keys, keys that have a message of their own, messages on their way, unknown ones.
        let (messages, keys, paired, moving, unknown): (i64, i64, i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM messaging.message), (SELECT count(*) FROM messaging.idempotency),
                    (SELECT count(DISTINCT m.id) FROM messaging.idempotency i JOIN messaging.message m ON m.id = i.message_id),
                    (SELECT count(*) FROM messaging.queue WHERE phone_number_id <> '' AND state IN (1, 2)),
                    (SELECT count(*) FROM messaging.queue WHERE phone_number_id <> '' AND state = 4)",
        )
        .fetch_one(db)
        .await?;
        ensure!(
            messages == keys && paired == keys,
            "{messages} messages, {keys} idempotency keys, {paired} of them with a message of their own"
        );
        if moving == 0 {
            return Ok(Stored {
                messages: messages as usize,
                unknown: unknown as usize,
            });
        }
        ensure!(Instant::now() < deadline, "{moving} messages are still on their way");
        sleep(Duration::from_millis(200)).await;
    }
}

/// What the service says of promised messages.
pub(super) async fn states(api: &Api, promised: &Promises) -> Result<HashMap<usize, SubmissionState>> {
    let (mut states, mut asked) = (HashMap::with_capacity(promised.len()), JoinSet::new());
    for (&index, id) in promised {
        let (mut messaging, id) = (api.messaging.clone(), id.clone());
        asked.spawn(async move {
            let found = messaging.get_message(GetMessageRequest { id: id.clone() }).await;
            let message = found.with_context(|| format!("{id} was promised"))?.into_inner();
            anyhow::Ok((index, message.message.context("a message")?.state()))
        });
        if asked.len() == CALLS
            && let Some(answer) = asked.join_next().await
        {
            states.extend([answer??]);
        }
    }
    while let Some(answer) = asked.join_next().await {
        states.extend([answer??]);
    }
    Ok(states)
}

/// Client against Postgres against Meta. Each message has a recipient of its own: whatever Meta accepted for one recipient twice was sent twice, under one id of ours or under two.
pub(super) fn agree(
    promised: &Promises,
    states: &HashMap<usize, SubmissionState>,
    stored: Stored,
    entries: &[Accepted],
    in_flight: usize,
) -> Result<()> {
    let ids: HashSet<&String> = promised.values().collect();
    ensure!(ids.len() == promised.len(), "two keys were given one message");
    let mut accepted: HashMap<usize, &Accepted> = HashMap::with_capacity(entries.len());
    for entry in entries {
        let index = index_of(&entry.to).context("a recipient that nobody was written to")?;
        ensure!(
            accepted.insert(index, entry).is_none(),
            "message {index} was sent twice"
        );
    }
    for (index, id) in promised {
        let sent = accepted.get(index).and_then(|entry| message_of(entry));
        match states.get(index).copied().unwrap_or_default() {
            SubmissionState::Accepted => ensure!(
                sent.as_ref() == Some(id),
                "{id} is recorded as accepted, and Meta accepted {sent:?}"
            ),
            SubmissionState::Unknown => ensure!(
                sent.is_none(),
                "Meta accepted {id} and said so, and it is still unknown"
            ),
            other => bail!("{id} ended as {other:?}"),
        }
    }
    // The requests in flight at the end were stored or not, and nobody was told.
    let Stored { messages, unknown } = stored;
    ensure!(
        messages >= promised.len() && messages - promised.len() <= in_flight,
        "{} messages were promised and {messages} are stored",
        promised.len()
    );
    ensure!(
        messages == entries.len() + unknown,
        "{messages} messages are stored, {unknown} of them unknown, and Meta accepted {}",
        entries.len()
    );
    Ok(())
}

/// The events that the stream owes: the message itself, and each status whose webhook was answered with 200.
pub(super) fn owed(entries: &[Accepted], promised: &Promises) -> HashMap<String, BTreeSet<String>> {
    let mut owed: HashMap<String, BTreeSet<String>> = promised
        .values()
        .map(|id| (id.clone(), BTreeSet::from(["message.outbound".to_owned()])))
        .collect();
    for entry in entries {
        let Some(message) = message_of(entry) else { continue };
        let events = owed.entry(message).or_default();
        events.insert("message.accepted".to_owned());
        let statuses = entry.delivered_statuses.iter();
        events.extend(statuses.map(|status| format!("message.{status}")));
    }
    owed
}

/// Waits until the stream told everything that it owes, and of every message that is stored, and of no other.
pub(super) async fn heard(told: &Told, owed: &HashMap<String, BTreeSet<String>>, stored: Stored) -> Result<()> {
    let deadline = Instant::now() + SETTLES;
    loop {
        let lacking = lacking(told, owed);
        let again = locked(told)
            .values()
            .filter(|events| events.contains(TOLD_AGAIN))
            .count();
        ensure!(
            again == 0,
            "of {again} messages events were told again that had been acknowledged"
        );
        let messages = locked(told)
            .values()
            .filter(|events| events.contains("message.outbound"))
            .count();
        if lacking.is_empty() && messages == stored.messages {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{} events never came, for example {:?}; {messages} messages were told of, and {} are stored",
            lacking.len(),
            lacking.first(),
            stored.messages
        );
        sleep(Duration::from_millis(200)).await;
    }
}

fn lacking(told: &Told, owed: &HashMap<String, BTreeSet<String>>) -> Vec<String> {
    let (told, none) = (locked(told), BTreeSet::new());
    let missing = |(id, events): (&String, &BTreeSet<String>)| {
        let known = told.get(id).unwrap_or(&none);
        events
            .difference(known)
            .map(|event| format!("{event} of {id}"))
            .collect::<Vec<_>>()
    };
    owed.iter().flat_map(missing).collect()
}

/// The message that a call named.
fn message_of(entry: &Accepted) -> Option<String> {
    let (message, _) = entry.callback.as_deref()?.rsplit_once('.')?;
    Some(message.to_owned())
}
