//! Times between Rust and protobuf.

use prost_types::Timestamp;
use time::{Duration, OffsetDateTime};

/// A time as protobuf writes it.
pub fn to_proto(at: OffsetDateTime) -> Timestamp {
    Timestamp {
        seconds: at.unix_timestamp(),
        nanos: at.nanosecond().cast_signed(),
    }
}

/// A time that protobuf wrote; `None` outside the years 1 to 9999 or with impossible nanoseconds.
pub fn from_proto(at: &Timestamp) -> Option<OffsetDateTime> {
    if !(0..1_000_000_000).contains(&at.nanos) {
        return None;
    }
    let whole = OffsetDateTime::from_unix_timestamp(at.seconds)
        .ok()
        .filter(|whole| whole.year() >= 1)?;
    whole.checked_add(Duration::nanoseconds(i64::from(at.nanos)))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn round_trips_and_refuses_nonsense() {
        for at in [
            datetime!(2026-11-23 10:00:00.123456789 UTC),
            datetime!(1969-12-31 23:59:59.5 UTC),
        ] {
            assert_eq!(from_proto(&to_proto(at)), Some(at));
        }
        assert_eq!(from_proto(&Timestamp { seconds: 0, nanos: -1 }), None);
        assert_eq!(
            from_proto(&Timestamp {
                seconds: 0,
                nanos: 1_000_000_000
            }),
            None
        );
        assert_eq!(
            from_proto(&Timestamp {
                seconds: i64::MAX,
                nanos: 0
            }),
            None
        );
    }
}
