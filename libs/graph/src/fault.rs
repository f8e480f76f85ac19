//! What each of Meta's error codes means for a message: the only copy of that table. Codes from Meta's documentation as of autumn 2026; decisions rest on the code alone.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::GraphError;

/// What kind of obstacle a code stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// It passes by itself: try again.
    Transient,
    /// A limit was met: wait, then try again.
    Wait,
    /// The 24-hour window is closed: only a template gets through.
    Template,
    /// This message will never be accepted.
    Permanent,
    /// Meta no longer accepts the token.
    Authorisation,
    /// The account, number or app must be put right by a person.
    Configuration,
    /// Meta blocks for its policies.
    Policy,
}

/// Who waits with the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// This message only.
    Message,
    /// Every message to this user from this number.
    Contact,
    /// Every message from this number.
    Number,
    /// Every message of this WABA.
    Waba,
    /// Every message of this Meta app.
    App,
}

/// What happens next by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// The message ends as FAILED.
    Fail,
    /// It is tried again: after `first`, then each time `factor` times later up to `most`, and `tries` times in all beyond the first.
    Retry {
        /// Wait before the second try.
        first: Duration,
        /// Growth of the wait from try to try.
        factor: u32,
        /// Longest wait.
        most: Duration,
        /// Tries beyond the first.
        tries: u16,
        /// Who waits.
        scope: Scope,
    },
    /// It waits, tried again every few minutes and not counted, until a person or another event puts the connection right.
    Park {
        /// Time between tries.
        every: Duration,
        /// Who waits.
        scope: Scope,
    },
}

/// What a code means for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The kind of obstacle.
    pub class: Class,
    /// The product's stable reason, for `SendError.reason`.
    pub reason: &'static str,
    /// One sentence for people.
    pub message: &'static str,
    /// What happens next by itself.
    pub reaction: Reaction,
}

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The codes it holds for.
    pub codes: RangeInclusive<i32>,
    /// What they mean.
    pub verdict: Verdict,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

const FAIL: Reaction = Reaction::Fail;
/// An unclear server fault: two more tries, for each may hide an acceptance.
const TWICE: Reaction = retry(SECOND, 4, MINUTE, 2, Scope::Message);
/// A server fault that Meta says passes.
const PASSES: Reaction = retry(SECOND, 2, MINUTE, 8, Scope::Message);
/// The number's throughput is used up.
const NUMBER_BRAKE: Reaction = retry(SECOND, 2, MINUTE, 50, Scope::Number);
/// Too fast to one user: Meta advises 4^n seconds.
const PAIR_BRAKE: Reaction = retry(SECOND, 4, Duration::from_secs(1_024), 50, Scope::Contact);
const PARK_NUMBER: Reaction = Reaction::Park {
    every: Duration::from_mins(5),
    scope: Scope::Number,
};
const PARK_MESSAGE: Reaction = Reaction::Park {
    every: Duration::from_mins(5),
    scope: Scope::Message,
};

const fn retry(first: Duration, factor: u32, most: Duration, tries: u16, scope: Scope) -> Reaction {
    Reaction::Retry {
        first,
        factor,
        most,
        tries,
        scope,
    }
}

const fn row(
    codes: RangeInclusive<i32>,
    class: Class,
    reason: &'static str,
    message: &'static str,
    reaction: Reaction,
) -> Row {
    Row {
        codes,
        verdict: Verdict {
            class,
            reason,
            message,
            reaction,
        },
    }
}

const fn one(code: i32, class: Class, reason: &'static str, message: &'static str, reaction: Reaction) -> Row {
    row(code..=code, class, reason, message, reaction)
}

/// Every code that is known, in order. Where a range holds a code that has its own line, the own line comes first.
#[rustfmt::skip]
pub const TABLE: &[Row] = {
    use Class::{Authorisation, Configuration, Permanent, Policy, Template, Transient, Wait};
    &[
        one(0, Authorisation, "TOKEN_INVALID", "Meta could not authenticate the connection.", PARK_NUMBER),
        one(1, Transient, "META_FAULT", "Meta answered with an unspecified fault.", TWICE),
        one(2, Transient, "META_FAULT", "Meta is temporarily unavailable.", TWICE),
        one(3, Configuration, "CAPABILITY_MISSING", "The Meta app lacks a capability or permission.", PARK_NUMBER),
        one(4, Wait, "APP_RATE_LIMITED", "The Meta app has used up its calls.", retry(MINUTE, 2, HOUR, 50, Scope::App)),
        one(10, Configuration, "PERMISSION_MISSING", "The connection lacks a permission.", PARK_NUMBER),
        one(33, Configuration, "NUMBER_GONE", "The business number was deleted at Meta.", PARK_NUMBER),
        one(100, Permanent, "PARAMETER_INVALID", "Meta did not accept a parameter.", FAIL),
        one(104, Authorisation, "TOKEN_INVALID", "Meta could not read the token.", PARK_NUMBER),
        one(190, Authorisation, "TOKEN_INVALID", "The token expired or was revoked: connect the account again.", PARK_NUMBER),
        row(200..=299, Authorisation, "PERMISSION_MISSING", "A permission was taken back: connect the account again.", PARK_NUMBER),
        one(368, Policy, "ACCOUNT_BLOCKED", "Meta blocked the account for its policies.", PARK_NUMBER),
        one(613, Wait, "APP_RATE_LIMITED", "Meta limits calls of this kind.", retry(MINUTE, 2, HOUR, 50, Scope::App)),
        row(80_007..=80_008, Wait, "ACCOUNT_RATE_LIMITED", "The WhatsApp Business Account has used up its calls.", retry(MINUTE, 2, HOUR, 50, Scope::Waba)),
        one(130_403, Permanent, "RECIPIENT_BLOCKED", "The business has blocked this user.", FAIL),
        one(130_429, Wait, "NUMBER_RATE_LIMITED", "The number sends faster than Meta allows.", NUMBER_BRAKE),
        one(130_472, Permanent, "RECIPIENT_IN_EXPERIMENT", "Meta delivers no marketing to this user for an experiment.", FAIL),
        one(130_497, Policy, "COUNTRY_NOT_ALLOWED", "The account may not write to this country.", FAIL),
        one(131_000, Transient, "META_FAULT", "Meta answered with an unspecified fault.", TWICE),
        one(131_005, Authorisation, "PERMISSION_MISSING", "Meta denied access: connect the account again.", PARK_NUMBER),
        row(131_008..=131_009, Permanent, "PARAMETER_INVALID", "A parameter is missing or not valid.", FAIL),
        one(131_014, Transient, "MEDIA_FETCH_FAILED", "Meta could not fetch the media.", TWICE),
        one(131_016, Transient, "META_FAULT", "A service of Meta's is unavailable.", TWICE),
        one(131_020, Permanent, "GROUP_REFUSED", "Meta refused the group operation.", FAIL),
        one(131_021, Permanent, "RECIPIENT_IS_SENDER", "A number cannot write to itself.", FAIL),
        one(131_026, Permanent, "RECIPIENT_UNREACHABLE", "The number is not on WhatsApp, or cannot receive this message.", FAIL),
        one(131_030, Configuration, "RECIPIENT_NOT_ALLOWED", "A test number writes only to recipients on its list.", FAIL),
        one(131_031, Policy, "ACCOUNT_LOCKED", "Meta locked the account.", PARK_NUMBER),
        one(131_037, Configuration, "DISPLAY_NAME_NOT_APPROVED", "Meta has not approved the number's display name.", PARK_NUMBER),
        one(131_041, Permanent, "GROUP_REFUSED", "Meta refused the group operation.", FAIL),
        one(131_042, Configuration, "PAYMENT_PROBLEM", "The account's payment method needs attention.", PARK_MESSAGE),
        one(131_044, Configuration, "PAYMENT_PROBLEM", "The account's payment method needs attention.", PARK_MESSAGE),
        one(131_045, Configuration, "NUMBER_NOT_REGISTERED", "The number must be registered again.", PARK_NUMBER),
        one(131_047, Template, "OUTSIDE_MESSAGING_WINDOW", "More than 24 hours have passed since the user's last message: send a template.", FAIL),
        one(131_048, Wait, "SPAM_RATE_LIMITED", "Users blocked or reported this number too often.", retry(HOUR, 2, DAY, 5, Scope::Number)),
        one(131_049, Wait, "MARKETING_LIMIT_REACHED", "Meta holds back marketing for this user.", retry(DAY, 1, DAY, 1, Scope::Message)),
        one(131_050, Permanent, "RECIPIENT_OPTED_OUT", "The user stopped marketing messages from this business.", FAIL),
        one(131_051, Permanent, "CONTENT_UNSUPPORTED", "Meta does not support this kind of message.", FAIL),
        one(131_052, Permanent, "MEDIA_DOWNLOAD_FAILED", "The user's media cannot be downloaded.", FAIL),
        one(131_053, Transient, "MEDIA_UPLOAD_FAILED", "Meta could not take the media.", TWICE),
        one(131_055, Permanent, "CONTENT_UNSUPPORTED", "This endpoint takes marketing templates only.", FAIL),
        one(131_056, Wait, "RECIPIENT_RATE_LIMITED", "Too many messages to this user in a short time.", PAIR_BRAKE),
        one(131_057, Transient, "NUMBER_IN_MAINTENANCE", "Meta is working on the number.", retry(MINUTE, 1, MINUTE, 30, Scope::Number)),
        one(131_059, Permanent, "GROUP_REFUSED", "Meta refused the group operation.", FAIL),
        one(131_062, Permanent, "RECIPIENT_NEEDS_NUMBER", "This message needs the user's phone number.", FAIL),
        one(131_063, Configuration, "MARKETING_DISABLED", "Marketing is switched off for the account on this API.", PARK_MESSAGE),
        one(131_064, Wait, "CATEGORY_LIMITED", "The account is limited for mislabelled templates.", retry(HOUR, 2, DAY, 5, Scope::Waba)),
        row(131_200..=131_299, Permanent, "GROUP_REFUSED", "Meta refused the group operation.", FAIL),
        one(132_000, Permanent, "TEMPLATE_PARAMETERS_INVALID", "The parameters do not fit the template.", FAIL),
        one(132_001, Permanent, "TEMPLATE_NOT_FOUND", "There is no approved template of this name in this language.", FAIL),
        one(132_005, Permanent, "TEMPLATE_TOO_LONG", "The template is too long with these parameters.", FAIL),
        one(132_007, Policy, "TEMPLATE_REFUSED", "The template breaks Meta's content policy.", FAIL),
        one(132_008, Permanent, "TEMPLATE_PARAMETERS_INVALID", "The parameters do not fit the template.", FAIL),
        one(132_012, Permanent, "TEMPLATE_PARAMETERS_INVALID", "A parameter has not the template's format.", FAIL),
        one(132_015, Wait, "TEMPLATE_PAUSED", "Meta paused the template for its quality.", PARK_MESSAGE),
        one(132_016, Permanent, "TEMPLATE_DISABLED", "Meta disabled the template for its quality.", FAIL),
        one(132_018, Permanent, "TEMPLATE_PARAMETERS_INVALID", "The parameters do not fit the template.", FAIL),
        one(132_068, Configuration, "FLOW_BLOCKED", "The flow is blocked.", PARK_MESSAGE),
        one(132_069, Wait, "FLOW_THROTTLED", "The flow is limited to a few messages an hour.", retry(HOUR, 1, HOUR, 24, Scope::Message)),
        one(133_000, Transient, "NUMBER_NOT_REGISTERED", "An earlier deregistration did not finish.", PARK_NUMBER),
        one(133_004, Transient, "META_FAULT", "Meta's server is temporarily unavailable.", PASSES),
        one(133_005, Configuration, "PIN_WRONG", "The number's two-step PIN is wrong.", PARK_NUMBER),
        one(133_006, Configuration, "NUMBER_NOT_REGISTERED", "The number must be verified first.", PARK_NUMBER),
        row(133_008..=133_009, Wait, "PIN_RATE_LIMITED", "Too many tries of the two-step PIN.", PARK_NUMBER),
        one(133_010, Configuration, "NUMBER_NOT_REGISTERED", "The number is not registered.", PARK_NUMBER),
        one(133_015, Wait, "NUMBER_GONE", "The number was deleted a moment ago.", PARK_NUMBER),
        one(133_016, Wait, "NUMBER_NOT_REGISTERED", "Too many registrations of the number.", PARK_NUMBER),
        one(134_011, Configuration, "PAYMENT_PROBLEM", "The payments terms are not accepted.", PARK_MESSAGE),
        one(134_100, Permanent, "CONTENT_UNSUPPORTED", "The template has the wrong category for this endpoint.", FAIL),
        one(134_101, Wait, "TEMPLATE_SYNCING", "Meta is still preparing the template.", retry(MINUTE, 2, Duration::from_mins(10), 5, Scope::Message)),
        one(134_102, Configuration, "MARKETING_DISABLED", "The account is not onboarded to this endpoint.", PARK_MESSAGE),
        one(135_000, Permanent, "PARAMETER_INVALID", "Meta did not accept a parameter.", FAIL),
        one(137_000, Permanent, "RECIPIENT_IDENTITY_CHANGED", "The user's identity changed and is not acknowledged yet.", FAIL),
        row(138_000..=138_099, Permanent, "CALL_REFUSED", "Meta refused a calling operation.", FAIL),
        row(139_100..=139_101, Permanent, "BLOCK_LIST_REFUSED", "Meta refused the change of the block list.", FAIL),
        row(139_102..=139_103, Transient, "BLOCK_LIST_REFUSED", "Meta could not change the block list just now.", TWICE),
        row(147_001..=147_005, Permanent, "USERNAME_REFUSED", "Meta refused the business username.", FAIL),
        row(200_005..=200_007, Configuration, "INSIGHTS_DISABLED", "Template insights are not switched on.", FAIL),
        one(1_752_041, Permanent, "ALREADY_ONBOARDED", "The account was onboarded before.", FAIL),
        one(2_388_001, Configuration, "MIGRATION_REFUSED", "Meta refused the number's migration.", PARK_NUMBER),
        one(2_388_012, Configuration, "MIGRATION_REFUSED", "Meta refused the number's migration.", PARK_NUMBER),
        one(2_388_019, Permanent, "TEMPLATE_REFUSED", "Meta did not accept the template.", FAIL),
        row(2_388_039..=2_388_040, Permanent, "TEMPLATE_REFUSED", "Meta did not accept the template.", FAIL),
        one(2_388_047, Permanent, "TEMPLATE_REFUSED", "Meta did not accept the template.", FAIL),
        row(2_388_072..=2_388_073, Permanent, "TEMPLATE_REFUSED", "Meta did not accept the template.", FAIL),
        one(2_388_091, Configuration, "MIGRATION_REFUSED", "Meta refused the number's migration.", PARK_NUMBER),
        one(2_388_093, Configuration, "MIGRATION_REFUSED", "Meta refused the number's migration.", PARK_NUMBER),
        one(2_388_103, Configuration, "MIGRATION_REFUSED", "Meta refused the number's migration.", PARK_NUMBER),
        one(2_388_293, Permanent, "TEMPLATE_REFUSED", "Meta did not accept the template.", FAIL),
        one(2_388_299, Permanent, "TEMPLATE_REFUSED", "Meta did not accept the template.", FAIL),
        one(2_494_100, Configuration, "MIGRATION_REFUSED", "Meta refused the number's migration.", PARK_NUMBER),
        one(2_593_079, Configuration, "COEXISTENCE_REFUSED", "Meta refused a coexistence operation.", PARK_NUMBER),
        one(2_593_085, Configuration, "COEXISTENCE_REFUSED", "Meta refused a coexistence operation.", PARK_NUMBER),
        row(2_593_107..=2_593_108, Configuration, "COEXISTENCE_REFUSED", "Meta refused a coexistence operation.", PARK_NUMBER),
    ]
};

/// An unknown code that Meta calls transient, or that came with a server fault.
const UNKNOWN_TRANSIENT: Verdict = Verdict {
    class: Class::Transient,
    reason: "META_FAULT",
    message: "Meta answered with an unspecified fault.",
    reaction: TWICE,
};
/// HTTP 429 with a code of no meaning.
const UNKNOWN_LIMIT: Verdict = Verdict {
    class: Class::Wait,
    reason: "APP_RATE_LIMITED",
    message: "Meta limits calls of this kind.",
    reaction: retry(MINUTE, 2, HOUR, 50, Scope::Number),
};
/// Any other unknown code.
const UNKNOWN: Verdict = Verdict {
    class: Class::Permanent,
    reason: "META_REFUSED",
    message: "Meta refused the message.",
    reaction: FAIL,
};

/// What an error means for the message it answers.
pub fn classify(error: &GraphError) -> Verdict {
    let known = TABLE.iter().find(|row| row.codes.contains(&error.code));
    match known {
        Some(row) => row.verdict,
        None if error.http_status == 429 => UNKNOWN_LIMIT,
        None if error.is_transient || error.http_status >= 500 => UNKNOWN_TRANSIENT,
        None => UNKNOWN,
    }
}

/// Whether an error may mean that Meta does not know a medium's id (any more). Meta has no code for that alone, so its text is looked at, too: all that hangs on it is that the medium is
/// given to Meta once more.
pub fn doubts_media(error: &GraphError) -> bool {
    match error.code {
        131_053 => true,
        100 | 131_008 | 131_009 => error.details.to_ascii_lowercase().contains("media"),
        _ => false,
    }
}

impl Reaction {
    /// How long to wait after the `tries`-th try (from 1) was answered so; `None`: it is not tried again.
    pub fn wait(&self, tries: u16) -> Option<Duration> {
        match *self {
            Self::Fail => None,
            Self::Park { every, .. } => Some(every),
            Self::Retry {
                first,
                factor,
                most,
                tries: limit,
                ..
            } => (tries <= limit).then(|| {
                let growth = factor.saturating_pow(u32::from(tries.saturating_sub(1)));
                first.saturating_mul(growth).min(most)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: i32) -> GraphError {
        GraphError::from_code(code)
    }

    #[test]
    fn every_line_is_found_by_each_of_its_codes_and_no_two_lines_share_one() {
        for (index, row) in TABLE.iter().enumerate() {
            for code in [*row.codes.start(), *row.codes.end()] {
                assert_eq!(classify(&refused(code)), row.verdict, "{code}");
                let shared = TABLE[index + 1..].iter().find(|other| other.codes.contains(&code));
                assert!(shared.is_none(), "{code} stands twice");
            }
        }
    }

    #[test]
    fn the_contract_lists_every_reason() {
        let readme = include_str!("../../../proto/README.md");
        let verdicts = TABLE.iter().map(|row| &row.verdict);
        for verdict in verdicts.chain([&UNKNOWN_TRANSIENT, &UNKNOWN_LIMIT, &UNKNOWN]) {
            assert!(
                readme.contains(&format!("| `{}` |", verdict.reason)),
                "{}",
                verdict.reason
            );
        }
    }

    #[test]
    fn each_class_reacts_as_its_meaning_demands() {
        for row in TABLE {
            let Verdict {
                class,
                reason,
                reaction,
                message,
            } = row.verdict;
            assert!(
                reason.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'),
                "{reason}"
            );
            assert!(message.ends_with('.'), "{message}");
            match class {
                Class::Template => assert_eq!(reaction, FAIL),
                Class::Authorisation => assert!(matches!(
                    reaction,
                    Reaction::Park {
                        scope: Scope::Number,
                        ..
                    }
                )),
                Class::Transient | Class::Wait => assert_ne!(reaction, FAIL, "{reason}"),
                Class::Permanent => assert_eq!(reaction, FAIL, "{reason}"),
                Class::Configuration | Class::Policy => {
                    assert!(!matches!(reaction, Reaction::Retry { .. }), "{reason}");
                }
            }
        }
    }

    #[test]
    fn codes_that_may_hide_an_acceptance_are_tried_twice_more_at_most() {
        for code in [1, 2, 131_000, 131_016] {
            let reaction = classify(&refused(code)).reaction;
            assert!(reaction.wait(2).is_some() && reaction.wait(3).is_none(), "{code}");
        }
    }

    #[test]
    fn only_what_speaks_of_media_casts_doubt_on_them() {
        let said = |code, details: &str| {
            doubts_media(&GraphError {
                details: details.to_owned(),
                ..refused(code)
            })
        };
        assert!(said(131_053, ""));
        assert!(said(
            100,
            "Param image['id'] is not a valid whatsapp business account media attachment ID"
        ));
        assert!(said(131_009, "Media ID is not valid"));
        assert!(!said(100, "Param to must be a number"));
        assert!(!said(131_026, "media"));
    }

    #[test]
    fn unknown_codes_follow_the_stated_default() {
        let unknown = |http_status, is_transient| {
            classify(&GraphError {
                is_transient,
                http_status,
                ..refused(999_999)
            })
            .class
        };
        assert_eq!(unknown(400, false), Class::Permanent);
        assert_eq!(unknown(400, true), Class::Transient);
        assert_eq!(unknown(503, false), Class::Transient);
        assert_eq!(unknown(429, false), Class::Wait);
    }

    #[test]
    fn the_pair_limit_waits_as_meta_advises() {
        let waits: Vec<_> = (1..=7)
            .map(|tries| PAIR_BRAKE.wait(tries).map(|wait| wait.as_secs()))
            .collect();
        assert_eq!(waits, [1, 4, 16, 64, 256, 1_024, 1_024].map(Some));
    }
}
