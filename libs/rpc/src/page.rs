//! Pages of lists: sizes within bounds, and tokens that only this service can make.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use outeract_proto::r#type::v1::ErrorReason;
use sha2::Sha256;
use tonic::Code;

use crate::Fault;

/// What a page holds when the caller names no size.
pub const DEFAULT_SIZE: i32 = 50;
/// The largest page.
pub const MAX_SIZE: i32 = 250;

const VERSION: u8 = 1;
const MAC_BYTES: usize = 16;
const MAX_TOKEN: usize = 1_024;

/// Makes and reads page tokens. A token carries the position in clear and a MAC over it, the list and its filter, so it fits nothing else.
#[derive(Clone)]
pub struct PageTokens {
    mac: Hmac<Sha256>,
}

/// The size of a page asked for: 0 is [`DEFAULT_SIZE`], more than [`MAX_SIZE`] or less than 0 is refused.
pub fn size(requested: i32) -> Result<i64, Fault> {
    size_within(requested, DEFAULT_SIZE, MAX_SIZE)
}

/// As [`size`], with the bounds of one list.
pub fn size_within(requested: i32, default: i32, max: i32) -> Result<i64, Fault> {
    match requested {
        0 => Ok(i64::from(default)),
        size if (1..=max).contains(&size) => Ok(i64::from(size)),
        _ => Err(Fault::invalid("page_size", format!("must be 0 to {max}"))),
    }
}

// === impl PageTokens ===

impl PageTokens {
    /// Tokens under `key`, the same in every replica.
    pub fn new(key: &[u8; 32]) -> Self {
        // HMAC fills a key up to its block with zeros: done here, the length is right by type.
        let mut block = [0; 64];
        block[..32].copy_from_slice(key);
        Self {
            mac: Hmac::new(&block.into()),
        }
    }

    /// The token of the page after `position`. `list` names the list, its application and its filter.
    pub fn encode(&self, list: &[&[u8]], position: &[u8]) -> String {
        let mut token = Vec::with_capacity(1 + MAC_BYTES + position.len());
        token.push(VERSION);
        token.extend_from_slice(&self.tag(list, position));
        token.extend_from_slice(position);
        URL_SAFE_NO_PAD.encode(token)
    }

    /// The position in a token; `None` for the first page (an empty token). `CURSOR_INVALID` for a token of another list, application or filter.
    pub fn decode(&self, list: &[&[u8]], token: &str) -> Result<Option<Vec<u8>>, Fault> {
        if token.is_empty() {
            return Ok(None);
        }
        self.open(list, token).map(Some).ok_or_else(|| {
            Fault::new(
                Code::InvalidArgument,
                ErrorReason::CursorInvalid,
                "page_token was not issued for this list and filter",
            )
        })
    }

    fn open(&self, list: &[&[u8]], token: &str) -> Option<Vec<u8>> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (version, rest) = token.split_first()?;
        let (tag, position) = rest.split_at_checked(MAC_BYTES)?;
        let genuine =
            *version == VERSION && bool::from(subtle::ConstantTimeEq::ct_eq(tag, &self.tag(list, position)[..]));
        genuine.then(|| position.to_vec())
    }

    fn tag(&self, list: &[&[u8]], position: &[u8]) -> [u8; MAC_BYTES] {
        let mut mac = self.mac.clone();
        mac.update(&[VERSION]);
        for part in list.iter().copied().chain([position]) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let full = mac.finalize().into_bytes();
        let mut tag = [0; MAC_BYTES];
        for (to, from) in tag.iter_mut().zip(full) {
            *to = from;
        }
        tag
    }
}

impl std::fmt::Debug for PageTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageTokens").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_fits_its_own_list_only() {
        let tokens = PageTokens::new(&[1; 32]);
        let list: &[&[u8]] = &[b"events", b"application", b""];
        let token = tokens.encode(list, b"position");
        assert_eq!(tokens.decode(list, &token).unwrap().as_deref(), Some(&b"position"[..]));
        assert_eq!(tokens.decode(list, "").unwrap(), None);
        let refused = |list: &[&[u8]], token: &str| tokens.decode(list, token).unwrap_err().reason();
        // Parts are framed: moving a byte from one to the next is another list.
        assert_eq!(
            refused(&[b"events", b"applicatio", b"n"], &token),
            ErrorReason::CursorInvalid
        );
        assert_eq!(refused(list, &token[1..]), ErrorReason::CursorInvalid);
        assert_eq!(refused(list, "!"), ErrorReason::CursorInvalid);
        assert_eq!(refused(list, &"A".repeat(2_000)), ErrorReason::CursorInvalid);
        assert!(PageTokens::new(&[2; 32]).decode(list, &token).is_err());
    }

    #[test]
    fn sizes_have_bounds() {
        assert_eq!(size(0).unwrap(), 50);
        assert_eq!(size(250).unwrap(), 250);
        assert!(size(251).is_err());
        assert!(size(-1).is_err());
        assert_eq!(size_within(1_000, 500, 1_000).unwrap(), 1_000);
    }
}
