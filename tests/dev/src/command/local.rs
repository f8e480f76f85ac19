//! `cargo dev events` and `cargo dev inbound`: both directions of the suite that `cargo dev up` runs.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use outeract_dev::{Result, binaries};

use super::{quietly, up};

const PATIENCE: Duration = Duration::from_secs(1);

/// `cargo dev events`
pub(crate) fn events(arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() {
        return Err("usage: cargo dev events".into());
    }
    run("events", &[])
}

/// `cargo dev inbound "text" [--from +14155559999] [--kind image]`
pub(crate) fn inbound(arguments: &[String]) -> Result<()> {
    if arguments.is_empty() {
        return Err(
            "usage: cargo dev inbound \"text\" [--from +14155559999] [--kind text|image|sticker|location|unsupported]"
                .into(),
        );
    }
    run("inbound", arguments)
}

/// The program was built by `up`, for its binaries run.
fn run(word: &str, arguments: &[String]) -> Result<()> {
    let variables = running()?;
    let program = binaries()?.join("outeract-local");
    quietly(Command::new(program).arg(word).args(arguments).envs(variables))
}

/// What the running `cargo dev up` wrote down.
fn running() -> Result<BTreeMap<String, String>> {
    let directory = up::directory()?;
    let suite = read(&directory.join(up::SUITE_FILE));
    let answers = suite
        .get("SUITE_TRACKING_URL")
        .and_then(|url| url.strip_prefix("http://")?.parse::<SocketAddr>().ok())
        .is_some_and(|address| TcpStream::connect_timeout(&address, PATIENCE).is_ok());
    if !answers {
        return Err("nothing runs here: start `cargo dev up` in another terminal and leave it running".into());
    }
    let tour = read(&directory.join(up::TOUR_FILE));
    if tour.is_empty() {
        return Err("there is no application yet: the tour of `cargo dev up` makes one (it may still be at it, or was left out by --no-tour)".into());
    }
    Ok(suite.into_iter().chain(tour).collect())
}

/// Lines `NAME='value'`; nothing of a file that is not there.
fn read(file: &PathBuf) -> BTreeMap<String, String> {
    parse(&fs::read_to_string(file).unwrap_or_default())
}

fn parse(text: &str) -> BTreeMap<String, String> {
    let variable = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.to_owned(), value.trim_matches('\'').to_owned()))
    };
    text.lines().filter_map(variable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_as_they_were_written() {
        let read = parse("SUITE_A_URL='http://127.0.0.1:7040'\nSUITE_KEY='otr_test_a=b'\nnothing\n");
        assert_eq!(read["SUITE_A_URL"], "http://127.0.0.1:7040");
        assert_eq!(read["SUITE_KEY"], "otr_test_a=b");
        assert_eq!(read.len(), 2);
    }
}
