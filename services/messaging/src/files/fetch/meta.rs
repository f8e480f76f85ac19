//! What Meta's answers say of a user's medium.

use std::time::Duration;

use outeract_graph::{CallError, GraphError};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::Fault;

/// Why a try did not bring a file's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// They will never come, for this reason of [`reason`].
    Never(&'static str),
    /// They will never come, for this reason, if it is so again and again.
    Doubtful(&'static str),
    /// Something is away: not before so long.
    Later(Duration),
    /// The try belongs to another process by now, or the file is gone.
    NotOurs,
}

/// Reasons of files that never came, as the contract has them.
pub(super) mod reason {
    pub(crate) const EXPIRED: &str = "MEDIA_EXPIRED";
    pub(crate) const GONE: &str = "MEDIA_GONE";
    pub(crate) const TOO_LARGE: &str = "MEDIA_TOO_LARGE";
    pub(crate) const MISMATCH: &str = "MEDIA_MISMATCH";
    pub(crate) const NO_ROOM: &str = "FILE_QUOTA_EXCEEDED";
}

/// So long Meta keeps a user's medium, in seconds.
pub(super) const KEPT: f64 = 7.0 * 24.0 * 3_600.0;
/// What is doubtful is believed at this try.
const BELIEVED: i16 = 3;
const FIRST: f64 = 1.0;
/// Longest wait between two tries, in seconds.
const MOST: f64 = 300.0;

/// Meta's codes of what does not exist (or is not shown to this token), is another number's, and cannot be downloaded.
const ABSENT: [i32; 3] = [100, 131_009, 131_052];

// === impl Miss ===

impl Miss {
    /// Meta did not say where the bytes are.
    pub(super) fn of_lookup(cause: &CallError) -> Self {
        match cause {
            CallError::Refused(error) if ABSENT.contains(&error.code) && !error.is_transient => {
                Self::Doubtful(reason::GONE)
            }
            CallError::Refused(error) => Self::patient(error),
            // An id that is none.
            CallError::Foreign | CallError::Invalid(_) => Self::Never(reason::GONE),
            CallError::Unreachable(_) | CallError::Unintelligible { .. } => Self::Later(Duration::ZERO),
        }
    }

    /// The bytes did not come from where Meta said they are. That place is good for five minutes; the next try asks anew.
    pub(super) fn of_download(cause: &CallError) -> Self {
        match cause {
            CallError::Refused(error) => Self::patient(error),
            // Meta named a place that is not Meta's: the token does not go there.
            CallError::Foreign | CallError::Invalid(_) => Self::Doubtful(reason::GONE),
            CallError::Unreachable(_) | CallError::Unintelligible { .. } => Self::Later(Duration::ZERO),
        }
    }

    /// The bytes could not be taken in.
    pub(super) fn of_intake(fault: &Fault) -> Self {
        match fault.reason() {
            ErrorReason::FileTooLarge => Self::Never(reason::TOO_LARGE),
            ErrorReason::FileTypeRefused => Self::Never(reason::MISMATCH),
            ErrorReason::FileQuotaExceeded => Self::Never(reason::NO_ROOM),
            // Neither so many nor those that were announced: they may have been garbled on their way.
            ErrorReason::InvalidField => Self::Doubtful(reason::MISMATCH),
            _ => Self::Later(Duration::ZERO),
        }
    }

    fn patient(error: &GraphError) -> Self {
        Self::Later(error.regain_after.unwrap_or_default())
    }

    /// What is done about it at this try of a file that the user sent so many seconds ago; `jitter` from 0 to 1. Else the reason to give up.
    pub(super) fn next(&self, tries: i16, age: f64, jitter: f64) -> Result<f64, &'static str> {
        let least = match self {
            Self::Never(reason) => return Err(reason),
            // What Meta keeps no longer is as good as announced so.
            Self::Doubtful(reason::GONE) | Self::Later(_) if age >= KEPT => return Err(reason::EXPIRED),
            Self::Doubtful(reason) if tries >= BELIEVED => return Err(reason),
            Self::Doubtful(_) | Self::NotOurs => 0.0,
            Self::Later(least) => least.as_secs_f64(),
        };
        let exponent = i32::from(tries.clamp(1, 16) - 1);
        let wait = (FIRST * 2_f64.powi(exponent)).min(MOST);
        Ok((wait * (0.5 + jitter / 2.0)).max(least.min(MOST)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_grow_are_spread_and_stay_bounded(tries in 1_i16..30_000, jitter in 0.0..1.0, least in 0_u64..10_000) {
            let wait = Miss::Later(Duration::from_secs(least)).next(tries, 0.0, jitter).expect("not given up");
            prop_assert!((0.5..=MOST).contains(&wait));
            prop_assert!(wait >= (least as f64).min(MOST));
        }
    }

    #[test]
    fn what_may_come_is_tried_for_seven_days_and_not_longer() {
        let away = Miss::Later(Duration::ZERO);
        assert!(away.next(2_000, KEPT - 1.0, 0.5).is_ok());
        assert_eq!(away.next(2_000, KEPT, 0.5), Err(reason::EXPIRED));
        assert_eq!(Miss::Never(reason::TOO_LARGE).next(1, 0.0, 0.5), Err(reason::TOO_LARGE));
    }

    #[test]
    fn what_is_doubtful_is_believed_the_third_time() {
        let gone = Miss::Doubtful(reason::GONE);
        assert!(gone.next(1, 0.0, 0.5).is_ok() && gone.next(2, 0.0, 0.5).is_ok());
        assert_eq!(gone.next(3, 0.0, 0.5), Err(reason::GONE));
        assert_eq!(gone.next(1, KEPT, 0.5), Err(reason::EXPIRED));
        assert_eq!(
            Miss::Doubtful(reason::MISMATCH).next(3, KEPT, 0.5),
            Err(reason::MISMATCH)
        );
    }

    #[test]
    fn metas_refusals_are_told_apart() {
        let refused = |code| CallError::Refused(GraphError::from_code(code));
        assert_eq!(Miss::of_lookup(&refused(100)), Miss::Doubtful(reason::GONE));
        assert_eq!(Miss::of_lookup(&refused(131_052)), Miss::Doubtful(reason::GONE));
        // A token that is refused, or too many calls, say nothing of the medium.
        for code in [4, 10, 190, 80_007] {
            assert_eq!(Miss::of_lookup(&refused(code)), Miss::Later(Duration::ZERO), "{code}");
        }
        assert_eq!(Miss::of_lookup(&CallError::Foreign), Miss::Never(reason::GONE));
    }
}
