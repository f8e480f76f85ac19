//! A replay beside live traffic, whose process dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use outeract_proto::webhook::admin::v1::{ReplaySelection, ReplayState};
use outeract_testkit::eventually;
use tokio::task::JoinSet;

use crate::bodies::{change, entry, one_text, post, text};
use crate::http::Http;
use crate::replay::{counts, ended, get, start};
use crate::suite::{Instance, LONG, Number, Suite};

#[tokio::test]
async fn a_replay_amid_live_traffic_whose_process_is_killed_goes_on_and_applies_nothing_twice() {
    const OLD: usize = 150;
    let (mut suite, instance) = Suite::with_instance().await;
    instance
        .push(vec![Number::new("7", "1").active(), Number::new("8", "2").active()])
        .await;
    suite.siblings.world().refused = (0..OLD).map(|n| format!("wamid.old.{n}")).collect();
    for n in 0..OLD {
        let both = vec![
            text(&format!("wamid.old.{n}"), "x"),
            text(&format!("wamid.was.{n}"), "x"),
        ];
        instance
            .stored(&post(&[entry("7", &[change("1", both, vec![])])]))
            .await;
    }
    suite.settled().await;
    let old = OLD as i64;
    assert_eq!(suite.accounts().await, [2 * old, old, 0, 0, 0, old]);
    suite.siblings.world().refused.clear();
    // Messaging goes away in the midst of the replay.
    {
        let mut world = suite.siblings.world();
        world.messaging_most = Some(world.applied.len() + 100);
    }
    let before = Traffic::to(&instance, "before");
    let mut operator = instance.admin(suite.key(None, &[])).await;
    let replay = start(&mut operator, ReplaySelection::default()).await;
    let failures = suite.siblings.world().failures;
    eventually(LONG, async || suite.siblings.world().failures > failures + 2).await;
    let stands = get(&mut operator, &replay.id).await;
    assert_eq!(stands.state(), ReplayState::Running);
    assert!(stands.webhooks < old, "{stands:?}");
    let sent = before.end().await;
    instance.kill().await;

    let other = suite.start().await;
    let after = Traffic::to(&other, "after");
    suite.siblings.world().messaging_most = None;
    let mut operator = other.admin(suite.key(None, &[])).await;
    let replay = ended(&suite, &mut operator, &replay.id).await;
    let sent = sent + after.end().await;
    suite.settled().await;
    assert_eq!(replay.state(), ReplayState::Done);
    let [items, applied, duplicate, ..] = counts(&replay);
    // Of live traffic it takes what came before it began, if that was decoded when it got there.
    assert!(items >= 2 * old && applied + duplicate == items, "{replay:?}");
    assert!(applied <= old, "{replay:?}");
    let all = 2 * old + sent;
    assert_eq!(suite.accounts().await, [all, all, 0, 0, 0, 0]);
    let mut recorded = suite.siblings.recorded();
    assert_eq!(recorded.len() as i64, all);
    recorded.sort();
    recorded.dedup();
    assert_eq!(recorded.len() as i64, all, "every item became one event");
}

/// One webhook after another for the second number, until it is ended.
struct Traffic {
    stop: Arc<AtomicBool>,
    sending: JoinSet<i64>,
}

impl Traffic {
    fn to(instance: &Instance, name: &'static str) -> Self {
        let (edge, stop) = (instance.edge, Arc::new(AtomicBool::new(false)));
        let mut sending = JoinSet::new();
        let told = Arc::clone(&stop);
        sending.spawn(async move {
            let mut http = Http::connect(edge).await;
            let mut sent = 0;
            while !told.load(Ordering::SeqCst) {
                let answer = http.post(&one_text("8", "2", &format!("wamid.{name}.{sent}"))).await;
                assert_eq!(answer.status, 200);
                sent += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            sent
        });
        Self { stop, sending }
    }

    /// Returns how many were sent.
    async fn end(self) -> i64 {
        self.stop.store(true, Ordering::SeqCst);
        self.sending.join_all().await.into_iter().sum()
    }
}
