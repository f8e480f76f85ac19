use proptest::prelude::*;
use time::OffsetDateTime;
use uuid::Uuid;

use super::*;

const HEAD: Head = Head {
    id: Uuid::nil(),
    position: 1,
    received_at: OffsetDateTime::UNIX_EPOCH,
};

fn row(ordinal: i32, pointer: &str, outcome: i16) -> Row {
    Row {
        post_id: HEAD.id,
        ordinal,
        received_at: HEAD.received_at,
        position: 1,
        pointer: pointer.to_owned(),
        field: "messages".to_owned(),
        outcome,
        reason: "WHY".to_owned(),
        application_id: Some(Uuid::from_u128(7)),
        connection_id: None,
        phone_number_id: "1".to_owned(),
    }
}

fn now(ordinal: i32, pointer: &str, seen: Option<i16>, verdict: Verdict) -> Now {
    Now {
        place: Place {
            post: 0,
            ordinal,
            pointer: pointer.to_owned(),
            field: "messages".to_owned(),
            phone_number_id: "1".to_owned(),
        },
        seen,
        verdict,
    }
}

fn listed(outcome: Outcome) -> Verdict {
    let other = Owner {
        application_id: Some(Uuid::from_u128(8)),
        connection_id: Some(Uuid::from_u128(9)),
    };
    Verdict::Fate(Fate::Listed(outcome, "NEW".into(), other))
}

fn account(counts: [i32; 6]) -> Account {
    let [applied, duplicate, parked, unsupported, quarantined, discarded] = counts;
    Account {
        items: counts.iter().sum(),
        applied,
        duplicate,
        parked,
        unsupported,
        quarantined,
        discarded,
    }
}

#[test]
fn what_is_understood_now_is_applied_and_what_was_applied_stays() {
    let rows = vec![row(1, "/a/1", 4), row(3, "/a/3", 5), row(4, "/a/4", 5)];
    let items = [
        now(0, "/a/0", None, Verdict::Fate(Fate::Duplicate)),
        now(1, "/a/1", Some(4), Verdict::Fate(Fate::Applied)),
        now(2, "/a/2", None, listed(Outcome::Quarantined)),
        now(3, "/a/3", Some(5), Verdict::Fate(Fate::Duplicate)),
        now(4, "/a/4", Some(5), listed(Outcome::Unsupported)),
    ];
    let planned = plan(&HEAD, account([1, 1, 0, 1, 2, 0]), &rows, &items);
    assert_eq!(planned.account, account([2, 2, 0, 1, 0, 0]));
    let left = planned.rows.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(
        (left[0].ordinal, left[0].outcome, left[0].reason.as_str()),
        (4, 4, "NEW")
    );
    // Whose it is was settled when it came.
    assert_eq!(left[0].application_id, Some(Uuid::from_u128(7)));
    let met = planned.met;
    assert_eq!(
        (met.applied, met.duplicate, met.unsupported, met.quarantined, met.kept),
        (1, 2, 1, 0, 1)
    );
}

#[test]
fn nothing_is_written_when_nothing_changes() {
    let rows = vec![row(0, "/a/0", 4)];
    let items = [
        now(0, "/a/0", Some(4), listed(Outcome::Parked)),
        now(1, "/a/1", None, Verdict::NotAsked),
    ];
    let planned = plan(&HEAD, account([1, 0, 0, 1, 0, 0]), &rows, &items);
    assert_eq!(planned.rows, None);
    assert_eq!((planned.met.kept, planned.stand[0].kept), (1, true));
}

#[test]
fn what_was_decided_otherwise_meanwhile_stays() {
    let rows = vec![row(0, "/a/0", 6), row(1, "/a/1", 3)];
    let items = [
        now(0, "/a/0", Some(5), Verdict::Fate(Fate::Applied)),
        now(1, "/a/1", Some(3), Verdict::Fate(Fate::Applied)),
        // Somebody else has applied it.
        now(2, "/a/2", Some(5), Verdict::Fate(Fate::Duplicate)),
    ];
    let before = account([1, 0, 1, 0, 0, 1]);
    let planned = plan(&HEAD, before, &rows, &items);
    assert_eq!((planned.rows, planned.account), (None, before));
    assert_eq!((planned.met.kept, planned.met.duplicate), (2, 1));
}

#[test]
fn an_item_that_is_several_today_is_accounted_as_several_and_back() {
    let rows = vec![row(0, "/a/0", 4), row(1, "/a/1", 5)];
    let items = [
        now(0, "/a/0/x/0", Some(4), Verdict::Fate(Fate::Applied)),
        now(1, "/a/0/x/1", Some(4), listed(Outcome::Quarantined)),
        now(2, "/a/1", Some(5), Verdict::NotAsked),
    ];
    let planned = plan(&HEAD, account([0, 0, 0, 1, 1, 0]), &rows, &items);
    assert_eq!(planned.account, account([1, 0, 0, 0, 2, 0]));
    let left = planned.rows.unwrap();
    let places: Vec<_> = left.iter().map(|row| (row.ordinal, row.pointer.as_str())).collect();
    assert_eq!(places, [(1, "/a/0/x/1"), (2, "/a/1")]);

    let items = [
        now(0, "/a/0", Some(5), Verdict::Fate(Fate::Applied)),
        now(1, "/a/1", Some(5), Verdict::NotAsked),
    ];
    let planned = plan(&HEAD, account([0, 0, 0, 0, 2, 0]), &left, &items);
    assert_eq!(planned.account, account([1, 0, 0, 0, 1, 0]));
}

#[test]
fn a_row_with_its_own_item_claims_no_others() {
    // A webhook with too many items: one row for all that is beyond, at the place of the whole.
    let rows = vec![row(2, "", 5)];
    let items = [
        now(0, "/a/0", None, Verdict::NotAsked),
        now(1, "/a/1", None, Verdict::Fate(Fate::Duplicate)),
        now(2, "", Some(5), listed(Outcome::Quarantined)),
    ];
    let planned = plan(&HEAD, account([2, 0, 0, 0, 1, 0]), &rows, &items);
    assert_eq!(planned.account, account([2, 0, 0, 0, 1, 0]));
    assert_eq!(planned.rows.unwrap().len(), 1);
}

#[test]
fn a_body_that_cannot_be_read_any_more_changes_nothing() {
    let items = [now(0, "", Some(4), listed(Outcome::Quarantined))];
    let before = account([2, 0, 0, 1, 0, 0]);
    let planned = plan(&HEAD, before, &[row(2, "/a/2", 4)], &items);
    assert_eq!((planned.rows, planned.account, planned.met.kept), (None, before, 1));
    // One that never could is read again.
    let planned = plan(&HEAD, account([0, 0, 0, 0, 1, 0]), &[row(0, "", 5)], &items);
    assert_eq!(planned.account, account([0, 0, 0, 0, 1, 0]));
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::NotAsked),
        Just(Verdict::Kept),
        Just(Verdict::Fate(Fate::Applied)),
        Just(Verdict::Fate(Fate::Duplicate)),
        Just(listed(Outcome::Parked)),
        Just(listed(Outcome::Unsupported)),
        Just(listed(Outcome::Quarantined)),
    ]
}

/// Places that lie above and below one another.
fn pointers() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => Just(String::new()),
        4 => (0..4_u8).prop_map(|a| format!("/a/{a}")),
        4 => (0..4_u8, 0..3_u8).prop_map(|(a, b)| format!("/a/{a}/b/{b}")),
    ]
}

fn distinct(pointers: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    pointers
        .into_iter()
        .filter(|pointer| seen.insert(pointer.clone()))
        .collect()
}

proptest! {
    #[test]
    fn accounts_always_add_up_and_what_was_applied_never_gets_less_where_items_stay_what_they_are(
        rows in prop::collection::vec(pointers(), 0..8).prop_map(distinct),
        outcomes in prop::collection::vec(3..7_i16, 8),
        today in prop::collection::vec(pointers(), 0..10).prop_map(distinct),
        verdicts in prop::collection::vec(verdicts(), 10),
        seen in prop::collection::vec(prop::option::of(3..7_i16), 10),
        settled in (0..5_i32, 0..5_i32),
    ) {
        let rows: Vec<Row> = rows.iter().zip(&outcomes).enumerate().map(|(n, (pointer, outcome))| row(n as i32, pointer, *outcome)).collect();
        let items: Vec<Now> = today
            .iter()
            .zip(verdicts.iter().zip(&seen))
            .enumerate()
            .map(|(n, (pointer, (verdict, seen)))| now(n as i32, pointer, *seen, verdict.clone()))
            .collect();
        let mut before = totals(settled.0, settled.1, &rows);
        before.items = settled.0 + settled.1 + rows.len() as i32;
        let planned = plan(&HEAD, before, &rows, &items);
        let after = planned.account;
        prop_assert_eq!(after.items, after.applied + after.duplicate + after.parked + after.unsupported + after.quarantined + after.discarded);
        prop_assert!([after.applied, after.duplicate, after.parked, after.unsupported, after.quarantined, after.discarded].iter().all(|count| *count >= 0));
        let list = planned.rows.clone().unwrap_or_else(|| rows.clone());
        prop_assert_eq!(totals(after.applied, after.duplicate, &list), after, "the list agrees with the account");
        let mut ordinals: Vec<i32> = list.iter().map(|row| row.ordinal).collect();
        ordinals.sort_unstable();
        ordinals.dedup();
        prop_assert_eq!(ordinals.len(), list.len(), "places are distinct");
        // Parked and discarded items never go.
        let parked = |rows: &[Row]| rows.iter().filter(|row| row.outcome == 3).count();
        let places_stay = rows.iter().all(|row| today.contains(&row.pointer)) && today.len() as i32 == before.items;
        if places_stay {
            prop_assert_eq!(parked(&list), parked(&rows));
            prop_assert_eq!(after.items, before.items);
            prop_assert!(after.applied >= before.applied && after.duplicate >= before.duplicate);
        }
        let asked = items.iter().filter(|item| item.verdict != Verdict::NotAsked).count() as i64;
        let met = planned.met;
        prop_assert_eq!(met.applied + met.duplicate + met.unsupported + met.quarantined + met.kept, asked);
    }
}
