//! What sending learns of templates, until it is written down: refusals come by the hundred, and none of them waits for the database.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use outeract_proto::messaging::v1::TemplateStatus;

use super::words;
use crate::store::template::Refused;

/// What waits to be written down.
#[derive(Debug, Default)]
pub(crate) struct Asks(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// Accounts to read, and when they were asked for last.
    asked: HashMap<String, Asked>,
    refused: BTreeMap<(String, String, String), Refused>,
}

#[derive(Debug)]
struct Asked {
    at: Instant,
    written: bool,
}

/// What is to be written down.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub wabas: Vec<String>,
    pub refused: Vec<Refused>,
}

/// Refusals that go on and on tell nothing new: an account is read for them so often at most.
const SELDOM: Duration = Duration::from_mins(5);
const MOST: usize = 4_096;

// === impl Asks ===

impl Asks {
    /// Meta refused a message of this template with this code.
    pub(super) fn refused(&self, code: i32, waba: &str, name: &str, language: &str) {
        let status = match code {
            132_015 => Some((TemplateStatus::Paused, "PAUSED")),
            132_016 => Some((TemplateStatus::Disabled, "DISABLED")),
            // Not there, or not as it is known here.
            132_000 | 132_001 | 132_005 | 132_008 | 132_012 | 132_018 => None,
            _ => return,
        };
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.ask(waba, Instant::now());
        if let Some((status, meta_status)) = status
            && waiting.refused.len() < MOST
        {
            let refused = Refused {
                waba: waba.to_owned(),
                name: name.to_owned(),
                language: language.to_owned(),
                status: words::code(status),
                meta_status,
            };
            let key = (refused.waba.clone(), refused.name.clone(), refused.language.clone());
            waiting.refused.insert(key, refused);
        }
    }

    /// Takes what waits.
    pub(super) fn take(&self) -> Taken {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wabas = Vec::new();
        for (waba, asked) in &mut waiting.asked {
            if !asked.written {
                asked.written = true;
                wabas.push(waba.clone());
            }
        }
        wabas.sort_unstable();
        Taken {
            wabas,
            refused: std::mem::take(&mut waiting.refused).into_values().collect(),
        }
    }
}

// === impl Waiting ===

impl Waiting {
    fn ask(&mut self, waba: &str, now: Instant) {
        let seldom = |asked: &Asked| now.duration_since(asked.at) < SELDOM;
        if self.asked.get(waba).is_some_and(seldom) {
            return;
        }
        if self.asked.len() >= MOST {
            self.asked.retain(|_, asked| seldom(asked) || !asked.written);
        }
        if self.asked.len() < MOST {
            let asked = Asked {
                at: now,
                written: false,
            };
            self.asked.insert(waba.to_owned(), asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_refusals_are_one_question_and_one_line_per_template() {
        let asks = Asks::default();
        for _ in 0..100 {
            asks.refused(132_015, "1", "promo", "en");
            asks.refused(132_001, "1", "other", "en");
            asks.refused(131_026, "2", "promo", "en");
        }
        let taken = asks.take();
        assert_eq!(taken.wabas, ["1"]);
        let [refused] = &taken.refused[..] else { panic!("one") };
        assert_eq!(
            (refused.name.as_str(), refused.status, refused.meta_status),
            ("promo", 4, "PAUSED")
        );
        asks.refused(132_000, "1", "promo", "en");
        assert_eq!(asks.take(), Taken::default());
    }

    #[test]
    fn an_account_is_asked_for_again_after_a_while_and_what_is_old_makes_room() {
        let mut waiting = Waiting::default();
        let start = Instant::now();
        for number in 0..MOST + 10 {
            waiting.ask(&number.to_string(), start);
        }
        assert_eq!(waiting.asked.len(), MOST);
        for asked in waiting.asked.values_mut() {
            asked.written = true;
        }
        waiting.ask("0", start + SELDOM / 2);
        assert!(waiting.asked["0"].written);
        waiting.ask("0", start + SELDOM);
        assert!(!waiting.asked["0"].written);
        waiting.ask("new", start + SELDOM);
        assert_eq!(waiting.asked.len(), 2);
    }
}
