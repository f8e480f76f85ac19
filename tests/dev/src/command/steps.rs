//! A list of checks: each is run, timed and summed up.

use std::time::{Duration, Instant};

use outeract_dev::Result;

enum Outcome {
    Passed,
    Failed(String),
    LeftOut(String),
}

/// The checks so far.
#[derive(Default)]
pub(super) struct Steps {
    done: Vec<(&'static str, Duration, Outcome)>,
}

impl Steps {
    /// Runs a check; a failure does not keep the next ones from running.
    pub(super) fn run(&mut self, name: &'static str, check: impl FnOnce() -> Result<()>) {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = match check() {
            Ok(()) => Outcome::Passed,
            Err(fault) => {
                println!("{fault}");
                Outcome::Failed(fault.to_string().lines().next().unwrap_or_default().to_owned())
            }
        };
        self.done.push((name, start.elapsed(), outcome));
    }

    /// Records a check that cannot run on this machine. In CI (`CI=true`) that is a failure.
    pub(super) fn leave_out(&mut self, name: &'static str, why: &str) {
        println!("\n== {name}\nleft out: {why}");
        let outcome = if is_ci() {
            Outcome::Failed(why.to_owned())
        } else {
            Outcome::LeftOut(why.to_owned())
        };
        self.done.push((name, Duration::ZERO, outcome));
    }

    /// Runs a check that needs `tool`, or leaves it out.
    pub(super) fn run_with<T>(&mut self, name: &'static str, tool: &Result<T>, check: impl FnOnce(&T) -> Result<()>) {
        match tool {
            Ok(tool) => self.run(name, || check(tool)),
            Err(why) => self.leave_out(name, &why.to_string()),
        }
    }

    /// Prints the summary; fails if any check did.
    pub(super) fn finish(self) -> Result<()> {
        println!("\n== summary");
        let mut failures = 0;
        for (name, took, outcome) in &self.done {
            let seconds = took.as_secs_f64();
            match outcome {
                Outcome::Passed => println!("passed   {seconds:7.1} s  {name}"),
                Outcome::LeftOut(why) => println!("left out            {name}: {why}"),
                Outcome::Failed(why) => {
                    failures += 1;
                    println!("FAILED   {seconds:7.1} s  {name}: {why}");
                }
            }
        }
        if failures == 0 {
            Ok(())
        } else {
            Err(format!("{failures} of {} checks failed", self.done.len()).into())
        }
    }
}

/// Whether a missing tool is an error.
fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}
