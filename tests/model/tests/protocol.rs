//! The send protocol keeps its promises, and each of its rules is needed for that.

use outeract_model::{Policy, Protocol, Rules};
use stateright::{Checker, CheckerBuilder, HasDiscoveries, Model};

/// What can happen to a message beside the calls themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Around {
    /// Many crashes and commits of unknown outcome.
    Faults,
    /// A crash; its time runs out, and a person decides about an unknown outcome.
    Lifetime,
}

fn checker(policy: Policy, around: Around, rules: Rules) -> CheckerBuilder<Protocol> {
    let lifetime = around == Around::Lifetime;
    Protocol {
        policy,
        rules,
        attempts: if lifetime { 3 } else { 4 },
        crashes: if lifetime { 1 } else { 2 },
        doubts: if lifetime { 0 } else { 2 },
        lapses: lifetime,
        looks: u8::from(lifetime),
    }
    .checker()
    .threads(2)
}

/// Whether leaving a rule out breaks the promise; stops as soon as it does.
fn breaks(policy: Policy, around: Around, rules: Rules, promise: &'static str) -> bool {
    let found = HasDiscoveries::AllOf([promise].into());
    checker(policy, around, rules)
        .finish_when(found)
        .spawn_bfs()
        .join()
        .discovery(promise)
        .is_some()
}

#[test]
fn the_protocol_keeps_its_promises_under_every_policy() {
    for around in [Around::Faults, Around::Lifetime] {
        for policy in [Policy::Hold, Policy::Resend, Policy::Fail] {
            let checker = checker(policy, around, Rules::ALL).spawn_bfs().join();
            println!(
                "{around:?}, {policy:?}: {} states, depth {}",
                checker.unique_state_count(),
                checker.max_depth()
            );
            checker.assert_properties();
        }
    }
}

const DOUBLE: &str = "at most one acceptance, two under RESEND, and one more for each decision of a person";
const STUCK: &str = "nothing is stuck while the owner lives";
const UNTRUE: &str = "what is recorded as accepted was accepted";
const ENDED: &str = "a refused, canceled or expired message was not accepted and will not be";
const LATE: &str = "no call is announced after the message's time";

/// The protocol without some of its rules.
type Mutation = fn(Rules) -> Rules;

/// What is left out, and the promise that breaks.
const MUTANTS: &[(&str, Policy, Around, Mutation, &str)] = &[
    (
        "no fence, no state check",
        Policy::Hold,
        Around::Faults,
        |all| Rules {
            fence: false,
            state_check: false,
            ..all
        },
        DOUBLE,
    ),
    (
        "no fence, a single sweep",
        Policy::Hold,
        Around::Faults,
        |all| Rules {
            fence: false,
            repeated_sweep: false,
            ..all
        },
        STUCK,
    ),
    (
        "no durable intent",
        Policy::Hold,
        Around::Faults,
        |all| Rules {
            durable_intent: false,
            ..all
        },
        DOUBLE,
    ),
    (
        "sweep to QUEUED",
        Policy::Hold,
        Around::Faults,
        |all| Rules {
            sweep_to_unknown: false,
            ..all
        },
        DOUBLE,
    ),
    (
        "recording without the attempt",
        Policy::Hold,
        Around::Faults,
        |all| Rules {
            record_by_attempt: false,
            ..all
        },
        DOUBLE,
    ),
    (
        "a reused attempt number",
        Policy::Hold,
        Around::Faults,
        |all| Rules {
            attempt_grows: false,
            ..all
        },
        DOUBLE,
    ),
    (
        "an uncounted resend",
        Policy::Resend,
        Around::Faults,
        |all| Rules {
            resend_counted: false,
            ..all
        },
        DOUBLE,
    ),
    (
        "a foreign echo",
        Policy::Hold,
        Around::Faults,
        |all| Rules {
            echo_checked: false,
            ..all
        },
        UNTRUE,
    ),
    (
        "a library retry",
        Policy::Hold,
        Around::Faults,
        |all| Rules {
            no_library_retry: false,
            ..all
        },
        DOUBLE,
    ),
    (
        "ending with an unsettled attempt",
        Policy::Resend,
        Around::Faults,
        |all| Rules {
            unsettled_checked: false,
            ..all
        },
        ENDED,
    ),
    (
        "a cancel that ignores unsettled attempts",
        Policy::Resend,
        Around::Lifetime,
        |all| Rules {
            cancel_checked: false,
            ..all
        },
        ENDED,
    ),
    (
        "an expiry that ignores unsettled attempts",
        Policy::Resend,
        Around::Lifetime,
        |all| Rules {
            expiry_checked: false,
            ..all
        },
        ENDED,
    ),
    (
        "a cancel of what an intent was written for",
        Policy::Hold,
        Around::Lifetime,
        |all| Rules {
            cancel_queued_only: false,
            ..all
        },
        ENDED,
    ),
    (
        "an intent after the message's time",
        Policy::Hold,
        Around::Lifetime,
        |all| Rules {
            intent_in_time: false,
            ..all
        },
        LATE,
    ),
    (
        "a decision about another attempt than was seen",
        Policy::Hold,
        Around::Lifetime,
        |all| Rules {
            decision_by_attempt: false,
            ..all
        },
        DOUBLE,
    ),
];

#[test]
fn each_rule_is_needed() {
    for (name, policy, around, mutate, promise) in MUTANTS {
        let broken = breaks(*policy, *around, mutate(Rules::ALL), promise);
        assert!(broken, "without its rule, «{name}» should break «{promise}»");
    }
}
