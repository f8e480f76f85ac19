//! Load, floors and their ratios: `cargo dev bench [ingest | apply | accept | dispatch | lifecycle | fairness | backlog | recovery | memory | webhooks]…`.
//!
//! Machines are noisy and differ: figures count as ratios between the real path and a floor (the same work without storage, an echo, a bare client), measured in turns in one run, and
//! as CPU time per operation by process. Capacity is measured with a fixed number of requests in flight, latency at a fixed rate that does not wait for answers.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

mod cpu;
mod floor;
mod http;
mod load;
mod report;
mod scenario;
mod source;
mod stage;

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(worker_threads = 1)]
async fn main() -> ExitCode {
    // More than one TLS provider is compiled in: the first in a process must say which.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let words: Vec<String> = env::args().skip(1).collect();
    match run(&words).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            println!("{fault:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(words: &[String]) -> Result<()> {
    if let Some(("__floor", words)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return floor::serve(words).await;
    }
    let all = [
        "ingest",
        "apply",
        "accept",
        "dispatch",
        "lifecycle",
        "fairness",
        "backlog",
        "recovery",
        "memory",
        "webhooks",
    ];
    let chosen: Vec<&str> = if words.is_empty() {
        all.to_vec()
    } else {
        words.iter().map(String::as_str).collect()
    };
    if let Some(unknown) = chosen.iter().find(|name| !all.contains(name)) {
        bail!("there is no scenario {unknown}: choose among {}", all.join(", "));
    }
    for name in chosen {
        println!("\n=== {name} ===");
        let report = match name {
            "ingest" => scenario::ingest::run().await?,
            "apply" => scenario::apply::run().await?,
            "accept" => scenario::accept::run().await?,
            "dispatch" => scenario::dispatch::run().await?,
            "lifecycle" => scenario::lifecycle::run().await?,
            "fairness" => scenario::fairness::run().await?,
            "backlog" => scenario::backlog::run().await?,
            "recovery" => scenario::recovery::run().await?,
            "memory" => scenario::memory::run().await?,
            _ => scenario::webhooks::run().await?,
        };
        report.finish(name)?;
    }
    Ok(())
}
