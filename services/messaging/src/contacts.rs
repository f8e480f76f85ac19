//! Who is who: one contact per user, whatever ids Meta shows them by, and who of them wants no marketing.

mod consent;
mod follow;
mod learn;
mod meet;
mod merge;
mod moves;
mod sighting;
mod stop_words;
mod tell;

pub(crate) use self::consent::{Consent, Wish, Wished};
pub(crate) use self::follow::follow;
pub(crate) use self::learn::{Learner, is_id, is_wa_id};
pub(crate) use self::meet::Registry;
pub(crate) use self::moves::Move;
pub(crate) use self::sighting::Sighting;
pub(crate) use self::stop_words::{Word, word};
pub(crate) use self::tell::{Bell, tell};
