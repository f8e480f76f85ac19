use std::collections::HashSet;

use outeract_batch::{BatchConfig, SubmitError};
use proptest::prelude::*;
use tokio::task::JoinSet;

use super::{Fate, Item, Store, start};

#[derive(Debug, Clone)]
enum Op {
    /// Submit, and wait for the answer.
    Stay(Item),
    /// Submit, and never look again.
    Leave(Item),
    /// Submit and poll, then be cancelled some yields later.
    Cancel(Item, usize),
    Yield(usize),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![12 => Just(Fate::Written), 2 => Just(Fate::Poison), 1 => Just(Fate::Panic), 1 => Just(Fate::Away)]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let item = (fate(), 0_usize..50)
        .prop_map(|(fate, weight)| Item {
            number: 0,
            weight,
            fate,
        })
        .boxed();
    let op = prop_oneof![
        4 => item.clone().prop_map(Op::Stay),
        1 => item.clone().prop_map(Op::Leave),
        1 => (item, 0_usize..20).prop_map(|(item, yields)| Op::Cancel(item, yields)),
        2 => (0_usize..10).prop_map(Op::Yield),
    ];
    proptest::collection::vec(op, 1..120)
}

fn bounds() -> impl Strategy<Value = BatchConfig> {
    (1_usize..20, 20_usize..400, 1_usize..10, 1_usize..120, 1_usize..4).prop_map(
        |(capacity, capacity_bytes, max_items, max_bytes, flushers)| BatchConfig {
            name: "property",
            capacity,
            capacity_bytes,
            max_items,
            max_bytes,
            flushers,
            pace: std::time::Duration::ZERO,
        },
    )
}

async fn pause(yields: usize) {
    for _ in 0..yields {
        tokio::task::yield_now().await;
    }
}

/// Plays `ops` and checks what callers were told against what was written.
async fn play(bounds: BatchConfig, ops: Vec<Op>) {
    let store = Store::open();
    let (batcher, mut flushers) = start(bounds, &store);
    let (mut stayed, mut cancelled) = (JoinSet::new(), JoinSet::new());
    let mut items = Vec::new();
    for (number, op) in ops.into_iter().enumerate() {
        let named = |item| Item { number, ..item };
        match op {
            Op::Stay(item) => {
                items.push(named(item));
                let answer = batcher.submit(named(item));
                stayed.spawn(async move { (number, answer.await) });
            }
            Op::Leave(item) => {
                items.push(named(item));
                drop(batcher.submit(named(item)));
            }
            Op::Cancel(item, yields) => {
                items.push(named(item));
                let answer = batcher.submit(named(item));
                cancelled.spawn(async move {
                    tokio::select! { biased; () = pause(yields) => {}, _ = answer => {} }
                });
            }
            Op::Yield(yields) => pause(yields).await,
        }
    }
    batcher.close();
    while let Some(ended) = flushers.join_next().await {
        ended.unwrap();
    }
    let written = store.written();
    let unique: HashSet<usize> = written.iter().copied().collect();
    assert_eq!(unique.len(), written.len(), "an item was written twice: {written:?}");
    for (number, answer) in stayed.join_all().await {
        let is_written = unique.contains(&number);
        match answer {
            Ok(output) => assert!(is_written && output == number),
            Err(SubmitError::Full | SubmitError::Closed | SubmitError::Failed(_)) => assert!(!is_written),
            Err(SubmitError::Aborted) => assert!(!is_written, "here a panic comes before the write"),
        }
    }
    let weights = |numbers: &Vec<usize>| {
        let weight = |number: &usize| items.iter().find(|item| item.number == *number).unwrap().weight;
        numbers.iter().map(weight).sum::<usize>()
    };
    for call in store.calls() {
        assert!(!call.is_empty() && call.len() <= bounds.max_items);
        assert!(call.len() == 1 || weights(&call) <= bounds.max_bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_callers_are_told_is_true(bounds in bounds(), ops in ops()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(play(bounds, ops));
    }
}
