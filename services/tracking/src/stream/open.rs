//! `StreamEvents`: opening a stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use outeract_domain::ApplicationId;
use outeract_proto::tracking::v1::stream_events_request::From as Start;
use outeract_proto::tracking::v1::{StreamEventsRequest, StreamEventsResponse};
use outeract_rpc::{Fault, Violation};
use time::OffsetDateTime;
use tonic::Status;

use super::pump::Pump;
use super::streams::Streams;
use crate::fault;
use crate::read::{Filter, Reader, time};
use crate::store;

const DEFAULT_UNACKED: usize = 1_000;
const MAX_UNACKED: i32 = 10_000;
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(15);
const MAX_HEARTBEAT: i64 = 60;
/// Consumers of one application.
const MAX_CONSUMERS: i64 = 1_000;
/// When to try again to open one stream too many.
const FULL: Duration = Duration::from_secs(5);

/// Opens streams.
#[derive(Debug)]
pub(crate) struct Streamer {
    reader: Arc<Reader>,
    streams: Arc<Streams>,
}

/// A request as far as its form goes.
struct Query {
    consumer: String,
    filter: Filter,
    from: From,
    max_unacked: usize,
    heartbeat: Duration,
}

/// Where to start.
enum From {
    Acknowledged,
    Cursor(String),
    Time(OffsetDateTime),
    Beginning,
}

// === impl Streamer ===

impl Streamer {
    pub(crate) fn new(reader: Arc<Reader>, streams: Arc<Streams>) -> Self {
        Self { reader, streams }
    }

    /// Answers `StreamEvents`. Takes the consumer over only once nothing can be wrong with the request any more.
    pub(crate) async fn open(
        &self,
        application: ApplicationId,
        request: StreamEventsRequest,
    ) -> Result<impl Stream<Item = Result<StreamEventsResponse, Status>> + Send + use<>, Fault> {
        let query = Query::parse(request)?;
        let mut admitted = self.streams.admit(application).ok_or_else(|| Fault::overloaded(FULL))?;
        let start = self.start(application, &query).await?;
        let opened = {
            let _slot = self.reader.slot().await?;
            store::consumer::open(self.reader.pool(), application.uuid(), &query.consumer, MAX_CONSUMERS)
                .await
                .map_err(fault::database)?
                .ok_or_else(|| Fault::overloaded(FULL).with("limit", "consumers"))?
        };
        let news = admitted.take(&query.consumer, opened.epoch, opened.position);
        let cursors = self.reader.bodies().cursors();
        let pump = Pump {
            reader: Arc::clone(&self.reader),
            application,
            session: cursors.session(application, &query.consumer, opened.epoch),
            filter: query.filter,
            max_unacked: query.max_unacked,
            heartbeat: query.heartbeat,
            news,
            _admitted: admitted,
            position: start.unwrap_or(opened.position),
            head: None,
            unacked: VecDeque::new(),
        };
        Ok(stream::unfold(Some(pump), |pump| async {
            let mut pump = pump?;
            match pump.next().await {
                Ok(message) => Some((Ok(message), Some(pump))),
                Err(fault) => Some((Err(fault.into()), None)),
            }
        }))
    }

    /// The position to start after; `None`: what the consumer has acknowledged.
    async fn start(&self, application: ApplicationId, query: &Query) -> Result<Option<i64>, Fault> {
        let cursors = self.reader.bodies().cursors();
        let start = match &query.from {
            From::Cursor(cursor) => cursors
                .decode(application, cursor)
                .map(Some)
                .ok_or_else(|| fault::cursor_invalid("cursor"))?,
            From::Time(at) => Some(self.reader.position_before(application, *at).await?),
            From::Beginning | From::Acknowledged => None,
        };
        let _slot = self.reader.slot().await?;
        let pool = self.reader.pool();
        let ends = store::head::ends(pool, application.uuid())
            .await
            .map_err(fault::database)?;
        let (start, after) = match (start, &query.from) {
            (Some(start), _) => (Some(start), start),
            (None, From::Beginning) => (Some(ends.earliest - 1), ends.earliest - 1),
            (None, _) => {
                let acknowledged = store::consumer::position(pool, application.uuid(), &query.consumer).await;
                (
                    None,
                    acknowledged.map_err(fault::database)?.unwrap_or(ends.earliest - 1),
                )
            }
        };
        if after > ends.head {
            // The database was restored to an earlier moment: going on from here would skip what comes now.
            return Err(fault::cursor_invalid("cursor"));
        }
        if ends.lost_after(after) {
            return Err(fault::cursor_expired(cursors, application, ends.earliest));
        }
        Ok(start)
    }
}

// === impl Query ===

impl Query {
    fn parse(mut request: StreamEventsRequest) -> Result<Self, Fault> {
        let mut violations = Vec::new();
        let consumer = consumer_name(std::mem::take(&mut request.consumer), &mut violations);
        let filter = Filter::parse(&request, &mut violations);
        let from = match request.from {
            None => From::Acknowledged,
            Some(Start::Cursor(cursor)) => From::Cursor(cursor),
            Some(Start::StartTime(at)) => {
                time("start_time", Some(&at), &mut violations).map_or(From::Beginning, From::Time)
            }
            Some(Start::Beginning(true)) => From::Beginning,
            Some(Start::Beginning(false)) => {
                violations.push(violation("beginning", "must be true when set"));
                From::Beginning
            }
        };
        let max_unacked = match request.max_unacked {
            0 => DEFAULT_UNACKED,
            given if (1..=MAX_UNACKED).contains(&given) => given as usize,
            _ => {
                violations.push(violation("max_unacked", "must be 0 to 10,000"));
                0
            }
        };
        let heartbeat = request.heartbeat_interval.map_or(DEFAULT_HEARTBEAT, |given| {
            if given.seconds < 1 || given.nanos < 0 || given.seconds > MAX_HEARTBEAT - i64::from(given.nanos > 0) {
                violations.push(violation("heartbeat_interval", "must be 1 to 60 seconds"));
                return DEFAULT_HEARTBEAT;
            }
            Duration::new(given.seconds.unsigned_abs(), given.nanos.unsigned_abs())
        });
        if !violations.is_empty() {
            return Err(Fault::invalid_many(violations));
        }
        Ok(Self {
            consumer,
            filter,
            from,
            max_unacked,
            heartbeat,
        })
    }
}

/// The name of a consumer, or a violation.
pub(crate) fn consumer_name(name: String, violations: &mut Vec<Violation>) -> String {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !(1..=64).contains(&name.len()) || !name.bytes().all(known) {
        violations.push(violation("consumer", "must be 1 to 64 of A-Za-z0-9._-"));
    }
    name
}

fn violation(path: &str, description: &str) -> Violation {
    Violation {
        path: path.to_owned(),
        description: description.to_owned(),
    }
}
