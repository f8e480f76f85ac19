use super::*;

fn refused(code: i32) -> GraphError {
    GraphError::from_code(code)
}

#[test]
fn every_line_is_found_by_each_of_its_codes_and_no_two_lines_share_one() {
    for (index, row) in TABLE.iter().enumerate() {
        for code in [*row.codes.start(), *row.codes.end()] {
            assert_eq!(classify(&refused(code)), row.verdict, "{code}");
            let shared = TABLE[index + 1..].iter().find(|other| other.codes.contains(&code));
            assert!(shared.is_none(), "{code} stands twice");
        }
    }
}

#[test]
fn the_contract_lists_every_reason() {
    let readme = include_str!("../../../../proto/README.md");
    let verdicts = TABLE.iter().map(|row| &row.verdict);
    for verdict in verdicts.chain([&UNKNOWN_TRANSIENT, &UNKNOWN_LIMIT, &UNKNOWN]) {
        assert!(
            readme.contains(&format!("| `{}` |", verdict.reason)),
            "{}",
            verdict.reason
        );
    }
}

#[test]
fn each_class_reacts_as_its_meaning_demands() {
    for row in TABLE {
        let Verdict {
            class,
            reason,
            reaction,
            message,
        } = row.verdict;
        assert!(
            reason.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'),
            "{reason}"
        );
        assert!(message.ends_with('.'), "{message}");
        match class {
            Class::Template => assert_eq!(reaction, FAIL),
            Class::Authorisation => assert!(matches!(
                reaction,
                Reaction::Park {
                    scope: Scope::Number,
                    ..
                }
            )),
            Class::Transient | Class::Wait => assert_ne!(reaction, FAIL, "{reason}"),
            Class::Permanent => assert_eq!(reaction, FAIL, "{reason}"),
            Class::Configuration | Class::Policy => {
                assert!(!matches!(reaction, Reaction::Retry { .. }), "{reason}");
            }
        }
    }
}

#[test]
fn codes_that_may_hide_an_acceptance_are_tried_twice_more_at_most() {
    for code in [2, 131_000, 131_016] {
        let reaction = classify(&refused(code)).reaction;
        assert!(reaction.wait(2).is_some() && reaction.wait(3).is_none(), "{code}");
    }
    let any = classify(&refused(1)).reaction;
    assert!(any.wait(1).is_some() && any.wait(2).is_none());
}

#[test]
fn unknown_codes_follow_the_stated_default() {
    let unknown = |http_status, is_transient| {
        classify(&GraphError {
            is_transient,
            http_status,
            ..refused(999_999)
        })
        .class
    };
    assert_eq!(unknown(400, false), Class::Permanent);
    assert_eq!(unknown(400, true), Class::Transient);
    assert_eq!(unknown(503, false), Class::Transient);
    assert_eq!(unknown(429, false), Class::Wait);
}

#[test]
fn the_pair_limit_waits_as_meta_advises() {
    let waits: Vec<_> = (1..=7)
        .map(|tries| PAIR_BRAKE.wait(tries).map(|wait| wait.as_secs()))
        .collect();
    assert_eq!(waits, [1, 4, 16, 64, 256, 1_024, 1_024].map(Some));
}

#[test]
fn a_number_that_is_too_fast_pauses_for_five_seconds_each_time() {
    let verdict = classify(&refused(130_429));
    assert!(verdict.slows());
    for tries in [1, 2, 1_000, u16::MAX] {
        assert_eq!(verdict.wait(&refused(130_429), tries), Some(Duration::from_secs(5)));
    }
    assert!(TABLE.iter().filter(|row| row.verdict.slows()).count() == 1);
}

#[test]
fn what_meta_says_of_its_counts_goes_before_the_table() {
    let told = |code| GraphError {
        regain_after: Some(Duration::from_mins(12)),
        ..refused(code)
    };
    for code in [4, 613, 80_007, 80_008] {
        let verdict = classify(&refused(code));
        assert_eq!(verdict.wait(&told(code), 3), Some(Duration::from_mins(12)), "{code}");
        let waits = [1, 2, 3, 9].map(|tries| verdict.wait(&refused(code), tries).map(|wait| wait.as_secs() / 60));
        assert_eq!(waits, [5, 10, 20, 60].map(Some), "{code}");
    }
    // A number's own limits are none of its counts, and a refusal stays one.
    assert_eq!(
        classify(&refused(131_056)).wait(&told(131_056), 1),
        Some(Duration::from_secs(1))
    );
    assert_eq!(classify(&refused(131_026)).wait(&told(131_026), 1), None);
}

#[test]
fn only_troubles_of_the_host_are_the_hosts() {
    let of_the_host = |code, http_status| {
        let error = GraphError {
            http_status,
            ..refused(code)
        };
        classify(&error).is_of_the_host(&error)
    };
    for (code, http_status) in [
        (1, 500),
        (2, 503),
        (131_000, 500),
        (131_016, 500),
        (133_004, 503),
        (999_999, 502),
        (999_999, 429),
    ] {
        assert!(of_the_host(code, http_status), "{code}");
    }
    // With these the number, its account or the message is meant, whatever the HTTP status.
    for (code, http_status) in [
        (1, 400),
        (3, 500),
        (131_045, 500),
        (131_057, 500),
        (133_000, 500),
        (130_429, 429),
        (80_007, 429),
        (131_026, 500),
        (999_999, 400),
    ] {
        assert!(!of_the_host(code, http_status), "{code}");
    }
}

/// What Meta's list says of a code: what kind of obstacle it is, what happens to the message, and who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Becomes {
    /// It ends.
    Fails,
    /// It is tried again a few times; each try may hide an acceptance.
    Again(u16),
    /// It waits, and whoever is in scope with it.
    Waits(Scope),
    /// It waits for a person, and whoever is in scope with it.
    Parks(Scope),
}

#[test]
#[rustfmt::skip]
fn every_line_of_metas_list_becomes_what_it_should() {
    use Becomes::{Again, Fails, Parks, Waits};
    use Class::{Authorisation as A, Configuration as C, Permanent as P, Policy as Q, Template as T, Transient as R, Wait as W};
    use Scope::{App, Contact, Message, Number, NumberCampaigns, Waba, WabaCampaigns};
    let lines: &[(&[i32], Class, Becomes)] = &[
        (&[0], A, Parks(Number)),
        (&[1], R, Again(1)),
        (&[2], R, Again(2)),
        (&[3], C, Parks(Number)),
        (&[4], W, Waits(App)),
        (&[10], C, Parks(Number)),
        (&[33], C, Parks(Number)),
        (&[100], P, Fails),
        (&[104], A, Parks(Number)),
        (&[190], A, Parks(Number)),
        (&[200], A, Parks(Number)),
        (&[201, 250, 299], A, Parks(Number)),
        (&[368], Q, Parks(Waba)),
        (&[613], W, Waits(App)),
        (&[80_007, 80_008], W, Waits(Waba)),
        (&[130_403], P, Fails),
        (&[130_429], W, Waits(Number)),
        (&[130_472], P, Fails),
        (&[130_497], Q, Fails),
        (&[131_000], R, Again(2)),
        (&[131_005], A, Parks(Number)),
        (&[131_008, 131_009], P, Fails),
        (&[131_014], R, Again(2)),
        (&[131_016], R, Again(2)),
        (&[131_020, 131_041, 131_059, 131_200, 131_250, 131_299], P, Fails),
        (&[131_021], P, Fails),
        (&[131_026], P, Fails),
        // Of the account's making, but there is nothing to wait for: a test number writes to whom its list names.
        (&[131_030], C, Fails),
        (&[131_031], Q, Parks(Waba)),
        (&[131_037], C, Parks(Number)),
        (&[131_042, 131_044], C, Parks(Message)),
        (&[131_045], C, Parks(Number)),
        (&[131_047], T, Fails),
        (&[131_048], W, Waits(NumberCampaigns)),
        (&[131_049], P, Fails),
        (&[131_050], P, Fails),
        (&[131_051], P, Fails),
        (&[131_052], P, Fails),
        (&[131_053], R, Again(2)),
        (&[131_055], P, Fails),
        (&[131_056], W, Waits(Contact)),
        (&[131_057], R, Waits(Number)),
        (&[131_062], P, Fails),
        (&[131_063], C, Parks(Message)),
        (&[131_064], W, Waits(WabaCampaigns)),
        (&[132_000, 132_008, 132_012, 132_018], P, Fails),
        (&[132_001], P, Fails),
        (&[132_005], P, Fails),
        (&[132_007], Q, Fails),
        (&[132_015], W, Parks(Message)),
        (&[132_016], P, Fails),
        (&[132_068], C, Parks(Message)),
        (&[132_069], W, Waits(Message)),
        (&[133_000], R, Parks(Number)),
        (&[133_004], R, Again(8)),
        (&[133_005], C, Parks(Number)),
        (&[133_008, 133_009], W, Parks(Number)),
        (&[133_006, 133_010], C, Parks(Number)),
        (&[133_015], W, Parks(Number)),
        (&[133_016], W, Parks(Number)),
        (&[134_011], C, Parks(Message)),
        (&[134_100], P, Fails),
        (&[134_101], W, Waits(Message)),
        (&[134_102], C, Parks(Message)),
        (&[135_000], P, Fails),
        (&[137_000], P, Fails),
        (&[138_000, 138_050, 138_099], P, Fails),
        (&[139_100, 139_101], P, Fails),
        (&[139_102, 139_103], R, Again(2)),
        (&[147_001, 147_003, 147_005], P, Fails),
        (&[200_005, 200_007], C, Fails),
        // No answer to a message: a second onboarding is as good as the first.
        (&[1_752_041], P, Fails),
        (&[2_388_001, 2_388_012, 2_388_091, 2_388_093, 2_388_103, 2_494_100], C, Parks(Number)),
        (&[2_388_019, 2_388_039, 2_388_040, 2_388_047, 2_388_072, 2_388_073, 2_388_293, 2_388_299], P, Fails),
        (&[2_593_079, 2_593_085, 2_593_107, 2_593_108], C, Parks(Number)),
    ];
    let mut seen = std::collections::BTreeSet::new();
    for (codes, class, becomes) in lines {
        for code in *codes {
            let verdict = classify(&refused(*code));
            let found = match verdict.reaction {
                Reaction::Fail => Fails,
                Reaction::Park { scope, .. } => Parks(scope),
                Reaction::Retry { scope: Message, tries, .. } if verdict.class == R => Again(tries),
                Reaction::Retry { scope, .. } => Waits(scope),
            };
            assert_eq!((verdict.class, found), (*class, *becomes), "{code}");
            seen.insert(*code);
        }
    }
    // And the table has nothing that the list has not.
    for row in TABLE {
        assert!(seen.contains(row.codes.start()), "{}", row.codes.start());
    }
}

#[test]
fn waits_are_as_long_as_metas_list_says() {
    const HOURS: u64 = 3_600;
    let wait = |code, tries| classify(&refused(code)).reaction.wait(tries).map(|wait| wait.as_secs());
    for (code, waits) in [
        (131_048, [HOURS, 2 * HOURS, 4 * HOURS]),
        (131_057, [60, 120, 120]),
        (131_064, [HOURS, 2 * HOURS, 4 * HOURS]),
        (132_069, [HOURS, HOURS, HOURS]),
        (133_015, [300, 300, 300]),
        (133_016, [HOURS, HOURS, HOURS]),
        (134_101, [60, 120, 240]),
    ] {
        assert_eq!([1, 2, 3].map(|tries| wait(code, tries)), waits.map(Some), "{code}");
    }
}

#[test]
fn only_what_speaks_of_media_casts_doubt_on_them() {
    let said = |code, details: &str| {
        doubts_media(&GraphError {
            details: details.to_owned(),
            ..GraphError::from_code(code)
        })
    };
    assert!(said(131_053, ""));
    assert!(said(
        100,
        "Param image['id'] is not a valid whatsapp business account media attachment ID"
    ));
    assert!(said(131_009, "Media ID is not valid"));
    assert!(!said(100, "Param to must be a number"));
    assert!(!said(131_026, "media"));
}
