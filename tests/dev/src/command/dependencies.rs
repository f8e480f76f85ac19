//! What `deny.toml` demands of the crates that we use.

use std::path::Path;
use std::process::{Command, Stdio};

use outeract_dev::{Result, root};

use super::run;

/// Checks licenses, sources and bans; advisories too where the database of them can be fetched, which is said where not.
pub(super) fn check(deny: &Path) -> Result<()> {
    let mut checks = vec!["bans", "licenses", "sources"];
    let fetched = command(deny).args(["fetch", "db"]).stderr(Stdio::null()).status();
    if fetched.is_ok_and(|status| status.success()) {
        checks.push("advisories");
    } else {
        println!("LEFT OUT: advisories, for the database of them could not be fetched");
    }
    run(command(deny).args(["--locked", "check"]).args(checks))
}

fn command(deny: &Path) -> Command {
    let mut command = Command::new(deny);
    command.current_dir(root()).stdin(Stdio::null());
    command
}
