//! `GetConversationWindow`.

use outeract_domain::{ApplicationId, ConnectionId, Recipient};
use outeract_events::timestamp;
use outeract_proto::messaging::v1::{GetConversationWindowRequest, GetConversationWindowResponse};
use outeract_rpc::{Fault, Reply, Violation, caller};
use tonic::{Request, Response};
use uuid::Uuid;

use super::Messaging;
use crate::store::{DbError, contact as identity, gate as store, run};
use crate::window::open_for;

pub(super) async fn get_conversation_window(
    service: &Messaging,
    request: Request<GetConversationWindowRequest>,
) -> Reply<GetConversationWindowResponse> {
    let application = caller::application(&request)?.id;
    let (connection, user) = check(&request.into_inner()).map_err(Fault::invalid_many)?;
    let window = window(service, application, connection, &user).await?;
    Ok(Response::new(window.map_or_else(
        GetConversationWindowResponse::default,
        |window| GetConversationWindowResponse {
            open: open_for(window.window_left).is_some(),
            expire_time: window.window_left.map(|_| timestamp::to_proto(window.expires_at)),
            last_inbound_time: Some(timestamp::to_proto(window.last_inbound_at)),
        },
    )))
}

/// The user's window with the connection's number. None: the user has never written.
async fn window(
    service: &Messaging,
    application: ApplicationId,
    connection: ConnectionId,
    user: &Recipient,
) -> Result<Option<store::Window>, Fault> {
    let connection = service
        .projection
        .get(connection)
        .await?
        .filter(|connection| connection.application == application)
        .ok_or_else(|| Fault::not_found("connection"))?;
    let Some(contact) = contact(service, application, user).await? else {
        return Ok(None);
    };
    let (db, number) = (&service.context.db, connection.number.as_str());
    Ok(run!(db, "gate.window", |conn| store::window(conn, number, contact))?)
}

/// The user's contact, in whatever form its number is known. Whoever is not known has never written.
async fn contact(service: &Messaging, application: ApplicationId, user: &Recipient) -> Result<Option<Uuid>, DbError> {
    let (application, kind, other) = (application.uuid(), identity::kind(user), user.other_form());
    let asked: Vec<_> = std::iter::once(user.as_str())
        .chain(other.as_deref())
        .map(|value| (application, kind, value))
        .collect();
    let known = run!(service.context.db, "contact.known", |conn| identity::known(
        conn, &asked
    ))?;
    let exact = known.iter().find(|known| known.value == user.as_str());
    Ok(exact.or(known.first()).map(|known| known.contact))
}

fn check(request: &GetConversationWindowRequest) -> Result<(ConnectionId, Recipient), Vec<Violation>> {
    let connection = request.connection_id.parse::<ConnectionId>();
    let user = request.to_external_id.parse::<Recipient>();
    match (connection, user) {
        (Ok(connection), Ok(user)) => Ok((connection, user)),
        (connection, user) => {
            let connection = connection
                .err()
                .map(|error| Violation::new("connection_id", format!("is {error}")));
            let user = user
                .err()
                .map(|error| Violation::new("to_external_id", format!("{error}")));
            Err(connection.into_iter().chain(user).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_broken_field_is_named_at_once() {
        let request = |connection: &str, user: &str| GetConversationWindowRequest {
            connection_id: connection.to_owned(),
            to_external_id: user.to_owned(),
        };
        let connection = ConnectionId::from_uuid(Uuid::from_u128(7)).to_string();
        for user in ["+14155551234", "US.13491208655302741918", "US.ENT.11815799212886844830"] {
            assert!(check(&request(&connection, user)).is_ok(), "{user}");
        }
        let paths = |request| -> Vec<_> {
            let violations: Vec<Violation> = check(&request).expect_err("broken");
            violations.into_iter().map(|violation| violation.path).collect()
        };
        assert_eq!(
            paths(request("pc_1", "14155551234")),
            ["connection_id", "to_external_id"]
        );
        assert_eq!(paths(request(&connection, "")), ["to_external_id"]);
        assert_eq!(paths(request("", "+14155551234")), ["connection_id"]);
    }
}
