//! `ResolveUnknown`: somebody decides about an outcome that nobody knows, for the attempt that was seen.

use outeract_domain::{ApplicationId, ConnectionId, EventId, Submission};
use outeract_proto::messaging::v1::{ResolveUnknownRequest, ResolveUnknownResponse, UnknownResolution};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::{Fault, Reply, Violation, caller};
use tonic::{Request, Response};

use super::{Messaging, get_message};
use crate::dispatch::{Finding, Note, Noted};
use crate::events::Subject;
use crate::problem::{self, OUTCOME_UNKNOWN};
use crate::status;
use crate::store::message::Message;
use crate::store::resolve::Decision;

/// A decision that keeps every limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Checked {
    id: EventId,
    attempt: i32,
    resend: bool,
}

pub(super) async fn resolve_unknown(
    service: &Messaging,
    request: Request<ResolveUnknownRequest>,
) -> Reply<ResolveUnknownResponse> {
    let application = caller::application(&request)?.id;
    let checked = check(&request.into_inner()).map_err(Fault::invalid_many)?;
    let row = find(service, application, checked.id).await?;
    match verdict(&row, checked)? {
        Verdict::Done => {}
        Verdict::Open => {
            let noted = carry_out(service, application, &row, checked).await?;
            if noted == Noted::Nothing {
                // Something came between the look and the decision: say what.
                let row = find(service, application, checked.id).await?;
                if verdict(&row, checked)? == Verdict::Open {
                    return Err(Fault::unavailable("a decision was not carried out").into());
                }
            }
            service.hints.changed(&row.number, row.id);
        }
    }
    let message = get_message::message(service, application, checked.id).await?;
    Ok(Response::new(ResolveUnknownResponse { message: Some(message) }))
}

async fn find(service: &Messaging, application: ApplicationId, id: EventId) -> Result<Message, Fault> {
    get_message::find(service, application, id)
        .await?
        .ok_or_else(|| Fault::not_found("message"))
}

async fn carry_out(
    service: &Messaging,
    application: ApplicationId,
    row: &Message,
    checked: Checked,
) -> Result<Noted, Fault> {
    let finding = Finding::Resolved {
        row: Decision {
            number: row.number.clone(),
            message: row.id,
            attempt: checked.attempt,
        },
        resend: checked.resend,
        error: problem::of_reason(OUTCOME_UNKNOWN, None, false),
    };
    let subject = Subject {
        application,
        connection: ConnectionId::from_uuid(row.connection),
        message: checked.id,
    };
    let noted = service.recorder.try_record(Note { subject, finding }).await;
    noted.ok_or_else(|| Fault::unavailable("a decision could not be recorded"))
}

/// What a decision meets.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The outcome is UNKNOWN, of the attempt that was seen.
    Open,
    /// The message is where the decision leads.
    Done,
}

fn verdict(row: &Message, checked: Checked) -> Result<Verdict, Fault> {
    let state = Submission::try_from(row.state).map_err(Fault::data_loss)?;
    if checked.attempt > row.attempt {
        return Err(Fault::invalid("attempt", "must be an attempt that was begun"));
    }
    let seen = row.attempt == checked.attempt;
    match state {
        Submission::Unknown if seen => Ok(Verdict::Open),
        // The same decision, by an earlier call or by the message's policy.
        Submission::Queued if seen && checked.resend && row.doubted => Ok(Verdict::Done),
        Submission::Failed if seen && !checked.resend && row.reason.as_deref() == Some(OUTCOME_UNKNOWN) => {
            Ok(Verdict::Done)
        }
        Submission::Queued | Submission::Sending | Submission::Unknown if !seen => Err(Fault::aborted(
            ErrorReason::AttemptSuperseded,
            "another attempt was begun since; look at the message again",
        )
        .with("attempt", row.attempt.to_string())),
        state => {
            let state = status::name(status::state(state.code()).map_err(Fault::data_loss)?);
            Err(Fault::precondition(
                ErrorReason::OutcomeNotUnknown,
                format!("the message is {state}: there is nothing to decide"),
            )
            .with("state", state))
        }
    }
}

/// Every broken limit at once.
fn check(request: &ResolveUnknownRequest) -> Result<Checked, Vec<Violation>> {
    let id = request
        .id
        .parse()
        .map_err(|error| Violation::new("id", format!("is {error}")));
    let attempt = if request.attempt > 0 {
        Ok(request.attempt)
    } else {
        Err(Violation::new("attempt", "must be the attempt that was seen, from 1"))
    };
    let resend = match UnknownResolution::try_from(request.resolution) {
        Ok(UnknownResolution::Resend) => Ok(true),
        Ok(UnknownResolution::Fail) => Ok(false),
        Ok(UnknownResolution::Unspecified) | Err(_) => Err(Violation::new("resolution", "must be RESEND or FAIL")),
    };
    match (id, attempt, resend) {
        (Ok(id), Ok(attempt), Ok(resend)) => Ok(Checked { id, attempt, resend }),
        (id, attempt, resend) => Err([id.err(), attempt.err(), resend.err()].into_iter().flatten().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_broken_field_is_named_at_once() {
        let broken = ResolveUnknownRequest {
            id: "msg_1".to_owned(),
            attempt: 0,
            resolution: 9,
        };
        let paths: Vec<_> = check(&broken)
            .expect_err("broken")
            .into_iter()
            .map(|violation| violation.path)
            .collect();
        assert_eq!(paths, ["id", "attempt", "resolution"]);
        let unset = ResolveUnknownRequest {
            id: EventId::from_uuid(uuid::Uuid::from_u128(7)).to_string(),
            attempt: 1,
            resolution: 0,
        };
        assert_eq!(check(&unset).expect_err("unset")[0].path, "resolution");
    }
}
