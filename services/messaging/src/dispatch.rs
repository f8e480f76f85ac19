//! Sending: the owner of a number decides what goes next, makes the intent durable, calls Meta once, and records what became of it.
//!
//! Limits act by themselves, each at its own scope:
//!
//! | Limit | Where it is kept | What happens |
//! |---|---|---|
//! | A number's throughput, in and out | [`rate`], [`traffic`]: a token bucket in Redis, shared by all processes | messages wait for tokens; inbound messages spend some |
//! | One user of a number | [`scheduler`], in the owner's memory; empty after a takeover | the user's messages wait, others pass |
//! | Meta says: the number is too fast (130429) | [`throttle`] | a pause, then seven tenths of the rate, winning back a fiftieth a second |
//! | Meta says: this user, number, account, app must wait | [`scheduler`] | a pause for whom it concerns, then one message that tells; by Meta's usage header where there is one |
//! | Meta says: too much spam (131048), mislabelled templates (131064) | [`scheduler`] | campaigns of the number, or of the account, wait |
//! | Meta's host fails for many | [`breaker`] | all sending pauses, then one call tells |
//!
//! What each of Meta's codes does stands in `outeract_graph::fault`.
//!
//! Metrics, beside those of calls and hints: `messaging_window_messages` (waiting in memory), `messaging_backlogged` (classes of numbers with more in the table), `messaging_readings_total{kind}`,
//! `messaging_pair_waits_total`, `messaging_brakes_total{scope}`, `messaging_numbers_slowed`, `messaging_breaker_open`, `messaging_breaker_trips_total`, `messaging_inbound_spent_total`,
//! `messaging_inbound_unspent_total`.

mod admission;
mod answer;
mod breaker;
mod call;
mod cargo;
mod credentials;
mod driver;
mod gate;
mod hints;
mod intent;
mod media;
mod owner;
mod pass;
mod rate;
mod reader;
mod record;
mod sandbox;
mod scheduler;
mod throttle;
mod traffic;

use std::sync::Arc;
use std::time::Duration;

use outeract_buckets::Buckets;
use outeract_graph::Client;
use outeract_runtime::{Context, OnExit};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use self::breaker::Breaker;
use self::call::Line;
use self::driver::Driver;
use self::gate::Gate;
use self::owner::Owner;
use self::rate::Rate;
use crate::config::{Config, Timing};
use crate::contacts::Learner;
use crate::files::Media;
use crate::forward::Forwarder;
use crate::projection::Projection;
use crate::templates::Templates;
use crate::vault::Vault;
use crate::waiters::Waiters;
use crate::window::Windows;

pub(crate) use self::credentials::{Credential, Credentials, NoCredential};
pub(crate) use self::gate::{Aftermath, Refused, TemplateName, Terms};
pub(crate) use self::hints::{Fresh, Hinted, Hints, LONGEST_WAIT};
pub(crate) use self::reader::{BUSY, ReadError, Reader};
pub(crate) use self::record::{Finding, Note, Noted, Recorder};
pub(crate) use self::traffic::{Came, Traffic};

/// What sending needs of the rest of the service.
pub(crate) struct Needs {
    pub config: Config,
    pub timing: Timing,
    /// This process, as the others know it.
    pub worker: Uuid,
    pub vault: Vault,
    pub projection: Projection,
    pub windows: Windows,
    pub aftermath: Aftermath,
    pub waiters: Waiters,
    pub forwarder: Forwarder,
    pub credentials: Credentials,
    pub graph: Client,
    pub media: Media,
    pub buckets: Buckets,
    pub templates: Templates,
    pub learner: Learner,
}

/// What the rest of the service has of sending.
pub(crate) struct Dispatch {
    pub hints: Hints,
    pub recorder: Recorder,
    pub reader: Reader,
    pub traffic: Traffic,
}

/// Between the statements that write intents, and those that record outcomes, while there are few of them: little beside a call to Meta, and at a steady rate several share a commit.
const PACE: Duration = Duration::from_millis(5);
/// Commands that wait for the driver.
const COMMANDS: usize = 1_024;

/// Begins to send, in tasks of `context`.
#[expect(clippy::too_many_lines, reason = "a list of what there is, in the order it is made")]
pub(crate) fn start(context: &Context, needs: Needs) -> Dispatch {
    let Needs {
        config,
        timing,
        worker,
        vault,
        projection,
        windows,
        aftermath,
        waiters,
        forwarder,
        credentials,
        graph,
        media,
        buckets,
        templates,
        learner,
    } = needs;
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let (answers, answered) = mpsc::channel(COMMANDS);
    let (routes, known_routes) = watch::channel(Arc::default());

    let record = record::Record {
        db: context.db.clone(),
        vault: vault.clone(),
        waiters: waiters.clone(),
        forwarder: forwarder.clone(),
        aftermath: aftermath.clone(),
    };
    let (recorder, record_flushers) = Recorder::new(record);
    let (intents, intent_flushers) = intent::intents(intent::Begin {
        db: context.db.clone(),
        worker,
    });
    let (loads, load_flushers) = intent::loads(intent::Load { db: context.db.clone() });
    let (judge, gate_flushers) = gate::judges(context.db.clone(), windows.clone());
    let (asides, aside_flushers) = gate::asides(gate::Aside {
        db: context.db.clone(),
        worker,
        waiters: waiters.clone(),
        forwarder,
    });
    for flusher in record_flushers {
        context
            .tasks
            .spawn("dispatch.record", OnExit::StopProcess, flusher.run());
    }
    for flusher in intent_flushers {
        context
            .tasks
            .spawn("dispatch.intent", OnExit::StopProcess, flusher.run());
    }
    for flusher in load_flushers {
        context.tasks.spawn("dispatch.load", OnExit::StopProcess, flusher.run());
    }

    let reader = Reader::new(credentials.clone(), graph.clone());
    for flusher in gate_flushers {
        context.tasks.spawn("dispatch.gate", OnExit::StopProcess, flusher.run());
    }
    for flusher in aside_flushers {
        context
            .tasks
            .spawn("dispatch.aside", OnExit::StopProcess, flusher.run());
    }

    let line = Arc::new(Line {
        vault,
        random: Arc::clone(&context.random),
        projection: projection.clone(),
        credentials,
        graph,
        media,
        intents,
        loads,
        gate: Gate::new(windows, judge),
        asides,
        aftermath,
        recorder: recorder.clone(),
        breaker: Breaker::default(),
        templates,
        learner,
        timing,
        answers,
    });
    let (traffic, spending) = traffic::traffic(buckets.clone());
    context.tasks.spawn("dispatch.traffic", OnExit::StopProcess, spending);
    let driver = Driver::new(
        driver::Parts {
            db: context.db.clone(),
            worker,
            line,
            rate: Rate::new(buckets),
            waiters: waiters.clone(),
            calls_in_flight: config.calls_in_flight,
            pair_rate: config.pair_rate,
            unknown_after: config.unknown_after,
        },
        inbox,
        answered,
        context.stop.clone(),
    );
    context.tasks.spawn("dispatch", OnExit::StopProcess, driver.run());

    let owner = Owner::new(
        context.db.clone(),
        worker,
        config.advertise_url.to_string(),
        projection,
        timing,
        commands.clone(),
        routes,
    );
    context
        .tasks
        .spawn("dispatch.owner", OnExit::StopProcess, owner.run(context.stop.clone()));

    let hints = Hints::new(context, commands, known_routes, waiters);
    Dispatch {
        hints,
        recorder,
        reader,
        traffic,
    }
}
