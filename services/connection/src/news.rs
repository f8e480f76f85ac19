//! What news of accounts say of connections. Pure: who is concerned and what follows is decided elsewhere.

use outeract_events::timestamp;
use outeract_proto::connection::internal::v1::{AccountNews, AccountRestriction};
use outeract_proto::connection::v1::ConnectionState;
use time::OffsetDateTime;

use crate::connect::clean;
use crate::store::standing::{Aspect, Told};

/// What one change says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// Of the whole account.
    Account(Told),
    /// Of the number it names.
    Number(Told),
    /// How many unique users the portfolio may write to, in Meta's word.
    Limit(String),
}

const ACTIVE: i16 = ConnectionState::Active as i16;
/// Active, but nothing is sent outside windows.
const OUTSIDE: i16 = 2;
const RESTRICTED: i16 = ConnectionState::Restricted as i16;
const DISCONNECTED: i16 = ConnectionState::Disconnected as i16;

/// Most restrictions of one change.
const MAX_RESTRICTIONS: usize = 32;
/// Restrictions of which this is a part keep messages from being sent; others do not: adding numbers, calling.
const OF_MESSAGING: &str = "MESSAGING";
/// Restrictions of which this is a part leave answers to users alone.
const OF_BUSINESS: [&str; 2] = ["BIZ_INITIATED", "BUSINESS_INITIATED"];

/// What a change says that is kept. `app` is this installation's app: of another's link nothing is.
pub(crate) fn read(news: &AccountNews, occurred_at: OffsetDateTime, app: &str) -> Vec<Said> {
    let told = |aspect, word: &str| Told {
        aspect,
        occurred_at,
        word: clean(word),
        detail: String::new(),
        restrictions: Vec::new(),
        state: ACTIVE,
        until: None,
    };
    match news.field.as_str() {
        "account_update" => account(news, app, told).map(Said::Account).into_iter().collect(),
        "account_review_update" if !news.current.is_empty() => {
            vec![Said::Account(told(Aspect::Review, &news.current))]
        }
        "phone_number_name_update" if !news.current.is_empty() => vec![Said::Number(told(Aspect::Name, &news.current))],
        "business_username_update" | "business_username_updates" => vec![Said::Number(Told {
            detail: clean(&news.status),
            // Where no name is told, the change says what became of the one there was.
            ..told(
                Aspect::Username,
                if news.current == news.status { "" } else { &news.current },
            )
        })],
        "phone_number_quality_update" => limit(&news.current)
            .map(Said::Limit)
            .into_iter()
            .chain([Said::Number(told(Aspect::Quality, &news.event))])
            .collect(),
        "business_capability_update" => limit(&news.current).map(Said::Limit).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn account(news: &AccountNews, app: &str, told: impl Fn(Aspect, &str) -> Told) -> Option<Told> {
    let foreign = !news.partner_app_id.is_empty() && news.partner_app_id != app;
    let link = |state| {
        (!foreign).then(|| Told {
            state,
            ..told(Aspect::Link, &news.event)
        })
    };
    match news.event.as_str() {
        "PARTNER_REMOVED" | "PARTNER_APP_UNINSTALLED" | "ACCOUNT_DELETED" => link(DISCONNECTED),
        "ACCOUNT_OFFBOARDED" => link(RESTRICTED),
        "ACCOUNT_RECONNECTED" | "PARTNER_ADDED" | "PARTNER_APP_INSTALLED" => link(ACTIVE),
        "ACCOUNT_RESTRICTION" => Some(restriction(&news.restrictions, told)),
        _ if news.ban_state == "DISABLE" => Some(Told {
            state: RESTRICTED,
            ..told(Aspect::Ban, &news.ban_state)
        }),
        _ if !news.ban_state.is_empty() => Some(told(Aspect::Ban, &news.ban_state)),
        _ => None,
    }
}

/// What an account may not do replaces what it might not do before: none lifts all.
fn restriction(list: &[AccountRestriction], told: impl Fn(Aspect, &str) -> Told) -> Told {
    let restrictions: Vec<(String, i64)> = list
        .iter()
        .filter(|one| !one.r#type.is_empty())
        .take(MAX_RESTRICTIONS)
        .map(|one| {
            let end = one.expire_time.as_ref().map_or(0, |end| end.seconds);
            (clean(&one.r#type), end.max(0))
        })
        .collect();
    let of_messaging = || restrictions.iter().filter(|(kind, _)| kind.contains(OF_MESSAGING));
    let Some((kind, _)) = of_messaging().next() else {
        return Told {
            restrictions,
            ..told(Aspect::Restriction, "")
        };
    };
    // The longest counts; one of unknown end outlasts all.
    let known = of_messaging().all(|(_, end)| *end > 0);
    let last = of_messaging().map(|(_, end)| *end).max().filter(|_| known);
    let outside = of_messaging().all(|(kind, _)| OF_BUSINESS.iter().any(|part| kind.contains(part)));
    Told {
        state: if outside { OUTSIDE } else { RESTRICTED },
        until: last.and_then(|end| OffsetDateTime::from_unix_timestamp(end).ok()),
        ..told(Aspect::Restriction, kind)
    }
    .with(restrictions)
}

/// Meta's word for a messaging limit; its pages name words, its samples write numbers.
fn limit(written: &str) -> Option<String> {
    let word = match written {
        "-1" => "TIER_UNLIMITED",
        "250" => "TIER_250",
        "1000" => "TIER_1K",
        "2000" => "TIER_2K",
        "10000" => "TIER_10K",
        "100000" => "TIER_100K",
        word if word.starts_with("TIER_") => word,
        _ => return None,
    };
    Some(clean(word))
}

/// When news occurred: none that is no time.
pub(crate) fn occurred(news: &AccountNews) -> Option<OffsetDateTime> {
    news.occur_time.as_ref().and_then(timestamp::from_proto)
}

// === impl Told ===

impl Told {
    fn with(self, restrictions: Vec<(String, i64)>) -> Self {
        Self { restrictions, ..self }
    }
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;
    use time::macros::datetime;

    use super::*;

    const AT: OffsetDateTime = datetime!(2026-11-23 10:00 UTC);
    const APP: &str = "77";

    fn news(field: &str, event: &str) -> AccountNews {
        AccountNews {
            field: field.to_owned(),
            event: event.to_owned(),
            ..AccountNews::default()
        }
    }

    fn state(news: &AccountNews) -> Option<(Aspect, String, i16, Option<i64>)> {
        match read(news, AT, APP).as_slice() {
            [Said::Account(told)] => Some((
                told.aspect,
                told.word.clone(),
                told.state,
                told.until.map(OffsetDateTime::unix_timestamp),
            )),
            [] => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_event_of_the_link_has_its_state() {
        let of = |event: &str| state(&news("account_update", event)).map(|(aspect, _, state, _)| (aspect, state));
        for (event, expected) in [
            ("PARTNER_REMOVED", 4),
            ("PARTNER_APP_UNINSTALLED", 4),
            ("ACCOUNT_DELETED", 4),
            ("ACCOUNT_OFFBOARDED", 3),
            ("ACCOUNT_RECONNECTED", 1),
            ("PARTNER_ADDED", 1),
        ] {
            assert_eq!(of(event), Some((Aspect::Link, expected)), "{event}");
        }
        assert_eq!(of("AD_ACCOUNT_LINKED"), None);
        let other = |app: &str| AccountNews {
            partner_app_id: app.to_owned(),
            ..news("account_update", "PARTNER_APP_UNINSTALLED")
        };
        assert!(state(&other(APP)).is_some());
        assert_eq!(state(&other("78")), None, "another app was removed");
    }

    #[test]
    fn a_ban_lasts_and_one_that_is_about_to_come_does_not_count() {
        let of = |ban: &str| {
            let news = AccountNews {
                ban_state: ban.to_owned(),
                ..news("account_update", "DISABLED_UPDATE")
            };
            state(&news).map(|(aspect, word, state, _)| (aspect, word, state))
        };
        assert_eq!(of("DISABLE"), Some((Aspect::Ban, "DISABLE".to_owned(), 3)));
        assert_eq!(of("REINSTATE"), Some((Aspect::Ban, "REINSTATE".to_owned(), 1)));
        assert_eq!(of("SCHEDULE_FOR_DISABLE").map(|(_, _, state)| state), Some(1));
        assert_eq!(of(""), None);
    }

    #[test]
    fn only_restrictions_of_messaging_keep_from_sending_and_the_longest_counts() {
        let of = |list: &[(&str, i64)]| {
            let restrictions = list.iter().map(|(kind, seconds)| AccountRestriction {
                r#type: (*kind).to_owned(),
                expire_time: (*seconds > 0).then_some(Timestamp {
                    seconds: *seconds,
                    nanos: 0,
                }),
            });
            let news = AccountNews {
                restrictions: restrictions.collect(),
                ..news("account_update", "ACCOUNT_RESTRICTION")
            };
            state(&news)
                .map(|(_, word, state, until)| (word, state, until))
                .unwrap()
        };
        let (business, customer) = (
            "RESTRICTED_BIZ_INITIATED_MESSAGING",
            "RESTRICTED_CUSTOMER_INITIATED_MESSAGING",
        );
        assert_eq!(
            of(&[("RESTRICTED_ADD_PHONE_NUMBER_ACTION", 9)]),
            (String::new(), 1, None)
        );
        assert_eq!(of(&[]), (String::new(), 1, None));
        assert_eq!(of(&[(business, 7)]), (business.to_owned(), 2, Some(7)));
        assert_eq!(of(&[(business, 7), (customer, 9)]), (business.to_owned(), 3, Some(9)));
        assert_eq!(of(&[(business, 7), (customer, 0)]), (business.to_owned(), 3, None));
        assert_eq!(of(&[("X", 99), (customer, 5)]), (customer.to_owned(), 3, Some(5)));
    }

    #[test]
    fn limits_are_words_or_numbers() {
        let of = |field: &str, current: &str| {
            let news = AccountNews {
                current: current.to_owned(),
                ..news(field, "")
            };
            read(&news, AT, APP).into_iter().find_map(|said| match said {
                Said::Limit(word) => Some(word),
                Said::Account(_) | Said::Number(_) => None,
            })
        };
        let field = "business_capability_update";
        assert_eq!(of(field, "2000").as_deref(), Some("TIER_2K"));
        assert_eq!(of(field, "-1").as_deref(), Some("TIER_UNLIMITED"));
        assert_eq!(
            of("phone_number_quality_update", "TIER_10K").as_deref(),
            Some("TIER_10K")
        );
        assert_eq!(of(field, "THROUGHPUT_HIGH"), None);
    }

    #[test]
    fn a_user_name_that_is_gone_is_none() {
        let of = |current: &str, status: &str| {
            let news = AccountNews {
                current: current.to_owned(),
                status: status.to_owned(),
                ..news("business_username_update", "")
            };
            match read(&news, AT, APP).as_slice() {
                [Said::Number(told)] => (told.word.clone(), told.detail.clone()),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(of("shop", "approved"), ("shop".to_owned(), "approved".to_owned()));
        assert_eq!(of("deleted", "deleted"), (String::new(), "deleted".to_owned()));
    }
}
