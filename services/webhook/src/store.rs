//! What stands in Postgres: plain functions by table, every statement checked against the schema.

pub(crate) mod account;
pub(crate) mod again;
pub(crate) mod audit;
pub(crate) mod cursor;
pub(crate) mod erasure;
pub(crate) mod item;
pub(crate) mod ledger;
pub(crate) mod park;
pub(crate) mod partition;
pub(crate) mod post;
pub(crate) mod replay;
pub(crate) mod route;
pub(crate) mod setting;
pub(crate) mod task;
#[cfg(test)]
mod tests;

use outeract_proto::webhook::v1::ItemOutcome;

/// What became of an item that was not applied, as the column holds it: the contract's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    /// No connection has its number yet.
    Parked,
    /// This version does not understand its kind.
    Unsupported,
    /// It could not be read or applied.
    Quarantined,
    /// It is not to be applied.
    Discarded,
}

// === impl Outcome ===

impl Outcome {
    /// Every outcome that items are listed under.
    pub(crate) const LISTED: [Self; 4] = [Self::Parked, Self::Unsupported, Self::Quarantined, Self::Discarded];

    /// The column's number.
    pub(crate) const fn code(self) -> i16 {
        self.contract() as i16
    }

    /// The contract's value.
    pub(crate) const fn contract(self) -> ItemOutcome {
        match self {
            Self::Parked => ItemOutcome::Parked,
            Self::Unsupported => ItemOutcome::Unsupported,
            Self::Quarantined => ItemOutcome::Quarantined,
            Self::Discarded => ItemOutcome::Discarded,
        }
    }

    /// The word that metrics carry.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Unsupported => "unsupported",
            Self::Quarantined => "quarantined",
            Self::Discarded => "discarded",
        }
    }
}
