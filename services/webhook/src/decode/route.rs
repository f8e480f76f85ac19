//! Whose an item is. All three must agree: the WABA that the webhook names, the number, and one connection that receives. The payload alone never selects an application.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use outeract_domain::{ApplicationId, ConnectionId, PhoneNumberId};
use outeract_graph::webhook::Kind;
use outeract_proto::connection::v1::ConnectionState;
use outeract_seal::KeyRing;
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use super::account::{Fate, Owner};
use super::reader::Item;
use crate::store::Outcome;
use crate::store::route::{self, Route};
use crate::{reason, sealed};

/// Where an item goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    /// The application.
    pub application: ApplicationId,
    /// The connection.
    pub connection: ConnectionId,
    /// Meta's id of the number.
    pub number: PhoneNumberId,
    /// The number, E.164.
    pub business: String,
}

/// Where an item goes, or what becomes of it without going anywhere. News of an account go to each of its connections; every other item has one destination.
pub(crate) type Target = Result<Vec<Arc<Destination>>, Fate>;

/// What items of a number do while its parked items are being applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BehindParked {
    /// They are parked behind them.
    Wait,
    /// They are those items.
    Go,
}

/// Longer than a decoder may still use a route that has changed.
const TELLING: time::Duration = time::Duration::MINUTE;

/// The routes that a batch needs.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    by_number: HashMap<String, Number>,
    by_waba: HashMap<String, Vec<Route>>,
}

/// What is known of a number.
#[derive(Debug, Default)]
struct Number {
    routes: Vec<Route>,
    /// The one connection that receives for it, if exactly one does.
    destination: Option<(Route, Arc<Destination>)>,
}

// === impl Routes ===

impl Routes {
    /// Reads the routes of every number, and of every WABA of items without a number.
    pub(crate) async fn load(db: &PgPool, items: &[Item], keyring: &KeyRing) -> sqlx::Result<Self> {
        let mut numbers = BTreeSet::new();
        let mut wabas = BTreeSet::new();
        for item in items {
            if !item.place.phone_number_id.is_empty() {
                numbers.insert(plain(&item.place.phone_number_id));
            } else if !item.waba_id.is_empty() {
                wabas.insert(plain(&item.waba_id));
            }
        }
        if numbers.is_empty() && wabas.is_empty() {
            return Ok(Self::default());
        }
        let numbers: Vec<String> = numbers.into_iter().collect();
        let wabas: Vec<String> = wabas.into_iter().collect();
        Ok(Self::of(route::find(db, &numbers, &wabas).await?, keyring))
    }

    fn of(routes: Vec<Route>, keyring: &KeyRing) -> Self {
        let mut all = Self::default();
        for route in routes {
            all.by_waba
                .entry(route.waba_id.clone())
                .or_default()
                .push(route.clone());
            all.by_number
                .entry(route.phone_number_id.clone())
                .or_default()
                .routes
                .push(route);
        }
        for number in all.by_number.values_mut() {
            number.destination = destination(&number.routes, keyring);
        }
        all
    }

    /// Where the item goes, or what becomes of it without going anywhere.
    pub(crate) fn of_item(&self, item: &Item, behind: BehindParked) -> Target {
        match &item.kind {
            Kind::Message(_) | Kind::Echo(_) | Kind::Status(_) => self.one(item, behind),
            // What names a number is that number's alone.
            Kind::Account(_) if !item.place.phone_number_id.is_empty() => self.one(item, behind),
            Kind::Account(_) => self.every(item),
            Kind::Unsupported { what } => Err(Fate::Listed(
                Outcome::Unsupported,
                reason::unsupported(what).into(),
                self.owner(item),
            )),
            Kind::Broken { reason } => Err(Fate::Listed(Outcome::Quarantined, (*reason).into(), self.owner(item))),
        }
    }

    /// Whether `to` was given what came for it at this time: so that nothing that another application got, or should have got, is given to this one. Unless it has had the number without a
    /// break since before then, no other application may ever have had it.
    pub(crate) fn had(&self, to: &Destination, item: &Item, received: OffsetDateTime) -> bool {
        let Some(number) = self.by_number.get(to.number.as_str()) else {
            return false;
        };
        let since = number.destination.as_ref().map(|(route, _)| route.since + TELLING);
        let same = |route: &Route| route.application_id == to.application.uuid();
        let by_account = item.place.phone_number_id.is_empty();
        let account = self.by_waba.get(&item.waba_id).map_or(&[][..], Vec::as_slice);
        since.is_some_and(|since| since <= received)
            || (number.routes.iter().all(same) && (!by_account || account.iter().all(same)))
    }

    fn one(&self, item: &Item, behind: BehindParked) -> Target {
        self.destination(item, behind).map(|destination| vec![destination])
    }

    /// Every connection of the account that receives, the oldest first.
    fn every(&self, item: &Item) -> Target {
        let numbers = self.by_waba.get(&item.waba_id).map_or(&[][..], Vec::as_slice);
        let mut destinations: Vec<_> = numbers
            .iter()
            .filter_map(|route| self.by_number.get(&route.phone_number_id)?.destination.as_ref())
            .filter(|(route, _)| route.waba_id == item.waba_id)
            .map(|(_, destination)| Arc::clone(destination))
            .collect();
        destinations.sort_by_key(|destination| destination.connection);
        destinations.dedup();
        if destinations.is_empty() {
            return Err(Fate::Listed(
                Outcome::Unsupported,
                reason::NO_CONNECTION.into(),
                self.owner(item),
            ));
        }
        Ok(destinations)
    }

    fn destination(&self, item: &Item, behind: BehindParked) -> Result<Arc<Destination>, Fate> {
        let Some(number) = self.by_number.get(&item.place.phone_number_id) else {
            return Err(match item.place.phone_number_id.parse::<PhoneNumberId>() {
                Ok(_) => nobodys(Outcome::Parked, reason::NO_CONNECTION),
                Err(_) => nobodys(Outcome::Quarantined, reason::NUMBER_MISSING),
            });
        };
        match &number.destination {
            // The connection service is moving the number, and has told one half.
            None if number.routes.iter().any(receives) => Err(nobodys(Outcome::Parked, reason::CONNECTION_MOVING)),
            None => Err(Fate::Listed(
                Outcome::Parked,
                reason::CONNECTION_ENDED.into(),
                common_owner(&number.routes),
            )),
            Some((route, _)) if route.waba_id != item.waba_id => {
                Err(nobodys(Outcome::Quarantined, reason::ROUTE_MISMATCH))
            }
            Some((route, _)) if route.unparking && behind == BehindParked::Wait => Err(Fate::Listed(
                Outcome::Parked,
                reason::BEHIND_PARKED.into(),
                common_owner([route]),
            )),
            Some((_, destination)) => Ok(Arc::clone(destination)),
        }
    }

    /// Whose an item is that goes nowhere: so that its application can see it.
    fn owner(&self, item: &Item) -> Owner {
        let number = &item.place.phone_number_id;
        let routes = if number.is_empty() {
            self.by_waba.get(&item.waba_id).map_or(&[][..], Vec::as_slice)
        } else {
            self.by_number.get(number).map_or(&[][..], |number| &number.routes)
        };
        common_owner(
            routes
                .iter()
                .filter(|route| receives(route) && route.waba_id == item.waba_id),
        )
    }
}

/// The one connection of these that receives.
fn destination(routes: &[Route], keyring: &KeyRing) -> Option<(Route, Arc<Destination>)> {
    let mut receiving = routes.iter().filter(|route| receives(route));
    let (Some(route), None) = (receiving.next(), receiving.next()) else {
        return None;
    };
    let destination = Destination {
        application: ApplicationId::from_uuid(route.application_id),
        connection: ConnectionId::from_uuid(route.connection_id),
        number: route.phone_number_id.parse().ok()?,
        business: business(route, keyring),
    };
    Some((route.clone(), Arc::new(destination)))
}

/// The connection is there for webhooks, whether or not it can send.
fn receives(route: &Route) -> bool {
    let state = ConnectionState::try_from(i32::from(route.state));
    matches!(
        state,
        Ok(ConnectionState::Active | ConnectionState::NeedsReauth | ConnectionState::Restricted)
    )
}

fn nobodys(outcome: Outcome, reason: &'static str) -> Fate {
    Fate::Listed(outcome, reason.into(), Owner::default())
}

/// The application and connection that all of these have in common.
fn common_owner<'a>(routes: impl IntoIterator<Item = &'a Route>) -> Owner {
    let routes: Vec<&Route> = routes.into_iter().collect();
    let common = |of: fn(&Route) -> Uuid| {
        let (first, rest) = routes.split_first()?;
        rest.iter().all(|route| of(route) == of(first)).then(|| of(first))
    };
    let application_id = common(|route| route.application_id);
    Owner {
        application_id,
        connection_id: application_id.and(common(|route| route.connection_id)),
    }
}

/// The number, as events name the business. It is asked for with every item, and an event without it is better than none.
fn business(route: &Route, keyring: &KeyRing) -> String {
    let place = sealed::display_number(route.application_id, route.connection_id.as_bytes());
    let opened = keyring.open(&place, &route.display_number).ok();
    opened
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_default()
}

/// As Postgres takes it.
fn plain(text: &str) -> String {
    text.replace('\0', "")
}

#[cfg(test)]
mod tests {
    use outeract_domain::Wamid;
    use outeract_graph::webhook::{Account, Status};
    use time::OffsetDateTime;

    use super::super::account::Place;
    use super::*;

    fn ring() -> KeyRing {
        let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        KeyRing::parse(&format!("k1:{key}\nhash:{key}")).unwrap()
    }

    fn route(id: u128, application: u128, waba: &str, number: &str, state: i16) -> Route {
        Route {
            connection_id: Uuid::from_u128(id),
            application_id: Uuid::from_u128(application),
            waba_id: waba.to_owned(),
            phone_number_id: number.to_owned(),
            state,
            display_number: Vec::new(),
            since: OffsetDateTime::UNIX_EPOCH,
            unparking: false,
        }
    }

    fn item(waba: &str, number: &str, kind: Kind) -> Item {
        let place = Place {
            post: 0,
            ordinal: 0,
            pointer: String::new(),
            field: "messages".to_owned(),
            phone_number_id: number.to_owned(),
        };
        Item {
            place,
            waba_id: waba.to_owned(),
            kind,
        }
    }

    fn status() -> Kind {
        Kind::Status(Box::new(Status {
            wamid: Wamid::new("wamid.A").unwrap(),
            word: "sent".to_owned(),
            occurred: OffsetDateTime::UNIX_EPOCH,
            recipient: None,
            recipient_user_id: None,
            recipient_parent_user_id: None,
            callback: None,
            error_code: 0,
            pricing: None,
            conversation: None,
            group: None,
        }))
    }

    fn fate(routes: Vec<Route>, item: &Item) -> Target {
        Routes::of(routes, &ring()).of_item(item, BehindParked::Wait)
    }

    fn only(target: Target) -> Arc<Destination> {
        let mut destinations = target.unwrap();
        assert_eq!(destinations.len(), 1);
        destinations.remove(0)
    }

    fn listed(result: Target) -> (Outcome, String, Option<u128>) {
        match result {
            Err(Fate::Listed(outcome, reason, owner)) => (
                outcome,
                reason.into_owned(),
                owner.application_id.map(|id| id.as_u128()),
            ),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn waba_number_and_one_receiving_connection_must_agree() {
        let item = item("7", "1", status());
        for state in [1, 2, 3] {
            let to = only(fate(vec![route(10, 20, "7", "1", state)], &item));
            assert_eq!(
                (to.connection.uuid().as_u128(), to.application.uuid().as_u128()),
                (10, 20)
            );
        }
        let parked = |reason: &str, owner| (Outcome::Parked, reason.to_owned(), owner);
        assert_eq!(listed(fate(vec![], &item)), parked("NO_CONNECTION", None));
        assert_eq!(
            listed(fate(vec![route(10, 20, "7", "1", 4)], &item)),
            parked("CONNECTION_ENDED", Some(20))
        );
        assert_eq!(
            listed(fate(vec![route(10, 20, "7", "1", 99)], &item)),
            parked("CONNECTION_ENDED", Some(20))
        );
        let two = vec![route(10, 20, "7", "1", 1), route(11, 21, "7", "1", 1)];
        assert_eq!(listed(fate(two, &item)), parked("CONNECTION_MOVING", None));
        let moved = only(fate(
            vec![route(10, 20, "7", "1", 4), route(11, 21, "7", "1", 1)],
            &item,
        ));
        assert_eq!(moved.application.uuid().as_u128(), 21);
        let mismatch = (Outcome::Quarantined, "ROUTE_MISMATCH".to_owned(), None);
        assert_eq!(listed(fate(vec![route(10, 20, "8", "1", 1)], &item)), mismatch);
        let unparking = Route {
            unparking: true,
            ..route(10, 20, "7", "1", 1)
        };
        assert_eq!(
            listed(fate(vec![unparking.clone()], &item)),
            parked("BEHIND_PARKED", Some(20))
        );
        assert!(
            Routes::of(vec![unparking], &ring())
                .of_item(&item, BehindParked::Go)
                .is_ok()
        );
    }

    #[test]
    fn news_of_an_account_go_to_each_of_its_connections_that_receives() {
        let news = |number: &str| {
            let account = Account {
                field: "user_preferences".to_owned(),
                value: "{}".to_owned(),
                occurred: None,
            };
            item("7", number, Kind::Account(Box::new(account)))
        };
        let routes = || {
            vec![
                route(12, 20, "7", "3", 1),
                route(10, 20, "7", "1", 1),
                route(11, 20, "7", "2", 4),
                route(13, 20, "7", "4", 2),
                route(14, 21, "8", "5", 1),
            ]
        };
        let connections = |target: Target| -> Vec<u128> {
            let destinations = target.unwrap();
            destinations.iter().map(|to| to.connection.uuid().as_u128()).collect()
        };
        assert_eq!(connections(fate(routes(), &news(""))), [10, 12, 13]);
        assert_eq!(connections(fate(routes(), &news("3"))), [12]);
        let nowhere = (Outcome::Unsupported, "NO_CONNECTION".to_owned(), None);
        assert_eq!(listed(fate(vec![], &news(""))), nowhere);
        assert_eq!(listed(fate(vec![route(11, 20, "7", "2", 4)], &news(""))), nowhere);
        // A number of another account: somebody is mistaken.
        assert_eq!(listed(fate(routes(), &news("5"))).1, "ROUTE_MISMATCH");
        assert_eq!(listed(fate(routes(), &news("9"))).1, "NO_CONNECTION");
    }

    #[test]
    fn an_item_that_goes_nowhere_is_shown_to_whom_it_belongs() {
        let unsupported = |number: &str| {
            item(
                "7",
                number,
                Kind::Unsupported {
                    what: "field.something_new".to_owned(),
                },
            )
        };
        let routes = || vec![route(10, 20, "7", "1", 1), route(11, 20, "7", "2", 1)];
        let one = (Outcome::Unsupported, "FIELD_UNSUPPORTED".to_owned(), Some(20));
        assert_eq!(listed(fate(routes(), &unsupported(""))), one);
        assert_eq!(listed(fate(routes(), &unsupported("2"))), one);
        let two_applications = vec![route(10, 20, "7", "1", 1), route(11, 21, "7", "2", 1)];
        assert_eq!(listed(fate(two_applications, &unsupported(""))).2, None);
        // A number of one application under the WABA of another shows it to neither.
        assert_eq!(
            listed(fate(vec![route(10, 20, "8", "2", 1)], &unsupported("2"))).2,
            None
        );
        let missing = item("7", "", status());
        assert_eq!(
            listed(fate(routes(), &missing)),
            (Outcome::Quarantined, "NUMBER_MISSING".to_owned(), None)
        );
    }
}
