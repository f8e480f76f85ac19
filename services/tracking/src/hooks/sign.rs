//! Secrets of subscriptions, and signatures of Standard Webhooks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use outeract_clock::Random;
use outeract_seal::{Secret, hmac_sha256};

/// What a secret whose rest is base64 begins with.
const PREFIX: &str = "whsec_";
/// Bytes of a generated secret.
const GENERATED: usize = 32;

/// A new secret.
pub(crate) fn generate(random: &dyn Random) -> String {
    let mut bytes = [0; GENERATED];
    random.fill(&mut bytes);
    format!("{PREFIX}{}", STANDARD.encode(bytes))
}

/// Whether a secret may sign: `whsec_` and base64 of 24 to 64 bytes, or 32 to 256 printable ASCII characters.
pub(crate) fn is_secret(text: &str) -> bool {
    match text.strip_prefix(PREFIX) {
        Some(encoded) => STANDARD
            .decode(encoded)
            .is_ok_and(|bytes| (24..=64).contains(&bytes.len())),
        None => (32..=256).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~')),
    }
}

/// The value of `webhook-signature`: one signature for each secret, with a space between.
pub(crate) fn signatures(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signed: Vec<String> = secrets
        .iter()
        .filter_map(|secret| signature(secret.expose(), id, timestamp, body))
        .collect();
    signed.join(" ")
}

fn signature(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
    let key = match secret.strip_prefix(PREFIX) {
        Some(encoded) => STANDARD.decode(encoded).ok()?,
        None => secret.as_bytes().to_vec(),
    };
    let mac = hmac_sha256(&key, &[format!("{id}.{timestamp}.").as_bytes(), body])?;
    Some(format!("v1,{}", STANDARD.encode(mac)))
}

#[cfg(test)]
mod tests {
    use outeract_clock::SeededRandom;

    use super::*;

    #[test]
    fn the_example_of_the_standard_is_signed_as_the_standard_says() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let body = br#"{"test": 2432232314}"#;
        let signed = signatures(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_generated_secret_may_sign_and_short_ones_may_not() {
        assert!(is_secret(&generate(&SeededRandom::new(1))));
        assert_ne!(generate(&SeededRandom::new(1)), generate(&SeededRandom::new(2)));
        assert!(is_secret(&"a".repeat(32)));
        for refused in [
            "",
            "whsec_",
            "whsec_AAAA",
            &"a".repeat(31),
            &"a".repeat(257),
            &format!("{}\n", "a".repeat(32)),
            &"ä".repeat(32),
            "whsec_not base64 at all, but long enough",
        ] {
            assert!(!is_secret(refused), "{refused}");
        }
    }
}
