//! Users who want no marketing, and those who want it again.

use std::collections::BTreeMap;

use outeract_clock::{SharedClock, SharedRandom};
use outeract_domain::EventId;
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use super::tell::Bell;
use crate::store::consent::{self as store, Change, bits, source};
use crate::store::{DbError, run};

/// The list. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Consent {
    db: PgPool,
    clock: SharedClock,
    random: SharedRandom,
    bell: Bell,
}

/// A user's wish, or one that an application speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A word: no more.
    StopWord,
    /// A word: more again. It takes back what a word said, and nothing else.
    StartWord,
    /// A switch in WhatsApp: no more.
    Stopped,
    /// A switch in WhatsApp: more again. Meta refuses no longer, either.
    Resumed,
    /// Meta refused marketing because the user wants none.
    Refused,
    /// The application says: no more.
    Imported,
    /// The application says: more again.
    Removed,
}

/// Whose wish, for which connection, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wished {
    pub application: Uuid,
    pub contact: Uuid,
    /// None: every connection of the application.
    pub connection: Option<Uuid>,
    pub wish: Wish,
    /// By Meta's clock. None: now.
    pub at: Option<OffsetDateTime>,
}

/// How many entries of the list began and ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Changed {
    pub added: i64,
    pub removed: i64,
}

// === impl Consent ===

impl Consent {
    pub(crate) fn new(db: PgPool, clock: SharedClock, random: SharedRandom, bell: Bell) -> Self {
        Self {
            db,
            clock,
            random,
            bell,
        }
    }

    /// Does what is wished. Of several wishes of one kind that one user has for one connection the last counts: by Meta's clock, and by their order. All of one direction are one statement.
    pub(crate) async fn heed(&self, wishes: &[Wished]) -> Result<Changed, DbError> {
        let (mut stop, mut resume) = (Vec::new(), Vec::new());
        for wished in last_of_each(wishes) {
            let change = Change {
                application: wished.application,
                contact: wished.contact,
                connection: wished.connection.unwrap_or_default(),
                source: wished.wish.sources(),
                at: wished.at,
                id: EventId::new(&*self.clock, &*self.random).uuid(),
            };
            if wished.wish.stops() {
                stop.push(change);
            } else {
                resume.push(change);
            }
        }
        let mut changed = Changed::default();
        if !stop.is_empty() {
            changed.added = run!(self.db, "consent.suppress", |conn| store::suppress(conn, &stop))?;
        }
        if !resume.is_empty() {
            changed.removed = run!(self.db, "consent.lift", |conn| store::lift(conn, &resume))?;
        }
        if changed != Changed::default() {
            self.bell.ring();
        }
        metrics::counter!("messaging_suppressions_total", "change" => "added").increment(changed.added as u64);
        metrics::counter!("messaging_suppressions_total", "change" => "removed").increment(changed.removed as u64);
        Ok(changed)
    }
}

/// The last wish of each kind, in an order of its own.
fn last_of_each(wishes: &[Wished]) -> Vec<Wished> {
    let mut last: BTreeMap<(Uuid, Uuid, Option<Uuid>, Kind), Wished> = BTreeMap::new();
    for wished in wishes {
        let key = (
            wished.application,
            wished.contact,
            wished.connection,
            wished.wish.kind(),
        );
        let known = last.entry(key).or_insert(*wished);
        if wished.at >= known.at {
            *known = *wished;
        }
    }
    last.into_values().collect()
}

/// Wishes of one kind take each other back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Word,
    Switch,
    Refusal,
    Application,
}

// === impl Wish ===

impl Wish {
    fn kind(self) -> Kind {
        match self {
            Self::StopWord | Self::StartWord => Kind::Word,
            Self::Stopped | Self::Resumed => Kind::Switch,
            Self::Refused => Kind::Refusal,
            Self::Imported | Self::Removed => Kind::Application,
        }
    }

    fn stops(self) -> bool {
        matches!(self, Self::StopWord | Self::Stopped | Self::Refused | Self::Imported)
    }

    /// How the entry comes about, or the bits of those that end.
    fn sources(self) -> i16 {
        match self {
            Self::StopWord => source::STOP_WORD,
            Self::Stopped => source::USER_PREFERENCE,
            Self::Refused => source::META_REFUSAL,
            Self::Imported => source::IMPORT,
            Self::StartWord => bits(&[source::STOP_WORD]),
            Self::Resumed => bits(&[source::USER_PREFERENCE, source::META_REFUSAL]),
            Self::Removed => bits(&[
                source::STOP_WORD,
                source::USER_PREFERENCE,
                source::META_REFUSAL,
                source::IMPORT,
            ]),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn wished(contact: u128, wish: Wish, minute: u8) -> Wished {
        Wished {
            application: Uuid::from_u128(1),
            contact: Uuid::from_u128(contact),
            connection: Some(Uuid::from_u128(2)),
            wish,
            at: Some(datetime!(2026-11-23 10:00 UTC) + time::Duration::minutes(i64::from(minute))),
        }
    }

    #[test]
    fn of_wishes_of_one_kind_the_last_counts_by_the_clock_and_then_by_order() {
        let last = last_of_each(&[
            wished(5, Wish::StopWord, 1),
            wished(5, Wish::StartWord, 3),
            wished(5, Wish::StopWord, 2),
            wished(6, Wish::StartWord, 1),
            wished(6, Wish::StopWord, 1),
            wished(6, Wish::Resumed, 9),
        ]);
        assert_eq!(
            last,
            [
                wished(5, Wish::StartWord, 3),
                wished(6, Wish::StopWord, 1),
                wished(6, Wish::Resumed, 9)
            ]
        );
    }

    #[test]
    fn a_start_word_takes_back_what_a_word_said_and_whatsapps_switch_what_meta_says() {
        let ends = |wish: Wish, source: i16| wish.sources() >> source & 1 == 1;
        let all = [
            source::STOP_WORD,
            source::USER_PREFERENCE,
            source::META_REFUSAL,
            source::IMPORT,
        ];
        let of = |wish| all.map(|source| ends(wish, source));
        assert_eq!(of(Wish::StartWord), [true, false, false, false]);
        assert_eq!(of(Wish::Resumed), [false, true, true, false]);
        assert_eq!(of(Wish::Removed), [true; 4]);
    }
}
