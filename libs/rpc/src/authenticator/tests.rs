use std::sync::atomic::{AtomicUsize, Ordering};

use outeract_clock::{FakeClock, SeededRandom};
use time::macros::datetime;

use super::*;
use crate::call::{self, Call, Slot};
use crate::deadline::{self, Deadline};
use crate::method::Method;
use crate::trace;

/// One key, whose answer changes.
#[derive(Clone)]
struct One {
    hash: [u8; 32],
    answer: Arc<Mutex<Option<Verdict>>>,
    asked: Arc<AtomicUsize>,
}

impl Keys for One {
    async fn authenticate(&self, _: Uuid, secret_sha256: [u8; 32]) -> Result<Verdict, Unavailable> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        // As a channel does for a call whose time is up.
        if deadline::current().is_some_and(|deadline| deadline.pass_on().is_none()) {
            return Err(Unavailable("too late".into()));
        }
        tokio::task::yield_now().await;
        let answer = self.answer.lock().unwrap().clone().ok_or(Unavailable("away".into()))?;
        Ok(if secret_sha256 == self.hash {
            answer
        } else {
            Verdict::Unknown
        })
    }
}

fn valid() -> Verdict {
    Verdict::Application {
        application: ApplicationId::from_uuid(Uuid::from_u128(1)),
        scopes: Arc::new(["*".to_owned()]),
        expires: Some(datetime!(2026-11-23 11:00 UTC)),
    }
}

fn fixture() -> (String, One, Arc<FakeClock>, Authenticator) {
    let key = KeyId::from_uuid(Uuid::from_u128(2));
    let (text, hash) = KeyText::generate("live", key, &SeededRandom::new(1));
    let one = One {
        hash,
        answer: Arc::new(Mutex::new(Some(valid()))),
        asked: Arc::default(),
    };
    let clock = Arc::new(FakeClock::at(datetime!(2026-11-23 10:00 UTC)));
    let authenticator = Authenticator::new(one.clone(), Arc::<FakeClock>::clone(&clock));
    (text, one, clock, authenticator)
}

async fn outcome(authenticator: &Authenticator, text: &str) -> Result<(), ErrorReason> {
    let presented = Presented::parse(text).map_err(|fault| fault.reason())?;
    authenticator
        .holder(presented)
        .await
        .map(drop)
        .map_err(|fault| fault.reason())
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_revocation_acts_within_twenty_seconds_and_asks_once() {
    let (text, one, _, authenticator) = fixture();
    assert_eq!(outcome(&authenticator, &text).await, Ok(()));
    *one.answer.lock().unwrap() = Some(Verdict::Revoked);
    pass(14).await;
    assert_eq!(outcome(&authenticator, &text).await, Ok(()));
    assert_eq!(one.asked.load(Ordering::Relaxed), 1);
    pass(6).await;
    let calls: Vec<_> = (0..50).map(|_| outcome(&authenticator, &text)).collect();
    let answers = futures_util::future::join_all(calls).await;
    assert!(answers.iter().all(|answer| *answer == Err(ErrorReason::KeyRevoked)));
    assert_eq!(one.asked.load(Ordering::Relaxed), 2);
}

/// Otherwise whoever holds a revoked key would keep it alive with a call of no time each second.
#[tokio::test(start_paused = true)]
async fn a_call_without_time_does_not_pass_for_an_outage() {
    let (text, one, _, authenticator) = fixture();
    assert_eq!(outcome(&authenticator, &text).await, Ok(()));
    *one.answer.lock().unwrap() = Some(Verdict::Revoked);
    pass(21).await;
    let (_, trace) = trace::serve(&http::HeaderMap::new(), "hurried");
    let deadline = Deadline::after(Duration::from_millis(1));
    let hurried = Call::new(Method::at("/hurried"), Some(deadline), trace, Slot::free());
    let _ = call::scope(Arc::new(hurried), outcome(&authenticator, &text)).await;
    assert_eq!(outcome(&authenticator, &text).await, Err(ErrorReason::KeyRevoked));
}

#[tokio::test(start_paused = true)]
async fn one_call_renews_while_others_use_what_is_fresh() {
    let (text, one, _, authenticator) = fixture();
    assert_eq!(outcome(&authenticator, &text).await, Ok(()));
    pass(16).await;
    let calls: Vec<_> = (0..50).map(|_| outcome(&authenticator, &text)).collect();
    assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!(one.asked.load(Ordering::Relaxed), 2);
    pass(10).await;
    assert_eq!(outcome(&authenticator, &text).await, Ok(()));
    assert_eq!(one.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_known_serves_fifteen_minutes_while_no_one_can_be_asked() {
    let (text, one, _, authenticator) = fixture();
    assert_eq!(outcome(&authenticator, &text).await, Ok(()));
    *one.answer.lock().unwrap() = None;
    for _ in 0..14 {
        pass(60).await;
        assert_eq!(outcome(&authenticator, &text).await, Ok(()));
        // Not asked again at once: an outage would cost every call a wait.
        assert_eq!(outcome(&authenticator, &text).await, Ok(()));
    }
    assert_eq!(one.asked.load(Ordering::Relaxed), 15);
    pass(61).await;
    assert_eq!(
        outcome(&authenticator, &text).await,
        Err(ErrorReason::DependencyUnavailable)
    );
    *one.answer.lock().unwrap() = Some(valid());
    pass(2).await;
    assert_eq!(outcome(&authenticator, &text).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_expiry_acts_at_its_moment_and_a_forgotten_key_is_asked_about() {
    let (text, one, clock, authenticator) = fixture();
    assert_eq!(outcome(&authenticator, &text).await, Ok(()));
    clock.advance(time::Duration::minutes(59));
    assert_eq!(outcome(&authenticator, &text).await, Ok(()));
    clock.advance(time::Duration::minutes(1));
    assert_eq!(outcome(&authenticator, &text).await, Err(ErrorReason::KeyExpired));
    *one.answer.lock().unwrap() = Some(Verdict::Revoked);
    authenticator.forget(KeyId::from_uuid(Uuid::from_u128(2)));
    assert_eq!(outcome(&authenticator, &text).await, Err(ErrorReason::KeyRevoked));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_secret_neither_asks_nor_harms_the_right_one() {
    let (text, one, _, authenticator) = fixture();
    assert_eq!(outcome(&authenticator, &text).await, Ok(()));
    let wrong = format!("{}AAAA", &text[..text.len() - 4]);
    for _ in 0..100 {
        assert_eq!(outcome(&authenticator, &wrong).await, Err(ErrorReason::KeyUnknown));
    }
    assert_eq!(one.asked.load(Ordering::Relaxed), 1);
    assert_eq!(outcome(&authenticator, &text).await, Ok(()));
}
