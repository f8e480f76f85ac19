//! Calls a sibling with many items, and finds the ones it cannot take.
//!
//! A call that is refused for its data is repeated with halves, down to single items, so that one poison item is set aside alone. A sibling that is away, busy
//! or broken as a whole is no reason to set anything aside: the batch waits and is tried again.

use std::ops::Range;
use std::time::Duration;

use tonic::Code;

/// One kind of call with many items.
pub(super) trait Call: Sync {
    /// What a call carries.
    type Item: Sync;
    /// What it answers for each.
    type Output: Send;

    /// Bytes of an item, roughly.
    fn weight(&self, item: &Self::Item) -> usize;

    /// Makes the call. The answer has one output per item, in order.
    fn call(&self, items: &[Self::Item]) -> impl Future<Output = Result<Vec<Self::Output>, Failure>> + Send;
}

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Not for its data.
    Away(Code),
    /// Perhaps for its data.
    Rejected(Code),
}

/// The batch has to wait: the sibling's last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sibling service answered {0:?}")]
pub(crate) struct Stalled(pub Code);

/// Items of one call.
const MAX_ITEMS: usize = 1_000;
/// Bytes of one call: half of what the siblings take.
const MAX_BYTES: usize = 2 << 20;
/// How often a single item is tried before it is set aside.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);
/// As many items refused, and none taken: the sibling is broken, not the items.
const SYSTEMIC: usize = 8;

// === impl Failure ===

impl Failure {
    /// What a status says of the items of its call.
    pub(super) fn of(status: &tonic::Status) -> Self {
        let code = status.code();
        match code {
            Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::NotFound
            | Code::AlreadyExists
            | Code::Internal
            | Code::DataLoss => Self::Rejected(code),
            // The transport's own failures come as Unknown, too.
            Code::Ok
            | Code::Unknown
            | Code::Unavailable
            | Code::ResourceExhausted
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Cancelled
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Unimplemented => Self::Away(code),
        }
    }
}

/// What a sibling answered for every item, in order; the code for those that it cannot take. Nothing is lost by calling again after [`Stalled`]: the calls are idempotent.
pub(super) async fn call_all<C: Call>(call: &C, items: &[C::Item]) -> Result<Vec<Result<C::Output, Code>>, Stalled> {
    let mut found: Vec<Option<Result<C::Output, Code>>> = items.iter().map(|_| None).collect();
    let mut open = chunks(call, items);
    open.reverse();
    let mut refused: Vec<Code> = Vec::new();
    let mut taken = false;
    while let Some(range) = open.pop() {
        match attempt(call, &items[range.clone()]).await {
            Ok(outputs) => {
                taken = true;
                for (place, output) in found[range].iter_mut().zip(outputs) {
                    *place = Some(Ok(output));
                }
            }
            Err(Failure::Away(code)) => return Err(Stalled(code)),
            Err(Failure::Rejected(_)) if range.len() > 1 => {
                let middle = range.start + range.len() / 2;
                open.push(middle..range.end);
                open.push(range.start..middle);
            }
            Err(Failure::Rejected(code)) => {
                refused.push(code);
                if !taken && refused.len() >= SYSTEMIC {
                    return Err(Stalled(code));
                }
                found[range.start] = Some(Err(code));
            }
        }
    }
    // With nothing taken there is no telling a poison item from a broken sibling, unless the sibling says that it is the item. Those that come next will tell.
    match refused.iter().find(|code| **code != Code::InvalidArgument) {
        Some(code) if !taken => Err(Stalled(*code)),
        _ => Ok(found
            .into_iter()
            .map(|place| place.unwrap_or(Err(Code::Unknown)))
            .collect()),
    }
}

/// One call; a single item gets more than one.
async fn attempt<C: Call>(call: &C, items: &[C::Item]) -> Result<Vec<C::Output>, Failure> {
    let tries = if items.len() == 1 { TRIES } else { 1 };
    let mut outcome = once(call, items).await;
    for _ in 1..tries {
        if !matches!(outcome, Err(Failure::Rejected(_))) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        outcome = once(call, items).await;
    }
    outcome
}

async fn once<C: Call>(call: &C, items: &[C::Item]) -> Result<Vec<C::Output>, Failure> {
    let outputs = call.call(items).await?;
    if outputs.len() == items.len() {
        Ok(outputs)
    } else {
        // It breaks the contract: nothing is to be believed.
        Err(Failure::Away(Code::Internal))
    }
}

/// Consecutive ranges that each fit one call.
fn chunks<C: Call>(call: &C, items: &[C::Item]) -> Vec<Range<usize>> {
    let mut chunks = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, item) in items.iter().enumerate() {
        let weight = call.weight(item);
        if index > start && (index - start == MAX_ITEMS || bytes + weight > MAX_BYTES) {
            chunks.push(start..index);
            (start, bytes) = (index, 0);
        }
        bytes += weight;
    }
    if start < items.len() {
        chunks.push(start..items.len());
    }
    chunks
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Refuses calls that carry a number of `poison`; doubles the others.
    #[derive(Default)]
    struct Double {
        poison: Vec<u32>,
        code: Option<Code>,
        away_after: Option<usize>,
        calls: Mutex<Vec<Vec<u32>>>,
    }

    impl Call for Double {
        type Item = u32;
        type Output = u32;

        fn weight(&self, item: &u32) -> usize {
            *item as usize
        }

        async fn call(&self, items: &[u32]) -> Result<Vec<u32>, Failure> {
            let mut calls = self.calls.lock().unwrap();
            calls.push(items.to_vec());
            if self.away_after.is_some_and(|after| calls.len() > after) {
                return Err(Failure::Away(Code::Unavailable));
            }
            if items.iter().any(|item| self.poison.contains(item)) {
                return Err(Failure::Rejected(self.code.unwrap_or(Code::Internal)));
            }
            Ok(items.iter().map(|item| item * 2).collect())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_poison_item_is_set_aside_alone_and_order_is_kept() {
        let call = Double {
            poison: vec![5],
            ..Double::default()
        };
        let items: Vec<u32> = (0..9).collect();
        let found = call_all(&call, &items).await.unwrap();
        for (item, output) in items.iter().zip(found) {
            assert_eq!(output, if *item == 5 { Err(Code::Internal) } else { Ok(item * 2) });
        }
        let taken: Vec<u32> = call
            .calls
            .lock()
            .unwrap()
            .iter()
            .filter(|items| !items.contains(&5))
            .flatten()
            .copied()
            .collect();
        assert_eq!(taken, [0, 1, 2, 3, 4, 6, 7, 8]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sibling_that_is_away_sets_nothing_aside() {
        let call = Double {
            poison: vec![1],
            away_after: Some(2),
            ..Double::default()
        };
        assert_eq!(call_all(&call, &[0, 1, 2, 3]).await, Err(Stalled(Code::Unavailable)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sibling_that_refuses_everything_is_broken() {
        let all: Vec<u32> = (0..100).collect();
        let broken = Double {
            poison: all.clone(),
            ..Double::default()
        };
        assert_eq!(call_all(&broken, &all).await, Err(Stalled(Code::Internal)));
        assert!(broken.calls.lock().unwrap().len() < 50, "it gives up early");
        // One item alone: it may be the item, it may be the sibling.
        assert_eq!(call_all(&broken, &[7]).await, Err(Stalled(Code::Internal)));
        let plain = Double {
            poison: vec![7],
            code: Some(Code::InvalidArgument),
            ..Double::default()
        };
        assert_eq!(call_all(&plain, &[7]).await.unwrap(), [Err(Code::InvalidArgument)]);
    }

    #[test]
    fn calls_are_bounded_by_count_and_bytes() {
        let call = Double::default();
        assert_eq!(chunks(&call, &[1; 2_500]), [0..1_000, 1_000..2_000, 2_000..2_500]);
        let half = (MAX_BYTES / 2) as u32;
        assert_eq!(chunks(&call, &[half, half, 1, 3 << 20, 1]), [0..2, 2..3, 3..4, 4..5]);
        assert!(chunks(&call, &[]).is_empty());
    }
}
