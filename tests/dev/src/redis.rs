//! A private Redis server that keeps nothing: Redis holds only what may vanish.

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::time::Duration;

use crate::account::{self, Account};
use crate::instance::make_directory;
use crate::process::Ending;
use crate::{Context, Instance, Process, Program, Result, install, which, wire};

const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// The Redis server program of this machine.
#[derive(Clone, Debug)]
pub struct RedisProgram {
    path: PathBuf,
    account: Option<Account>,
}

impl RedisProgram {
    /// Looks on `PATH` and at Homebrew's places for `redis-server` or `valkey-server`.
    ///
    /// # Errors
    /// When there is none; the message says what to install.
    pub fn find() -> Result<Self> {
        let places = ["/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin"].map(PathBuf::from);
        let elsewhere = |name| {
            places
                .iter()
                .map(|place| place.join(name))
                .find(|candidate| candidate.is_file())
        };
        let path = ["redis-server", "valkey-server"]
            .into_iter()
            .find_map(|name| which(name).or_else(|| elsewhere(name)));
        let Some(path) = path else {
            return Err("no redis-server found. Install it: `apt-get install redis-server` (Debian, Ubuntu), `dnf install valkey` \
                        (Fedora), `brew install redis` (macOS); or set REDIS_URL"
                .into());
        };
        Ok(Self {
            path,
            account: account::for_servers()?,
        })
    }

    /// As [`RedisProgram::find`], but installs Debian's package when there is none and we may.
    ///
    /// # Errors
    /// As [`RedisProgram::find`], or when the installation fails.
    pub fn find_or_install() -> Result<Self> {
        match Self::find() {
            Err(_) if install::is_possible() => {
                println!("  installing Debian's redis-server");
                install::debian_packages(&["redis-server"])?;
                Self::find()
            }
            found => found,
        }
    }
}

/// A Redis server without persistence.
#[derive(Debug)]
pub struct Redis {
    name: String,
    program: Program,
    process: Process,
    port: u16,
    instance: Instance,
}

impl Redis {
    /// Starts a server in the instance.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(instance: &Instance, programs: &RedisProgram) -> Result<Self> {
        let port = instance.port()?;
        let name = format!("redis-{port}");
        let directory = instance.directory().join(&name);
        make_directory(&directory)?;
        if let Some(account) = &programs.account {
            chown(&directory, Some(account.uid), Some(account.gid)).context("handing over Redis' directory")?;
        }
        let port_text = port.to_string();
        let program = Program::new(&programs.path, instance.directory().join(format!("{name}.log")))
            .arguments([
                "--port",
                &port_text,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
            ])
            .arguments([fs::canonicalize(&directory).context("finding Redis' directory")?])
            .account(programs.account.clone())
            .ending(Ending::Last);
        let process = instance.spawn(&name, &program)?;
        let mut server = Self {
            instance: instance.clone(),
            name,
            program,
            process,
            port,
        };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Empties it.
    ///
    /// # Errors
    /// When it does not answer OK.
    pub fn flush_all(&self) -> Result<()> {
        let answer = wire::exchange(self.port, b"FLUSHALL\r\n", Duration::from_secs(5))?;
        if answer.starts_with("+OK") {
            Ok(())
        } else {
            Err(format!("FLUSHALL answered {answer}").into())
        }
    }

    /// `kill -9`.
    pub fn crash(&mut self) {
        self.process.kill();
    }

    /// Starts it again, empty, on the same port.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill();
        self.process = self.instance.spawn(&self.name, &self.program)?;
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let port = self.port;
        let ping = || wire::exchange(port, b"PING\r\n", Duration::from_secs(1));
        self.process
            .wait_until(STARTS_WITHIN, || ping().is_ok_and(|answer| answer.starts_with("+PONG")))
    }
}
