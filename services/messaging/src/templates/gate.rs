//! Whether a template's message may go now.

use std::time::Duration;

use outeract_proto::messaging::v1::TemplateStatus;

use super::definition::Definition;
use crate::problem;

/// What becomes of a message whose turn has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sendable {
    /// It goes.
    Go,
    /// It waits, and is looked at again after `again`, or as soon as a template of the account changes.
    Park { reason: &'static str, again: Duration },
    /// It will never go.
    Fail { reason: &'static str },
}

/// Between looks at a message that waits for its template. Changes of the template are noticed sooner.
const AGAIN: Duration = Duration::from_mins(5);

/// Whether a message of this template may go. `None`: Meta no longer lists the template.
pub(crate) fn sendable(definition: Option<&Definition>) -> Sendable {
    let Some(definition) = definition else {
        return Sendable::Fail {
            reason: problem::TEMPLATE_NOT_FOUND,
        };
    };
    match definition.status() {
        TemplateStatus::Approved => Sendable::Go,
        // It comes back by itself.
        TemplateStatus::Paused => park(problem::TEMPLATE_PAUSED),
        // Meta decides, or says something that is not understood here: neither is the end.
        TemplateStatus::Pending | TemplateStatus::Other | TemplateStatus::Unspecified => {
            park(problem::TEMPLATE_NOT_APPROVED)
        }
        TemplateStatus::Rejected => fail(problem::TEMPLATE_REJECTED),
        TemplateStatus::Disabled => fail(problem::TEMPLATE_DISABLED),
        TemplateStatus::Deleted => fail(problem::TEMPLATE_NOT_FOUND),
    }
}

fn park(reason: &'static str) -> Sendable {
    Sendable::Park { reason, again: AGAIN }
}

fn fail(reason: &'static str) -> Sendable {
    Sendable::Fail { reason }
}

#[cfg(test)]
mod tests {
    use outeract_proto::messaging::v1::TemplateCategory;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_comes_back_parks_and_what_does_not_fails() {
        let of = |status| sendable(Some(&Definition::new(TemplateCategory::Utility, status, &json!([]))));
        assert_eq!(of(TemplateStatus::Approved), Sendable::Go);
        assert_eq!(of(TemplateStatus::Paused), park("TEMPLATE_PAUSED"));
        assert_eq!(of(TemplateStatus::Pending), park("TEMPLATE_NOT_APPROVED"));
        assert_eq!(of(TemplateStatus::Other), park("TEMPLATE_NOT_APPROVED"));
        assert_eq!(of(TemplateStatus::Rejected), fail("TEMPLATE_REJECTED"));
        assert_eq!(of(TemplateStatus::Disabled), fail("TEMPLATE_DISABLED"));
        assert_eq!(of(TemplateStatus::Deleted), fail("TEMPLATE_NOT_FOUND"));
        assert_eq!(sendable(None), fail("TEMPLATE_NOT_FOUND"));
    }
}
