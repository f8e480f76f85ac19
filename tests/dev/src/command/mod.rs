//! What each word after `cargo dev` does.

mod bench;
mod contracts;
mod databases;
mod dependencies;
mod local;
mod manifests;
mod metadata;
mod steps;
mod test;
mod tools;
mod up;

pub(crate) use bench::bench;
pub(crate) use local::{events, inbound};
pub(crate) use metadata::sqlx;
pub(crate) use test::test;
pub(crate) use up::up;

use std::process::Command;

use outeract_dev::{Context as _, Result};

/// Shows a command, runs it with our terminal and expects success.
fn run(command: &mut Command) -> Result<()> {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    let mut line = words.join(" ");
    if let Some(name) = words.first().and_then(|program| program.rsplit('/').next()) {
        line = [&[name.into()], &words[1..]].concat().join(" ");
    }
    println!("$ {line}");
    quietly(command)
}

/// Runs a command with our terminal and expects success.
fn quietly(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let line = program.rsplit('/').next().unwrap_or(&program).to_owned();
    let status = command.status().context(format_args!("running {line}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{line}` failed ({status})").into())
    }
}
