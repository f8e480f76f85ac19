//! Tokens for a number's throughput.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use outeract_buckets::{Buckets, Grant, Spend, Take};

use super::scheduler::{NumberId, Want};
use super::traffic::Came;

/// Takes tokens from the buckets that all processes share. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Rate {
    buckets: Buckets,
    /// What the grid begins with.
    origin: Instant,
}

/// A number's answer.
#[derive(Debug)]
pub(crate) struct Granted {
    pub number: NumberId,
    pub tokens: u32,
    /// When there will be more, if there were too few.
    pub more: Option<Instant>,
    /// For the way back.
    pub receipt: Receipt,
}

/// What was taken, so that it can be given back.
#[derive(Debug, Clone)]
pub(crate) struct Receipt {
    take: Take,
    grant: Grant,
}

/// Of what Meta allows, a tenth is a burst, so that in no second more goes out than is allowed.
const STEADY: f64 = 0.9;
const BURST: u32 = 10;
/// Numbers that ran out of tokens ask again at these times. With the least wait, less than it takes a bucket to fill.
const GRID: Duration = Duration::from_millis(50);
const SOONEST: Duration = Duration::from_millis(25);

// === impl Rate ===

impl Rate {
    pub(crate) fn new(buckets: Buckets) -> Self {
        let origin = Instant::now();
        Self { buckets, origin }
    }

    /// Takes tokens for several numbers in one round trip. Each comes with its throughput.
    pub(crate) async fn take(self, wants: Vec<(Want, u32)>) -> Vec<Granted> {
        let takes: Vec<_> = wants.iter().map(|(want, throughput)| take(want, *throughput)).collect();
        let grants = self.buckets.take(&takes).await;
        let now = Instant::now();
        let answers = wants.into_iter().zip(takes).zip(grants);
        answers
            .map(|(((want, _), take), grant)| Granted {
                number: want.number,
                tokens: grant.granted,
                more: (grant.granted < want.tokens).then(|| self.more(&take, &grant, now)),
                receipt: Receipt { take, grant },
            })
            .collect()
    }

    /// When to ask again: together with the other numbers, so that their intents share a statement.
    fn more(&self, take: &Take, grant: &Grant, now: Instant) -> Instant {
        let soonest = now + grant.retry_after.max(SOONEST);
        // A number whose bucket holds a single token would lose what comes in while it waits for the others.
        if take.burst == 1 {
            return soonest;
        }
        let beyond = soonest.duration_since(self.origin).as_nanos() % GRID.as_nanos();
        soonest + GRID.saturating_sub(Duration::from_nanos(beyond as u64))
    }

    /// Gives back what was not needed.
    pub(crate) async fn give_back(self, surplus: Vec<Want>, receipts: HashMap<NumberId, Receipt>) {
        let returns: Vec<_> = surplus
            .iter()
            .filter_map(|want| {
                let Receipt { take, grant } = receipts.get(&want.number)?;
                Some(take.give_back(grant, want.tokens))
            })
            .collect();
        self.buckets.give_back(&returns).await;
    }
}

fn take(want: &Want, throughput: u32) -> Take {
    Take {
        key: key(&want.number),
        rate_per_second: f64::from(throughput) * STEADY,
        burst: (throughput / BURST).max(1),
        want: want.tokens,
    }
}

/// What messages that came in cost.
pub(crate) fn spend(came: &Came) -> Spend {
    Spend {
        key: key(&came.number),
        rate_per_second: f64::from(came.throughput) * STEADY,
        burst: (came.throughput / BURST).max(1),
        count: came.messages,
    }
}

/// One bucket for what goes out and what comes in.
fn key(number: &str) -> String {
    format!("{{{number}}}:sends")
}
