//! Debian's packages, where we may install them.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::account::is_root;
use crate::{Context, Result, which};

/// Whether packages can be installed here: as root, with apt-get.
pub fn is_possible() -> bool {
    is_root() && which("apt-get").is_some()
}

/// Installs Debian packages, after refreshing the lists once.
///
/// # Errors
/// When apt-get fails, with its own words.
pub fn debian_packages(packages: &[&str]) -> Result<()> {
    static REFRESHED: AtomicBool = AtomicBool::new(false);
    if !REFRESHED.swap(true, Ordering::Relaxed) {
        apt_get(&["update", "-q"])?;
    }
    apt_get(&[&["install", "-q", "-y", "--no-install-recommends"], packages].concat())
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    // Run level 1 keeps packages from starting the servers they bring: we start our own.
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("RUNLEVEL", "1")
        .stdin(Stdio::null());
    let output = command.output().context("running apt-get")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Err(format!(
        "{said}\n`apt-get {}` failed with {}",
        arguments.join(" "),
        output.status
    )
    .into())
}
