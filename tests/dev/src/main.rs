//! `cargo dev`: sets up, runs, tests and measures the suite. See the README.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod command;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

const HELP: &str = "\
cargo dev up [--no-tour]       run the suite here with a simulator of Meta, and show one message's life
cargo dev events               follow the events of the tour's application while `up` runs, one line each
cargo dev inbound TEXT [--from +14155559999] [--kind text|image|sticker|location|unsupported]
                               a user writes to the business while `up` runs
cargo dev test [arguments]     every check, then `cargo test --workspace`; with arguments only `cargo test` with them
cargo dev bench [scenario…]    release binaries, load and floors; JSON under target/bench/
cargo dev sqlx [--check] [service…]
                               write services/<service>/.sqlx anew from its migrations and SQL, or only compare
cargo dev help                 this

DATABASE_URL (a user that may create databases and roles) and REDIS_URL are used if set. Otherwise private servers are
started on random ports, from the programs on this machine or, as root on Debian, from its packages. Nothing stays behind.";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (name, rest) = match arguments.split_first() {
        Some((name, rest)) => (name.to_string_lossy().into_owned(), rest),
        None => ("help".to_owned(), [].as_slice()),
    };
    let words: Vec<String> = rest
        .iter()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let outcome = match name.as_str() {
        "up" => command::up(&words),
        "test" => command::test(&words),
        "bench" => command::bench(&words),
        "events" => command::events(&words),
        "inbound" => command::inbound(&words),
        "sqlx" => command::sqlx(&words),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        // For our own children only: see the modules `instance` and `process`.
        "__guard" => {
            outeract_dev::guard(Path::new(&words.concat()));
            Ok(())
        }
        "__exec" => Err(outeract_dev::exec(rest)),
        _ => Err(format!("there is no `cargo dev {name}`\n\n{HELP}").into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("cargo dev {name}: {fault}");
            ExitCode::FAILURE
        }
    }
}
