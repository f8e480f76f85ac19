//! HMAC-SHA256 with the app secret: Meta signs webhooks with it, and it proves to Meta that a caller may use a token.

use hmac::{Hmac, KeyInit, Mac};
use outeract_seal::Secret;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

/// Verifies webhook signatures against the current and, during a rotation, the previous app secret.
#[derive(Debug, Clone)]
pub struct Verifier {
    // Keyed once: the key schedule is a third of the cost of a short body.
    keyed: Vec<Hmac<Sha256>>,
}

// === impl Verifier ===

impl Verifier {
    /// Accepts what any of `secrets` has signed.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        Self {
            keyed: secrets.into_iter().map(keyed).collect(),
        }
    }

    /// Whether `header` (`X-Hub-Signature-256`) is `sha256=` and the 64 lower-case hex digits of the raw body's HMAC. Every secret is tried, in constant time.
    pub fn verify(&self, raw: &[u8], header: &[u8]) -> bool {
        let Some(digits) = header.strip_prefix(b"sha256=") else {
            return false;
        };
        let mut expected = [0; 32];
        let lower_case = digits.len() == 64 && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        if !lower_case || hex::decode_to_slice(digits, &mut expected).is_err() {
            return false;
        }
        let mut matched = Choice::from(0);
        for keyed in &self.keyed {
            let mut mac = keyed.clone();
            mac.update(raw);
            matched |= mac.finalize().into_bytes().as_slice().ct_eq(&expected);
        }
        matched.into()
    }
}

/// The header that Meta would send with `raw`.
pub fn sign(raw: &[u8], secret: &Secret) -> String {
    let mut mac = keyed(secret);
    mac.update(raw);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// `appsecret_proof` for calls with `token`.
pub fn appsecret_proof(token: &Secret, app_secret: &Secret) -> String {
    let mut mac = keyed(app_secret);
    mac.update(token.expose().as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

fn keyed(secret: &Secret) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    Hmac::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes keys of every length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_form_of_the_right_mac_passes() {
        let (current, previous, other) = (Secret::from("current"), Secret::from("previous"), Secret::from("other"));
        let verifier = Verifier::new([&current, &previous]);
        let body = br#"{"text":"gr\u00fc\u00dfe"}"#;
        let good = sign(body, &current);
        assert!(verifier.verify(body, good.as_bytes()));
        assert!(verifier.verify(body, sign(body, &previous).as_bytes()));

        let reserialised = r#"{"text":"grüße"}"#.as_bytes();
        assert!(!verifier.verify(reserialised, good.as_bytes()));
        let bad = [
            sign(body, &other),
            good.to_uppercase(),
            good.replace("sha256=", "SHA256="),
            good[7..].to_owned(),
            good[..70].to_owned(),
            format!("{good}0"),
            format!(" {good}"),
            "sha256=".to_owned(),
            String::new(),
            format!("sha256={}", "g".repeat(64)),
        ];
        for header in bad {
            assert!(!verifier.verify(body, header.as_bytes()), "{header}");
        }
        let upper = format!("sha256={}", good[7..].to_uppercase());
        assert!(!verifier.verify(body, upper.as_bytes()));
    }

    #[test]
    fn known_answer() {
        // RFC 4231, test case 2.
        let signed = sign(b"what do ya want for nothing?", &Secret::from("Jefe"));
        assert_eq!(
            signed,
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
