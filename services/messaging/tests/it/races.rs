//! Thousands of statuses race the answers of the calls that they belong to: before the answer's record, during it, and after.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use outeract_clock::{Random as _, SystemRandom};
use outeract_domain::Submission;
use outeract_proto::messaging::internal::v1::item::Kind;
use outeract_proto::messaging::internal::v1::{ItemOutcome, StatusItem};
use outeract_simulator::control::LedgerQuery;
use outeract_simulator::{Accepted, Effect, Match};
use outeract_testkit::eventually;
use tokio::time::Instant;
use uuid::Uuid;

use crate::batch::store_all;
use crate::instance::Instance;
use crate::suite::{Number, Suite, message_of, recipient, request, status_of};

const MESSAGES: usize = 4_000;
const NUMBERS: usize = 4;
const WORDS: [&str; 3] = ["sent", "delivered", "read"];
/// Milliseconds from the acceptance to its answer, for each number.
const ANSWERS: [u64; NUMBERS] = [200, 400, 700, 1_000];
/// A status comes at most so many milliseconds after the acceptance was seen: before the answer is recorded, while it is, and after.
const STATUS: u32 = 1_200;
/// Items of one call.
const AT_ONCE: usize = 200;
const LONG: Duration = Duration::from_mins(3);

/// A status on its way, and the message that it is about.
struct Status {
    due: Instant,
    number: usize,
    message: Uuid,
    word: &'static str,
    item: StatusItem,
}

/// Where the statuses of the test stand.
#[derive(Default)]
struct Race {
    /// How far the ledger was read.
    next: u64,
    due: Vec<Status>,
    /// Statuses that were kept for their message, with how often each came.
    orphaned: HashMap<(Uuid, &'static str), usize>,
    /// Statuses that found it.
    joined: HashSet<(Uuid, &'static str)>,
}

// === impl Race ===

impl Race {
    /// Three statuses of each message that Meta has accepted meanwhile set out; three of four messages are known by nothing but the id that the answer brings.
    fn set_out(&mut self, suite: &Suite, accepted: &[Accepted]) {
        for entry in accepted {
            self.next = entry.index + 1;
            let number = suite
                .numbers
                .iter()
                .position(|number| number.id == entry.phone_number_id);
            for word in WORDS {
                let late = Duration::from_millis(noise(STATUS).into());
                let mut item = status_of(entry, word);
                if entry.index % 4 != 0 {
                    item.callback_data.clear();
                }
                self.due.push(Status {
                    due: Instant::now() + late,
                    number: number.expect("one of the suite's"),
                    message: message_of(entry),
                    word,
                    item,
                });
            }
        }
    }

    /// Those arrive whose time it is, all of a number by one call.
    async fn arrive(&mut self, suite: &Suite, instance: &Instance) {
        let now = Instant::now();
        let (here, later) = std::mem::take(&mut self.due)
            .into_iter()
            .partition(|status| status.due <= now);
        self.due = later;
        let mut by_number: Vec<Vec<Status>> = suite.numbers.iter().map(|_| Vec::new()).collect();
        for status in Vec::from_iter::<Vec<Status>>(here) {
            by_number[status.number].push(status);
        }
        for (number, statuses) in suite.numbers.iter().zip(by_number) {
            for some in statuses.chunks(AT_ONCE) {
                self.apply(suite, instance, number, some).await;
            }
        }
    }

    async fn apply(&mut self, suite: &Suite, instance: &Instance, number: &Number, statuses: &[Status]) {
        let kinds = statuses.iter().map(|status| Kind::Status(status.item.clone()));
        let results = suite
            .apply_all(instance, suite.application, number, kinds.collect())
            .await;
        for (status, result) in statuses.iter().zip(results) {
            match result.outcome() {
                ItemOutcome::Applied => {
                    assert_eq!(result.message_id, status.message.as_bytes(), "its own message");
                    self.joined.insert((status.message, status.word));
                }
                ItemOutcome::Orphaned => *self.orphaned.entry((status.message, status.word)).or_default() += 1,
                other => panic!("{other:?}: {}", result.reason),
            }
        }
    }

    fn is_over(&self) -> bool {
        self.next == MESSAGES as u64 && self.due.is_empty()
    }
}

fn noise(below: u32) -> u32 {
    let mut bytes = [0; 4];
    SystemRandom.fill(&mut bytes);
    u32::from_le_bytes(bytes) % below
}

#[tokio::test]
async fn of_thousands_of_statuses_that_race_the_answer_none_is_stranded() {
    let suite = Suite::with_numbers(NUMBERS).await;
    let instance = suite.start_patient().await;
    let client = instance.client(&suite.key).await;
    for (number, after_ms) in suite.numbers.iter().zip(ANSWERS) {
        let of_number = Match {
            object_id: Some(number.id.clone()),
            ..Match::default()
        };
        let late = Effect::Latency {
            before_ms: 0,
            after_ms,
            jitter_ms: 0,
        };
        suite.meta.fault(of_number, late).await.expect("added");
    }
    let sends = async {
        for first in (0..MESSAGES).step_by(AT_ONCE) {
            let some = (first..first + AT_ONCE)
                .map(|index| request(&suite.numbers[index % NUMBERS], &recipient(index % 1_300)));
            store_all(&client, some.collect()).await;
        }
    };
    let mut race = Race::default();
    let statuses = eventually(LONG, async || {
        let query = LedgerQuery {
            after: race.next,
            limit: Some(1_000),
            ..LedgerQuery::default()
        };
        race.set_out(&suite, &suite.meta.ledger(&query).await.expect("the ledger"));
        race.arrive(&suite, &instance).await;
        race.is_over()
    });
    tokio::join!(sends, statuses);
    let orphaned = race.orphaned.len();
    println!(
        "{MESSAGES} messages: {orphaned} statuses came before their message's record, {} after",
        race.joined.len()
    );
    assert_eq!(orphaned + race.joined.len(), MESSAGES * WORDS.len());
    assert!(
        orphaned > MESSAGES / 2 && race.joined.len() > MESSAGES / 2,
        "both sides won often"
    );

    // Each that came too early is told as the child of its own message, and nothing is kept any more.
    eventually(LONG, async || {
        let (kept, moving): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM messaging.orphan_status), (SELECT count(*) FROM messaging.queue WHERE phone_number_id <> '')",
        )
        .fetch_one(suite.database.admin())
        .await
        .expect("counts");
        (kept, moving) == (0, 0)
    })
    .await;
    eventually(LONG, async || {
        let told = told(&suite);
        race.orphaned.keys().all(|status| told.contains(status))
    })
    .await;
    let mut both = 0;
    for word in WORDS {
        for record in suite.siblings.of_type(&format!("message.{word}")) {
            let message = Uuid::from_slice(&record.origin_event_id).expect("a message");
            if race.orphaned.remove(&(message, word)).is_none() {
                // Kept, and its message was recorded in the same moment: both sides tell, under the one id that the status has.
                assert!(
                    race.joined.contains(&(message, word)),
                    "{word}: told of its own message, once"
                );
                both += 1;
            }
        }
    }
    println!("{both} were told from both sides");
    assert!(race.orphaned.is_empty(), "{} were stranded", race.orphaned.len());
    let (accepted, duplicates): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE state = $1), coalesce(sum(duplicates), 0)::bigint FROM messaging.ending",
    )
    .bind(Submission::Accepted.code())
    .fetch_one(suite.database.admin())
    .await
    .expect("counts");
    assert_eq!((accepted, duplicates), (MESSAGES as i64, 0));
}

/// The statuses that the tracking service was told of.
fn told(suite: &Suite) -> HashSet<(Uuid, &'static str)> {
    let of = |word: &'static str| {
        let records = suite.siblings.of_type(&format!("message.{word}")).into_iter();
        records.map(move |record| (Uuid::from_slice(&record.origin_event_id).expect("a message"), word))
    };
    WORDS.into_iter().flat_map(of).collect()
}
