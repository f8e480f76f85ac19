//! Stored rows as protobuf.

use outeract_domain::{ApplicationId, ConnectionId};
use outeract_events::timestamp;
use outeract_proto::connection::admin::v1 as admin;
use outeract_proto::connection::internal::v1::ConnectionSnapshot;
use outeract_proto::connection::v1 as public;
use outeract_proto::connection::v1::{ConnectionState, WebhookType};
use outeract_rpc::Fault;
use outeract_seal::KeyRing;

use crate::sealed;
use crate::store::application::Application;
use crate::store::connection::Connection;
use crate::store::key::Key;

const PLATFORM: &str = "WHATSAPP";

/// An application.
pub(crate) fn application(row: Application) -> public::Application {
    public::Application {
        id: row.id.to_string(),
        name: row.name,
        create_time: Some(timestamp::to_proto(row.created_at)),
        settings: Some(public::ApplicationSettings {
            auto_mark_read: i32::from(row.auto_mark_read),
        }),
    }
}

/// A key without its secret.
pub(crate) fn key(row: Key) -> admin::Key {
    admin::Key {
        id: row.id.to_string(),
        application_id: row.application.map(|id| id.to_string()).unwrap_or_default(),
        name: row.name,
        environment: row.environment,
        scopes: row.scopes,
        create_time: Some(timestamp::to_proto(row.created_at)),
        expire_time: row.expires_at.map(timestamp::to_proto),
        revoke_time: row.revoked_at.map(timestamp::to_proto),
    }
}

/// A connection as its application sees it, without what Meta told in webhooks.
pub(crate) fn connection(ring: &KeyRing, row: Connection) -> Result<public::Connection, Fault> {
    let application = ApplicationId::from_uuid(row.application_id);
    let display_phone_number = sealed::open_number(ring, application, row.id, &row.display_number_sealed);
    Ok(public::Connection {
        id: ConnectionId::from_uuid(row.id).to_string(),
        platform_name: PLATFORM.to_owned(),
        name: row.name,
        state: state(row.state)?.into(),
        webhook_type: WebhookType::Shared.into(),
        waba_id: row.waba_id,
        phone_number_id: row.phone_number_id,
        display_phone_number: display_phone_number.map_err(Fault::data_loss)?,
        verified_name: row.verified_name,
        throughput_per_second: row.throughput_per_second,
        quality_rating: row.quality_rating,
        token_expire_time: row.token_expires_at.map(timestamp::to_proto),
        create_time: Some(timestamp::to_proto(row.created_at)),
        update_time: Some(timestamp::to_proto(row.updated_at)),
        state_reason: row.state_reason,
        state_expire_time: row
            .resume_at
            .filter(|_| row.state == ConnectionState::Restricted as i16)
            .map(timestamp::to_proto),
        restricted_outside_windows: row.restricted_outside,
        messaging_limit: row.messaging_limit,
        messaging_limit_time: row.messaging_limit_at.map(timestamp::to_proto),
        // What Meta told beside it is added where it is known.
        ..public::Connection::default()
    })
}

/// A connection as the other services see it. One whose number cannot be opened is told without it: it must not keep the others from being told.
pub(crate) fn snapshot(ring: &KeyRing, row: &Connection) -> ConnectionSnapshot {
    let application = ApplicationId::from_uuid(row.application_id);
    let id = ConnectionId::from_uuid(row.id);
    let display_phone_number = sealed::open_number(ring, application, row.id, &row.display_number_sealed);
    ConnectionSnapshot {
        connection_id: id.bytes(),
        application_id: application.bytes(),
        version: row.version,
        waba_id: row.waba_id.clone(),
        phone_number_id: row.phone_number_id.clone(),
        state: i32::from(row.state),
        paused: row.paused,
        throughput_per_second: row.throughput_per_second,
        display_phone_number: display_phone_number.unwrap_or_else(|error| {
            tracing::error!(connection.id = %id, "The number of connection {id} cannot be opened: {error}");
            String::new()
        }),
        token_version: row.token_version,
        auto_mark_read: i32::from(row.auto_mark_read),
        portfolio_id: row.portfolio_id.clone(),
        messaging_limit: row.messaging_limit.clone(),
        messaging_limit_time: row.messaging_limit_at.map(timestamp::to_proto),
        restricted_outside_windows: row.restricted_outside,
    }
}

/// Where a connection stands. The table admits only known numbers.
pub(crate) fn state(stored: i16) -> Result<ConnectionState, Fault> {
    ConnectionState::try_from(i32::from(stored))
        .ok()
        .filter(|state| *state != ConnectionState::Unspecified)
        .ok_or_else(|| Fault::internal("a stored connection state is unknown"))
}

/// The state as metadata of errors names it.
pub(crate) fn state_name(state: ConnectionState) -> &'static str {
    let name = state.as_str_name();
    name.strip_prefix("CONNECTION_STATE_").unwrap_or(name)
}
