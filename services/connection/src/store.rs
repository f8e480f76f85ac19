//! SQL by aggregate: plain functions, on a connection where a transaction matters, on the pool for one statement.

pub(crate) mod application;
pub(crate) mod audit;
pub(crate) mod connection;
pub(crate) mod examination;
pub(crate) mod grant;
pub(crate) mod key;
pub(crate) mod outbox;
pub(crate) mod standing;
pub(crate) mod subscription;

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// Where a page ends: lists are ordered by time, then id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// The last row's time.
    pub(crate) at: OffsetDateTime,
    /// The last row's id.
    pub(crate) id: Uuid,
}

// === impl Position ===

impl Position {
    /// The position inside a page token. Postgres keeps microseconds, so nothing is lost.
    pub(crate) fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let micros = (self.at.unix_timestamp_nanos() / 1_000) as i64;
        bytes[..8].copy_from_slice(&micros.to_be_bytes());
        bytes[8..].copy_from_slice(self.id.as_bytes());
        bytes
    }

    /// The position that [`Self::to_bytes`] wrote.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (micros, id) = bytes.split_first_chunk::<8>()?;
        let at = OffsetDateTime::UNIX_EPOCH.checked_add(Duration::microseconds(i64::from_be_bytes(*micros)))?;
        let id = Uuid::from_slice(id).ok()?;
        Some(Self { at, id })
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn positions_round_trip_and_other_lengths_are_refused() {
        let position = Position {
            at: datetime!(2026-11-23 10:00:00.123456 UTC),
            id: Uuid::from_u128(7),
        };
        let bytes = position.to_bytes();
        assert_eq!(Position::from_bytes(&bytes), Some(position));
        assert_eq!(Position::from_bytes(&bytes[..23]), None);
        assert_eq!(Position::from_bytes(&[]), None);
    }
}
