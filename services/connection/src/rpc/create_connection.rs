use std::sync::Arc;

use outeract_domain::{PhoneNumberId, WabaId};
use outeract_proto::connection::v1::{CreateConnectionRequest, CreateConnectionResponse};
use outeract_rpc::{Fault, Reply, caller};
use outeract_seal::Secret;
use tonic::{Request, Response};

use crate::connect::Connecting;
use crate::convert;
use crate::desk::Desk;
use crate::fields::{self, Fields};

const MAX_TOKEN: usize = 1_024;
const MAX_NUMBERS: usize = 100;

/// What a caller wants to connect, checked as far as it can be without Meta.
#[derive(Debug)]
struct Wanted {
    token: Secret,
    waba: Option<WabaId>,
    /// Empty: all.
    numbers: Vec<PhoneNumberId>,
    name: Option<String>,
}

/// Nothing of it is visible before Meta has confirmed everything: a call that ends half-way, for whatever reason, leaves at most a subscription,
/// which its repetition makes again.
pub(super) async fn create_connection(
    desk: &Desk,
    request: Request<CreateConnectionRequest>,
) -> Reply<CreateConnectionResponse> {
    let caller = caller::application(&request)?;
    let wanted = Wanted::check(request.into_inner())?;
    let now = desk.clock.now();
    let access = desk
        .meta
        .examine(&wanted.token, wanted.waba, &wanted.numbers, now)
        .await?;
    if wanted.name.is_some() && access.numbers.len() != 1 {
        return Err(one_name_for_many().into());
    }
    let connecting = Arc::new(Connecting {
        application: caller.id,
        actor: caller.key,
        token: wanted.token,
        access,
        name: wanted.name,
    });
    // Before anything is done at Meta; the index decides if another call is just as far.
    connecting.check_free(desk).await?;
    desk.meta
        .subscribe_waba(&connecting.token, &connecting.access.waba)
        .await?;
    let rows = connecting.store(desk).await?;

    desk.connected.notify_one();
    let snapshots: Vec<_> = rows.iter().map(|row| convert::snapshot(&desk.ring, row)).collect();
    desk.push.at_once(&desk.db, &snapshots).await;
    Ok(Response::new(CreateConnectionResponse {
        connections: desk.shown(rows).await?,
    }))
}

// === impl Wanted ===

impl Wanted {
    fn check(request: CreateConnectionRequest) -> Result<Self, Fault> {
        let token = Secret::new(request.access_token);
        let mut fields = Fields::default();
        let printable = token.expose().bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !printable || !(1..=MAX_TOKEN).contains(&token.expose().len()) {
            fields.add("access_token", "must be 1 to 1024 printable ASCII characters");
        }
        let waba = match request.waba_id.as_str() {
            "" => None,
            id => fields.parsed("waba_id", id, fields::META_ID),
        };
        if request.phone_number_ids.len() > MAX_NUMBERS {
            fields.add("phone_number_ids", "must be at most 100");
        }
        let ids = request.phone_number_ids.iter().take(MAX_NUMBERS).enumerate();
        let numbers: Vec<PhoneNumberId> = ids
            .filter_map(|(index, id)| fields.parsed(format!("phone_number_ids[{index}]"), id, fields::META_ID))
            .collect();
        let name = fields.optional_name("name", request.name);
        if fields.are_valid() {
            Ok(Self {
                token,
                waba,
                numbers,
                name,
            })
        } else {
            Err(fields.fault())
        }
    }
}

fn one_name_for_many() -> Fault {
    Fault::invalid("name", "must be empty unless exactly one number is connected")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_broken_field_is_named() {
        let fault = Wanted::check(CreateConnectionRequest {
            access_token: "tök".to_owned(),
            waba_id: "12x".to_owned(),
            phone_number_ids: vec!["1".to_owned(), String::new()],
            name: "n".repeat(121),
        })
        .unwrap_err();
        let paths: Vec<_> = fault
            .violations()
            .iter()
            .map(|violation| violation.path.as_str())
            .collect();
        assert_eq!(paths, ["access_token", "waba_id", "phone_number_ids[1]", "name"]);
    }

    #[test]
    fn bounds_hold() {
        let request = |token: usize, numbers: usize| CreateConnectionRequest {
            access_token: "t".repeat(token),
            phone_number_ids: vec!["1".repeat(32); numbers],
            ..CreateConnectionRequest::default()
        };
        assert!(Wanted::check(request(1, 0)).is_ok());
        assert!(Wanted::check(request(1_024, 100)).is_ok());
        assert!(Wanted::check(request(0, 0)).is_err());
        assert!(Wanted::check(request(1_025, 0)).is_err());
        assert!(Wanted::check(request(1, 101)).is_err());
    }

    #[test]
    fn debug_hides_the_token() {
        let wanted = Wanted::check(CreateConnectionRequest {
            access_token: "EAAcanary".to_owned(),
            ..CreateConnectionRequest::default()
        });
        assert!(!format!("{wanted:?}").contains("EAAcanary"));
    }
}
