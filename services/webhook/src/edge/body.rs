use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Largest body: Meta sends at most 3 MB.
pub(super) const MAX_BYTES: usize = 4 << 20;
/// Bodies in flight.
const MAX_BODIES: usize = 256;
/// Bytes in flight.
const MAX_TOTAL: usize = 192 << 20;
/// What is read and dropped of a body that is too large, so that its sender, still sending, reads the refusal and not a reset.
const MAX_DROPPED: usize = 16 << 20;
/// Time for a body to arrive.
const DEADLINE: Duration = Duration::from_secs(10);

/// Bounds what requests hold in memory, by count and by bytes.
pub(super) struct Intake {
    bodies: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// A place for one body, held until the request is answered.
pub(super) struct Place {
    _body: OwnedSemaphorePermit,
    bytes: OwnedSemaphorePermit,
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// More than [`MAX_BYTES`].
    TooLarge,
    /// Too much is in flight.
    Overloaded,
    /// It did not arrive in time.
    TooSlow,
    /// The peer broke off, or its framing is wrong.
    BrokenOff,
}

// === impl Intake ===

impl Intake {
    pub(super) fn new() -> Self {
        Self {
            bodies: Arc::new(Semaphore::new(MAX_BODIES)),
            bytes: Arc::new(Semaphore::new(MAX_TOTAL)),
        }
    }

    /// Reads a body whose size its sender may or may not have said.
    pub(super) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<(Bytes, Place), Refusal> {
        let said = headers.get(header::CONTENT_LENGTH);
        let length = said.map(|length| length.to_str().ok().and_then(|text| text.parse::<usize>().ok()));
        let reserve = match length {
            Some(Some(length)) if length <= MAX_BYTES => length,
            Some(_) => {
                drop(timeout(DEADLINE, discard(body)).await);
                return Err(Refusal::TooLarge);
            }
            // Chunked: it may become the largest.
            None => MAX_BYTES,
        };
        let mut place = self.place(reserve).ok_or(Refusal::Overloaded)?;
        let bytes = timeout(DEADLINE, collect(body)).await.map_err(|_| Refusal::TooSlow)??;
        place.shrink(reserve - bytes.len().min(reserve));
        Ok((bytes, place))
    }

    fn place(&self, bytes: usize) -> Option<Place> {
        Some(Place {
            _body: Arc::clone(&self.bodies).try_acquire_owned().ok()?,
            bytes: Arc::clone(&self.bytes).try_acquire_many_owned(bytes as u32).ok()?,
        })
    }
}

async fn collect(mut body: Body) -> Result<Bytes, Refusal> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refusal::BrokenOff)?.into_data() else {
            continue;
        };
        if whole.len() + data.len() > MAX_BYTES {
            discard(body).await;
            return Err(Refusal::TooLarge);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

async fn discard(mut body: Body) {
    let mut dropped = 0;
    while let Some(Ok(frame)) = body.frame().await {
        dropped += frame.data_ref().map_or(0, Bytes::len);
        if dropped > MAX_DROPPED {
            break;
        }
    }
}

// === impl Place ===

impl Place {
    /// Gives back what was reserved and is not needed.
    fn shrink(&mut self, by: usize) {
        drop(self.bytes.split(by));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_hold_and_places_come_back() {
        let intake = Intake::new();
        let small: Vec<_> = (0..MAX_BODIES).map(|_| intake.place(10).expect("free")).collect();
        assert!(intake.place(10).is_none());
        drop(small);
        let mut large: Vec<_> = (0..MAX_TOTAL / MAX_BYTES)
            .map(|_| intake.place(MAX_BYTES).expect("free"))
            .collect();
        assert!(intake.place(1).is_none());
        large[0].shrink(MAX_BYTES - 1);
        assert!(intake.place(MAX_BYTES - 1).is_some());
    }
}
