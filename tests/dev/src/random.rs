//! Secrets for one run: random bytes and the texts made of them.

use std::fs::File;
use std::io::Read as _;

use crate::{Context, Result};

/// Bytes from the system's random source.
///
/// # Errors
/// When `/dev/urandom` cannot be read.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("reading /dev/urandom")?;
    Ok(bytes)
}

/// 32 random bytes as 64 hex digits.
///
/// # Errors
/// As [`bytes`].
pub(crate) fn secret() -> Result<String> {
    bytes::<32>().map(|bytes| hex(&bytes))
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64 with padding (RFC 4648 §4).
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut text = sixes(bytes, STANDARD);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// Base64 for URLs, without padding (RFC 4648 §5).
pub(crate) fn base64url(bytes: &[u8]) -> String {
    sixes(bytes, URL_SAFE)
}

fn sixes(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let digit = |value: u32| char::from(alphabet[(value & 63) as usize]);
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        text.extend((0..=chunk.len()).map(|at| digit(word >> (18 - 6 * at))));
    }
    text
}

/// A UUID as the 26 digits after a `TypeID`'s prefix.
pub(crate) fn typeid_suffix(uuid: [u8; 16]) -> String {
    let value = u128::from_be_bytes(uuid);
    let digit = |at: u32| char::from(b"0123456789abcdefghjkmnpqrstvwxyz"[(value >> (5 * at) & 31) as usize]);
    (0..26).rev().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_the_vectors_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
        assert_eq!(base64url(&[0; 32]).len(), 43);
    }

    #[test]
    fn typeid_suffix_matches_the_specification() {
        assert_eq!(typeid_suffix([0xff; 16]), "7zzzzzzzzzzzzzzzzzzzzzzzzz");
        let uuid = 0x0188_bac7_4afa_78aa_bc3b_bd1e_ef28_d881_u128;
        assert_eq!(typeid_suffix(uuid.to_be_bytes()), "01h2xcejqtf2nbrexx3vqjhp41");
    }

    #[test]
    fn secrets_differ() {
        assert_ne!(secret().unwrap(), secret().unwrap());
        assert_eq!(secret().unwrap().len(), 64);
    }
}
