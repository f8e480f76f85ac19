//! `ListSuppressions`.

use outeract_domain::{ConnectionId, ContactId};
use outeract_events::timestamp;
use outeract_proto::messaging::v1::{
    ListSuppressionsRequest, ListSuppressionsResponse, Suppression, SuppressionSource,
};
use outeract_rpc::{Fault, Reply, caller};
use time::OffsetDateTime;
use tonic::{Request, Response};
use uuid::Uuid;

use super::{Contacts, cut, size};
use crate::store::consent::{self as store, After, Entry};
use crate::store::run;

pub(super) async fn list_suppressions(
    service: &Contacts,
    request: Request<ListSuppressionsRequest>,
) -> Reply<ListSuppressionsResponse> {
    let application = caller::application(&request)?.id;
    let request = request.into_inner();
    let size = size(request.page_size)?;
    let connection = service.connection(application, &request.connection_id).await?;
    let key = application.uuid();
    let list: &[&[u8]] = &[b"suppressions", key.as_bytes(), request.connection_id.as_bytes()];
    let after = service.pages.decode(list, &request.page_token)?;
    // The token is ours: a position that cannot be read is a fault of ours, too.
    let after = after
        .map(|position| read(&position).ok_or_else(|| Fault::internal("a page token of ours holds no place")))
        .transpose()?;
    let found = match connection.map(ConnectionId::uuid) {
        None => run!(service.db, "consent.page", |conn| store::page(
            conn,
            key,
            after,
            size + 1
        )),
        Some(connection) => run!(service.db, "consent.page_of_connection", |conn| {
            store::page_of_connection(conn, key, connection, after, size + 1)
        }),
    }
    .map_err(Fault::from)?;
    let (entries, more) = cut(found, size);
    let next = entries
        .last()
        .filter(|_| more)
        .map(|last| service.pages.encode(list, &write(last)));
    Ok(Response::new(ListSuppressionsResponse {
        suppressions: entries.into_iter().map(suppression).collect(),
        next_page_token: next.unwrap_or_default(),
    }))
}

fn suppression(entry: Entry) -> Suppression {
    let connection = (!entry.connection.is_nil()).then(|| ConnectionId::from_uuid(entry.connection).to_string());
    let source = SuppressionSource::try_from(i32::from(entry.source));
    Suppression {
        external_id: entry.external_id,
        contact_id: ContactId::from_uuid(entry.contact).to_string(),
        connection_id: connection.unwrap_or_default(),
        source: source.unwrap_or(SuppressionSource::Unspecified).into(),
        create_time: Some(timestamp::to_proto(entry.at)),
    }
}

/// A place in the list: microseconds since 1970, as Postgres counts them, and two ids.
fn write(entry: &Entry) -> Vec<u8> {
    let micros = i64::try_from(entry.at.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX);
    let mut position = micros.to_be_bytes().to_vec();
    position.extend_from_slice(entry.contact.as_bytes());
    position.extend_from_slice(entry.connection.as_bytes());
    position
}

fn read(position: &[u8]) -> Option<After> {
    let (micros, ids) = position.split_first_chunk::<8>()?;
    let (contact, connection) = ids.split_at_checked(16)?;
    let nanos = i128::from(i64::from_be_bytes(*micros)) * 1_000;
    Some(After {
        at: OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?,
        contact: Uuid::from_slice(contact).ok()?,
        connection: Uuid::from_slice(connection).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let entry = Entry {
            contact: Uuid::from_u128(1),
            connection: Uuid::from_u128(2),
            source: 1,
            at: datetime!(2026-11-23 10:00:00.123456 UTC),
            external_id: String::new(),
        };
        let after = read(&write(&entry)).expect("readable");
        assert_eq!(
            (after.at, after.contact, after.connection),
            (entry.at, entry.contact, entry.connection)
        );
        assert!(read(b"short").is_none());
    }
}
