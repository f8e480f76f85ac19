//! The contract: buf's rules, its format, and no break against the newest release.

use std::path::Path;
use std::process::Command;

use outeract_dev::{Context as _, Result, root};

use super::run;

/// `buf lint` and `buf format`.
pub(super) fn lint(buf: &Path) -> Result<()> {
    run(Command::new(buf).arg("lint").current_dir(root()))?;
    run(Command::new(buf)
        .args(["format", "--diff", "--exit-code"])
        .current_dir(root()))
}

/// `buf breaking` against the newest release tag, if there is one.
pub(super) fn breaking(buf: &Path) -> Result<()> {
    let mut git = Command::new("git");
    git.args(["tag", "--list", "v[0-9]*", "--sort=-version:refname"])
        .current_dir(root());
    let tags = git.output().context("listing release tags")?;
    let tags = String::from_utf8_lossy(&tags.stdout).into_owned();
    let Some(newest) = tags.lines().find(|tag| !tag.contains('-')) else {
        println!("no release yet, so nothing to break");
        return Ok(());
    };
    run(Command::new(buf)
        .args(["breaking", "--against", &format!(".git#tag={newest}")])
        .current_dir(root()))
}
