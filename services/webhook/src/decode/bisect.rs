//! Calls a sibling with many items, and finds the ones it cannot take.
//!
//! A call that is refused for its data is repeated with halves, down to single items, so that poison items are set aside alone, each in its turn, and all others are taken in the same round. A
//! sibling that is away or busy is no reason to set anything aside: the batch waits and is tried again. A sibling that fails over an item ([`Code::Internal`]) may be broken as a whole: the
//! others go on, the item is tried again a few times and then set aside, if the sibling took anything else; if it took nothing, the batch waits, and only [`Patience::Last`] sets it aside.

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
    /// For its data: the same call fails for ever.
    Rejected(Code),
    /// Perhaps for its data.
    Broken(Code),
}

/// What is done with items over which a sibling fails that takes nothing else either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// The batch waits: it may be the sibling.
    Waits,
    /// They have waited long enough, and are set aside.
    Last,
}

/// The batch has to wait: the sibling's last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sibling service answered {0:?}")]
pub(crate) struct Stalled(pub Code);

/// Items of one call.
const MAX_ITEMS: usize = 1_000;
/// Bytes of one call: half of what the siblings take.
const MAX_BYTES: usize = 2 << 20;
/// Waits before an item over which the sibling fails is tried again; all such items of a batch wait together.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
];
/// The sibling fails over as many items, and has taken none: looking on is left for another time.
const SYSTEMIC: usize = 64;

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
            | Code::AlreadyExists => Self::Rejected(code),
            Code::Internal | Code::DataLoss => Self::Broken(code),
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

// === impl Stalled ===

impl Stalled {
    /// The sibling is there and fails over what it is given.
    pub(crate) fn is_broken(self) -> bool {
        matches!(self.0, Code::Internal | Code::DataLoss)
    }
}

/// What was found out about a batch.
struct Found<T> {
    outputs: Vec<Option<Result<T, Code>>>,
    /// Single items over which the sibling fails, and its last word on each.
    doubtful: Vec<(usize, Code)>,
    /// It took something.
    taken: bool,
}

/// What a sibling answered for every item, in order; the code for those that it cannot take. Nothing is lost by calling again after [`Stalled`]: the calls are idempotent. An item that is taken
/// when it is tried again comes after its batch.
pub(super) async fn call_all<C: Call>(
    call: &C,
    items: &[C::Item],
    patience: Patience,
) -> Result<Vec<Result<C::Output, Code>>, Stalled> {
    let mut found = Found {
        outputs: items.iter().map(|_| None).collect(),
        doubtful: Vec::new(),
        taken: false,
    };
    halve(call, items, patience, &mut found).await?;
    for pause in PAUSES {
        if found.doubtful.is_empty() {
            break;
        }
        tokio::time::sleep(pause).await;
        again(call, items, &mut found).await?;
    }
    if let Some((_, code)) = found.doubtful.first()
        && !found.taken
        && patience == Patience::Waits
    {
        return Err(Stalled(*code));
    }
    for (index, code) in found.doubtful {
        found.outputs[index] = Some(Err(code));
    }
    let outputs = found.outputs.into_iter();
    Ok(outputs.map(|output| output.unwrap_or(Err(Code::Unknown))).collect())
}

/// Gives the sibling everything once, in order, and in ever smaller parts where it refuses.
async fn halve<C: Call>(
    call: &C,
    items: &[C::Item],
    patience: Patience,
    found: &mut Found<C::Output>,
) -> Result<(), Stalled> {
    let mut open = chunks(call, items);
    open.reverse();
    while let Some(range) = open.pop() {
        match once(call, &items[range.clone()]).await {
            Ok(outputs) => {
                found.taken = true;
                for (place, output) in found.outputs[range].iter_mut().zip(outputs) {
                    *place = Some(Ok(output));
                }
            }
            Err(Failure::Away(code)) => return Err(Stalled(code)),
            Err(Failure::Rejected(_) | Failure::Broken(_)) if range.len() > 1 => {
                let middle = range.start + range.len() / 2;
                open.push(middle..range.end);
                open.push(range.start..middle);
            }
            Err(Failure::Rejected(code)) => found.outputs[range.start] = Some(Err(code)),
            Err(Failure::Broken(code)) => {
                found.doubtful.push((range.start, code));
                if !found.taken && patience == Patience::Waits && found.doubtful.len() >= SYSTEMIC {
                    return Err(Stalled(code));
                }
            }
        }
    }
    Ok(())
}

/// Tries the items once more over which the sibling fails, one by one.
async fn again<C: Call>(call: &C, items: &[C::Item], found: &mut Found<C::Output>) -> Result<(), Stalled> {
    for (index, _) in std::mem::take(&mut found.doubtful) {
        match once(call, &items[index..=index]).await {
            Ok(outputs) => {
                found.taken = true;
                found.outputs[index] = outputs.into_iter().next().map(Ok);
            }
            Err(Failure::Away(code)) => return Err(Stalled(code)),
            Err(Failure::Rejected(code)) => found.outputs[index] = Some(Err(code)),
            Err(Failure::Broken(code)) => found.doubtful.push((index, code)),
        }
    }
    Ok(())
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
        heals_after: Option<usize>,
        calls: Mutex<Vec<Vec<u32>>>,
        taken: Mutex<Vec<u32>>,
        taken_at: Mutex<Vec<tokio::time::Instant>>,
    }

    impl Double {
        fn taken(&self) -> Vec<u32> {
            self.taken.lock().unwrap().clone()
        }
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
            let healed = self.heals_after.is_some_and(|after| calls.len() >= after);
            if !healed && items.iter().any(|item| self.poison.contains(item)) {
                let status = tonic::Status::new(self.code.unwrap_or(Code::Internal), "poison");
                return Err(Failure::of(&status));
            }
            self.taken.lock().unwrap().extend(items);
            self.taken_at.lock().unwrap().push(tokio::time::Instant::now());
            Ok(items.iter().map(|item| item * 2).collect())
        }
    }

    async fn all(call: &Double, items: &[u32]) -> Result<Vec<Result<u32, Code>>, Stalled> {
        call_all(call, items, Patience::Waits).await
    }

    #[tokio::test(start_paused = true)]
    async fn one_poison_item_is_set_aside_alone_and_order_is_kept() {
        let call = Double {
            poison: vec![5],
            ..Double::default()
        };
        let items: Vec<u32> = (0..9).collect();
        let found = all(&call, &items).await.unwrap();
        for (item, output) in items.iter().zip(found) {
            assert_eq!(output, if *item == 5 { Err(Code::Internal) } else { Ok(item * 2) });
        }
        assert_eq!(call.taken(), [0, 1, 2, 3, 4, 6, 7, 8]);
    }

    #[tokio::test(start_paused = true)]
    async fn twenty_bad_items_at_the_head_are_set_aside_in_one_round_and_the_good_ones_do_not_wait() {
        let items: Vec<u32> = (0..25).collect();
        for code in [Code::InvalidArgument, Code::Internal] {
            let call = Double {
                poison: (0..20).collect(),
                code: Some(code),
                ..Double::default()
            };
            let begun = tokio::time::Instant::now();
            let found = all(&call, &items).await.unwrap();
            assert!(found[..20].iter().all(|output| *output == Err(code)));
            assert_eq!(found[20..], [40, 42, 44, 46, 48].map(Ok));
            // What a sibling fails over is tried again after that, all of it together.
            let waits = if code == Code::Internal {
                PAUSES.iter().sum()
            } else {
                Duration::ZERO
            };
            assert_eq!((call.taken(), begun.elapsed()), ((20..25).collect(), waits));
            let taken_at = *call.taken_at.lock().unwrap().last().unwrap();
            assert_eq!(taken_at - begun, Duration::ZERO, "{code:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_item_over_which_the_sibling_fails_once_is_taken_when_it_is_tried_again() {
        let call = Double {
            poison: vec![2],
            heals_after: Some(4),
            ..Double::default()
        };
        assert_eq!(all(&call, &[1, 2]).await.unwrap(), [Ok(2), Ok(4)]);
        assert_eq!(call.taken(), [1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sibling_that_is_away_sets_nothing_aside() {
        let call = Double {
            poison: vec![1],
            away_after: Some(2),
            ..Double::default()
        };
        assert_eq!(all(&call, &[0, 1, 2, 3]).await, Err(Stalled(Code::Unavailable)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sibling_that_fails_over_everything_may_be_broken_and_is_given_time_but_not_for_ever() {
        let items: Vec<u32> = (0..1_000).collect();
        let broken = Double {
            poison: items.clone(),
            ..Double::default()
        };
        assert_eq!(all(&broken, &items).await, Err(Stalled(Code::Internal)));
        assert!(broken.calls.lock().unwrap().len() < 200, "it gives up early");
        // One item alone: it may be the item, it may be the sibling.
        assert_eq!(all(&broken, &[7]).await, Err(Stalled(Code::Internal)));
        let last = call_all(&broken, &[7, 8], Patience::Last).await;
        assert_eq!(last.unwrap(), [Err(Code::Internal), Err(Code::Internal)]);
        let mut rounds = super::super::Rounds::default();
        for (stalled, patience) in [(Code::Unavailable, Patience::Waits), (Code::Internal, Patience::Last)] {
            for _ in 0..8 {
                assert_eq!(rounds.patience(), Patience::Waits);
                rounds.failed(&super::super::Waiting::Sibling(Stalled(stalled)));
            }
            assert_eq!(rounds.patience(), patience);
        }
        let plain = Double {
            poison: items,
            code: Some(Code::InvalidArgument),
            ..Double::default()
        };
        assert_eq!(all(&plain, &[7]).await.unwrap(), [Err(Code::InvalidArgument)]);
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
