//! The opaque texts that clients hold: cursors and sessions.
//!
//! Each is bound to its application by a keyed hash, so a guessed, changed or foreign text is told from one that was issued, and positions say nothing across applications.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use outeract_domain::ApplicationId;
use outeract_seal::KeyRing;

/// Format of the texts below.
const VERSION: u8 = 1;
/// Bytes of the keyed hash that a text carries.
const MAC: usize = 16;
/// Version, number, hash.
const LENGTH: usize = 1 + 8 + MAC;
/// Characters of a text.
const TEXT: usize = (LENGTH * 4).div_ceil(3);

/// Makes and reads cursors and sessions.
#[derive(Debug, Clone)]
pub(crate) struct Cursors {
    ring: Arc<KeyRing>,
}

// === impl Cursors ===

impl Cursors {
    pub(crate) fn new(ring: Arc<KeyRing>) -> Self {
        Self { ring }
    }

    /// The cursor of a position: everything up to it lies before the cursor.
    pub(crate) fn encode(&self, application: ApplicationId, position: i64) -> String {
        self.text("tracking.cursor", application, &[], position)
    }

    /// The position of a cursor that was issued for this application.
    pub(crate) fn decode(&self, application: ApplicationId, cursor: &str) -> Option<i64> {
        self.number("tracking.cursor", application, &[], cursor)
    }

    /// Names one stream of a consumer.
    pub(crate) fn session(&self, application: ApplicationId, consumer: &str, epoch: i64) -> String {
        self.text("tracking.session", application, consumer.as_bytes(), epoch)
    }

    /// The epoch of a session of this consumer.
    pub(crate) fn epoch(&self, application: ApplicationId, consumer: &str, session: &str) -> Option<i64> {
        self.number("tracking.session", application, consumer.as_bytes(), session)
    }

    fn text(&self, purpose: &'static str, application: ApplicationId, extra: &[u8], number: i64) -> String {
        let hash = self.ring.keyed_hash(purpose, &bound(application, extra, number));
        let mut bytes = [0; LENGTH];
        bytes[0] = VERSION;
        bytes[1..9].copy_from_slice(&number.to_be_bytes());
        bytes[9..].copy_from_slice(&hash[..MAC]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn number(&self, purpose: &'static str, application: ApplicationId, extra: &[u8], text: &str) -> Option<i64> {
        if text.len() != TEXT {
            return None;
        }
        let bytes: [u8; LENGTH] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (version, number, hash) = (bytes[0], &bytes[1..9], &bytes[9..]);
        let number = i64::from_be_bytes(number.try_into().ok()?);
        let ours = self
            .ring
            .hash_matches(purpose, &bound(application, extra, number), hash);
        (version == VERSION && ours).then_some(number)
    }
}

fn bound(application: ApplicationId, extra: &[u8], number: i64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(24 + extra.len());
    bytes.extend_from_slice(application.uuid().as_bytes());
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.extend_from_slice(extra);
    bytes
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn cursors(key: u8) -> Cursors {
        let key = base64::engine::general_purpose::STANDARD.encode([key; 32]);
        Cursors::new(Arc::new(KeyRing::parse(&format!("k1:{key}\nhash:{key}")).unwrap()))
    }

    #[test]
    fn a_cursor_is_read_for_its_own_application_only() {
        let (ours, theirs) = (
            ApplicationId::from_uuid(Uuid::from_u128(1)),
            ApplicationId::from_uuid(Uuid::from_u128(2)),
        );
        let cursors_1 = cursors(1);
        for position in [0, 1, 42, i64::MAX] {
            let cursor = cursors_1.encode(ours, position);
            assert!(cursor.len() <= 64);
            assert_eq!(cursors_1.decode(ours, &cursor), Some(position));
            assert_eq!(cursors_1.decode(theirs, &cursor), None);
            assert_eq!(cursors(2).decode(ours, &cursor), None);
        }
    }

    #[test]
    fn a_changed_cursor_is_not_read() {
        let application = ApplicationId::from_uuid(Uuid::from_u128(1));
        let cursors = cursors(1);
        let cursor = cursors.encode(application, 42);
        for place in 0..cursor.len() {
            let mut bytes = cursor.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(cursors.decode(application, &changed), None, "{changed}");
        }
        for other in [
            "",
            "x",
            "42",
            "=",
            &cursor[1..],
            &format!("{cursor}A"),
            &format!("{cursor}AAAA"),
            &"A".repeat(4_096),
        ] {
            assert_eq!(cursors.decode(application, other), None, "{other}");
        }
    }

    #[test]
    fn a_session_belongs_to_its_consumer() {
        let application = ApplicationId::from_uuid(Uuid::from_u128(1));
        let cursors = cursors(1);
        let session = cursors.session(application, "billing", 3);
        assert_eq!(cursors.epoch(application, "billing", &session), Some(3));
        assert_eq!(cursors.epoch(application, "billin", &session), None);
        assert_eq!(cursors.decode(application, &session), None);
        assert_eq!(cursors.epoch(application, "", &cursors.encode(application, 3)), None);
    }
}
