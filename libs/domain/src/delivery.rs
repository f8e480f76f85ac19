use time::OffsetDateTime;

/// A status that Meta reported, as far as the fold knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryStatus {
    /// Meta handed it on.
    Sent,
    /// It reached a device.
    Delivered,
    /// It was read.
    Read,
    /// Its voice message was played.
    Played,
    /// It was not delivered: Meta said so, or it failed, expired or was canceled before Meta had it.
    Failed,
}

/// How far a message got after Meta accepted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// Meta handed it on.
    Sent,
    /// It reached a device.
    Delivered,
    /// It was read.
    Read,
    /// Its voice message was played.
    Played,
    /// It was not delivered.
    Failed,
}

/// What became of a message: a pure function of the set of statuses seen, so neither order nor repetition matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivery {
    /// When Meta handed it on: the earliest report.
    pub sent: Option<OffsetDateTime>,
    /// When it reached a device.
    pub delivered: Option<OffsetDateTime>,
    /// When it was read.
    pub read: Option<OffsetDateTime>,
    /// When its voice message was played.
    pub played: Option<OffsetDateTime>,
    /// When it failed.
    pub failed: Option<OffsetDateTime>,
}

impl DeliveryStatus {
    /// The status with Meta's word, or with ours for a message that never came to Meta; `None` for a word that says nothing about delivery.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "sent" => Self::Sent,
            "delivered" => Self::Delivered,
            "read" => Self::Read,
            "played" => Self::Played,
            "failed" | "expired" | "canceled" => Self::Failed,
            _ => return None,
        })
    }
}

impl Delivery {
    /// Folds statuses in whatever order they come.
    pub fn fold(statuses: impl IntoIterator<Item = (DeliveryStatus, OffsetDateTime)>) -> Self {
        let mut delivery = Self::default();
        for (status, at) in statuses {
            let first = match status {
                DeliveryStatus::Sent => &mut delivery.sent,
                DeliveryStatus::Delivered => &mut delivery.delivered,
                DeliveryStatus::Read => &mut delivery.read,
                DeliveryStatus::Played => &mut delivery.played,
                DeliveryStatus::Failed => &mut delivery.failed,
            };
            *first = Some(first.map_or(at, |earlier| earlier.min(at)));
        }
        delivery
    }

    /// The highest of what was seen. A failure counts only while nothing shows that the message arrived: on several devices one may fail.
    pub fn state(&self) -> Option<DeliveryState> {
        let ladder = [
            (self.played, DeliveryState::Played),
            (self.read, DeliveryState::Read),
            (self.delivered, DeliveryState::Delivered),
            (self.failed, DeliveryState::Failed),
            (self.sent, DeliveryState::Sent),
        ];
        ladder.into_iter().find_map(|(at, state)| at.map(|_| state))
    }

    /// Both a failure and an arrival were reported.
    pub fn contradictory(&self) -> bool {
        self.failed.is_some() && (self.delivered.is_some() || self.read.is_some() || self.played.is_some())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const ALL: [DeliveryStatus; 5] = [
        DeliveryStatus::Sent,
        DeliveryStatus::Delivered,
        DeliveryStatus::Read,
        DeliveryStatus::Played,
        DeliveryStatus::Failed,
    ];

    fn reports() -> impl Strategy<Value = Vec<(DeliveryStatus, OffsetDateTime)>> {
        let at = (0_i64..5_000).prop_map(|seconds| OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds));
        proptest::collection::vec((select(ALL.to_vec()), at), 0..8)
    }

    proptest! {
        #[test]
        fn order_and_repetition_do_not_matter(statuses in reports(), seed: u64) {
            let folded = Delivery::fold(statuses.clone());
            let mut other = statuses.clone();
            other.extend(statuses.iter().copied());
            let len = other.len().max(1);
            other.rotate_left(seed as usize % len);
            other.reverse();
            prop_assert_eq!(Delivery::fold(other), folded);
        }

        #[test]
        fn more_evidence_never_lowers_the_state(statuses in reports(), more in reports()) {
            let rank = |delivery: Delivery| match delivery.state() {
                None => 0,
                Some(DeliveryState::Sent) => 1,
                Some(DeliveryState::Failed) => 2,
                Some(DeliveryState::Delivered) => 3,
                Some(DeliveryState::Read) => 4,
                Some(DeliveryState::Played) => 5,
            };
            let before = Delivery::fold(statuses.clone());
            let after = Delivery::fold(statuses.into_iter().chain(more));
            prop_assert!(rank(after) >= rank(before));
        }
    }

    /// Every sequence of up to six reports, so every order of every set of the five with repetition: one summary per set.
    #[test]
    fn one_summary_per_set_whatever_the_order_and_the_duplicates() {
        let at = |status: DeliveryStatus| OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(status as i64);
        let mut summaries = [None; 1 << ALL.len()];
        for length in 0..=6_u32 {
            for sequence in 0..(ALL.len() as u32).pow(length) {
                let reports =
                    (0..length).map(|place| ALL[(sequence / (ALL.len() as u32).pow(place)) as usize % ALL.len()]);
                let set = reports.clone().fold(0, |set, status| set | 1 << status as usize);
                let folded = Delivery::fold(reports.map(|status| (status, at(status))));
                assert_eq!(*summaries[set].get_or_insert(folded), folded);
            }
        }
        assert!(summaries.iter().all(Option::is_some));
        let contradictory = summaries
            .iter()
            .flatten()
            .filter(|summary| summary.contradictory())
            .count();
        // Failed with at least one of the three arrivals, with or without sent.
        assert_eq!(contradictory, 14);
    }

    #[test]
    fn a_message_that_never_came_to_meta_was_not_delivered() {
        for word in ["failed", "expired", "canceled"] {
            assert_eq!(DeliveryStatus::from_word(word), Some(DeliveryStatus::Failed), "{word}");
        }
        for word in ["accepted", "unknown", "duplicate", "deleted", ""] {
            assert_eq!(DeliveryStatus::from_word(word), None, "{word}");
        }
    }

    #[test]
    fn a_failure_gives_way_to_an_arrival_and_the_contradiction_shows() {
        let at = OffsetDateTime::UNIX_EPOCH;
        let failed = Delivery::fold([(DeliveryStatus::Sent, at), (DeliveryStatus::Failed, at)]);
        assert_eq!(failed.state(), Some(DeliveryState::Failed));
        assert!(!failed.contradictory());
        let arrived = Delivery::fold([(DeliveryStatus::Failed, at), (DeliveryStatus::Read, at)]);
        assert_eq!(arrived.state(), Some(DeliveryState::Read));
        assert!(arrived.contradictory());
    }
}
