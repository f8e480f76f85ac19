//! How far a message got, in words of the contract.

use outeract_domain::{Priority, Submission, UnknownCode, Wamid};
use outeract_proto::messaging::v1::{Priority as PriorityProto, SendError, SendStatus, SubmissionState};

/// What a caller is told.
pub(crate) fn told(state: SubmissionState, wamid: Option<&Wamid>, error: Option<SendError>) -> SendStatus {
    SendStatus {
        state: state.into(),
        success: state == SubmissionState::Accepted,
        external_message_id: wamid.map_or_else(String::new, |wamid| wamid.as_str().to_owned()),
        pending: matches!(
            state,
            SubmissionState::Queued | SubmissionState::Sending | SubmissionState::Unknown
        ),
        error,
    }
}

/// What a caller is told when its message is stored, and not about to be sent.
pub(crate) fn queued() -> SendStatus {
    told(SubmissionState::Queued, None, None)
}

/// A stored state.
pub(crate) fn state(code: i16) -> Result<SubmissionState, UnknownCode> {
    Ok(match Submission::try_from(code)? {
        Submission::Queued => SubmissionState::Queued,
        Submission::Sending => SubmissionState::Sending,
        Submission::Accepted => SubmissionState::Accepted,
        Submission::Unknown => SubmissionState::Unknown,
        Submission::Failed => SubmissionState::Failed,
        Submission::Expired => SubmissionState::Expired,
        Submission::Canceled => SubmissionState::Canceled,
    })
}

/// A stored class.
pub(crate) fn priority(code: i16) -> Result<PriorityProto, UnknownCode> {
    Ok(match Priority::try_from(code)? {
        Priority::Urgent => PriorityProto::Urgent,
        Priority::Normal => PriorityProto::Normal,
        Priority::Bulk => PriorityProto::Bulk,
    })
}

/// A state as metadata of errors names it.
pub(crate) fn name(state: SubmissionState) -> &'static str {
    let name = state.as_str_name();
    name.strip_prefix("SUBMISSION_STATE_").unwrap_or(name)
}
