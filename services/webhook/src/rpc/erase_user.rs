use std::time::Duration;

use outeract_domain::PhoneNumberId;
use outeract_events::timestamp;
use outeract_postgres::run_tx;
use outeract_proto::webhook::internal::v1::{EraseUserRequest, EraseUserResponse};
use outeract_rpc::{Fault, Reply, Violation};
use time::OffsetDateTime;
use tonic::{Request, Response};
use uuid::Uuid;

use super::{Rpc, fault};
use crate::erase::Identities;
use crate::store::erasure::{self, Progress};

/// Phone numbers, and ids, of one user.
const MAX_IDENTITIES: usize = 100;
/// Numbers of one application.
const MAX_NUMBERS: usize = 1_000;
/// Bytes of a user's id.
const MAX_USER_ID: usize = 256;
/// Erasures under way.
const MOST: i64 = 10_000;
/// When to come back while there are too many.
const FULL: Duration = Duration::from_mins(1);

pub(super) async fn erase_user(rpc: &Rpc, request: Request<EraseUserRequest>) -> Reply<EraseUserResponse> {
    let request = request.into_inner();
    let application = uuid("application_id", &request.application_id)?;
    let id = uuid("erasure_id", &request.erasure_id)?;
    let times = (
        time("receive_time_from", request.receive_time_from.as_ref())?,
        time("receive_time_to", request.receive_time_to.as_ref())?,
    );
    let identities = check(request).map_err(Fault::invalid_many)?;
    let progress = match erasure::progress(&rpc.db, id, application).await.map_err(fault)? {
        Some(progress) => progress,
        None => begin(rpc, id, application, &identities, times).await?,
    };
    Ok(Response::new(EraseUserResponse {
        done: progress.done,
        erased: progress.erased,
        scanned: progress.scanned,
    }))
}

async fn begin(
    rpc: &Rpc,
    id: Uuid,
    application: Uuid,
    identities: &Identities,
    times: (Option<OffsetDateTime>, Option<OffsetDateTime>),
) -> Result<Progress, Fault> {
    let sealed = identities.seal(application, id, &rpc.keyring, &*rpc.random);
    let begun = run_tx(&rpc.db, "erasure.begin", async move |connection| {
        erasure::begin(connection, id, application, &sealed, times, MOST).await
    });
    if !begun.await.map_err(fault)? {
        return Err(Fault::overloaded(FULL));
    }
    tracing::info!("The erasure of a user from stored webhooks begins");
    Ok(Progress {
        done: false,
        erased: 0,
        scanned: 0,
    })
}

fn uuid(path: &str, bytes: &[u8]) -> Result<Uuid, Fault> {
    Uuid::from_slice(bytes).map_err(|_| Fault::invalid(path, "must be the 16 bytes of a UUID"))
}

fn time(path: &'static str, time: Option<&prost_types::Timestamp>) -> Result<Option<OffsetDateTime>, Fault> {
    let read = |time| timestamp::from_proto(time).ok_or_else(|| Fault::invalid(path, "must be a time"));
    time.map(read).transpose()
}

/// Whom to erase, checked.
fn check(request: EraseUserRequest) -> Result<Identities, Vec<Violation>> {
    let mut wrong = Vec::new();
    let bounds = [
        ("wa_ids", request.wa_ids.len(), 0..=MAX_IDENTITIES),
        ("user_ids", request.user_ids.len(), 0..=MAX_IDENTITIES),
        ("phone_number_ids", request.phone_number_ids.len(), 1..=MAX_NUMBERS),
    ];
    for (path, count, range) in bounds {
        if !range.contains(&count) {
            let rule = format!("must be {} to {}", range.start(), range.end());
            wrong.push(Violation::new(path, rule));
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    if request.wa_ids.is_empty() && request.user_ids.is_empty() {
        wrong.push(Violation::new("wa_ids", "must not be empty where `user_ids` is"));
    }
    let digits = |text: &String| text.strip_prefix('+').unwrap_or(text).to_owned();
    let wa_ids: Vec<String> = request.wa_ids.iter().map(digits).collect();
    for (index, wa_id) in wa_ids.iter().enumerate() {
        // Shorter ones would be found in what is no phone number.
        if !(5..=20).contains(&wa_id.len()) || !wa_id.bytes().all(|byte| byte.is_ascii_digit()) {
            wrong.push(Violation::new(format!("wa_ids[{index}]"), "must be 5 to 20 digits"));
        }
    }
    for (index, user_id) in request.user_ids.iter().enumerate() {
        if !(1..=MAX_USER_ID).contains(&user_id.len()) {
            let rule = format!("must be 1 to {MAX_USER_ID} bytes");
            wrong.push(Violation::new(format!("user_ids[{index}]"), rule));
        }
    }
    for (index, number) in request.phone_number_ids.iter().enumerate() {
        if number.parse::<PhoneNumberId>().is_err() {
            wrong.push(Violation::new(
                format!("phone_number_ids[{index}]"),
                "must be 1 to 32 digits",
            ));
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(Identities {
        wa_ids,
        user_ids: request.user_ids,
        numbers: request.phone_number_ids,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> EraseUserRequest {
        EraseUserRequest {
            wa_ids: vec!["+16505551234".to_owned()],
            user_ids: vec!["US.1".to_owned()],
            phone_number_ids: vec!["1".to_owned()],
            ..EraseUserRequest::default()
        }
    }

    #[test]
    fn identities_are_checked_and_named() {
        let identities = check(request()).expect("valid");
        assert_eq!(identities.wa_ids, ["16505551234"]);
        assert!(!format!("{identities:?}").contains("1650"));
        let path = |request| check(request).expect_err("refused")[0].path.clone();
        let of = |change: fn(&mut EraseUserRequest)| {
            let mut request = request();
            change(&mut request);
            path(request)
        };
        assert_eq!(of(|request| request.wa_ids.push("1234".to_owned())), "wa_ids[1]");
        assert_eq!(of(|request| request.wa_ids.push("1650555123x".to_owned())), "wa_ids[1]");
        assert_eq!(of(|request| request.user_ids.push(String::new())), "user_ids[1]");
        assert_eq!(of(|request| request.phone_number_ids.clear()), "phone_number_ids");
        assert_eq!(
            of(|request| request.phone_number_ids.push("a".to_owned())),
            "phone_number_ids[1]"
        );
        assert_eq!(
            of(|request| {
                request.wa_ids.clear();
                request.user_ids.clear();
            }),
            "wa_ids"
        );
        assert_eq!(
            of(|request| request.wa_ids = vec!["16505551234".to_owned(); 101]),
            "wa_ids"
        );
    }
}
