//! Who is on `WhatsApp`: their numbers, their ids of each portfolio, and what the control API declared of some of them.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ids;
use crate::rules::Target;

/// All users. Of those that nobody declared anything of, nothing is kept: their ids are computed.
#[derive(Debug, Default)]
pub(crate) struct Users(Mutex<People>);

#[derive(Debug, Default)]
struct People {
    /// By key.
    declared: HashMap<String, Person>,
    /// Key by the number that is dialled, where the two differ.
    aliases: HashMap<String, String>,
    /// Key by portfolio and an id that is not the computed one.
    by_user_id: HashMap<(String, String), String>,
}

/// What was declared of a user.
#[derive(Debug, Clone, Default)]
struct Person {
    username: Option<String>,
    /// There is no number, only an id.
    nameless: bool,
    /// The number is not shown to businesses.
    hidden: bool,
    traits: Traits,
    /// Portfolios whose marketing the user stopped.
    stopped: HashSet<String>,
    /// Ids that took the place of the computed ones, by portfolio.
    user_ids: HashMap<String, String>,
}

/// How a user takes messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a trait of its own")]
pub(crate) struct Traits {
    /// Not on `WhatsApp`, or not able to receive: 131026.
    pub(crate) unreachable: bool,
    /// Has had enough marketing from all businesses: 131049.
    pub(crate) marketing_capped: bool,
    /// In the group of users that get no marketing: 130472.
    pub(crate) in_experiment: bool,
    /// All this is told by a status instead of the answer.
    pub(crate) fails_later: bool,
}

/// A user, as one portfolio sees them.
#[derive(Debug, Clone)]
#[expect(clippy::struct_field_names, reason = "the names are Meta's")]
pub(crate) struct User {
    /// By what limits and windows know the user.
    pub(crate) key: String,
    /// Digits; `None`: the business is not shown the number.
    pub(crate) wa_id: Option<String>,
    pub(crate) user_id: String,
    pub(crate) parent_user_id: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) traits: Traits,
    /// The user stopped this portfolio's marketing.
    pub(crate) stopped: bool,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Viewer<'a> {
    pub(crate) portfolio: &'a str,
    /// The portfolio is one of several that know users by a parent id.
    pub(crate) parents: bool,
}

// === impl Users ===

impl Users {
    fn people(&self) -> MutexGuard<'_, People> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom a message is for; `None` when the id is not one of the portfolio's.
    pub(crate) fn resolve(&self, viewer: Viewer<'_>, target: &Target) -> Option<User> {
        let people = self.people();
        match target {
            Target::Phone(digits) => {
                let key = people.aliases.get(digits).unwrap_or(digits);
                let mut user = people.user(viewer, key);
                // Whoever dials a number knows it.
                user.wa_id = Some(key.clone());
                Some(user)
            }
            Target::UserId(id) => Some(people.user(viewer, &people.key_of(viewer, id)?)),
        }
    }

    /// The user with this number or this id, whoever it is: an unknown id makes a user without a number.
    pub(crate) fn introduce(&self, viewer: Viewer<'_>, number: &str, user_id: Option<&str>) -> User {
        let mut people = self.people();
        let key = match user_id {
            None => people.aliases.get(number).cloned().unwrap_or_else(|| number.to_owned()),
            Some(id) => people.key_of(viewer, id).unwrap_or_else(|| {
                let key = if number.is_empty() { id } else { number }.to_owned();
                let person = people.declared.entry(key.clone()).or_default();
                person.nameless = number.is_empty();
                person.user_ids.insert(viewer.portfolio.to_owned(), id.to_owned());
                let place = (viewer.portfolio.to_owned(), id.to_owned());
                people.by_user_id.insert(place, key.clone());
                key
            }),
        };
        people.user(viewer, &key)
    }

    /// Declares how the user takes messages, and whether businesses see the number.
    pub(crate) fn declare(&self, key: &str, change: impl FnOnce(&mut Traits, &mut bool, &mut Option<String>)) {
        let mut people = self.people();
        let key = people.aliases.get(key).cloned().unwrap_or_else(|| key.to_owned());
        let person = people.declared.entry(key).or_default();
        change(&mut person.traits, &mut person.hidden, &mut person.username);
    }

    /// What is dialled as one number is known to `WhatsApp` by another.
    pub(crate) fn alias(&self, dialled: &str, wa_id: &str) {
        self.people().aliases.insert(dialled.to_owned(), wa_id.to_owned());
    }

    /// The user stops the portfolio's marketing, or takes it again.
    pub(crate) fn stop(&self, key: &str, portfolio: &str, stopped: bool) {
        let mut people = self.people();
        let person = people.declared.entry(key.to_owned()).or_default();
        if stopped {
            person.stopped.insert(portfolio.to_owned());
        } else {
            person.stopped.remove(portfolio);
        }
    }

    /// Gives the user another id in this portfolio; the one before no longer works.
    pub(crate) fn change_user_id(&self, key: &str, portfolio: &str, user_id: &str) {
        let mut people = self.people();
        people
            .by_user_id
            .retain(|(of, _), other| of != portfolio || other != key);
        let place = (portfolio.to_owned(), user_id.to_owned());
        people.by_user_id.insert(place, key.to_owned());
        let person = people.declared.entry(key.to_owned()).or_default();
        person.user_ids.insert(portfolio.to_owned(), user_id.to_owned());
    }

    /// Forgets what was declared.
    pub(crate) fn clear(&self) {
        *self.people() = People::default();
    }
}

// === impl People ===

impl People {
    fn key_of(&self, viewer: Viewer<'_>, id: &str) -> Option<String> {
        let place = (viewer.portfolio.to_owned(), id.to_owned());
        if let Some(key) = self.by_user_id.get(&place) {
            return Some(key.clone());
        }
        let parent = ids::number_of_parent(id).filter(|_| viewer.parents);
        let key = parent.or_else(|| {
            let key = ids::number_of(viewer.portfolio, id)?;
            // An id that another one took the place of is nobody's.
            let replaced = self
                .declared
                .get(&key)
                .is_some_and(|person| person.user_ids.contains_key(viewer.portfolio));
            (!replaced).then_some(key)
        })?;
        Some(key)
    }

    fn user(&self, viewer: Viewer<'_>, key: &str) -> User {
        let none = Person::default();
        let person = self.declared.get(key).unwrap_or(&none);
        let user_id = person.user_ids.get(viewer.portfolio).cloned();
        User {
            key: key.to_owned(),
            wa_id: (!person.hidden && !person.nameless).then(|| key.to_owned()),
            user_id: user_id.unwrap_or_else(|| ids::user_id(viewer.portfolio, key)),
            parent_user_id: (viewer.parents && !person.nameless).then(|| ids::parent_user_id(key)),
            username: person.username.clone(),
            traits: person.traits,
            stopped: person.stopped.contains(viewer.portfolio),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Viewer<'static> = Viewer {
        portfolio: "1",
        parents: false,
    };

    fn phone(digits: &str) -> Target {
        Target::Phone(digits.to_owned())
    }

    fn id(id: &str) -> Target {
        Target::UserId(id.to_owned())
    }

    #[test]
    fn an_id_finds_its_user_in_its_portfolio_only() {
        let users = Users::default();
        let user = users.resolve(OURS, &phone("16505551234")).expect("user");
        let same = users.resolve(OURS, &id(&user.user_id)).expect("user");
        assert_eq!((same.key, same.wa_id), (user.key, user.wa_id));
        let theirs = Viewer { portfolio: "2", ..OURS };
        assert!(users.resolve(theirs, &id(&user.user_id)).is_none());
        assert!(users.resolve(OURS, &id("US.13491208655302741918")).is_none());
    }

    #[test]
    fn a_parent_id_works_where_portfolios_are_enrolled() {
        let users = Users::default();
        let enrolled = Viewer { parents: true, ..OURS };
        let parent = users
            .resolve(enrolled, &phone("16505551234"))
            .and_then(|user| user.parent_user_id)
            .expect("parent id");
        assert!(parent.starts_with("US.ENT."));
        assert_eq!(users.resolve(enrolled, &id(&parent)).expect("user").key, "16505551234");
        assert!(users.resolve(OURS, &id(&parent)).is_none());
    }

    #[test]
    fn a_user_without_a_number_is_known_by_the_id() {
        let users = Users::default();
        let ann = users.introduce(OURS, "", Some("US.777"));
        assert_eq!((ann.wa_id, ann.user_id.as_str()), (None, "US.777"));
        assert_eq!(users.resolve(OURS, &id("US.777")).expect("user").key, ann.key);
    }

    #[test]
    fn a_changed_id_takes_the_old_ones_place() {
        let users = Users::default();
        let before = users.resolve(OURS, &phone("16505551234")).expect("user").user_id;
        users.change_user_id("16505551234", "1", "US.888");
        assert!(users.resolve(OURS, &id(&before)).is_none());
        assert_eq!(users.resolve(OURS, &id("US.888")).expect("user").key, "16505551234");
        users.change_user_id("16505551234", "1", "US.999");
        assert!(users.resolve(OURS, &id("US.888")).is_none());
    }

    #[test]
    fn a_dialled_number_may_be_known_by_another() {
        let users = Users::default();
        users.alias("5531912345678", "553112345678");
        let user = users.resolve(OURS, &phone("5531912345678")).expect("user");
        assert_eq!(user.wa_id.as_deref(), Some("553112345678"));
        users.declare("5531912345678", |traits, _, _| traits.unreachable = true);
        assert!(
            users
                .resolve(OURS, &phone("553112345678"))
                .expect("user")
                .traits
                .unreachable
        );
    }
}
