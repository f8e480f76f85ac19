use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use outeract_clock::Random;
use outeract_domain::KeyId;
use sha2::{Digest as _, Sha256};

/// The parts of a key as callers present it: `otr_<environment>_<26 characters of the key's id>_<43 characters of secret>`.
/// No `Debug`: it borrows the secret.
pub struct KeyText<'a> {
    /// 1 to 16 of `a-z0-9`; `op` for operator keys.
    pub environment: &'a str,
    /// The key.
    pub key: KeyId,
    secret: &'a str,
}

/// The text is not in the form of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not in the form of a key")]
pub struct MalformedKey;

const PREFIX: &str = "otr";
const OPERATOR: &str = "op";
const ID_CHARACTERS: usize = 26;
const SECRET_CHARACTERS: usize = 43;

// === impl KeyText ===

impl<'a> KeyText<'a> {
    /// Takes a key's text apart. Allocates nothing.
    pub fn parse(text: &'a str) -> Result<Self, MalformedKey> {
        // The secret comes last, since base64url has `_` too.
        let mut parts = text.splitn(4, '_');
        let (Some(PREFIX), Some(environment), Some(id), Some(secret)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(MalformedKey);
        };
        let named = (1..=16).contains(&environment.len())
            && environment
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let secret_like = secret.len() == SECRET_CHARACTERS
            && secret
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if !named || !secret_like {
            return Err(MalformedKey);
        }
        Ok(Self {
            environment,
            key: key_id(id)?,
            secret,
        })
    }

    /// A new key's text, and the SHA-256 of its secret part, which is all that is kept.
    pub fn generate(environment: &str, key: KeyId, random: &dyn Random) -> (String, [u8; 32]) {
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        let secret = URL_SAFE_NO_PAD.encode(bytes);
        let id = key.to_string();
        let suffix = id.strip_prefix("key_").unwrap_or(&id);
        (
            format!("{PREFIX}_{environment}_{suffix}_{secret}"),
            secret_sha256(&secret),
        )
    }

    /// SHA-256 of the secret part.
    pub fn secret_sha256(&self) -> [u8; 32] {
        secret_sha256(self.secret)
    }

    /// The text claims to be an operator's key.
    pub fn is_operator(&self) -> bool {
        self.environment == OPERATOR
    }
}

/// SHA-256 of a secret's text. The secrets have 256 bits, so no slow hash is needed.
pub fn secret_sha256(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn key_id(suffix: &str) -> Result<KeyId, MalformedKey> {
    let mut text = *b"key_..........................";
    if suffix.len() != ID_CHARACTERS {
        return Err(MalformedKey);
    }
    text[4..].copy_from_slice(suffix.as_bytes());
    let text = std::str::from_utf8(&text).map_err(|_| MalformedKey)?;
    text.parse().map_err(|_| MalformedKey)
}

#[cfg(test)]
mod tests {
    use outeract_clock::SeededRandom;
    use uuid::Uuid;

    use super::*;

    fn key() -> KeyId {
        KeyId::from_uuid(Uuid::from_u128(0x0192_3456_789a_7bcd_8ef0_1234_5678_9abc))
    }

    #[test]
    fn a_generated_key_parses_to_its_parts() {
        let random = SeededRandom::new(1);
        for environment in ["live", "test", "op", "0", "abcdefghijklmnop"] {
            let (text, hash) = KeyText::generate(environment, key(), &random);
            let parsed = KeyText::parse(&text).unwrap();
            assert_eq!(parsed.environment, environment);
            assert_eq!(parsed.key, key());
            assert_eq!(parsed.secret_sha256(), hash);
            assert_eq!(parsed.is_operator(), environment == "op");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let (text, _) = KeyText::generate("live", key(), &SeededRandom::new(1));
        let cut = &text[..text.len() - 1];
        let long = format!("{text}a");
        let odd = format!("{cut}!");
        let upper = text.replace("live", "LIVE");
        let no_environment = text.replace("live", "");
        let foreign = text.replace("otr", "xyz");
        let bad_id = text.replacen("_0", "_8", 1);
        for bad in [
            "",
            "otr",
            "otr_live",
            cut,
            &long,
            &odd,
            &upper,
            &no_environment,
            &foreign,
            &bad_id,
        ] {
            assert!(KeyText::parse(bad).is_err(), "{bad}");
        }
    }
}
