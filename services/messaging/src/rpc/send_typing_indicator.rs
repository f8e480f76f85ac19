//! `SendTypingIndicator`: Meta shows it for a message of the user's, so where only the user is named the last message is looked up.

use std::sync::Arc;

use outeract_domain::{ApplicationId, ConnectionId, Recipient, Wamid};
use outeract_proto::messaging::v1::send_typing_indicator_request::To;
use outeract_proto::messaging::v1::{SendTypingIndicatorRequest, SendTypingIndicatorResponse};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::{Fault, Reply, Violation, caller};
use tonic::{Request, Response};

use super::{Messaging, reading};
use crate::projection::Connection;
use crate::store::{contact, receipt, run};

/// Whom to show it to.
#[derive(Debug)]
enum Target {
    User(Recipient),
    Message(Wamid),
}

pub(super) async fn send_typing_indicator(
    service: &Messaging,
    request: Request<SendTypingIndicatorRequest>,
) -> Reply<SendTypingIndicatorResponse> {
    let application = caller::application(&request)?.id;
    let call = Arc::clone(caller::call(&request)?);
    let (connection, target) = check(request.into_inner()).map_err(Fault::invalid_many)?;
    let connection = reading::connection(service, application, connection).await?;
    let wamid = match target {
        Target::Message(wamid) => wamid,
        Target::User(user) => last_message(service, application, &connection, &user).await?,
    };
    // From here on the call waits for Meta; such calls are bounded elsewhere.
    call.leave_limit();
    reading::read(service, &connection, &wamid, true).await?;
    Ok(Response::new(SendTypingIndicatorResponse { success: true }))
}

async fn last_message(
    service: &Messaging,
    application: ApplicationId,
    connection: &Connection,
    user: &Recipient,
) -> Result<Wamid, Fault> {
    let db = &service.context.db;
    let key = application.uuid();
    // In whichever of its forms Meta writes a number.
    let found = run!(db, "contact.find", |conn| contact::find(conn, key, &[user]))?;
    let last = match found.into_iter().next().flatten() {
        Some(contact) => {
            let number = connection.number.as_str();
            let sealed = run!(db, "receipt.last_inbound", |conn| receipt::last_inbound(
                conn, number, contact
            ))?;
            sealed.map(|sealed| (contact, sealed))
        }
        None => None,
    };
    let (contact, sealed) = last.ok_or_else(|| {
        Fault::precondition(
            ErrorReason::NoInboundMessage,
            "the user has written nothing to this number within 30 days",
        )
    })?;
    service
        .vault
        .open_inbound_wamid(application, contact, &sealed)
        .map_err(Fault::data_loss)
}

/// Every broken limit at once.
fn check(request: SendTypingIndicatorRequest) -> Result<(ConnectionId, Target), Vec<Violation>> {
    let connection = request
        .connection_id
        .parse()
        .map_err(|error| Violation::new("connection_id", format!("is {error}")));
    let target = match request.to {
        Some(To::ToExternalId(user)) => user
            .parse()
            .map(Target::User)
            .map_err(|error| Violation::new("to_external_id", format!("{error}"))),
        Some(To::ExternalMessageId(wamid)) => reading::wamid(wamid)
            .map(Target::Message)
            .ok_or_else(|| Violation::new("external_message_id", reading::WAMID)),
        None => Err(Violation::new(
            "to",
            "must be set: to_external_id or external_message_id",
        )),
    };
    match (connection, target) {
        (Ok(connection), Ok(target)) => Ok((connection, target)),
        (connection, target) => Err([connection.err(), target.err()].into_iter().flatten().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(connection_id: &str, to: Option<To>) -> Vec<String> {
        let request = SendTypingIndicatorRequest {
            connection_id: connection_id.to_owned(),
            to,
        };
        let violations = check(request).err().unwrap_or_default();
        violations.into_iter().map(|violation| violation.path).collect()
    }

    #[test]
    fn every_broken_field_is_named_at_once() {
        assert_eq!(paths("pc_1", None), ["connection_id", "to"]);
        let known = ConnectionId::from_uuid(uuid::Uuid::from_u128(7)).to_string();
        for bad in ["14155551234", "", "120363041234567890@g.us"] {
            assert_eq!(
                paths(&known, Some(To::ToExternalId(bad.to_owned()))),
                ["to_external_id"],
                "{bad}"
            );
        }
        for bad in ["", "wamid. ", "wamid.\u{e9}", &"w".repeat(513)] {
            assert_eq!(
                paths(&known, Some(To::ExternalMessageId(bad.to_owned()))),
                ["external_message_id"]
            );
        }
        for good in ["+14155551234", "US.13491208655302741918", "US.ENT.118157992"] {
            assert!(paths(&known, Some(To::ToExternalId(good.to_owned()))).is_empty());
        }
        assert!(paths(&known, Some(To::ExternalMessageId("wamid.A".to_owned()))).is_empty());
    }
}
