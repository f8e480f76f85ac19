use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use outeract_postgres::{check_schema, migrate};
use outeract_rpc::BoxError;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::base::{self, Base};
use crate::config::Env;
use crate::process::{Instruments, Outcome, Process, context};
use crate::service::Service;
use crate::tasks::{OnExit, Tasks};
use crate::telemetry::Telemetry;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Serve,
    Migrate,
    ConfigCheck,
    Help,
    Own(String),
}

/// Exit codes of `sysexits.h`, for those who script.
const USAGE: u8 = 64;
const CONFIG: u8 = 78;

/// Runs a service's binary: its command line, its configuration, its life.
pub fn main<S: Service>() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(command) = parse::<S>(&arguments) else {
        say(&usage::<S>());
        return ExitCode::from(USAGE);
    };
    let env = Env::of_process();
    match command {
        Command::Help => {
            say(&usage::<S>());
            ExitCode::SUCCESS
        }
        Command::ConfigCheck => check_config::<S>(&env),
        Command::Serve | Command::Migrate | Command::Own(_) => run::<S>(&env, &command),
    }
}

fn parse<S: Service>(arguments: &[String]) -> Option<Command> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["serve"] => Some(Command::Serve),
        ["migrate"] => Some(Command::Migrate),
        ["config", "check"] => Some(Command::ConfigCheck),
        ["help" | "--help" | "-h"] => Some(Command::Help),
        [own] if S::COMMANDS.iter().any(|(name, _)| name == own) => Some(Command::Own((*own).to_owned())),
        _ => None,
    }
}

fn usage<S: Service>() -> String {
    let mut text = format!(
        "outeract-{} <command>\n\n  serve         run the service (also without a command)\n  migrate       bring the schema up to date\n  \
         config check  show the configuration as it would take effect, and every fault of it\n",
        S::NAME
    );
    for (name, what) in S::COMMANDS {
        let _ = writeln!(text, "  {name:<12}  {what}");
    }
    text
}

fn check_config<S: Service>(env: &Env) -> ExitCode {
    let (lines, outcome) = base::check::<S>(env);
    say(&format!("{}\n", lines.join("\n")));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(faults) => {
            say(&format!("{faults}\n"));
            ExitCode::from(CONFIG)
        }
    }
}

fn run<S: Service>(env: &Env, command: &Command) -> ExitCode {
    // Two providers are linked; rustls refuses to pick one by itself. Only a second call fails, and this is the first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (base, config) = match base::read::<S>(env) {
        Ok(both) => both,
        Err(faults) => {
            complain(&faults.to_string());
            return ExitCode::from(CONFIG);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => {
            complain(&format!("cannot begin: {cause}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run_in_runtime::<S>(base, config, command));
    // Bounded, unlike a drop: nothing that still blocks a thread keeps the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

async fn run_in_runtime<S: Service>(base: Base, config: S::Config, command: &Command) -> ExitCode {
    let telemetry = match Telemetry::install(S::NAME, &base.log, base.otlp.as_ref()) {
        Ok(telemetry) => telemetry,
        Err(cause) => {
            complain(&format!("cannot set up telemetry: {cause}"));
            return ExitCode::FAILURE;
        }
    };
    let ended = match command {
        Command::Serve => serve::<S>(base, config, &telemetry).await,
        Command::Migrate => migrate_schema::<S>(&base).await,
        Command::Own(name) => own_command::<S>(&base, config, name).await,
        Command::ConfigCheck | Command::Help => Ok(ExitCode::SUCCESS),
    };
    let code = ended.unwrap_or_else(|cause| {
        tracing::error!(cause = %Causes(cause.as_ref()), "Failed");
        ExitCode::FAILURE
    });
    telemetry.flush().await;
    code
}

async fn serve<S: Service>(base: Base, config: S::Config, telemetry: &Telemetry) -> Result<ExitCode, BoxError> {
    let mut signals = Signals::listen()?;
    let instruments = Instruments::of(telemetry);
    // A signal may come while the process still begins.
    let watcher = Tasks::new(crate::stop::Stop::new());
    let process = tokio::select! {
        started = Process::start_with::<S>(base, config, instruments) => started?,
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    let stop = process.stopper();
    watcher.spawn("signals", OnExit::Continue, async move {
        loop {
            signals.next().await;
            stop();
        }
    });
    Ok(match process.wait().await {
        Outcome::Finished => ExitCode::SUCCESS,
        Outcome::Forced | Outcome::Failed => ExitCode::FAILURE,
    })
}

async fn migrate_schema<S: Service>(base: &Base) -> Result<ExitCode, BoxError> {
    let context = context::<S>(base).await?;
    migrate(&context.db, S::migrator()).await?;
    tracing::info!("The schema is up to date");
    Ok(ExitCode::SUCCESS)
}

async fn own_command<S: Service>(base: &Base, config: S::Config, name: &str) -> Result<ExitCode, BoxError> {
    let context = context::<S>(base).await?;
    check_schema(&context.db, S::migrator()).await?;
    S::command(name, context, config).await?;
    Ok(ExitCode::SUCCESS)
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

// === impl Signals ===

impl Signals {
    fn listen() -> Result<Self, std::io::Error> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// An error and its causes on one line.
struct Causes<'a>(&'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self.0, f)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
