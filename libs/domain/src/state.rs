/// Where a message stands on the way to Meta. The numbers are those of the contract and of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum Submission {
    /// Stored; not yet on its way, or waiting for its next try.
    Queued = 1,
    /// A call to Meta is being made.
    Sending = 2,
    /// Meta accepted it.
    Accepted = 3,
    /// A call was made and its outcome is not known.
    Unknown = 4,
    /// It will not be sent.
    Failed = 5,
    /// Its time ran out.
    Expired = 6,
    /// It was taken back.
    Canceled = 7,
}

/// What to do when the outcome of a call stays unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum OnUnknown {
    /// Wait for evidence or a decision.
    Hold = 1,
    /// Send once more.
    Resend = 2,
    /// End it as failed.
    Fail = 3,
}

/// Which messages of a number go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum Priority {
    /// Before everything else: one-time codes.
    Urgent = 1,
    /// Conversations.
    Normal = 2,
    /// Campaigns.
    Bulk = 3,
}

/// A stored number that means nothing to this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{code} is no {what}")]
pub struct UnknownCode {
    /// What the number should have meant.
    pub what: &'static str,
    /// The number.
    pub code: i16,
}

// === impl Submission ===

impl Submission {
    /// The number in tables and messages.
    pub const fn code(self) -> i16 {
        self as i16
    }
}

impl TryFrom<i16> for Submission {
    type Error = UnknownCode;

    fn try_from(code: i16) -> Result<Self, UnknownCode> {
        Ok(match code {
            1 => Self::Queued,
            2 => Self::Sending,
            3 => Self::Accepted,
            4 => Self::Unknown,
            5 => Self::Failed,
            6 => Self::Expired,
            7 => Self::Canceled,
            _ => {
                return Err(UnknownCode {
                    what: "submission state",
                    code,
                });
            }
        })
    }
}

// === impl OnUnknown ===

impl OnUnknown {
    /// The number in tables and messages.
    pub const fn code(self) -> i16 {
        self as i16
    }
}

impl TryFrom<i16> for OnUnknown {
    type Error = UnknownCode;

    fn try_from(code: i16) -> Result<Self, UnknownCode> {
        Ok(match code {
            1 => Self::Hold,
            2 => Self::Resend,
            3 => Self::Fail,
            _ => {
                return Err(UnknownCode {
                    what: "policy for unknown outcomes",
                    code,
                });
            }
        })
    }
}

// === impl Priority ===

impl Priority {
    /// The number in tables and messages.
    pub const fn code(self) -> i16 {
        self as i16
    }
}

impl TryFrom<i16> for Priority {
    type Error = UnknownCode;

    fn try_from(code: i16) -> Result<Self, UnknownCode> {
        Ok(match code {
            1 => Self::Urgent,
            2 => Self::Normal,
            3 => Self::Bulk,
            _ => return Err(UnknownCode { what: "priority", code }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip() {
        for code in 1..=7 {
            assert_eq!(Submission::try_from(code).map(Submission::code), Ok(code));
        }
        for code in 1..=3 {
            assert_eq!(OnUnknown::try_from(code).map(OnUnknown::code), Ok(code));
            assert_eq!(Priority::try_from(code).map(Priority::code), Ok(code));
        }
        assert!(
            Submission::try_from(0).is_err() && Submission::try_from(8).is_err() && OnUnknown::try_from(0).is_err()
        );
    }
}
