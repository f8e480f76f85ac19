//! The simulator as a process of its own: it outlives what is killed around it.

use std::process::ExitCode;

use outeract_simulator::control::{NewWorld, Tier};
use outeract_simulator::{Config, Simulator, StatusDelays};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
outeract-simulator: a simulator of Meta's Graph API and webhooks

Usage: outeract-simulator [OPTION VALUE]...

Each option can also be set by the environment variable beside it; the option wins.
  --listen ADDRESS           SIMULATOR_LISTEN          where it listens [127.0.0.1:7050]
  --app-id ID                META_APP_ID               the Meta app
  --app-secret SECRET        META_APP_SECRET           the app's secret: signs webhooks, proves tokens
  --verify-token TOKEN       META_VERIFY_TOKEN         presented in the handshake
  --webhook-url URL          SIMULATOR_WEBHOOK_URL     the callback; without it none until the app subscribes
  --seed NUMBER              SIMULATOR_SEED            of ids, delays and probabilities [1]
  --require-proof BOOL       SIMULATOR_REQUIRE_PROOF   refuse calls without appsecret_proof [true]
  --status-delays MS         SIMULATOR_STATUS_DELAYS   before sent, delivered and read, as three ranges [20-60,50-250,100-800]
  --webhook-connections N    SIMULATOR_WEBHOOK_CONNECTIONS  POSTs under way at once [4]
  --webhook-items N          SIMULATOR_WEBHOOK_ITEMS   most items in one POST [100]
  --numbers N                SIMULATOR_NUMBERS         makes a world at once: this many numbers in one WABA; prints it as JSON [0]

/bare/... answers without any check, ledger or webhook: the floor for benchmarks.
/control/... is the control API; see tests/simulator/README.md.
";

struct Options {
    config: Config,
    numbers: usize,
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people and scripts"
)]
fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let outcome = options(&arguments, |key| std::env::var(key).ok())
        .map_err(anyhow::Error::msg)
        .and_then(run);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("outeract-simulator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "a program for people and scripts")]
#[tokio::main]
async fn run(options: Options) -> anyhow::Result<()> {
    let handle = Simulator::start(options.config).await?;
    println!("listening on {}", handle.url());
    if options.numbers > 0 {
        let new = NewWorld {
            numbers_per_waba: options.numbers,
            tier: Tier::Unlimited,
            ..NewWorld::default()
        };
        println!(
            "{}",
            serde_json::to_string(&handle.client()?.create_world(&new).await?)?
        );
    }
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        result = tokio::signal::ctrl_c() => result?,
    }
    handle.stop().await;
    Ok(())
}

/// Reads options, then the environment, then defaults.
fn options(arguments: &[String], environment: impl Fn(&str) -> Option<String>) -> Result<Options, String> {
    let known = HELP.lines().filter_map(|line| {
        let mut words = line.strip_prefix("  --")?.split_whitespace();
        Some((words.next()?, words.nth(1)?))
    });
    let known: Vec<_> = known.collect();
    for option in arguments.iter().step_by(2) {
        let name = option.strip_prefix("--").unwrap_or_default();
        if !known.iter().any(|(option, _)| *option == name) {
            return Err(format!("unknown option {option}; see --help"));
        }
    }
    let value = |name: &str| {
        let at = arguments
            .iter()
            .position(|argument| argument.strip_prefix("--") == Some(name));
        let (_, key) = known.iter().find(|(option, _)| *option == name)?;
        at.map_or_else(
            || environment(key),
            |at| Some(arguments.get(at + 1).cloned().unwrap_or_default()),
        )
    };
    let mut config = Config {
        listen: parse(
            "listen",
            Some(value("listen").unwrap_or_else(|| "127.0.0.1:7050".to_owned())),
        )?
        .unwrap_or_else(|| ([127, 0, 0, 1], 7050).into()),
        webhook_url: value("webhook-url"),
        ..Config::default()
    };
    config.app_id = value("app-id").unwrap_or(config.app_id);
    config.app_secret = value("app-secret").unwrap_or(config.app_secret);
    config.verify_token = value("verify-token").unwrap_or(config.verify_token);
    config.seed = parse("seed", value("seed"))?.unwrap_or(config.seed);
    config.require_proof = parse("require-proof", value("require-proof"))?.unwrap_or(config.require_proof);
    let webhooks = &mut config.webhooks;
    webhooks.connections = parse("webhook-connections", value("webhook-connections"))?.unwrap_or(webhooks.connections);
    webhooks.max_items = parse("webhook-items", value("webhook-items"))?.unwrap_or(webhooks.max_items);
    if let Some(text) = value("status-delays") {
        config.statuses = delays(&text).ok_or("status-delays must be like 20-60,50-250,100-800")?;
    }
    Ok(Options {
        numbers: parse("numbers", value("numbers"))?.unwrap_or(0),
        config,
    })
}

fn parse<T: std::str::FromStr>(name: &str, value: Option<String>) -> Result<Option<T>, String> {
    value
        .map(|text| text.parse().map_err(|_| format!("--{name}: {text:?} is not valid")))
        .transpose()
}

fn delays(text: &str) -> Option<StatusDelays> {
    let mut ranges = text.split(',').map(|range| {
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        Some((low.parse().ok()?, high.parse().ok()?))
    });
    let delays = StatusDelays {
        sent_ms: ranges.next()??,
        delivered_ms: ranges.next()??,
        read_ms: ranges.next()??,
        ..StatusDelays::default()
    };
    ranges.next().is_none().then_some(delays)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Options, String> {
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        options(&arguments, |key| (key == "SIMULATOR_SEED").then(|| "9".to_owned()))
    }

    #[test]
    fn options_win_over_the_environment() {
        let options = read(&["--numbers", "3", "--status-delays", "0,1-2,3"]).expect("options");
        assert_eq!((options.numbers, options.config.seed), (3, 9));
        assert_eq!(options.config.statuses.delivered_ms, (1, 2));
        assert_eq!(read(&["--seed", "4"]).expect("options").config.seed, 4);
        assert!(read(&["--surprise", "4"]).is_err() && read(&["--seed", "x"]).is_err());
    }
}
