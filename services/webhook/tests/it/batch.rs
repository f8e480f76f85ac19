//! One webhook of a thousand items for three applications.

use std::collections::HashSet;
use std::time::Instant;

use outeract_proto::messaging::internal::v1::item::Kind;

use crate::bodies::{change, entry, post, text};
use crate::siblings::event_wamid;
use crate::suite::{Number, Suite};

/// Items of each application that can be applied.
const COUNTS: [usize; 3] = [333, 333, 332];

#[tokio::test]
async fn of_a_thousand_items_of_three_applications_one_is_bad_one_is_of_an_unknown_number_and_the_rest_are_applied() {
    let (suite, instance) = Suite::with_instance().await;
    let numbers = [Number::new("7", "1"), Number::new("8", "2"), Number::new("9", "3")];
    instance.push(numbers.iter().map(Number::active).collect()).await;
    suite.siblings.world().poison.insert("wamid.POISON".to_owned());
    let wamid = |home: usize, index: usize| format!("wamid.{home}.{index}");
    let mut entries = Vec::new();
    for (home, (waba, number)) in [("7", "1"), ("8", "2"), ("9", "3")].into_iter().enumerate() {
        let mut messages: Vec<_> = (0..COUNTS[home]).map(|index| text(&wamid(home, index), "x")).collect();
        let mut changes = Vec::new();
        if home == 1 {
            messages.insert(100, text("wamid.POISON", "x"));
        }
        changes.push(change(number, messages, vec![]));
        if home == 2 {
            changes.push(change("404", vec![text("wamid.UNKNOWN", "x")], vec![]));
        }
        entries.push(entry(waba, &changes));
    }
    let body = post(&entries);
    let begun = Instant::now();
    instance.stored(&body).await;
    let answered = begun.elapsed();
    suite.settled().await;
    println!(
        "answered after {answered:?}, all 1,000 accounted after {:?}",
        begun.elapsed()
    );

    assert_eq!(suite.accounts().await, [1_000, 998, 0, 1, 0, 1]);
    let (parked, bad) = (suite.listed(3).await, suite.listed(5).await);
    let listed = |(pointer, reason): &(String, String)| (pointer.clone(), reason.clone());
    assert_eq!(
        listed(&parked[0]),
        (
            "/entry/2/changes/1/value/messages/0".to_owned(),
            "NO_CONNECTION".to_owned()
        )
    );
    assert_eq!(
        listed(&bad[0]),
        (
            "/entry/1/changes/0/value/messages/100".to_owned(),
            "APPLY_REFUSED".to_owned()
        )
    );
    let world = suite.siblings.world();
    for (home, number) in numbers.iter().enumerate() {
        // In their order, each once, for this connection and no other.
        let mine = world
            .events
            .iter()
            .filter(|event| event.application_id == number.application.bytes());
        let found: Vec<_> = mine
            .inspect(|event| assert_eq!(event.connection_id, number.connection.bytes()))
            .map(event_wamid)
            .collect();
        assert_eq!(
            found,
            (0..COUNTS[home]).map(|index| wamid(home, index)).collect::<Vec<_>>()
        );
        let applied = world
            .applied
            .iter()
            .filter(|item| item.application_id == number.application.bytes());
        let applied: HashSet<_> = applied
            .filter_map(|item| match &item.kind {
                Some(Kind::Inbound(inbound)) => Some(inbound.wamid.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(applied, found.into_iter().collect());
    }
}
