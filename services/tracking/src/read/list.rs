//! `ListEvents`: pages of a log.

use outeract_domain::ApplicationId;
use outeract_events::timestamp;
use outeract_proto::tracking::v1::{ListEventsRequest, ListEventsResponse};
use outeract_rpc::{Fault, Violation, page};
use prost_types::Timestamp;
use time::{Duration, OffsetDateTime};

use super::scan::{Page, Range};
use super::{Filter, Reader};
use crate::fault;
use crate::store;

/// Bytes of event bodies in one page, give or take one event: an answer may have 4 MiB.
const MAX_BYTES: i64 = 3 << 20;

/// A request as far as its form goes.
struct Query {
    filter: Filter,
    start: Option<OffsetDateTime>,
    end: Option<OffsetDateTime>,
    size: i64,
}

// === impl Reader ===

impl Reader {
    /// Answers `ListEvents`.
    pub(crate) async fn list(
        &self,
        application: ApplicationId,
        request: &ListEventsRequest,
    ) -> Result<ListEventsResponse, Fault> {
        let query = Query::parse(request)?;
        let (application_id, fingerprint) = (application.uuid(), fingerprint(request));
        let list = [&b"events"[..], application_id.as_bytes(), fingerprint.as_slice()];
        let resumed = self.resume(application, &list, &request.page_token)?;
        let range = self.range(application, &query, request.descending, resumed).await?;
        let page = self
            .scan(application, range, &query.filter, query.size, MAX_BYTES)
            .await?;
        if let Some(position) = resumed {
            // The newest cursor there is; a later one comes from a database that was restored to an earlier moment, and would skip what comes now.
            if position > page.ends.head + i64::from(request.descending) {
                return Err(fault::cursor_invalid("page_token"));
            }
            if !request.descending && page.ends.lost_after(position) {
                return Err(fault::cursor_expired(
                    self.bodies.cursors(),
                    application,
                    page.ends.earliest,
                ));
            }
        }
        let next_page_token = self.next(&list, &page);
        Ok(ListEventsResponse {
            events: page.events,
            next_page_token,
        })
    }

    /// The position that a page token, or the cursor of an event, goes on from.
    fn resume(&self, application: ApplicationId, list: &[&[u8]], token: &str) -> Result<Option<i64>, Fault> {
        if let Some(position) = self.bodies.cursors().decode(application, token) {
            return Ok(Some(position));
        }
        let Some(position) = self.tokens.decode(list, token)? else {
            return Ok(None);
        };
        let position = position.try_into().map_err(|_| fault::cursor_invalid("page_token"))?;
        Ok(Some(i64::from_be_bytes(position)))
    }

    async fn range(
        &self,
        application: ApplicationId,
        query: &Query,
        descending: bool,
        resumed: Option<i64>,
    ) -> Result<Range, Fault> {
        let mut range = Range {
            after: 0,
            before: i64::MAX,
            descending,
        };
        if let Some(start) = query.start {
            range.after = self.position_before(application, start).await?;
        }
        if let Some(end) = query.end {
            range.before = self.position_before(application, end).await? + 1;
        }
        match resumed {
            Some(position) if descending => range.before = range.before.min(position),
            Some(position) => range.after = range.after.max(position),
            None => {}
        }
        Ok(range)
    }

    /// The last position recorded before a moment.
    pub(crate) async fn position_before(&self, application: ApplicationId, at: OffsetDateTime) -> Result<i64, Fault> {
        let _slot = self.slot().await?;
        store::log::position_before(&self.pool, application.uuid(), at)
            .await
            .map_err(fault::database)
    }

    fn next(&self, list: &[&[u8]], page: &Page) -> String {
        if !page.rest.reaches(&page.ends) {
            return String::new();
        }
        let position = if page.rest.descending {
            page.rest.before
        } else {
            page.rest.after
        };
        self.tokens.encode(list, &position.to_be_bytes())
    }
}

// === impl Query ===

impl Query {
    fn parse(request: &ListEventsRequest) -> Result<Self, Fault> {
        let mut violations = Vec::new();
        let filter = Filter::parse(request, &mut violations);
        let start = time("start_time", request.start_time.as_ref(), &mut violations);
        let end = time("end_time", request.end_time.as_ref(), &mut violations);
        let size = page::size(request.page_size).unwrap_or_else(|fault| {
            violations.extend_from_slice(fault.violations());
            0
        });
        if !violations.is_empty() {
            return Err(Fault::invalid_many(violations));
        }
        Ok(Self {
            filter,
            start,
            end,
            size,
        })
    }
}

/// A time of a request, or a violation. Rounded up to what Postgres tells apart: nothing is recorded between two microseconds.
pub(crate) fn time(path: &str, at: Option<&Timestamp>, violations: &mut Vec<Violation>) -> Option<OffsetDateTime> {
    let at = at?;
    let finer = i64::from(at.nanos.rem_euclid(1_000));
    let read = timestamp::from_proto(at).and_then(|at| at.checked_add(Duration::nanoseconds((1_000 - finer) % 1_000)));
    if read.is_none() {
        violations.push(Violation {
            path: path.to_owned(),
            description: "must be a time in the years 1 to 9999".to_owned(),
        });
    }
    read
}

/// Everything that a page token is bound to besides its application, each part with its length.
fn fingerprint(request: &ListEventsRequest) -> Vec<u8> {
    let mut bytes = vec![u8::from(request.descending)];
    let mut part = |text: &str| {
        bytes.extend_from_slice(&(text.len() as u32).to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    };
    for time in [&request.start_time, &request.end_time] {
        part(
            &time
                .as_ref()
                .map_or_else(String::new, |at| format!("{}.{:09}", at.seconds, at.nanos)),
        );
    }
    part(&request.connection_id);
    part(&request.platform_user_id);
    part(&request.connection_ids.join(","));
    for pattern in &request.event_types {
        part(pattern);
    }
    bytes
}
