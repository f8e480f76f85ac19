//! A place for one run: a directory, a block of ports, the processes that live there, and a guard that ends them with us.
//!
//! std cannot ask the kernel to signal children when their parent dies, so each instance has a guard: our own binary, in a process
//! group of its own, reading a pipe that only we hold. Whatever ends us, `kill -9` and Ctrl-C alike, closes the pipe; the guard
//! then ends what is on record in the directory and removes it. If the guard dies too, the next start does the same.

use std::collections::VecDeque;
use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::account::own_uid;
use crate::identity::{Identity, Signal, signal};
use crate::process::Ending;
use crate::{Context, Error, Process, Program, Result, poll, random};

/// Ports come from below the range from which systems take the ports of outgoing connections, so a killed server finds its own free.
const FIRST_PORT: u16 = 20_000;
const BLOCK: u16 = 40;
const BLOCKS: u16 = 300;
/// Ports that somebody else may listen on are skipped, down to this many in a block.
const USABLE: usize = 32;
const SERVICES_END_WITHIN: Duration = Duration::from_secs(6);
const DATABASES_END_WITHIN: Duration = Duration::from_secs(10);

/// A directory, ports and processes that end with the last handle to it, or with this process.
#[derive(Clone, Debug)]
pub struct Instance(Arc<Place>);

#[derive(Debug)]
struct Place {
    directory: PathBuf,
    helper: PathBuf,
    ports: Mutex<VecDeque<u16>>,
    guard: Child,
}

impl Instance {
    /// Makes a new instance, after clearing away those whose owner is dead.
    ///
    /// # Errors
    /// When the directory cannot be made, or `outeract-dev` is not built.
    pub fn create() -> Result<Self> {
        let helper = helper()?;
        let root = root()?;
        clear_stale(&root);
        let me = Identity::of(std::process::id()).ok_or("cannot read my own identity")?;
        let name = format!("{}-{}", me.pid, random::hex(&random::bytes::<4>()?));
        let directory = root.join(&name);
        // Under another name until its owner is on record, so that nobody takes it for a stale one.
        let draft = root.join(format!("new-{name}"));
        make_directory(&draft)?;
        make_directory(&draft.join("processes"))?;
        fs::write(draft.join("owner"), me.to_line()).context("writing the owner of an instance")?;
        fs::rename(&draft, &directory).context("naming an instance")?;
        let mut guard = Command::new(&helper);
        guard
            .arg("__guard")
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let guard = guard
            .current_dir("/")
            .process_group(0)
            .spawn()
            .context("starting the guard")?;
        let ports = Mutex::new(reserve_ports(&root, &name)?);
        Ok(Self(Arc::new(Place {
            directory,
            helper,
            ports,
            guard,
        })))
    }

    /// Its directory, which other accounts may pass through but not read.
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    /// A free port of its own.
    ///
    /// # Errors
    /// When it has handed out all of them.
    pub fn port(&self) -> Result<u16> {
        let mut ports = self
            .0
            .ports
            .lock()
            .map_err(|_| Error::from("the ports are lost: a thread panicked"))?;
        ports
            .pop_front()
            .ok_or_else(|| "this instance has no more ports".into())
    }

    /// Starts a program. `name` must be unique among those that run.
    ///
    /// # Errors
    /// When the program is missing or cannot be started.
    pub fn spawn(&self, name: &str, program: &Program) -> Result<Process> {
        Process::start(&self.0.helper, &self.0.directory, name, program)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        drop(self.guard.wait());
    }
}

/// Our own binary: this program, or its neighbour when this is a test or a benchmark.
fn helper() -> Result<PathBuf> {
    let path = binaries()?.join("outeract-dev");
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("{} is not built: run `cargo build --workspace --bins`", path.display()).into())
    }
}

/// The directory of the binaries built beside this one: `target/debug` or `target/release`.
///
/// # Errors
/// When this program is not under such a directory.
pub fn binaries() -> Result<PathBuf> {
    let me = std::env::current_exe().context("finding this program")?;
    let directory = me.parent().ok_or("this program has no directory")?;
    let directory = if directory.ends_with("deps") {
        directory.parent().unwrap_or(directory)
    } else {
        directory
    };
    Ok(directory.to_owned())
}

/// `/var/tmp` is on a disk, so a commit there means what it says; `/tmp` may be memory.
fn root() -> Result<PathBuf> {
    let uid = own_uid()?;
    let base = Some(PathBuf::from("/var/tmp"))
        .filter(|path| path.is_dir())
        .unwrap_or_else(std::env::temp_dir);
    let root = base.join(format!("outeract-dev-{uid}"));
    if !root.exists() {
        // Two of us may start at the same time.
        drop(make_directory(&root));
    }
    let facts = fs::symlink_metadata(&root).context(format_args!("looking at {}", root.display()))?;
    if !facts.is_dir() || facts.uid() != uid {
        return Err(format!("{} is not a directory of ours: remove it", root.display()).into());
    }
    drop(make_directory(&root.join("ports")));
    Ok(root)
}

/// A directory that other accounts (the one Postgres runs as) can pass through.
pub(crate) fn make_directory(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .mode(0o711)
        .create(path)
        .context(format_args!("making {}", path.display()))
}

fn reserve_ports(root: &Path, name: &str) -> Result<VecDeque<u16>> {
    let claim = root.join(name).join("claim");
    fs::write(&claim, name).context("claiming ports")?;
    let start = u16::from_be_bytes(random::bytes()?) % BLOCKS;
    for step in 0..BLOCKS {
        let first = FIRST_PORT + (start + step) % BLOCKS * BLOCK;
        let block = root.join("ports").join(first.to_string());
        let holder = fs::read_to_string(&block).unwrap_or_default();
        if !holder.is_empty() && !root.join(holder).exists() {
            drop(fs::remove_file(&block));
        }
        // A link appears with its content or not at all, and only once.
        if fs::hard_link(&claim, &block).is_err() {
            continue;
        }
        let free: VecDeque<u16> = (first..first + BLOCK).filter(|port| is_free(*port)).collect();
        if free.len() >= USABLE {
            return Ok(free);
        }
        drop(fs::remove_file(&block));
    }
    Err("no free ports between 20000 and 32000".into())
}

/// Whether nobody listens on a port of the loopback address.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// What `outeract-dev __guard <directory>` does: waits for the owner's end, then clears up after it.
pub fn guard(directory: &Path) {
    let mut nothing = Vec::new();
    // Any error on the pipe means the same as its end.
    drop(std::io::stdin().read_to_end(&mut nothing));
    clear(directory);
}

fn clear_stale(root: &Path) {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    for entry in entries {
        let owner = fs::read_to_string(entry.path().join("owner")).unwrap_or_default();
        if let Some(owner) = Identity::from_line(owner.trim())
            && !owner.is_alive()
        {
            clear(&entry.path());
        }
    }
}

/// Ends what is on record in the directory of an instance, and removes it with its ports.
fn clear(directory: &Path) {
    let records = fs::read_dir(directory.join("processes"))
        .into_iter()
        .flatten()
        .flatten();
    let records = records.filter_map(|entry| {
        let text = fs::read_to_string(entry.path()).ok()?;
        let (identity, ending) = text.trim_end().split_once('\n')?;
        Some((Identity::from_line(identity)?, ending == Ending::Last.to_word()))
    });
    let (last, first): (Vec<_>, Vec<_>) = records.partition(|(_, last)| *last);
    end(&first, Ending::First, SERVICES_END_WITHIN);
    end(&last, Ending::Last, DATABASES_END_WITHIN);
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let ports = directory.with_file_name("ports");
    for block in fs::read_dir(ports).into_iter().flatten().flatten() {
        if fs::read_to_string(block.path()).is_ok_and(|holder| holder == name) {
            drop(fs::remove_file(block.path()));
        }
    }
    drop(fs::remove_dir_all(directory));
}

fn end(processes: &[(Identity, bool)], how: Ending, limit: Duration) {
    let running = || {
        processes
            .iter()
            .map(|(identity, _)| identity)
            .filter(|identity| identity.is_alive())
    };
    running().for_each(|identity| signal(identity.pid, how.signal()));
    if poll(limit, || running().next().is_none().then_some(())).is_none() {
        running().for_each(|identity| signal(identity.pid, Signal::Kill));
    }
}
