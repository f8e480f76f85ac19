use std::time::Duration;

use outeract_batch::{BatchConfig, Batcher, SubmitError};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Fate, Item, Store, config, settle, spawn, start};

#[tokio::test]
async fn a_lone_caller_waits_for_nobody() {
    let store = Store::open();
    let (batcher, _tasks) = start(config(1), &store);
    assert_eq!(batcher.submit(Item::new(7)).await.unwrap(), 7);
    assert_eq!(store.calls(), [[7]]);
}

#[tokio::test]
async fn what_gathers_during_a_flush_is_the_next_batch() {
    let store = Store::shut();
    let (batcher, _tasks) = start(config(1), &store);
    let first = batcher.submit(Item::new(0));
    settle().await;
    let rest: Vec<_> = (1..=10).map(|number| batcher.submit(Item::new(number))).collect();
    settle().await;
    assert_eq!(store.calls(), [vec![0]], "one flush at a time");
    store.let_through(2);
    assert_eq!(first.await.unwrap(), 0);
    for (index, answer) in rest.into_iter().enumerate() {
        assert_eq!(answer.await.unwrap(), index + 1);
    }
    assert_eq!(store.calls(), [vec![0], (1..=10).collect()]);
}

#[tokio::test]
async fn callers_that_are_woken_together_are_flushed_together() {
    let store = Store::open();
    let (batcher, _tasks) = start(config(1), &store);
    let mut callers = JoinSet::new();
    for number in 0..10 {
        let batcher = batcher.clone();
        callers.spawn(async move {
            for turn in 0..20 {
                batcher.submit(Item::new(turn * 10 + number)).await.unwrap();
            }
        });
    }
    callers.join_all().await;
    let calls = store.calls();
    assert!(calls.len() <= 25, "20 would do, it were {}", calls.len());
}

#[tokio::test(start_paused = true)]
async fn a_trickle_is_flushed_at_the_configured_pace_and_what_comes_after_a_rest_at_once() {
    let store = Store::open();
    let pace = Duration::from_millis(20);
    let (batcher, _tasks) = start(BatchConfig { pace, ..config(1) }, &store);
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for number in 0..100 {
        let answer = batcher.submit(Item::new(number));
        callers.spawn(async move { answer.await.unwrap() });
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    callers.join_all().await;
    assert!(started.elapsed() < Duration::from_millis(130));
    assert!((5..=7).contains(&store.calls().len()), "{:?}", store.calls());

    tokio::time::sleep(pace).await;
    let started = Instant::now();
    batcher.submit(Item::new(100)).await.unwrap();
    assert!(started.elapsed() <= pace);
    batcher.close();
}

#[tokio::test]
async fn two_flushers_flush_at_a_time() {
    let store = Store::shut();
    let (batcher, _tasks) = start(config(2), &store);
    let first = batcher.submit(Item::new(0));
    settle().await;
    let second = batcher.submit(Item::new(1));
    settle().await;
    assert_eq!(store.calls(), [[0], [1]]);
    store.let_through(2);
    first.await.unwrap();
    second.await.unwrap();
}

#[tokio::test]
async fn batches_keep_their_bounds() {
    let store = Store::open();
    let bounds = BatchConfig {
        max_items: 4,
        max_bytes: 100,
        ..config(1)
    };
    let (batcher, flushers) = Batcher::new(bounds, store.clone());
    let weights = [10, 10, 10, 10, 10, 60, 40, 1, 500, 99, 2];
    let answers: Vec<_> = (0..weights.len())
        .map(|number| {
            batcher.submit(Item {
                weight: weights[number],
                ..Item::new(number)
            })
        })
        .collect();
    let _tasks = spawn(flushers);
    for answer in answers {
        answer.await.unwrap();
    }
    // Four items; then by weight; the heavy one alone.
    assert_eq!(
        store.calls(),
        [vec![0, 1, 2, 3], vec![4, 5], vec![6, 7], vec![8], vec![9], vec![10]]
    );
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let store = Store::shut();
    let bounds = BatchConfig {
        capacity: 3,
        ..config(1)
    };
    let (batcher, _tasks) = start(bounds, &store);
    let first = batcher.submit(Item::new(0));
    settle().await;
    let waiting: Vec<_> = (1..=3).map(|number| batcher.submit(Item::new(number))).collect();
    assert!(matches!(batcher.submit(Item::new(4)).await, Err(SubmitError::Full)));
    store.let_through(2);
    first.await.unwrap();
    for answer in waiting {
        answer.await.unwrap();
    }
    store.let_through(1);
    batcher.submit(Item::new(5)).await.unwrap();
    assert_eq!(store.written(), [0, 1, 2, 3, 5], "what was refused is not written");
}

#[tokio::test]
async fn too_many_bytes_are_refused_at_once() {
    let store = Store::shut();
    let bounds = BatchConfig {
        capacity_bytes: 100,
        ..config(1)
    };
    let (batcher, flushers) = Batcher::new(bounds, store.clone());
    let heavy = |number, weight| Item {
        weight,
        ..Item::new(number)
    };
    let first = batcher.submit(heavy(0, 60));
    assert!(matches!(batcher.submit(heavy(1, 41)).await, Err(SubmitError::Full)));
    let second = batcher.submit(heavy(2, 40));
    store.let_through(2);
    let _tasks = spawn(flushers);
    first.await.unwrap();
    second.await.unwrap();
    // Alone, any weight passes.
    batcher.submit(heavy(3, 1_000)).await.unwrap();
    assert_eq!(store.written(), [0, 2, 3]);
}

#[tokio::test]
async fn who_leaves_neither_loses_nor_doubles_its_item() {
    let store = Store::shut();
    let (batcher, mut tasks) = start(config(1), &store);
    drop(batcher.submit(Item::new(0))); // before any poll
    settle().await;
    let mut asked = JoinSet::new();
    for number in 1..=3 {
        asked.spawn(batcher.submit(Item::new(number)));
    }
    settle().await;
    asked.abort_all(); // while it waits
    let stays = batcher.submit(Item::new(4));
    store.let_through(1);
    settle().await;
    assert_eq!(store.calls().len(), 2);
    let last = batcher.submit(Item::new(5));
    drop(last); // during another's flush
    store.let_through(10);
    assert_eq!(stays.await.unwrap(), 4);
    batcher.close();
    while tasks.join_next().await.is_some() {}
    assert_eq!(store.written(), [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn only_the_poison_fails() {
    let store = Store::open();
    let (batcher, flushers) = Batcher::new(config(1), store.clone());
    let fate = |number| {
        if number == 37 || number == 38 {
            Fate::Poison
        } else {
            Fate::Written
        }
    };
    let answers: Vec<_> = (0..100)
        .map(|number| batcher.submit(Item::fated(number, fate(number))))
        .collect();
    let _tasks = spawn(flushers);
    for (number, answer) in answers.into_iter().enumerate() {
        match answer.await {
            Ok(output) => assert_eq!(output, number),
            Err(SubmitError::Failed(_)) => assert_eq!(fate(number), Fate::Poison),
            Err(other) => panic!("{other}"),
        }
    }
    let expected: Vec<usize> = (0..100).filter(|&number| fate(number) == Fate::Written).collect();
    assert_eq!(store.written(), expected, "once each, in order");
    assert!(
        store.calls().len() <= 32,
        "{} flushes for two poisoned items",
        store.calls().len()
    );
}

#[tokio::test]
async fn a_database_that_is_away_fails_the_batch_once() {
    let store = Store::open();
    let (batcher, flushers) = Batcher::new(config(1), store.clone());
    let answers: Vec<_> = (0..10)
        .map(|number| batcher.submit(Item::fated(number, Fate::Away)))
        .collect();
    let _tasks = spawn(flushers);
    for answer in answers {
        assert!(matches!(answer.await, Err(SubmitError::Failed(_))));
    }
    assert_eq!(store.calls().len(), 1);
    assert_eq!(
        batcher.submit(Item::new(10)).await.unwrap(),
        10,
        "and the batcher goes on"
    );
}

#[tokio::test]
async fn a_database_that_goes_away_among_the_halves_ends_them() {
    let store = Store::open();
    let (batcher, flushers) = Batcher::new(config(1), store.clone());
    // [0 … 6] is poisoned, so is [0 1 2]; 0 is written, [1 2] is poisoned, 1 fails, 2 is written; [3 … 6] meets the trouble.
    let fate = |number| match number {
        1 => Fate::Poison,
        4 => Fate::Away,
        _ => Fate::Written,
    };
    let answers: Vec<_> = (0..7)
        .map(|number| batcher.submit(Item::fated(number, fate(number))))
        .collect();
    let _tasks = spawn(flushers);
    let mut failed = Vec::new();
    for (number, answer) in answers.into_iter().enumerate() {
        if answer.await.is_err() {
            failed.push(number);
        }
    }
    assert_eq!(failed, [1, 3, 4, 5, 6]);
    assert_eq!(store.written(), [0, 2]);
    assert_eq!(store.calls().last().unwrap(), &[3, 4, 5, 6], "not one by one");
}

#[tokio::test]
async fn a_panic_fails_its_items_and_the_flusher_goes_on() {
    let store = Store::open();
    let (batcher, flushers) = Batcher::new(config(1), store.clone());
    let before = batcher.submit(Item::fated(0, Fate::Panic));
    let beside = batcher.submit(Item::new(1));
    let mut tasks = spawn(flushers);
    assert!(matches!(before.await, Err(SubmitError::Aborted)));
    assert!(matches!(beside.await, Err(SubmitError::Aborted)));
    assert_eq!(batcher.submit(Item::new(2)).await.unwrap(), 2);
    batcher.close();
    tasks.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_flush_that_miscounts_has_an_unknown_outcome() {
    let store = Store::open();
    let (batcher, _tasks) = start(config(1), &store);
    assert!(matches!(
        batcher.submit(Item::fated(0, Fate::Miscount)).await,
        Err(SubmitError::Aborted)
    ));
    assert_eq!(batcher.submit(Item::new(1)).await.unwrap(), 1);
}

#[tokio::test]
async fn close_drains() {
    let store = Store::shut();
    let bounds = BatchConfig {
        max_items: 2,
        ..config(2)
    };
    let (batcher, mut tasks) = start(bounds, &store);
    let answers: Vec<_> = (0..9).map(|number| batcher.submit(Item::new(number))).collect();
    settle().await;
    batcher.close();
    assert!(matches!(batcher.submit(Item::new(9)).await, Err(SubmitError::Closed)));
    store.let_through(100);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.await.unwrap(), number);
    }
    let mut written = store.written();
    written.sort_unstable();
    assert_eq!(written, (0..9).collect::<Vec<_>>());
}

#[tokio::test]
async fn flushers_end_when_every_handle_is_gone() {
    let store = Store::open();
    let (batcher, mut tasks) = start(config(2), &store);
    let answer = batcher.clone().submit(Item::new(0));
    drop(batcher);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert_eq!(answer.await.unwrap(), 0);
}

#[tokio::test]
async fn a_flusher_that_is_stopped_hard_says_so() {
    let store = Store::shut();
    let (batcher, mut tasks) = start(config(1), &store);
    let flying = batcher.submit(Item::new(0));
    settle().await;
    let waiting = batcher.submit(Item::new(1));
    tasks.abort_all();
    while tasks.join_next().await.is_some() {}
    assert!(
        matches!(flying.await, Err(SubmitError::Aborted)),
        "it may have been written"
    );
    assert!(matches!(waiting.await, Err(SubmitError::Closed)), "it was not");
    assert!(matches!(batcher.submit(Item::new(2)).await, Err(SubmitError::Closed)));
}

#[tokio::test]
async fn a_flusher_that_dies_leaves_the_queue_to_the_others() {
    let store = Store::shut();
    let (batcher, flushers) = Batcher::new(config(2), store.clone());
    let mut flushers = flushers.into_iter();
    let mut first = JoinSet::new();
    first.spawn(flushers.next().unwrap().run());
    let mut second = JoinSet::new();
    settle().await;
    let flying = batcher.submit(Item::new(0));
    settle().await;
    second.spawn(flushers.next().unwrap().run());
    settle().await;
    first.abort_all();
    while first.join_next().await.is_some() {}
    store.let_through(10);
    assert!(matches!(flying.await, Err(SubmitError::Aborted)));
    assert_eq!(batcher.submit(Item::new(1)).await.unwrap(), 1);
}
