//! One stream: reads when there is something new and room for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use outeract_domain::ApplicationId;
use outeract_proto::tracking::v1::{Event, StreamEventsResponse};
use outeract_rpc::Fault;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::streams::{Admitted, News};
use crate::fault;
use crate::read::{Filter, Range, Reader};

/// Events of one message.
const MAX_EVENTS: usize = 256;
/// Bytes of event bodies in one message, give or take one event.
const MAX_BYTES: i64 = 1 << 20;

/// What makes the messages of one stream. It reads only when it is asked for the next message, which HTTP/2 does only when the client can take it.
pub(super) struct Pump {
    pub(super) reader: Arc<Reader>,
    pub(super) application: ApplicationId,
    pub(super) filter: Filter,
    pub(super) max_unacked: usize,
    pub(super) heartbeat: Duration,
    pub(super) session: String,
    pub(super) news: watch::Receiver<News>,
    /// Keeps the consumer's place.
    pub(super) _admitted: Admitted,
    /// Everything up to here was sent or filtered out.
    pub(super) position: i64,
    /// The newest position known; `None` before the first read, so that nothing recorded while the stream was opened is overlooked.
    pub(super) head: Option<i64>,
    /// Positions of events sent and not acknowledged.
    pub(super) unacked: VecDeque<i64>,
}

// === impl Pump ===

impl Pump {
    /// The next message; an error ends the stream.
    pub(super) async fn next(&mut self) -> Result<StreamEventsResponse, Fault> {
        let beat = Instant::now() + self.heartbeat;
        loop {
            let news = *self.news.borrow_and_update();
            if news.fenced {
                return Err(fault::fenced());
            }
            self.head = self.head.map(|head| head.max(news.head));
            while self
                .unacked
                .front()
                .is_some_and(|position| *position <= news.acknowledged)
            {
                self.unacked.pop_front();
            }
            let room = self.max_unacked.saturating_sub(self.unacked.len());
            if room > 0 && self.head.is_none_or(|head| self.position < head) {
                let events = self.read(room.min(MAX_EVENTS), news.acknowledged).await?;
                if !events.is_empty() {
                    return Ok(self.message(events));
                }
                // A filter that leaves nothing must not keep the heartbeat waiting.
                if Instant::now() < beat {
                    continue;
                }
            }
            match timeout_at(beat, self.news.changed()).await {
                Ok(Ok(())) => {}
                // Nobody is left who could tell anything: the place was lost before it was taken.
                Ok(Err(_)) => return Err(fault::fenced()),
                Err(_) => return Ok(self.message(Vec::new())),
            }
        }
    }

    async fn read(&mut self, limit: usize, acknowledged: i64) -> Result<Vec<Event>, Fault> {
        let range = Range::from(self.position);
        let page = self
            .reader
            .scan(self.application, range, &self.filter, limit as i64, MAX_BYTES)
            .await?;
        if page.ends.lost_after(self.position) {
            let cursors = self.reader.bodies().cursors();
            return Err(fault::cursor_expired(cursors, self.application, page.ends.earliest));
        }
        self.position = page.rest.after;
        self.head = self.head.max(Some(page.ends.head));
        self.unacked
            .extend(page.positions.iter().filter(|position| **position > acknowledged));
        Ok(page.events)
    }

    fn message(&self, events: Vec<Event>) -> StreamEventsResponse {
        let cursors = self.reader.bodies().cursors();
        StreamEventsResponse {
            events,
            cursor: cursors.encode(self.application, self.position),
            head_cursor: cursors.encode(self.application, self.head.unwrap_or(self.position)),
            session: self.session.clone(),
        }
    }
}
