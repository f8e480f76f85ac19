//! Messages from users: who the user is, until when they can be answered freely, and whether they say that they want no marketing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use outeract_domain::{Wamid, event_id};
use outeract_events::timestamp;
use outeract_proto::messaging::internal::v1::{InboundItem, ItemOutcome, ItemResult};
use outeract_rpc::Fault;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Applier, Routed, reason, refused};
use crate::contacts::{Sighting, Wish, Wished, Word, is_id, is_wa_id, word};
use crate::dispatch::Came;
use crate::files::Announcement;
use crate::store::apply::{self as store, Opening};
use crate::store::run;

/// A user's message, and who sent it.
pub(super) struct Letter<'a> {
    pub(super) routed: &'a Routed<InboundItem>,
    pub(super) wamid: Wamid,
    pub(super) at: OffsetDateTime,
}

/// The newest of each conversation, by number and contact.
pub(super) type Newest<'a> = BTreeMap<(&'a str, Uuid), &'a Letter<'a>>;

// === impl Applier ===

impl Applier {
    pub(super) async fn apply_inbound(
        &self,
        items: &[Routed<InboundItem>],
        results: &mut [ItemResult],
    ) -> Result<(), Fault> {
        let mut letters = Vec::with_capacity(items.len());
        for routed in items {
            match letter(routed) {
                Ok(letter) => letters.push(letter),
                Err(reason) => results[routed.index] = refused(reason),
            }
        }
        if letters.is_empty() {
            return Ok(());
        }
        self.traffic.came(came(&letters));
        let sightings: Vec<_> = letters.iter().map(Letter::sighting).collect();
        let contacts = self.registry.meet(&sightings).await?;
        let mut windows = Newest::new();
        let mut wishes = Vec::new();
        for (letter, contact) in letters.iter().zip(contacts) {
            let Some(contact) = contact else {
                return Err(Fault::internal("a contact is missing that was just made"));
            };
            results[letter.routed.index] = ItemResult {
                outcome: ItemOutcome::Applied.into(),
                message_id: Vec::new(),
                contact_id: contact.as_bytes().to_vec(),
                reason: String::new(),
                file_id: Vec::new(),
            };
            wishes.extend(letter.wish(contact));
            if letter.routed.item.opens_window {
                let window = windows
                    .entry((letter.routed.connection.number.as_str(), contact))
                    .or_insert(letter);
                // Meta tells whole seconds: of those of one second the last counts.
                if window.at <= letter.at {
                    *window = letter;
                }
            }
        }
        self.announce_media(&letters, results).await?;
        self.open_windows(&windows).await?;
        self.note_receipts(&windows).await?;
        if !wishes.is_empty() {
            self.consent.heed(&wishes).await?;
        }
        Ok(())
    }

    /// The media that the messages carry become files, to be fetched.
    async fn announce_media(&self, letters: &[Letter<'_>], results: &mut [ItemResult]) -> Result<(), Fault> {
        let (indexes, media): (Vec<_>, Vec<_>) = letters
            .iter()
            .filter_map(|letter| {
                let index = letter.routed.index;
                let contact = Uuid::from_slice(&results[index].contact_id).ok()?;
                Some((index, letter.media(contact)?))
            })
            .unzip();
        let files = self.files.announce(&media).await?;
        for (index, file) in indexes.into_iter().zip(files) {
            results[index].file_id = file.bytes();
        }
        Ok(())
    }

    async fn open_windows(&self, windows: &Newest<'_>) -> Result<(), Fault> {
        if windows.is_empty() {
            return Ok(());
        }
        let sealed: Vec<Vec<u8>> = windows
            .iter()
            .map(|((_, contact), letter)| {
                self.vault
                    .seal_inbound_wamid(letter.routed.application, *contact, &letter.wamid)
            })
            .collect();
        let openings: Vec<_> = windows
            .iter()
            .zip(&sealed)
            .map(|(((number, contact), letter), wamid_sealed)| Opening {
                number,
                contact: *contact,
                at: letter.at,
                wamid_sealed,
            })
            .collect();
        let asked = Instant::now();
        for opened in run!(self.db, "window.open", |conn| store::open_windows(conn, &openings))? {
            self.windows
                .learn(&Arc::from(opened.number), opened.contact, opened.window_left, asked);
        }
        // A contact that was merged in this very moment: its window must not stay behind.
        let opened: Vec<Uuid> = openings.iter().map(|opening| opening.contact).collect();
        Ok(self.registry.carry_what_was_merged(&opened).await?)
    }
}

// === impl Letter ===

impl Letter<'_> {
    fn sighting(&self) -> Sighting<'_> {
        let item = &self.routed.item;
        Sighting {
            application: self.routed.application.uuid(),
            contact: None,
            wa_id: filled(&item.wa_id),
            user: filled(&item.user_id),
            parent: filled(&item.parent_user_id),
            username: filled(&item.username),
            name: filled(&item.profile_name),
            create: true,
        }
    }

    /// The medium. One without an id is at no place that could be asked for it.
    fn media(&self, contact: Uuid) -> Option<Announcement<'_>> {
        let media = self
            .routed
            .item
            .media
            .as_ref()
            .filter(|media| !media.media_id.is_empty())?;
        Some(Announcement {
            application: self.routed.application,
            connection: self.routed.connection.id,
            contact,
            event: event_id::inbound(&self.routed.connection.number, &self.wamid, self.at),
            sent_at: self.at,
            media,
        })
    }

    fn wish(&self, contact: Uuid) -> Option<Wished> {
        let wish = match word(&self.routed.item.text)? {
            Word::Stop => Wish::StopWord,
            Word::Start => Wish::StartWord,
        };
        Some(Wished {
            application: self.routed.application.uuid(),
            contact,
            connection: Some(self.routed.connection.id.uuid()),
            wish,
            at: Some(self.at),
        })
    }
}

/// How many messages came in for each number, in runs: whoever counts them sums them up.
fn came(letters: &[Letter<'_>]) -> Vec<Came> {
    let numbers = letters.chunk_by(|one, other| one.routed.connection.number == other.routed.connection.number);
    numbers
        .filter_map(|letters| {
            let connection = &letters.first()?.routed.connection;
            Some(Came {
                number: connection.number.to_string(),
                throughput: connection.throughput_per_second,
                messages: u32::try_from(letters.len()).unwrap_or(u32::MAX),
            })
        })
        .collect()
}

fn filled(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn letter(routed: &Routed<InboundItem>) -> Result<Letter<'_>, &'static str> {
    let item = &routed.item;
    let wamid = Wamid::new(item.wamid.clone()).ok_or(reason::MALFORMED)?;
    let at = item
        .occur_time
        .as_ref()
        .and_then(timestamp::from_proto)
        .ok_or(reason::MALFORMED)?;
    if item.wa_id.is_empty() && item.user_id.is_empty() {
        return Err(reason::SENDER_UNKNOWN);
    }
    let ids = [&item.user_id, &item.parent_user_id];
    if !(item.wa_id.is_empty() || is_wa_id(&item.wa_id)) || ids.into_iter().any(|id| !id.is_empty() && !is_id(id)) {
        return Err(reason::MALFORMED);
    }
    Ok(Letter { routed, wamid, at })
}
