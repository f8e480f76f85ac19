//! What comes in counts against a number's throughput as what goes out does: Meta allows so many messages a second in both directions together.
//!
//! Inbound messages are there already, so they overdraw the number's bucket up to a bound, and sending slows down until that is made good. Counting is a best effort and nobody waits for it:
//! an item that is applied twice counts twice, and while Redis is away, when each process sends at half of its share, nothing is counted.

use std::collections::HashMap;

use outeract_buckets::Buckets;
use tokio::sync::mpsc;

use super::rate;

/// The entrance. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Traffic(mpsc::Sender<Vec<Came>>);

/// Messages that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Came {
    pub number: String,
    /// What Meta allows the number in a second.
    pub throughput: u32,
    pub messages: u32,
}

/// Batches that wait to be counted.
const WAITING: usize = 256;

/// An entrance, and its task to spawn.
pub(crate) fn traffic(buckets: Buckets) -> (Traffic, impl Future<Output = ()>) {
    let (sender, batches) = mpsc::channel(WAITING);
    (Traffic(sender), spend(buckets, batches))
}

// === impl Traffic ===

impl Traffic {
    /// Messages came in. Never waits.
    pub(crate) fn came(&self, came: Vec<Came>) {
        if !came.is_empty()
            && let Err(refused) = self.0.try_send(came)
        {
            let unspent = refused.into_inner().iter().map(|came| u64::from(came.messages)).sum();
            metrics::counter!("messaging_inbound_unspent_total").increment(unspent);
        }
    }
}

/// Counts what came in, whatever waits in one round trip.
async fn spend(buckets: Buckets, mut batches: mpsc::Receiver<Vec<Came>>) {
    let mut waiting = Vec::with_capacity(WAITING);
    while batches.recv_many(&mut waiting, WAITING).await > 0 {
        let sums = sums(waiting.drain(..).flatten());
        let spends: Vec<_> = sums.iter().map(rate::spend).collect();
        let spent = buckets.spend(&spends).await;
        let messages = sums.iter().map(|came| u64::from(came.messages)).sum();
        let name = if spent {
            "messaging_inbound_spent_total"
        } else {
            "messaging_inbound_unspent_total"
        };
        metrics::counter!(name).increment(messages);
    }
}

/// One sum per number.
pub(crate) fn sums(came: impl Iterator<Item = Came>) -> Vec<Came> {
    let mut sums: HashMap<String, Came> = HashMap::new();
    for came in came {
        match sums.get_mut(&came.number) {
            Some(sum) => {
                sum.messages = sum.messages.saturating_add(came.messages);
                sum.throughput = came.throughput;
            }
            None => {
                sums.insert(came.number.clone(), came);
            }
        }
    }
    sums.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_asked_for_once() {
        let came = |number: &str, throughput, messages| Came {
            number: number.to_owned(),
            throughput,
            messages,
        };
        let mut sums = sums([came("1", 80, 2), came("2", 80, 1), came("1", 1_000, 3)].into_iter());
        sums.sort_by(|one, other| one.number.cmp(&other.number));
        assert_eq!(sums, [came("1", 1_000, 5), came("2", 80, 1)]);
    }
}
