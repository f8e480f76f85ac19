use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{KeyInit as _, Tag, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use outeract_clock::Random;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{Aad, Secret};

const VERSION: u8 = 1;
const KEY: usize = 32;
const NONCE: usize = 24;
const TAG: usize = 16;
const MAX_NAME: usize = 32;
/// The line that is not for sealing.
const HASH: &str = "hash";

/// The keys of one service. Clone it into an `Arc`; its keys are wiped when the last owner goes.
pub struct KeyRing {
    /// Never empty; the first one encrypts.
    keys: Vec<Key>,
    hash: Hmac<Sha256>,
}

struct Key {
    name: String,
    cipher: XChaCha20Poly1305,
}

/// Why a key ring's text was refused. Names lines, never what is in them.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseError {
    /// Not `name:<base64>`, or a name with other characters than letters, digits, `-` and `_`, or longer than 32.
    #[error("line {0} is not `name:<base64 of 32 bytes>`")]
    Line(usize),
    /// The key is not 32 bytes in base64.
    #[error("line {0}: the key is not 32 bytes in base64")]
    Key(usize),
    /// A name that an earlier line has.
    #[error("line {0}: the name is there twice")]
    Twice(usize),
    /// No key that could seal.
    #[error("there is no sealing key, such as `k1:<base64 of 32 bytes>`")]
    NoKey,
    /// No key for hashes.
    #[error("there is no `hash:<base64 of 32 bytes>` line")]
    NoHash,
}

/// Why a blob did not open. Says nothing of its content.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OpenError {
    /// Not a blob that this crate has sealed.
    #[error("the sealed value is malformed")]
    Malformed,
    /// Sealed with a key that the ring does not hold.
    #[error("the sealed value names key {0}, which is not in the key ring")]
    UnknownKey(String),
    /// Changed, or sealed for another place.
    #[error("the sealed value does not belong here")]
    Rejected,
}

// === impl KeyRing ===

impl KeyRing {
    /// Reads a ring from its text; the crate's documentation has the format.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut keys: Vec<Key> = Vec::new();
        let mut hash = None;
        for (index, line) in text.lines().map(str::trim).enumerate() {
            let number = index + 1;
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, encoded) = line.split_once(':').ok_or(ParseError::Line(number))?;
            let name = name.trim();
            if !is_name(name) {
                return Err(ParseError::Line(number));
            }
            let key = decode(encoded.trim()).ok_or(ParseError::Key(number))?;
            if name == HASH {
                if hash.replace(mac(&key)).is_some() {
                    return Err(ParseError::Twice(number));
                }
            } else if keys.iter().any(|known| known.name == name) {
                return Err(ParseError::Twice(number));
            } else {
                keys.push(Key {
                    name: name.to_owned(),
                    cipher: XChaCha20Poly1305::new((&*key).into()),
                });
            }
        }
        if keys.is_empty() {
            return Err(ParseError::NoKey);
        }
        let hash = hash.ok_or(ParseError::NoHash)?;
        Ok(Self { keys, hash })
    }

    /// Seals `plaintext` for `aad`'s place under the first key.
    ///
    /// # Panics
    /// With 256 GiB or more, the cipher's limit.
    pub fn seal(&self, aad: &Aad<'_>, plaintext: &[u8], random: &dyn Random) -> Vec<u8> {
        let key = &self.keys[0]; // Proof: `parse` refuses a ring without a key.
        let header = 2 + key.name.len();
        let start = header + NONCE;
        let mut blob = Vec::with_capacity(start + plaintext.len() + TAG);
        blob.extend_from_slice(&[VERSION, key.name.len() as u8]);
        blob.extend_from_slice(key.name.as_bytes());
        blob.resize(start, 0);
        random.fill(&mut blob[header..]);
        blob.extend_from_slice(plaintext);
        let (head, text) = blob.split_at_mut(start);
        let (head, nonce) = head.split_at(header);
        #[expect(
            clippy::expect_used,
            reason = "the nonce has its length; the cipher's limit is documented"
        )]
        let tag = XNonce::try_from(nonce)
            .ok()
            .and_then(|nonce| {
                key.cipher
                    .encrypt_inout_detached(&nonce, &aad.encode(head), text.into())
                    .ok()
            })
            .expect("sealing cannot fail");
        blob.extend_from_slice(&tag);
        blob
    }

    /// Opens what [`KeyRing::seal`] sealed for the same place, under any key of the ring.
    pub fn open(&self, aad: &Aad<'_>, blob: &[u8]) -> Result<Vec<u8>, OpenError> {
        let parts = Parts::of(blob)?;
        let key = self
            .keys
            .iter()
            .find(|key| key.name == parts.name)
            .ok_or_else(|| OpenError::UnknownKey(parts.name.to_owned()))?;
        let mut text = parts.text.to_vec();
        let opened = key.cipher.decrypt_inout_detached(
            &parts.nonce,
            &aad.encode(parts.header),
            text.as_mut_slice().into(),
            &parts.tag,
        );
        if opened.is_err() {
            text.zeroize();
            return Err(OpenError::Rejected);
        }
        Ok(text)
    }

    /// Opens a text that is a secret itself, such as a token.
    pub fn open_secret(&self, aad: &Aad<'_>, blob: &[u8]) -> Result<Secret, OpenError> {
        let text = self.open(aad, blob)?;
        String::from_utf8(text).map(Secret::new).map_err(|error| {
            error.into_bytes().zeroize();
            OpenError::Malformed
        })
    }

    /// Whether `blob` is sealed under the first key; if not, a rotation has to seal it anew.
    pub fn is_current(&self, blob: &[u8]) -> bool {
        Parts::of(blob).is_ok_and(|parts| parts.name == self.keys[0].name)
    }

    /// A hash that only this ring can make, the same over rotations. Different purposes never give the same hash.
    pub fn keyed_hash(&self, purpose: &'static str, data: &[u8]) -> [u8; 32] {
        let mut mac = self.hash.clone();
        mac.update(&(purpose.len() as u32).to_be_bytes());
        mac.update(purpose.as_bytes());
        mac.update(data);
        mac.finalize().into_bytes().into()
    }

    /// Whether `hash`, or the first 16 bytes or more of it, is [`KeyRing::keyed_hash`] of `data`; in constant time.
    pub fn hash_matches(&self, purpose: &'static str, data: &[u8], hash: &[u8]) -> bool {
        let expected = self.keyed_hash(purpose, data);
        hash.len() >= 16 && hash.len() <= expected.len() && bool::from(expected[..hash.len()].ct_eq(hash))
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.keys.iter().map(|key| key.name.as_str()).collect();
        f.debug_struct("KeyRing").field("keys", &names).finish_non_exhaustive()
    }
}

/// A blob taken apart, not yet believed.
struct Parts<'a> {
    header: &'a [u8],
    name: &'a str,
    nonce: XNonce,
    text: &'a [u8],
    tag: Tag,
}

impl<'a> Parts<'a> {
    fn of(blob: &'a [u8]) -> Result<Self, OpenError> {
        Self::split(blob).ok_or(OpenError::Malformed)
    }

    fn split(blob: &'a [u8]) -> Option<Self> {
        let (&[version, length], _) = blob.split_first_chunk::<2>()?;
        if version != VERSION {
            return None;
        }
        let (header, rest) = blob.split_at_checked(2 + usize::from(length))?;
        let name = std::str::from_utf8(&header[2..]).ok().filter(|name| is_name(name))?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>()?;
        let (text, tag) = rest.split_last_chunk::<TAG>()?;
        Some(Self {
            header,
            name,
            nonce: (*nonce).into(),
            text,
            tag: (*tag).into(),
        })
    }
}

fn is_name(name: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(known)
}

fn decode(encoded: &str) -> Option<Zeroizing<[u8; KEY]>> {
    let bytes = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    <[u8; KEY]>::try_from(bytes.as_slice()).ok().map(Zeroizing::new)
}

fn mac(key: &Zeroizing<[u8; KEY]>) -> Hmac<Sha256> {
    // HMAC fills a short key up to one block with zeros.
    let mut block = Zeroizing::new([0; 64]);
    block[..KEY].copy_from_slice(&**key);
    Hmac::new((&*block).into())
}
