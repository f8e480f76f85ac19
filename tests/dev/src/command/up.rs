//! `cargo dev up`: the whole suite on this machine, with a tour.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use outeract_dev::{Context as _, Process, Psql, Result, Suite, SuiteOptions, binaries, cargo};

use super::databases::Databases;
use super::metadata::with_database;
use super::run;

/// Addresses and keys of the running suite…
pub(super) const SUITE_FILE: &str = "suite.env";
/// …and the application that the tour made.
pub(super) const TOUR_FILE: &str = "tour.env";
const READY_WITHIN: Duration = Duration::from_secs(30);

/// `cargo dev up [--no-tour]`
pub(crate) fn up(arguments: &[String]) -> Result<()> {
    let tour = match arguments {
        [] => true,
        [only] if only == "--no-tour" => false,
        _ => return Err("usage: cargo dev up [--no-tour]".into()),
    };
    println!("cargo dev up: building the suite (minutes, the first time)");
    run(cargo().args(["build", "--workspace", "--bins"]))?;
    let given = std::env::var("DATABASE_URL").is_ok();
    let databases = Databases::provide()?;
    let mut database_url = databases.database_url.clone();
    if !given {
        Psql::find()?.run(&database_url, &["-c", "create database outeract"])?;
        database_url = with_database(&database_url, "outeract");
    }
    let logs = logs()?;
    let mut options = SuiteOptions::new(database_url, &databases.redis_url, &logs);
    options.documented_ports = true;
    if given {
        // The database outlasts this run, and so do the files it knows.
        options.files = logs.with_file_name("files");
    }
    let mut suite = Suite::new(&databases.instance, options)?;
    println!("making schemas");
    suite.migrate()?;
    println!(
        "starting the simulator of Meta and four services, logs in {}",
        logs.display()
    );
    suite.start(READY_WITHIN)?;
    let variables = suite.client_environment();
    let file = logs.join(SUITE_FILE);
    write_variables(&file, &variables)?;
    if tour {
        run(Command::new(binaries()?.join("outeract-tour"))
            .envs(&variables)
            .env("SUITE_TOUR_FILE", logs.join(TOUR_FILE)))?;
    } else {
        for (key, value) in &variables {
            println!("{key}={value}");
        }
    }
    println!(
        "\nAddresses and the operator key are in {}. Meanwhile, in other terminals: `cargo dev events`, `cargo dev inbound \"hi\"`. Running until Ctrl-C.",
        file.display()
    );
    watch(&mut suite)
}

/// Where a run leaves its logs and files.
pub(super) fn directory() -> Result<PathBuf> {
    let binaries = binaries()?;
    Ok(binaries.parent().unwrap_or(&binaries).join("dev/up"))
}

/// Logs of the last run are overwritten.
fn logs() -> Result<PathBuf> {
    let logs = directory()?;
    drop(fs::remove_dir_all(&logs));
    Ok(logs)
}

/// For `set -a; . suite.env` in another shell. It holds keys, so it is ours only.
fn write_variables(file: &Path, variables: &BTreeMap<String, String>) -> Result<()> {
    let lines: Vec<String> = variables
        .iter()
        .map(|(key, value)| format!("{key}='{value}'\n"))
        .collect();
    let opened = fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(file);
    opened
        .and_then(|mut file| file.write_all(lines.concat().as_bytes()))
        .context("writing suite.env")
}

/// Ctrl-C ends this process, and its guard the rest; until then, a service that ends by itself is news.
fn watch(suite: &mut Suite) -> Result<()> {
    loop {
        thread::sleep(Duration::from_millis(250));
        for replica in suite.replicas() {
            if let Some(status) = replica.exit() {
                return Err(replica.fault(&format!("ended by itself ({status})")));
            }
        }
        if let Some(status) = suite.simulator().and_then(Process::exit) {
            return Err(format!("the simulator ended by itself ({status})").into());
        }
    }
}
