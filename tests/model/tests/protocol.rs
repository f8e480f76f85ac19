//! The send protocol keeps its promises, and each of its rules is needed for that.

use outeract_model::{Policy, Protocol, Rules};
use stateright::{Checker, CheckerBuilder, HasDiscoveries, Model};

fn checker(policy: Policy, rules: Rules) -> CheckerBuilder<Protocol> {
    Protocol {
        policy,
        rules,
        crashes: 2,
        doubts: 2,
    }
    .checker()
    .threads(2)
}

/// Whether leaving a rule out breaks the promise; stops as soon as it does.
fn breaks(policy: Policy, rules: Rules, promise: &'static str) -> bool {
    let found = HasDiscoveries::AllOf([promise].into());
    checker(policy, rules)
        .finish_when(found)
        .spawn_bfs()
        .join()
        .discovery(promise)
        .is_some()
}

#[test]
fn the_protocol_keeps_its_promises_under_every_policy() {
    for policy in [Policy::Hold, Policy::Resend, Policy::Fail] {
        let checker = checker(policy, Rules::ALL).spawn_bfs().join();
        println!(
            "{policy:?}: {} states, depth {}",
            checker.unique_state_count(),
            checker.max_depth()
        );
        checker.assert_properties();
    }
}

const DOUBLE: &str = "at most one acceptance, two under RESEND";
const STUCK: &str = "nothing is stuck while the owner lives";
const UNTRUE: &str = "what is recorded as accepted was accepted";
const ENDED: &str = "a refused or canceled message was not accepted and will not be";

/// The protocol without some of its rules.
type Mutation = fn(Rules) -> Rules;

/// What is left out, and the promise that breaks.
const MUTANTS: &[(&str, Policy, Mutation, &str)] = &[
    (
        "no fence, no state check",
        Policy::Hold,
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
        |all| Rules {
            durable_intent: false,
            ..all
        },
        DOUBLE,
    ),
    (
        "sweep to QUEUED",
        Policy::Hold,
        |all| Rules {
            sweep_to_unknown: false,
            ..all
        },
        DOUBLE,
    ),
    (
        "recording without the attempt",
        Policy::Hold,
        |all| Rules {
            record_by_attempt: false,
            ..all
        },
        DOUBLE,
    ),
    (
        "a reused attempt number",
        Policy::Hold,
        |all| Rules {
            attempt_grows: false,
            ..all
        },
        DOUBLE,
    ),
    (
        "an uncounted resend",
        Policy::Resend,
        |all| Rules {
            resend_counted: false,
            ..all
        },
        DOUBLE,
    ),
    (
        "a foreign echo",
        Policy::Hold,
        |all| Rules {
            echo_checked: false,
            ..all
        },
        UNTRUE,
    ),
    (
        "a library retry",
        Policy::Hold,
        |all| Rules {
            no_library_retry: false,
            ..all
        },
        DOUBLE,
    ),
    (
        "ending with an unsettled attempt",
        Policy::Resend,
        |all| Rules {
            unsettled_checked: false,
            ..all
        },
        ENDED,
    ),
];

#[test]
fn each_rule_is_needed() {
    for (name, policy, mutate, promise) in MUTANTS {
        let broken = breaks(*policy, mutate(Rules::ALL), promise);
        assert!(broken, "without its rule, «{name}» should break «{promise}»");
    }
}
