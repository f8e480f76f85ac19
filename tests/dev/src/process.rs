//! One child process: how it is started and ended.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::account::Account;
use crate::identity::{Identity, Signal, signal};
use crate::{Context, Error, Result, poll};

/// When a process is ended at the close of an instance, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// First, by SIGTERM: whatever uses the databases.
    First,
    /// When the first are gone, by SIGINT: Postgres and Redis.
    Last,
}

/// A program with everything needed to run it, again and again.
#[derive(Clone, Debug)]
pub struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) account: Option<Account>,
    pub(crate) log: PathBuf,
    pub(crate) ending: Ending,
}

impl Program {
    /// A program whose output is appended to `log`. Of our own environment it gets only `PATH` and `RUST_BACKTRACE`.
    pub fn new(path: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        let inherited = ["PATH", "RUST_BACKTRACE"];
        let environment = inherited
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), std::env::var(key).ok()?)));
        Self {
            path: path.into(),
            arguments: Vec::new(),
            environment: environment.collect(),
            account: None,
            log: log.into(),
            ending: Ending::First,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets environment variables.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment.extend(variables);
        self
    }

    /// Runs it as another account (only root can).
    #[must_use]
    pub fn account(mut self, account: Option<Account>) -> Self {
        self.account = account;
        self
    }

    /// When it ends at the close of its instance.
    #[must_use]
    pub fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }
}

/// A started program. Dropping it ends it: a database orderly, anything else by SIGKILL.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    record: PathBuf,
    child: Child,
    ended: Option<ExitStatus>,
    ending: Ending,
}

impl Process {
    /// Starts `program` through our own binary at `helper`, which first writes `record` and then becomes the program: so no child
    /// exists, even for a moment, that is not on record.
    pub(crate) fn start(helper: &Path, directory: &Path, name: &str, program: &Program) -> Result<Self> {
        if !program.path.is_file() {
            return Err(format!(
                "{} is not there: build it with `cargo build --workspace --bins`",
                program.path.display()
            )
            .into());
        }
        let record = directory.join("processes").join(name);
        let log = OpenOptions::new().create(true).append(true).open(&program.log);
        let log = log.context(format_args!("opening {}", program.log.display()))?;
        let copy = log.try_clone().context("opening a log twice")?;
        let account = program
            .account
            .as_ref()
            .map_or_else(|| "-".to_owned(), |to| format!("{}:{}", to.uid, to.gid));
        let mut command = Command::new(helper);
        command
            .arg("__exec")
            .arg(&record)
            .arg(program.ending.to_word())
            .arg(account)
            .arg(&program.path)
            .args(&program.arguments);
        command.env_clear().envs(&program.environment).current_dir(directory);
        // A group of its own: Ctrl-C at the terminal ends us, and the guard then ends the children in order.
        command.stdin(Stdio::null()).stdout(log).stderr(copy).process_group(0);
        let child = command.spawn().context(format_args!("starting {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            log: program.log.clone(),
            record,
            child,
            ended: None,
            ending: program.ending,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file that takes its output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.exit().is_none()
    }

    /// How it ended, if it has.
    pub fn exit(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
            if self.ended.is_some() {
                drop(fs::remove_file(&self.record));
            }
        }
        self.ended
    }

    /// Sends a signal, unless it has ended.
    pub fn signal(&mut self, with: Signal) {
        if self.is_running() {
            signal(self.pid(), with);
        }
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        if self.is_running() {
            drop(self.child.kill());
            self.ended = self.child.wait().ok();
            drop(fs::remove_file(&self.record));
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        poll(limit, || self.exit()).ok_or_else(|| format!("{} did not end within {limit:?}", self.name).into())
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::Terminate);
        self.wait(limit)
    }

    /// Waits until `ready` says so.
    ///
    /// # Errors
    /// When the process ends first or `limit` passes; the message holds the last lines of its log.
    pub fn wait_until(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let outcome = poll(limit, || match self.exit() {
            Some(status) => Some(Err(format!("ended with {status}"))),
            None => ready().then_some(Ok(())),
        });
        match outcome {
            Some(Ok(())) => Ok(()),
            Some(Err(how)) => Err(self.fault(&how)),
            None => Err(self.fault(&format!("was not ready within {limit:?}"))),
        }
    }

    /// A complaint about this process with the end of its log.
    pub fn fault(&self, how: &str) -> Error {
        format!(
            "{} {how}; {} ends with:\n{}",
            self.name,
            self.log.display(),
            tail(&self.log, 12)
        )
        .into()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ending == Ending::Last {
            // Postgres leaves shared memory behind when it is killed.
            self.signal(Ending::Last.signal());
            drop(self.wait(Duration::from_secs(10)));
        }
        self.kill();
    }
}

/// The last lines of a file, indented.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    format!("    {}", all[all.len().saturating_sub(lines)..].join("\n    "))
}

impl Ending {
    pub(crate) fn to_word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
        }
    }

    pub(crate) fn signal(self) -> Signal {
        match self {
            Self::First => Signal::Terminate,
            Self::Last => Signal::Interrupt,
        }
    }
}

/// What `outeract-dev __exec <record> <ending> <account> <program> <arguments…>` does: puts itself on record, then becomes the
/// program. Returns only when that fails.
pub fn exec(arguments: &[OsString]) -> Error {
    let [record, ending, account, program, rest @ ..] = arguments else {
        return "__exec is for outeract-dev itself".into();
    };
    let Some(identity) = Identity::of(std::process::id()) else {
        return "cannot read my own identity".into();
    };
    let line = format!("{}\n{}\n", identity.to_line(), ending.to_string_lossy());
    if let Err(cause) = fs::write(record, line) {
        return format!("writing {}: {cause}", Path::new(record).display()).into();
    }
    let mut command = Command::new(program);
    command.args(rest);
    if let Some((uid, gid)) = account.to_string_lossy().split_once(':') {
        match (uid.parse(), gid.parse()) {
            (Ok(uid), Ok(gid)) => command.uid(uid).gid(gid),
            _ => return "__exec: bad account".into(),
        };
    }
    let cause = command.exec();
    format!("running {}: {cause}", Path::new(program).display()).into()
}
