//! A medium that a message from a user carries becomes a file that is PENDING. The same message makes the same file.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use outeract_domain::{ApplicationId, ConnectionId, EventId, FileId, event_id};
use outeract_proto::messaging::internal::v1::InboundMedia;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::files::{Files, Kind, MimeType, State};
use crate::store::fetch::{self as store, Announced};
use crate::store::{DbError, run};

/// A message's medium.
pub(crate) struct Announcement<'a> {
    pub application: ApplicationId,
    pub connection: ConnectionId,
    /// Who sent it.
    pub contact: Uuid,
    /// The message's event.
    pub event: EventId,
    /// When the user sent it, by Meta's clock.
    pub sent_at: OffsetDateTime,
    pub media: &'a InboundMedia,
}

/// Longest name that is kept, in bytes.
const NAME: usize = 240;
/// Longest id of Meta's that is kept.
const ID: usize = 256;

// === impl Files ===

impl Files {
    /// Makes files of media, to be fetched from now on; one id each, in their order. Doing it again changes nothing.
    pub(crate) async fn announce(&self, media: &[Announcement<'_>]) -> Result<Vec<FileId>, DbError> {
        let ids: Vec<FileId> = media
            .iter()
            .map(|medium| event_id::inbound_file(medium.event))
            .collect();
        if ids.is_empty() {
            return Ok(ids);
        }
        let types: Vec<MimeType> = media
            .iter()
            .map(|medium| MimeType::received(&medium.media.mime_type))
            .collect();
        let mut rows: Vec<Announced<'_>> = media
            .iter()
            .zip(&ids)
            .zip(&types)
            .map(|((medium, id), mime_type)| self.row(medium, *id, mime_type))
            .collect();
        rows.sort_unstable_by_key(|row| row.file);
        run!(self.0.db, "fetch.announce", |conn| store::announce(
            conn,
            &rows,
            State::Pending.code()
        ))?;
        self.0.announced.ring();
        Ok(ids)
    }

    fn row<'a>(&self, medium: &'a Announcement<'_>, id: FileId, mime_type: &'a MimeType) -> Announced<'a> {
        let media = medium.media;
        let name = name(&media.file_name);
        Announced {
            file: id.uuid(),
            application: medium.application.uuid(),
            connection: medium.connection.uuid(),
            contact: medium.contact,
            event: medium.event.uuid(),
            // What is no id is none that Meta knows.
            media_id: if media.media_id.len() <= ID && !media.media_id.contains('\0') {
                &media.media_id
            } else {
                ""
            },
            sha256: sha256(&media.sha256).map_or_else(Vec::new, |hash| hash.to_vec()),
            sent_at: medium.sent_at,
            kind: mime_type.kind().unwrap_or(Kind::Document).code(),
            mime_type: mime_type.as_str(),
            name_sealed: self.0.vault.seal_file_name(medium.application, id, &name),
        }
    }
}

/// A file's name as it is kept: no more than so long, on one line, and no path.
fn name(text: &str) -> String {
    let text = text.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut name = String::new();
    for character in text.chars().filter(|character| !character.is_control()) {
        if name.len() + character.len_utf8() > NAME {
            break;
        }
        name.push(character);
    }
    name
}

/// A hash by Meta's word: base64 in webhooks, hex elsewhere. None: Meta gives none, or none that can be read.
pub(super) fn sha256(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    let bytes = if text.len() == 64 {
        hex::decode(text).ok()
    } else {
        let standard = BASE64_STANDARD.decode(text);
        standard.or_else(|_| BASE64_STANDARD_NO_PAD.decode(text)).ok()
    };
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_hash_is_read_in_both_forms(hash in any::<[u8; 32]>()) {
            prop_assert_eq!(sha256(&hex::encode(hash)), Some(hash));
            prop_assert_eq!(sha256(&BASE64_STANDARD.encode(hash)), Some(hash));
            prop_assert_eq!(sha256(&BASE64_STANDARD_NO_PAD.encode(hash)), Some(hash));
        }

        #[test]
        fn any_name_becomes_a_short_one_without_a_path(text in any::<String>()) {
            let name = name(&text);
            prop_assert!(name.len() <= NAME);
            prop_assert!(!name.contains(['/', '\\', '\n', '\0']));
        }
    }

    #[test]
    fn what_is_no_hash_is_none() {
        for text in ["", "x", "AAAA", &"g".repeat(64), &"ab".repeat(33)] {
            assert_eq!(sha256(text), None, "{text}");
        }
    }
}
