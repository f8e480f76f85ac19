use std::fmt;
use std::str::FromStr;

use outeract_clock::{Clock, Random};
use type_safe_id::{StaticType, TypeSafeId};
use uuid::Uuid;

/// The text is not an id of the expected kind: wrong prefix, or not 26 base32 characters of a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}_…")]
pub struct InvalidId {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// The prefix of the id's text.
            pub const PREFIX: &'static str = $prefix;

            /// A new id, ordered by `clock`'s time to the millisecond.
            pub fn new(clock: &dyn Clock, random: &dyn Random) -> Self {
                Self(version_7(clock, random))
            }

            /// The id with this UUID.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The id whose UUID has these 16 bytes; `None` for another length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Uuid::from_slice(bytes).ok().map(Self)
            }

            /// The id's UUID.
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// The UUID's 16 bytes, as internal messages carry them.
            pub fn bytes(self) -> Vec<u8> {
                self.0.as_bytes().to_vec()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                #[derive(Default)]
                struct Prefix;
                impl StaticType for Prefix {
                    const TYPE: &'static str = $prefix;
                }
                write!(f, "{}", TypeSafeId::<Prefix>::from_uuid(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                #[derive(Default)]
                struct Prefix;
                impl StaticType for Prefix {
                    const TYPE: &'static str = $prefix;
                }
                text.parse::<TypeSafeId<Prefix>>().map(|id| Self(id.uuid())).map_err(|_| InvalidId { prefix: $prefix })
            }
        }
    };
}

id!(
    /// An application: the isolation unit.
    ApplicationId,
    "app"
);
id!(
    /// An application's or operator's key.
    KeyId,
    "key"
);
id!(
    /// A connected phone number.
    ConnectionId,
    "pc"
);
id!(
    /// An event. A sent message is its `message.outbound` event and shares its id.
    EventId,
    "evt"
);
id!(
    /// A user as one application knows them.
    ContactId,
    "pu"
);
id!(
    /// The erasure of a user.
    ErasureId,
    "er"
);
id!(
    /// A file that messages carry.
    FileId,
    "file"
);
id!(
    /// A webhook as it was received.
    WebhookId,
    "wh"
);
id!(
    /// Stored webhooks that are decoded again.
    ReplayId,
    "whr"
);
id!(
    /// Where an application wants its events sent.
    SubscriptionId,
    "ws"
);
id!(
    /// An event on its way to a subscription.
    DeliveryId,
    "whd"
);

impl EventId {
    /// The time in the id, as unix milliseconds.
    pub fn unix_millis(self) -> u64 {
        let mut millis = [0; 8];
        millis[2..].copy_from_slice(&self.0.as_bytes()[..6]);
        u64::from_be_bytes(millis)
    }

    /// The lowest and highest UUIDs with this id's time: an event's children lie between them.
    pub fn same_time(self) -> (Uuid, Uuid) {
        let mut low = [0; 16];
        let mut high = [0xff; 16];
        low[..6].copy_from_slice(&self.0.as_bytes()[..6]);
        high[..6].copy_from_slice(&self.0.as_bytes()[..6]);
        (Uuid::from_bytes(low), Uuid::from_bytes(high))
    }
}

fn version_7(clock: &dyn Clock, random: &dyn Random) -> Uuid {
    let mut tail = [0; 10];
    random.fill(&mut tail);
    let millis = clock.now().unix_timestamp_nanos() / 1_000_000;
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(millis).unwrap_or(0), &tail).into_uuid()
}

#[cfg(test)]
mod tests {
    use outeract_clock::{FakeClock, SeededRandom};
    use time::Duration;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn text_round_trips_and_other_prefixes_are_refused() {
        let clock = FakeClock::at(datetime!(2026-11-23 10:00 UTC));
        let id = EventId::new(&clock, &SeededRandom::new(1));
        let text = id.to_string();
        assert!(text.starts_with("evt_"));
        assert_eq!(text.len(), 30);
        assert_eq!(text.parse::<EventId>(), Ok(id));
        assert_eq!(text.parse::<ConnectionId>(), Err(InvalidId { prefix: "pc" }));
        assert_eq!(text.to_uppercase().parse::<EventId>(), Err(InvalidId { prefix: "evt" }));
        assert_eq!("evt_".parse::<EventId>(), Err(InvalidId { prefix: "evt" }));
        assert_eq!(EventId::from_slice(&id.bytes()), Some(id));
    }

    #[test]
    fn ids_follow_the_clock() {
        let clock = FakeClock::at(datetime!(2026-11-23 10:00 UTC));
        let random = SeededRandom::new(1);
        let first = EventId::new(&clock, &random);
        clock.advance(Duration::MILLISECOND);
        let second = EventId::new(&clock, &random);
        assert!(first < second);
        assert_eq!(second.unix_millis() - first.unix_millis(), 1);
        assert_eq!(first.uuid().get_version_num(), 7);
        let (low, high) = first.same_time();
        assert!(low < first.uuid() && first.uuid() < high && high < second.uuid());
    }
}
