//! Ids that look like Meta's.

use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// The one source of chance: the same seed and the same calls give the same ids.
#[derive(Debug)]
pub(crate) struct Ids(Mutex<StdRng>);

impl Ids {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut StdRng) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A number of milliseconds from the range, both ends included.
    pub(crate) fn between(&self, (low, high): (u64, u64)) -> u64 {
        if low >= high {
            return low;
        }
        self.with(|rng| rng.random_range(low..=high))
    }

    /// True with this probability.
    pub(crate) fn chance(&self, probability: f64) -> bool {
        probability >= 1.0 || (probability > 0.0 && self.with(|rng| rng.random_bool(probability)))
    }

    /// An object's id of 15 digits.
    pub(crate) fn object(&self) -> String {
        self.with(|rng| rng.random_range(100_000_000_000_000_u64..999_999_999_999_999))
            .to_string()
    }

    /// An access token.
    pub(crate) fn token(&self) -> String {
        let mut bytes = [0; 120];
        self.with(|rng| rng.fill_bytes(&mut bytes));
        let text: String = URL_SAFE_NO_PAD
            .encode(bytes)
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        format!("EAAJ{text}")
    }

    /// A trace id.
    pub(crate) fn fbtrace(&self) -> String {
        let mut bytes = [0; 16];
        self.with(|rng| rng.fill_bytes(&mut bytes));
        format!("A{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// A challenge for the handshake.
    pub(crate) fn challenge(&self) -> String {
        self.with(|rng| rng.random_range(100_000_000_u32..2_000_000_000))
            .to_string()
    }

    /// The id of a message to the user with this WhatsApp id.
    pub(crate) fn outbound(&self, wa_id: &str) -> String {
        let mut bytes = [0; 9];
        self.with(|rng| rng.fill_bytes(&mut bytes));
        wamid(wa_id, 0x11, &bytes)
    }

    /// The id of a message from the user with this WhatsApp id.
    pub(crate) fn inbound(&self, wa_id: &str) -> String {
        let mut bytes = [0; 10];
        self.with(|rng| rng.fill_bytes(&mut bytes));
        wamid(wa_id, 0x12, &bytes)
    }
}

/// Meta's form: base64 of a small record that contains the user's number in clear.
fn wamid(wa_id: &str, direction: u8, random: &[u8]) -> String {
    let id = hex::encode_upper(random);
    let mut record = Vec::with_capacity(64);
    record.extend([0x1c, 0x18, wa_id.len() as u8]);
    record.extend(wa_id.as_bytes());
    record.extend([0x15, 0x02, 0x00, direction, 0x18, id.len() as u8]);
    record.extend(id.as_bytes());
    record.push(0);
    format!("wamid.{}", STANDARD.encode(record))
}

/// The business-scoped id of a user: the same for the same portfolio and user.
pub(crate) fn user_id(portfolio: &str, wa_id: &str) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in portfolio.bytes().chain([b'/']).chain(wa_id.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    format!("US.{hash:020}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wamids_contain_the_number() {
        let wamid = Ids::new(1).outbound("16505551234");
        assert!(wamid.starts_with("wamid.HBgLMTY1MDU1NTEyMzQVAgARGB"), "{wamid}");
    }

    #[test]
    fn a_seed_repeats() {
        let (one, two) = (Ids::new(7), Ids::new(7));
        assert_eq!(one.token(), two.token());
        assert_eq!(one.object(), two.object());
        assert_ne!(one.object(), one.object());
    }
}
