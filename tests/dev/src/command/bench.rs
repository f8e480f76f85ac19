//! `cargo dev bench`: release binaries under load. The load generator starts servers of its own, set up for measuring.

use std::process::Command;

use outeract_dev::{PostgresPrograms, RedisProgram, Result, binaries, cargo, root};

use super::run;

/// `cargo dev bench [scenario…]`
pub(crate) fn bench(scenarios: &[String]) -> Result<()> {
    println!("cargo dev bench: building release binaries (minutes, the first time)");
    PostgresPrograms::find_or_install()?;
    RedisProgram::find_or_install()?;
    run(cargo().args(["build", "--release", "--workspace", "--bins"]))?;
    let program = binaries()?.with_file_name("release").join("outeract-bench");
    run(Command::new(program).args(scenarios).current_dir(root()))
}
