//! What each of Meta's error codes means for a message: the only copy of that table. Codes from Meta's documentation as of autumn 2026; decisions rest on the code alone.

#[cfg(test)]
mod tests;

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
    /// Every campaign from this number.
    NumberCampaigns,
    /// Every message of this WABA.
    Waba,
    /// Every campaign of this WABA.
    WabaCampaigns,
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

/// Tries of a message that only has to wait: until it expires.
const ALWAYS: u16 = u16::MAX;

/// The app's calls are used up.
const APP_LIMITED: &str = "APP_RATE_LIMITED";
/// An account's calls are used up.
const ACCOUNT_LIMITED: &str = "ACCOUNT_RATE_LIMITED";
/// A number's throughput is used up.
const NUMBER_LIMITED: &str = "NUMBER_RATE_LIMITED";

const FAIL: Reaction = Reaction::Fail;
/// An answer that can mean anything, a bad request as well: one more try.
const ONCE: Reaction = retry(SECOND, 4, MINUTE, 1, Scope::Message);
/// An unclear server fault: two more tries, for each may hide an acceptance.
const TWICE: Reaction = retry(SECOND, 4, MINUTE, 2, Scope::Message);
/// A server fault that Meta says passes.
const PASSES: Reaction = retry(SECOND, 2, MINUTE, 8, Scope::Message);
/// The number's throughput is used up: a pause, after which it sends more slowly.
const NUMBER_BRAKE: Reaction = retry(Duration::from_secs(5), 1, Duration::from_secs(5), ALWAYS, Scope::Number);
/// Calls of the app, or of an account, are used up. Meta's usage header knows better when there is one.
const APP_BRAKE: Reaction = retry(Duration::from_mins(5), 2, HOUR, ALWAYS, Scope::App);
const WABA_BRAKE: Reaction = retry(Duration::from_mins(5), 2, HOUR, ALWAYS, Scope::Waba);
/// Meta works on the number: mostly a minute.
const MAINTENANCE: Reaction = retry(MINUTE, 2, Duration::from_mins(2), 30, Scope::Number);
/// Too fast to one user: Meta advises 4^n seconds.
const PAIR_BRAKE: Reaction = retry(SECOND, 4, Duration::from_secs(1_024), 50, Scope::Contact);
const PARK_NUMBER: Reaction = Reaction::Park {
    every: Duration::from_mins(5),
    scope: Scope::Number,
};
const PARK_WABA: Reaction = Reaction::Park {
    every: Duration::from_mins(5),
    scope: Scope::Waba,
};
const PARK_LONG: Reaction = Reaction::Park {
    every: HOUR,
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
        one(1, Transient, "META_FAULT", "Meta answered with an unspecified fault.", ONCE),
        one(2, Transient, "META_FAULT", "Meta is temporarily unavailable.", TWICE),
        one(3, Configuration, "CAPABILITY_MISSING", "The Meta app lacks a capability or permission.", PARK_NUMBER),
        one(4, Wait, APP_LIMITED, "The Meta app has used up its calls.", APP_BRAKE),
        one(10, Configuration, "PERMISSION_MISSING", "The connection lacks a permission.", PARK_NUMBER),
        one(33, Configuration, "NUMBER_GONE", "The business number was deleted at Meta.", PARK_NUMBER),
        one(100, Permanent, "PARAMETER_INVALID", "Meta did not accept a parameter.", FAIL),
        one(104, Authorisation, "TOKEN_INVALID", "Meta could not read the token.", PARK_NUMBER),
        one(190, Authorisation, "TOKEN_INVALID", "The token expired or was revoked: connect the account again.", PARK_NUMBER),
        row(200..=299, Authorisation, "PERMISSION_MISSING", "A permission was taken back: connect the account again.", PARK_NUMBER),
        one(368, Policy, "ACCOUNT_BLOCKED", "Meta blocked the account for its policies.", PARK_WABA),
        one(613, Wait, APP_LIMITED, "Meta limits calls of this kind.", APP_BRAKE),
        row(80_007..=80_008, Wait, ACCOUNT_LIMITED, "The WhatsApp Business Account has used up its calls.", WABA_BRAKE),
        one(130_403, Permanent, "RECIPIENT_BLOCKED", "The business has blocked this user.", FAIL),
        one(130_429, Wait, NUMBER_LIMITED, "The number sends faster than Meta allows.", NUMBER_BRAKE),
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
        one(131_031, Policy, "ACCOUNT_LOCKED", "Meta locked the account.", PARK_WABA),
        one(131_037, Configuration, "DISPLAY_NAME_NOT_APPROVED", "Meta has not approved the number's display name.", PARK_NUMBER),
        one(131_041, Permanent, "GROUP_REFUSED", "Meta refused the group operation.", FAIL),
        one(131_042, Configuration, "PAYMENT_PROBLEM", "The account's payment method needs attention.", PARK_MESSAGE),
        one(131_044, Configuration, "PAYMENT_PROBLEM", "The account's payment method needs attention.", PARK_MESSAGE),
        one(131_045, Configuration, "NUMBER_NOT_REGISTERED", "The number must be registered again.", PARK_NUMBER),
        one(131_047, Template, "OUTSIDE_MESSAGING_WINDOW", "More than 24 hours have passed since the user's last message: send a template.", FAIL),
        one(131_048, Wait, "SPAM_RATE_LIMITED", "Users blocked or reported this number too often.", retry(HOUR, 2, DAY, 5, Scope::NumberCampaigns)),
        one(131_049, Permanent, "MARKETING_LIMIT_REACHED", "Meta holds back marketing for this user: not before a day has passed.", FAIL),
        one(131_050, Permanent, "RECIPIENT_OPTED_OUT", "The user stopped marketing messages from this business.", FAIL),
        one(131_051, Permanent, "CONTENT_UNSUPPORTED", "Meta does not support this kind of message.", FAIL),
        one(131_052, Permanent, "MEDIA_DOWNLOAD_FAILED", "The user's media cannot be downloaded.", FAIL),
        one(131_053, Transient, "MEDIA_UPLOAD_FAILED", "Meta could not take the media.", TWICE),
        one(131_055, Permanent, "CONTENT_UNSUPPORTED", "This endpoint takes marketing templates only.", FAIL),
        one(131_056, Wait, "RECIPIENT_RATE_LIMITED", "Too many messages to this user in a short time.", PAIR_BRAKE),
        one(131_057, Transient, "NUMBER_IN_MAINTENANCE", "Meta is working on the number.", MAINTENANCE),
        one(131_059, Permanent, "GROUP_REFUSED", "Meta refused the group operation.", FAIL),
        one(131_062, Permanent, "RECIPIENT_NEEDS_NUMBER", "This message needs the user's phone number.", FAIL),
        one(131_063, Configuration, "MARKETING_DISABLED", "Marketing is switched off for the account on this API.", PARK_MESSAGE),
        one(131_064, Wait, "CATEGORY_LIMITED", "The account is limited for mislabelled templates.", retry(HOUR, 2, DAY, 5, Scope::WabaCampaigns)),
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
        one(133_016, Wait, "NUMBER_NOT_REGISTERED", "Too many registrations of the number.", PARK_LONG),
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
    reason: APP_LIMITED,
    message: "Meta limits calls of this kind.",
    reaction: retry(MINUTE, 2, HOUR, ALWAYS, Scope::Number),
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

// === impl Verdict ===

impl Verdict {
    /// How long to wait after the `tries`-th try (from 1) was answered with `error`: as Meta says where it counts calls, else as the table does. `None`: it is not tried again.
    pub fn wait(&self, error: &GraphError, tries: u16) -> Option<Duration> {
        let wait = self.reaction.wait(tries)?;
        Some(error.regain_after.filter(|_| self.heeds_usage()).unwrap_or(wait))
    }

    /// Meta counts calls, and says in a header when it takes them again.
    pub fn heeds_usage(&self) -> bool {
        matches!(self.reason, APP_LIMITED | ACCOUNT_LIMITED)
    }

    /// The number sends faster than Meta allows: it has to send more slowly.
    pub fn slows(&self) -> bool {
        self.reason == NUMBER_LIMITED
    }

    /// The error tells of trouble of Meta's host, not of the number, the account or the message.
    pub fn is_of_the_host(&self, error: &GraphError) -> bool {
        let of_the_message = matches!(
            self.reaction,
            Reaction::Retry {
                scope: Scope::Message,
                ..
            }
        );
        match error.http_status {
            429 => *self == UNKNOWN_LIMIT,
            500.. => self.class == Class::Transient && of_the_message,
            _ => false,
        }
    }
}

// === impl Reaction ===

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
