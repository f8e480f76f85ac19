//! Meta's words for statuses and categories, and the contract's.

use outeract_proto::messaging::v1::{TemplateCategory, TemplateStatus};

/// What Meta's word for a template's status means. `None`: the word is no status but something that happened, such as a warning; lists do not hold it.
pub(crate) fn status(word: &str) -> Option<TemplateStatus> {
    Some(match word {
        // A template that was given back can be sent as before.
        "APPROVED" | "REINSTATED" => TemplateStatus::Approved,
        "PENDING" | "IN_APPEAL" => TemplateStatus::Pending,
        "REJECTED" => TemplateStatus::Rejected,
        "PAUSED" => TemplateStatus::Paused,
        "DISABLED" => TemplateStatus::Disabled,
        "DELETED" | "PENDING_DELETION" => TemplateStatus::Deleted,
        "FLAGGED" | "LOCKED" | "UNLOCKED" | "UNARCHIVED" | "LIMIT_EXCEEDED" | "" => return None,
        _ => TemplateStatus::Other,
    })
}

/// What Meta's word for a template's category means.
pub(crate) fn category(word: &str) -> TemplateCategory {
    match word {
        "MARKETING" => TemplateCategory::Marketing,
        "UTILITY" => TemplateCategory::Utility,
        "AUTHENTICATION" => TemplateCategory::Authentication,
        _ => TemplateCategory::Unspecified,
    }
}

/// The number in the tables.
pub(crate) fn code(value: impl Into<i32>) -> i16 {
    i16::try_from(value.into()).unwrap_or_default()
}

/// A stored status; one that this version does not know is none that sends.
pub(crate) fn stored_status(code: i16) -> TemplateStatus {
    TemplateStatus::try_from(i32::from(code)).unwrap_or(TemplateStatus::Other)
}

/// A stored category.
pub(crate) fn stored_category(code: i16) -> TemplateCategory {
    TemplateCategory::try_from(i32::from(code)).unwrap_or(TemplateCategory::Unspecified)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_approved_counts_as_approved_and_unknown_words_are_kept_apart() {
        assert_eq!(status("APPROVED"), Some(TemplateStatus::Approved));
        assert_eq!(status("ARCHIVED"), Some(TemplateStatus::Other));
        assert_eq!(status("SOMETHING_NEW"), Some(TemplateStatus::Other));
        assert_eq!(status("FLAGGED"), None);
        assert_eq!(category("SOMETHING_NEW"), TemplateCategory::Unspecified);
    }

    #[test]
    fn codes_round_trip() {
        for status in (0..=7).filter_map(|code| TemplateStatus::try_from(code).ok()) {
            assert_eq!(stored_status(code(status)), status);
        }
        assert_eq!(stored_status(99), TemplateStatus::Other);
        assert_eq!(
            stored_category(code(TemplateCategory::Utility)),
            TemplateCategory::Utility
        );
        assert_eq!(stored_category(-1), TemplateCategory::Unspecified);
    }
}
