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

#[test]
fn each_rule_is_needed() {
    let double = "at most one acceptance, two under RESEND";
    let stuck = "nothing is stuck while the owner lives";
    let untrue = "what is recorded as accepted was accepted";
    let ended = "a refused or canceled message was not accepted and will not be";
    let mutants = [
        (
            "no fence and no state check",
            Policy::Hold,
            Rules {
                fence: false,
                state_check: false,
                ..Rules::ALL
            },
            double,
        ),
        (
            "no fence and a single sweep",
            Policy::Hold,
            Rules {
                fence: false,
                repeated_sweep: false,
                ..Rules::ALL
            },
            stuck,
        ),
        (
            "no durable intent",
            Policy::Hold,
            Rules {
                durable_intent: false,
                ..Rules::ALL
            },
            double,
        ),
        (
            "sweep to QUEUED",
            Policy::Hold,
            Rules {
                sweep_to_unknown: false,
                ..Rules::ALL
            },
            double,
        ),
        (
            "recording without the attempt",
            Policy::Hold,
            Rules {
                record_by_attempt: false,
                ..Rules::ALL
            },
            double,
        ),
        (
            "a reused attempt number",
            Policy::Hold,
            Rules {
                attempt_grows: false,
                ..Rules::ALL
            },
            double,
        ),
        (
            "an uncounted resend",
            Policy::Resend,
            Rules {
                resend_counted: false,
                ..Rules::ALL
            },
            double,
        ),
        (
            "a foreign echo",
            Policy::Hold,
            Rules {
                echo_checked: false,
                ..Rules::ALL
            },
            untrue,
        ),
        (
            "a library retry",
            Policy::Hold,
            Rules {
                no_library_retry: false,
                ..Rules::ALL
            },
            double,
        ),
        (
            "ending with an unsettled attempt",
            Policy::Resend,
            Rules {
                unsettled_checked: false,
                ..Rules::ALL
            },
            ended,
        ),
    ];
    for (name, policy, rules, promise) in mutants {
        assert!(
            breaks(policy, rules, promise),
            "without its rule, «{name}» should break «{promise}»"
        );
    }
}
