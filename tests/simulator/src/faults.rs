//! Faults by rule: which calls go wrong, and how.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::errors::Refusal;
use crate::ids::Ids;
use crate::outbox::StatusPlan;

/// A rule: calls that match go wrong in this way. All matching rules add up; of those that decide the answer, the first one does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rule {
    /// Which calls.
    #[serde(default, rename = "match")]
    pub matches: Match,
    /// What goes wrong.
    pub effect: Effect,
}

/// Which calls a rule is about. What is absent matches everything.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// The call: `messages` (the default), `receipts`, `media`, `media_url`, `media_download`, `media_delete`, `message_templates`, `message_template`, `debug_token`, `access_token`, `waba`, `phone_numbers`,
    /// `phone_number`, `subscribed_apps`, `subscriptions`.
    pub endpoint: Option<String>,
    /// The object in the path: a phone number's, a WABA's or the app's id.
    pub object_id: Option<String>,
    /// The recipient as the call wrote it.
    pub to: Option<String>,
    /// How `biz_opaque_callback_data` begins.
    pub callback: Option<String>,
    /// How many of the calls, 0 to 1.
    pub probability: Option<f64>,
    /// Leave out this many matching calls first.
    pub skip: u64,
    /// Stop after this many.
    pub count: Option<u64>,
}

/// What goes wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// It takes longer: before the call is executed, and after.
    Latency {
        /// Milliseconds before.
        #[serde(default)]
        before_ms: u64,
        /// Milliseconds after.
        #[serde(default)]
        after_ms: u64,
        /// Up to this many milliseconds more, before.
        #[serde(default)]
        jitter_ms: u64,
    },
    /// Not executed; the answer is this error of Meta's.
    Error {
        /// Meta's code.
        code: i32,
        /// The HTTP status, if not the usual one of the code.
        #[serde(default)]
        http_status: Option<u16>,
        /// `error_data.details`.
        #[serde(default)]
        details: Option<String>,
        /// `error_subcode`.
        #[serde(default)]
        subcode: Option<i32>,
        /// `is_transient`.
        #[serde(default)]
        is_transient: Option<bool>,
    },
    /// Not executed; the connection is reset.
    ResetBefore,
    /// Executed; then the connection ends without an answer.
    ResponseLost,
    /// Executed; then the connection is reset.
    ResetAfter,
    /// Executed; the connection ends amid the answer.
    Truncated,
    /// Executed; the answer is 200 with a page of HTML.
    NonJson,
    /// Executed; the answer is 200 without a message id.
    NoId,
    /// Executed or not; the answer is this.
    Respond {
        /// The HTTP status.
        status: u16,
        /// The content type.
        #[serde(default)]
        content_type: Option<String>,
        /// The body.
        body: String,
        /// Whether the call is executed.
        #[serde(default)]
        execute: bool,
    },
    /// Executed; every webhook of the message comes this many times.
    DuplicateWebhooks {
        /// How many times.
        times: u32,
    },
    /// Executed; the answer waits until the webhook with the first status was delivered, at most 5 seconds.
    EarlyStatus,
    /// Executed; these statuses never come.
    WithholdStatuses {
        /// The statuses; empty: all.
        #[serde(default)]
        statuses: Vec<String>,
    },
    /// Executed; the statuses lack `biz_opaque_callback_data`.
    DropCallback,
    /// Executed; the only status is `failed` with this code.
    FailStatus {
        /// Meta's code.
        code: i32,
        /// Its title.
        #[serde(default)]
        title: Option<String>,
    },
}

/// What a rule sees of a call.
#[derive(Debug, Default)]
pub(crate) struct Call<'a> {
    pub(crate) endpoint: &'a str,
    pub(crate) object_id: &'a str,
    pub(crate) to: Option<&'a str>,
    pub(crate) callback: Option<&'a str>,
    /// A call of an account's management: its answer tells how many there were.
    pub(crate) managed: bool,
}

/// What goes wrong with one call.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) before: Duration,
    pub(crate) after: Duration,
    pub(crate) answer: Option<Answer>,
    pub(crate) statuses: StatusPlan,
}

/// What answers instead of the truth.
#[derive(Debug)]
pub(crate) enum Answer {
    Refuse(Refusal),
    ResetBefore,
    Lost,
    ResetAfter,
    Truncated,
    NonJson,
    NoId,
    Raw {
        status: u16,
        content_type: String,
        body: String,
        execute: bool,
    },
}

/// The rules in force.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Active>>);

#[derive(Debug)]
struct Active {
    id: u64,
    rule: Rule,
    seen: u64,
    applied: u64,
}

// === impl Faults ===

impl Faults {
    /// Adds a rule and returns its number.
    pub(crate) fn add(&self, rule: Rule) -> u64 {
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = rules.last().map_or(1, |last| last.id + 1);
        rules.push(Active {
            id,
            rule,
            seen: 0,
            applied: 0,
        });
        id
    }

    /// Removes all rules, or one.
    pub(crate) fn clear(&self, id: Option<u64>) {
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rules.retain(|active| id.is_some_and(|id| id != active.id));
    }

    /// How often each rule was applied.
    pub(crate) fn applied(&self) -> Vec<(u64, u64)> {
        let rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rules.iter().map(|active| (active.id, active.applied)).collect()
    }

    /// What goes wrong with this call.
    pub(crate) fn plan(&self, call: &Call<'_>, ids: &Ids) -> Plan {
        let mut plan = Plan::default();
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for active in rules.iter_mut() {
            if active.takes(call, ids) {
                plan.add(&active.rule.effect, ids);
            }
        }
        plan
    }
}

impl Active {
    fn takes(&mut self, call: &Call<'_>, ids: &Ids) -> bool {
        let wanted = &self.rule.matches;
        let same = wanted.endpoint.as_deref().unwrap_or("messages") == call.endpoint
            && wanted.object_id.as_deref().is_none_or(|id| id == call.object_id)
            && wanted.to.as_deref().is_none_or(|to| call.to == Some(to))
            && wanted
                .callback
                .as_deref()
                .is_none_or(|start| call.callback.is_some_and(|callback| callback.starts_with(start)));
        if !same || wanted.count.is_some_and(|count| self.applied >= count) {
            return false;
        }
        self.seen += 1;
        if self.seen <= wanted.skip || !ids.chance(wanted.probability.unwrap_or(1.0)) {
            return false;
        }
        self.applied += 1;
        true
    }
}

// === impl Plan ===

impl Plan {
    fn add(&mut self, effect: &Effect, ids: &Ids) {
        match effect {
            Effect::Latency {
                before_ms,
                after_ms,
                jitter_ms,
            } => {
                self.before += Duration::from_millis(before_ms + ids.between((0, *jitter_ms)));
                self.after += Duration::from_millis(*after_ms);
            }
            Effect::DuplicateWebhooks { times } => self.statuses.times = (*times).max(1),
            Effect::EarlyStatus => self.statuses.early = true,
            Effect::WithholdStatuses { statuses } => self.statuses.withhold(statuses),
            Effect::DropCallback => self.statuses.drop_callback = true,
            Effect::FailStatus { code, title } => {
                let title = title.clone().unwrap_or_else(|| Refusal::of_code(*code).message);
                self.statuses.fail = Some((*code, title));
            }
            decisive => {
                if self.answer.is_none() {
                    self.answer = decisive.answer();
                }
            }
        }
    }
}

// === impl Effect ===

impl Effect {
    fn answer(&self) -> Option<Answer> {
        Some(match self {
            Self::Error {
                code,
                http_status,
                details,
                subcode,
                is_transient,
            } => {
                let mut refusal = Refusal::of_code(*code);
                refusal.http_status = http_status.unwrap_or(refusal.http_status);
                refusal.details.clone_from(details);
                refusal.subcode = *subcode;
                refusal.is_transient = *is_transient;
                Answer::Refuse(refusal)
            }
            Self::ResetBefore => Answer::ResetBefore,
            Self::ResponseLost => Answer::Lost,
            Self::ResetAfter => Answer::ResetAfter,
            Self::Truncated => Answer::Truncated,
            Self::NonJson => Answer::NonJson,
            Self::NoId => Answer::NoId,
            Self::Respond {
                status,
                content_type,
                body,
                execute,
            } => Answer::Raw {
                status: *status,
                content_type: content_type.clone().unwrap_or_else(|| "application/json".to_owned()),
                body: body.clone(),
                execute: *execute,
            },
            Self::Latency { .. }
            | Self::DuplicateWebhooks { .. }
            | Self::EarlyStatus
            | Self::WithholdStatuses { .. }
            | Self::DropCallback
            | Self::FailStatus { .. } => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_match_by_recipient_skip_and_count() {
        let (faults, ids) = (Faults::default(), Ids::new(1));
        let rule = r#"{"match":{"to":"+1","skip":1,"count":2},"effect":{"kind":"error","code":131016}}"#;
        faults.add(serde_json::from_str(rule).expect("rule"));
        let call = |to| Call {
            endpoint: "messages",
            to: Some(to),
            ..Call::default()
        };
        let refused = |to| matches!(faults.plan(&call(to), &ids).answer, Some(Answer::Refuse(_)));
        assert!(!refused("+2"));
        assert_eq!([(); 5].map(|()| refused("+1")), [false, true, true, false, false]);
        assert_eq!(faults.applied(), [(1, 2)]);
        faults.clear(None);
        assert_eq!(faults.applied(), []);
    }

    #[test]
    fn effects_add_up_and_the_first_answer_wins() {
        let (faults, ids) = (Faults::default(), Ids::new(1));
        for effect in [
            r#"{"kind":"latency","before_ms":5}"#,
            r#"{"kind":"response_lost"}"#,
            r#"{"kind":"reset_after"}"#,
            r#"{"kind":"drop_callback"}"#,
        ] {
            faults.add(Rule {
                matches: Match::default(),
                effect: serde_json::from_str(effect).expect("effect"),
            });
        }
        let call = Call {
            endpoint: "messages",
            ..Call::default()
        };
        let plan = faults.plan(&call, &ids);
        assert_eq!(plan.before, Duration::from_millis(5));
        assert!(matches!(plan.answer, Some(Answer::Lost)));
        assert!(plan.statuses.drop_callback);
    }
}
