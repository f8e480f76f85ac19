//! Why a message is not sent, in words of the contract.

use outeract_graph::fault::{TABLE, Verdict};
use outeract_proto::messaging::v1::SendError;

/// The call to Meta had no clear outcome.
pub(crate) const OUTCOME_UNKNOWN: &str = "OUTCOME_UNKNOWN";
/// Meta could not be reached.
pub(crate) const META_UNREACHABLE: &str = "META_UNREACHABLE";
/// A file of the message is gone.
pub(crate) const FILE_GONE: &str = "FILE_GONE";
/// Meta lists no such template.
pub(crate) const TEMPLATE_NOT_FOUND: &str = "TEMPLATE_NOT_FOUND";
/// Meta paused the template.
pub(crate) const TEMPLATE_PAUSED: &str = "TEMPLATE_PAUSED";
/// Meta disabled the template.
pub(crate) const TEMPLATE_DISABLED: &str = "TEMPLATE_DISABLED";
/// Meta rejected the template after it was approved.
pub(crate) const TEMPLATE_REJECTED: &str = "TEMPLATE_REJECTED";
/// Meta has yet to decide about the template.
pub(crate) const TEMPLATE_NOT_APPROVED: &str = "TEMPLATE_NOT_APPROVED";
/// The user's last message is too old, and there is no template to send in the message's place.
pub(crate) const OUTSIDE_MESSAGING_WINDOW: &str = "OUTSIDE_MESSAGING_WINDOW";
/// The user wants no marketing.
pub(crate) const RECIPIENT_OPTED_OUT: &str = "RECIPIENT_OPTED_OUT";
/// The message waited for as long as messages are kept.
pub(crate) const RETENTION_ENDED: &str = "RETENTION_ENDED";
/// The portfolio has written to as many users in 24 hours as Meta allows outside their windows.
pub(crate) const QUOTA_EXHAUSTED: &str = "QUOTA_EXHAUSTED";
/// Meta lets the account begin nothing for now.
pub(crate) const ACCOUNT_RESTRICTED: &str = "ACCOUNT_RESTRICTED";

/// The user was erased.
pub(crate) const ERASED: &str = "ERASED";

/// What Meta's answer means.
pub(crate) fn of_verdict(verdict: &Verdict, meta_code: i32, retryable: bool) -> SendError {
    SendError {
        reason: verdict.reason.to_owned(),
        meta_code,
        retryable,
        message: verdict.message.to_owned(),
    }
}

/// A stored reason.
pub(crate) fn of_reason(reason: &str, meta_code: Option<i32>, retryable: bool) -> SendError {
    SendError {
        reason: reason.to_owned(),
        meta_code: meta_code.unwrap_or(0),
        retryable,
        message: sentence(reason, meta_code).to_owned(),
    }
}

/// One sentence for people.
fn sentence(reason: &str, meta_code: Option<i32>) -> &'static str {
    match reason {
        OUTCOME_UNKNOWN => "The call to Meta had no clear outcome.",
        META_UNREACHABLE => "Meta could not be reached.",
        ERASED => "The user was erased; the message was canceled.",
        FILE_GONE => "A file of the message was deleted before it was sent.",
        TEMPLATE_REJECTED => "Meta rejected the template.",
        TEMPLATE_NOT_APPROVED => "Meta has not approved the template, or not again.",
        ACCOUNT_RESTRICTED => {
            "Meta restricts the account: until that is lifted, only users who wrote within 24 hours can be written to."
        }
        RETENTION_ENDED => "The message waited for as long as messages are kept.",
        QUOTA_EXHAUSTED => {
            "The business portfolio has written to as many users in 24 hours as Meta allows outside their windows."
        }
        _ => {
            let by_code = meta_code.and_then(|code| {
                TABLE
                    .iter()
                    .find(|row| row.codes.contains(&code) && row.verdict.reason == reason)
            });
            let row = by_code.or_else(|| TABLE.iter().find(|row| row.verdict.reason == reason));
            row.map_or("Meta refused the message.", |row| row.verdict.message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_sentence() {
        for row in TABLE {
            let told = of_reason(row.verdict.reason, Some(*row.codes.start()), false);
            assert_eq!(told, of_verdict(&row.verdict, *row.codes.start(), false));
        }
        assert_eq!(
            of_reason(META_UNREACHABLE, None, true).message,
            "Meta could not be reached."
        );
        assert_eq!(
            of_reason("SOMETHING_OLD", None, false).message,
            "Meta refused the message."
        );
    }
}
