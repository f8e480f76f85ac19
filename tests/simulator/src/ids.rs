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

/// The business-scoped id of a user: the same for the same portfolio and user, and another one in each portfolio.
pub(crate) fn user_id(portfolio: &str, number: &str) -> String {
    format!("US.{:020}", scramble(number, mask(portfolio)))
}

/// The id of a user in all portfolios that are enrolled together.
pub(crate) fn parent_user_id(number: &str) -> String {
    format!("US.ENT.{:020}", scramble(number, mask("ENT")))
}

/// The number of the user with this id in this portfolio; `None` if it is not one of the portfolio's.
pub(crate) fn number_of(portfolio: &str, user_id: &str) -> Option<String> {
    unscramble(user_id.strip_prefix("US.")?, mask(portfolio))
}

/// The number of the user with this parent id.
pub(crate) fn number_of_parent(user_id: &str) -> Option<String> {
    unscramble(user_id.strip_prefix("US.ENT.")?, mask("ENT"))
}

/// Odd, so that multiplying by it can be undone.
const SCRAMBLE: u64 = 0x9e37_79b9_7f4a_7c15;
const UNSCRAMBLE: u64 = inverse(SCRAMBLE);

/// Newton's iteration: each step doubles the bits that are right.
const fn inverse(odd: u64) -> u64 {
    let (mut found, mut step) = (odd, 0);
    while step < 6 {
        found = found.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(found)));
        step += 1;
    }
    found
}

fn mask(portfolio: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in portfolio.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    // Portfolios that differ in little must differ in every digit of what comes out.
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

/// A one before the digits keeps zeros at their beginning.
fn scramble(number: &str, mask: u64) -> u64 {
    let marked: u64 = format!("1{number}").parse().unwrap_or(0);
    (marked ^ mask).wrapping_mul(SCRAMBLE)
}

/// Most ids of others do not end as a one and up to fifteen digits: one in twenty thousand does.
fn unscramble(id: &str, mask: u64) -> Option<String> {
    let id: u64 = id.parse().ok()?;
    let marked = (id.wrapping_mul(UNSCRAMBLE) ^ mask).to_string();
    let number = marked.strip_prefix('1')?;
    (7..=15).contains(&number.len()).then(|| number.to_owned())
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

    #[test]
    fn user_ids_lead_back_to_the_number() {
        for number in ["16505551234", "0000001", "999999999999999"] {
            assert_eq!(number_of("7", &user_id("7", number)).as_deref(), Some(number));
            assert_eq!(number_of_parent(&parent_user_id(number)).as_deref(), Some(number));
            assert_eq!(number_of("8", &user_id("7", number)), None);
        }
        assert_ne!(user_id("7", "16505551234"), user_id("8", "16505551234"));
    }
}
