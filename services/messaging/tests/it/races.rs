//! Thousands of statuses race the answers of the calls that they belong to: before the answer's record, during it, and after.

use std::collections::{HashMap, HashSet};

use futures_util::future::join_all;
use outeract_domain::Submission;
use outeract_proto::messaging::internal::v1::item::Kind;
use outeract_proto::messaging::internal::v1::{ItemOutcome, StatusItem};
use outeract_simulator::Accepted;
use outeract_simulator::control::LedgerQuery;
use outeract_testkit::{FaultProxy, eventually};
use uuid::Uuid;

use crate::batch::store_all;
use crate::instance::Instance;
use crate::suite::{Number, SOON, Suite, message_of, recipient, request, status_of};

const MESSAGES: usize = 4_000;
const NUMBERS: usize = 4;
/// Messages whose answers are held back together: no more than may be on their way.
const ROUND: usize = 200;
/// Statuses of one call while answers are recorded: few, so that many calls fall into that time.
const FEW: usize = 5;

/// A status's message and word.
type Told = (Uuid, &'static str);

/// What became of statuses when they came.
#[derive(Default)]
struct Outcomes {
    /// Kept until their message is known.
    orphaned: HashSet<Told>,
    /// They found it.
    joined: HashSet<Told>,
}

// === impl Outcomes ===

impl Outcomes {
    fn extend(&mut self, other: Self) {
        self.orphaned.extend(other.orphaned);
        self.joined.extend(other.joined);
    }
}

// === impl Suite ===

impl Suite {
    /// What Meta accepted from this place of its ledger on, by number.
    async fn accepted_after(&self, after: usize) -> Vec<Vec<Accepted>> {
        let query = LedgerQuery {
            after: after as u64,
            limit: Some(ROUND),
            ..LedgerQuery::default()
        };
        let page = self.meta.ledger(&query).await.expect("the ledger");
        let of = |number: &Number| {
            page.iter()
                .filter(|one| one.phone_number_id == number.id)
                .cloned()
                .collect()
        };
        self.numbers.iter().map(of).collect()
    }

    /// A status of each message arrives, `at_once` by one call and the numbers at the same time. Three of four messages are known by nothing but the id that the answer brings.
    async fn arrive(
        &self,
        instance: &Instance,
        accepted: &[Vec<Accepted>],
        word: &'static str,
        at_once: usize,
    ) -> Outcomes {
        let of_number = async |number: &Number, accepted: &[Accepted]| {
            let mut outcomes = Outcomes::default();
            for some in accepted.chunks(at_once) {
                let kinds = some.iter().map(|entry| Kind::Status(status(entry, word)));
                let results = self
                    .apply_all(instance, self.application, number, kinds.collect())
                    .await;
                for (entry, result) in some.iter().zip(results) {
                    let message = message_of(entry);
                    match result.outcome() {
                        ItemOutcome::Applied => {
                            assert_eq!(result.message_id, message.as_bytes(), "its own message");
                            outcomes.joined.insert((message, word));
                        }
                        ItemOutcome::Orphaned => {
                            outcomes.orphaned.insert((message, word));
                        }
                        other => panic!("{other:?}: {}", result.reason),
                    }
                }
            }
            outcomes
        };
        let numbers = self.numbers.iter().zip(accepted);
        let mut all = Outcomes::default();
        for outcomes in join_all(numbers.map(|(number, accepted)| of_number(number, accepted))).await {
            all.extend(outcomes);
        }
        all
    }

    /// Messages that are not sent yet, and statuses that wait for theirs.
    async fn open(&self) -> (i64, i64) {
        sqlx::query_as(
            "SELECT (SELECT count(*) FROM messaging.queue WHERE phone_number_id <> ''), (SELECT count(*) FROM messaging.orphan_status)",
        )
        .fetch_one(self.database.admin())
        .await
        .expect("counts")
    }

    /// The statuses that the tracking service was told of by this service, each with how many events there are of it.
    fn told(&self) -> HashMap<Told, usize> {
        let mut told = HashMap::new();
        for word in ["sent", "delivered", "read"] {
            for record in self.siblings.of_type(&format!("message.{word}")) {
                let message = Uuid::from_slice(&record.origin_event_id).expect("a message");
                *told.entry((message, word)).or_default() += 1;
            }
        }
        told
    }
}

fn status(entry: &Accepted, word: &str) -> StatusItem {
    let mut item = status_of(entry, word);
    if !entry.index.is_multiple_of(4) {
        item.callback_data.clear();
    }
    item
}

#[tokio::test]
async fn of_thousands_of_statuses_that_race_the_answer_none_is_stranded() {
    let mut suite = Suite::with_numbers(NUMBERS).await;
    let proxy = FaultProxy::start(suite.meta_address()).await;
    suite.reach_meta_at(proxy.address());
    let instance = suite.start_patient().await;
    let client = instance.client(&suite.key).await;
    let (mut all, mut during) = (Outcomes::default(), [0; 2]);
    for first in (0..MESSAGES).step_by(ROUND) {
        proxy.hold_responses();
        let messages =
            (first..first + ROUND).map(|index| request(&suite.numbers[index % NUMBERS], &recipient(index % 1_300)));
        store_all(&client, messages.collect()).await;
        let mut accepted = Vec::new();
        eventually(SOON, async || {
            accepted = suite.accepted_after(first).await;
            accepted.iter().map(Vec::len).sum::<usize>() == ROUND
        })
        .await;
        // Before: no answer has come.
        let before = suite.arrive(&instance, &accepted, "sent", ROUND).await;
        assert_eq!((before.orphaned.len(), before.joined.len()), (ROUND * 3 / 4, ROUND / 4));
        // During: all of them come.
        proxy.heal();
        let meanwhile = suite.arrive(&instance, &accepted, "delivered", FEW).await;
        during[0] += meanwhile.orphaned.len();
        during[1] += meanwhile.joined.len();
        // After: all of them are recorded.
        eventually(SOON, async || suite.open().await.0 == 0).await;
        let after = suite.arrive(&instance, &accepted, "read", ROUND).await;
        assert_eq!((after.orphaned.len(), after.joined.len()), (0, ROUND));
        for outcomes in [before, meanwhile, after] {
            all.extend(outcomes);
        }
    }

    // Each that came too early is told as the child of its own message, once, and nothing is kept any more.
    eventually(SOON, async || suite.open().await == (0, 0)).await;
    eventually(SOON, async || {
        let told = suite.told();
        all.orphaned.iter().all(|status| told.contains_key(status))
    })
    .await;
    let told = suite.told();
    assert!(told.values().all(|events| *events == 1));
    // One that was kept in the moment in which its message was recorded is told from both sides, under the one id that it has.
    let both = told.keys().filter(|status| !all.orphaned.contains(*status));
    assert!(both.clone().all(|status| all.joined.contains(status)));
    println!(
        "{MESSAGES} messages, {} statuses: {} came too early, {:?} of those during the record, {} in its very moment",
        all.orphaned.len() + all.joined.len(),
        all.orphaned.len(),
        during[0],
        both.count()
    );
    assert_eq!(all.orphaned.len() + all.joined.len(), 3 * MESSAGES);
    assert!(during[0] > 0 && during[1] > MESSAGES / 4, "{during:?}: both sides won");
    let (accepted, duplicates): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE state = $1), coalesce(sum(duplicates), 0)::bigint FROM messaging.ending",
    )
    .bind(Submission::Accepted.code())
    .fetch_one(suite.database.admin())
    .await
    .expect("counts");
    assert_eq!((accepted, duplicates), (MESSAGES as i64, 0));
}
