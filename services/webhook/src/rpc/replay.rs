//! Replays as requests select them and answers show them.

use outeract_domain::{KeyId, PhoneNumberId, ReplayId, WebhookId};
use outeract_events::timestamp;
use outeract_proto::webhook::admin::v1::{Replay, ReplayCounts, ReplaySelection};
use outeract_rpc::{Fault, Violation};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::replay::{self as store, Selection};

/// Webhooks, fields and numbers that a selection names.
const MAX_POSTS: usize = 1_000;
const MAX_FIELDS: usize = 50;
const MAX_NUMBERS: usize = 100;
/// Bytes of a field's name.
const MAX_FIELD: usize = 64;
/// Items stand so: the contract's numbers of applied, duplicate, unsupported, quarantined, discarded.
const OUTCOMES: [i32; 5] = [1, 2, 4, 5, 6];

/// A selection, checked; every violation is named.
pub(super) fn check(raw: Option<ReplaySelection>) -> Result<Selection, Fault> {
    let raw = raw.ok_or_else(|| Fault::invalid("selection", "is required"))?;
    let mut wrong = Vec::new();
    let selection = Selection {
        received_from: instant("receive_time_from", raw.receive_time_from, &mut wrong),
        received_to: instant("receive_time_to", raw.receive_time_to, &mut wrong),
        post_ids: posts(&raw.webhook_ids, &mut wrong),
        outcomes: outcomes(&raw.outcomes, &mut wrong),
        fields: raw.fields,
        phone_number_ids: raw.phone_number_ids,
    };
    if let (Some(from), Some(to)) = (selection.received_from, selection.received_to)
        && from >= to
    {
        wrong.push(Violation::new(
            "receive_time_to",
            "must be later than `receive_time_from`",
        ));
    }
    bound("fields", selection.fields.len(), MAX_FIELDS, &mut wrong);
    for (index, field) in selection.fields.iter().enumerate().take(MAX_FIELDS) {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !(1..=MAX_FIELD).contains(&field.len()) || !field.bytes().all(word) {
            let rule = format!("must be 1 to {MAX_FIELD} lower-case letters, digits and underscores");
            wrong.push(Violation::new(format!("fields[{index}]"), rule));
        }
    }
    bound(
        "phone_number_ids",
        selection.phone_number_ids.len(),
        MAX_NUMBERS,
        &mut wrong,
    );
    for (index, number) in selection.phone_number_ids.iter().enumerate().take(MAX_NUMBERS) {
        if number.parse::<PhoneNumberId>().is_err() {
            wrong.push(Violation::new(
                format!("phone_number_ids[{index}]"),
                "must be 1 to 32 digits",
            ));
        }
    }
    if wrong.is_empty() {
        return Ok(selection);
    }
    let within = |violation: Violation| violation.within("selection");
    Err(Fault::invalid_many(wrong.into_iter().map(within).collect()))
}

fn instant(path: &str, raw: Option<prost_types::Timestamp>, wrong: &mut Vec<Violation>) -> Option<OffsetDateTime> {
    let raw = raw?;
    // An id holds the time since 1970 and up to the year 10889.
    let read = timestamp::from_proto(&raw).filter(|at| at.year() >= 1970);
    if read.is_none() {
        wrong.push(Violation::new(path, "must be a time from 1970 to 9999"));
    }
    read
}

fn posts(raw: &[String], wrong: &mut Vec<Violation>) -> Vec<Uuid> {
    bound("webhook_ids", raw.len(), MAX_POSTS, wrong);
    let mut ids = Vec::new();
    for (index, id) in raw.iter().enumerate().take(MAX_POSTS) {
        match id.parse::<WebhookId>() {
            Ok(id) => ids.push(id.uuid()),
            Err(_) => wrong.push(Violation::new(format!("webhook_ids[{index}]"), "must be a `wh_…` id")),
        }
    }
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn outcomes(raw: &[i32], wrong: &mut Vec<Violation>) -> Vec<i16> {
    let mut outcomes = Vec::new();
    bound("outcomes", raw.len(), OUTCOMES.len(), wrong);
    for (index, outcome) in raw.iter().enumerate().take(OUTCOMES.len()) {
        if OUTCOMES.contains(outcome) {
            outcomes.push(*outcome as i16);
        } else {
            let rule = "must be APPLIED, DUPLICATE, UNSUPPORTED, QUARANTINED or DISCARDED: what is parked is applied by itself";
            wrong.push(Violation::new(format!("outcomes[{index}]"), rule));
        }
    }
    outcomes.sort_unstable();
    outcomes.dedup();
    outcomes
}

fn bound(path: &str, count: usize, most: usize, wrong: &mut Vec<Violation>) {
    if count > most {
        wrong.push(Violation::new(path, format!("must be at most {most}")));
    }
}

/// The id of a replay.
pub(super) fn id(text: &str) -> Result<ReplayId, Fault> {
    text.parse().map_err(|_| Fault::invalid("id", "must be a `whr_…` id"))
}

/// A replay as it is shown.
pub(super) fn to_proto(replay: store::Replay) -> Replay {
    // Before the first webhook it stands at the start of its range, which no webhook has.
    let reached = (replay.posts > 0).then(|| millis(replay.reached)).flatten();
    Replay {
        id: ReplayId::from_uuid(replay.id).to_string(),
        selection: Some(ReplaySelection {
            receive_time_from: replay.received_from.map(timestamp::to_proto),
            receive_time_to: replay.received_to.map(timestamp::to_proto),
            webhook_ids: replay
                .post_ids
                .into_iter()
                .map(|id| WebhookId::from_uuid(id).to_string())
                .collect(),
            outcomes: replay.outcomes.into_iter().map(i32::from).collect(),
            fields: replay.fields,
            phone_number_ids: replay.phone_number_ids,
        }),
        state: i32::from(replay.state),
        create_time: Some(timestamp::to_proto(replay.created_at)),
        end_time: replay.ended_at.map(timestamp::to_proto),
        started_by: KeyId::from_uuid(replay.created_by).to_string(),
        why: replay.why,
        reached_time: reached.map(timestamp::to_proto),
        webhooks: replay.posts,
        items: Some(ReplayCounts {
            items: replay.applied + replay.duplicate + replay.unsupported + replay.quarantined + replay.kept,
            applied: replay.applied,
            duplicate: replay.duplicate,
            unsupported: replay.unsupported,
            quarantined: replay.quarantined,
            kept: replay.kept,
        }),
    }
}

/// The time in an id.
fn millis(id: Uuid) -> Option<OffsetDateTime> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    let whole = OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()?;
    whole.checked_add(time::Duration::nanoseconds(i64::from(nanos)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_violation_of_a_selection_is_named() {
        assert_eq!(check(None).expect_err("required").violations()[0].path, "selection");
        let selection = check(Some(ReplaySelection::default())).expect("everything that is kept");
        assert!(selection.outcomes.is_empty() && selection.received_from.is_none());
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let bad = ReplaySelection {
            receive_time_from: at(10),
            receive_time_to: at(10),
            webhook_ids: vec!["wh_".to_owned()],
            outcomes: vec![5, 3, 0],
            fields: vec!["messages".to_owned(), "Messages".to_owned(), String::new()],
            phone_number_ids: vec!["1".to_owned(), "a".to_owned()],
        };
        let fault = check(Some(bad)).expect_err("refused");
        let mut paths: Vec<&str> = fault
            .violations()
            .iter()
            .map(|violation| violation.path.as_str())
            .collect();
        paths.sort_unstable();
        assert_eq!(
            paths,
            [
                "selection.fields[1]",
                "selection.fields[2]",
                "selection.outcomes[1]",
                "selection.outcomes[2]",
                "selection.phone_number_ids[1]",
                "selection.receive_time_to",
                "selection.webhook_ids[0]",
            ]
        );
        let impossible = ReplaySelection {
            receive_time_from: at(-1),
            webhook_ids: vec![String::new(); 1_001],
            ..ReplaySelection::default()
        };
        let fault = check(Some(impossible)).expect_err("refused");
        assert_eq!(fault.violations()[0].path, "selection.receive_time_from");
        assert_eq!(fault.violations()[1].path, "selection.webhook_ids");
    }
}
