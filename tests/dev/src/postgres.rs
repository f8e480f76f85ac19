//! A private Postgres server, and `psql`.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::account::{self, Account};
use crate::identity::{Signal, children_of, signal};
use crate::instance::make_directory;
use crate::process::Ending;
use crate::{Context, Instance, Process, Program, Result, install, poll, which};

const OLDEST: u32 = 15;
const STARTS_WITHIN: Duration = Duration::from_mins(1);

/// The programs of a Postgres server on this machine.
#[derive(Clone, Debug)]
pub struct PostgresPrograms {
    directory: PathBuf,
    version: u32,
    account: Option<Account>,
}

impl PostgresPrograms {
    /// Looks on `PATH`, at Debian's, Red Hat's and Homebrew's places; the newest version wins.
    ///
    /// # Errors
    /// When there is none that we can run; the message says what to install.
    pub fn find() -> Result<Self> {
        let account = account::for_servers()?;
        let found = candidates().into_iter().filter_map(|directory| {
            let version = version(&directory, account.as_ref())?;
            Some(Self {
                directory,
                version,
                account: account.clone(),
            })
        });
        let newest = found
            .max_by_key(|programs| programs.version)
            .filter(|programs| programs.version >= OLDEST);
        newest.ok_or_else(|| {
            format!(
                "no Postgres server {OLDEST} or newer found (initdb, postgres and psql in one directory). Install it: \
                 `apt-get install postgresql` (Debian, Ubuntu), `dnf install postgresql-server` (Fedora), `brew install postgresql@18` \
                 (macOS); or set DATABASE_URL to a database whose user may create databases and roles"
            )
            .into()
        })
    }

    /// As [`PostgresPrograms::find`], but installs Debian's package when there is none and we may.
    ///
    /// # Errors
    /// As [`PostgresPrograms::find`], or when the installation fails.
    pub fn find_or_install() -> Result<Self> {
        match Self::find() {
            Err(_) if install::is_possible() => {
                println!("  installing Debian's postgresql");
                install::debian_packages(&["postgresql"])?;
                Self::find()
            }
            found => found,
        }
    }

    /// The major version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Where the programs are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

fn candidates() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = which("postgres")
        .iter()
        .filter_map(|program| program.parent())
        .map(Path::to_owned)
        .collect();
    let places = [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/opt/homebrew/opt", "postgresql", "bin"),
        ("/usr/local/opt", "postgresql", "bin"),
    ];
    for (place, prefix, below) in places {
        let entries = fs::read_dir(place).into_iter().flatten().flatten();
        let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        found.extend(named.map(|entry| entry.path().join(below)));
    }
    found.extend(["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"].map(PathBuf::from));
    found.retain(|directory| {
        ["initdb", "postgres", "psql"]
            .iter()
            .all(|name| directory.join(name).is_file())
    });
    found
}

/// The major version, as reported under the account that will run it: a server in a closed home is none for that account.
fn version(directory: &Path, account: Option<&Account>) -> Option<u32> {
    let mut command = Command::new(directory.join("postgres"));
    let output = as_account(command.arg("--version").current_dir("/"), account)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().nth(2)?.split('.').next()?.parse().ok()
}

fn as_account<'command>(command: &'command mut Command, account: Option<&Account>) -> &'command mut Command {
    match account {
        Some(account) => command.uid(account.uid).gid(account.gid),
        None => command,
    }
}

/// A Postgres server with its own data directory. A commit is on disk when it answers: `fsync` and the rest stay at their defaults.
#[derive(Debug)]
pub struct Postgres {
    instance: Instance,
    programs: PostgresPrograms,
    name: String,
    program: Program,
    process: Process,
    port: u16,
}

impl Postgres {
    /// Makes a data directory in the instance and starts a server on it. `settings` go into `postgresql.conf` after ours.
    /// Any local user may connect to it (it has no password); it holds only what tests put there.
    ///
    /// # Errors
    /// When the data directory cannot be made or the server does not come up.
    pub fn start(instance: &Instance, programs: &PostgresPrograms, settings: &[(&str, &str)]) -> Result<Self> {
        let port = instance.port()?;
        let name = format!("postgres-{port}");
        let data = instance.directory().join(&name);
        make_directory(&data)?;
        if let Some(account) = &programs.account {
            chown(&data, Some(account.uid), Some(account.gid)).context("handing over the data directory")?;
        }
        initdb(programs, &data)?;
        let mut conf = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '.'\nmax_connections = 300\n\
             shared_buffers = 256MB\nlog_line_prefix = '%m [%p] %u@%d '\n"
        );
        conf.extend(settings.iter().map(|(key, value)| format!("{key} = '{value}'\n")));
        fs::write(data.join("postgresql.auto.conf"), conf).context("writing the settings of Postgres")?;
        let program = Program::new(
            programs.directory.join("postgres"),
            instance.directory().join(format!("{name}.log")),
        )
        .arguments(["-D".into(), data.into_os_string()])
        .account(programs.account.clone())
        .ending(Ending::Last);
        let process = instance.spawn(&name, &program)?;
        let (instance, programs) = (instance.clone(), programs.clone());
        let mut server = Self {
            instance,
            programs,
            name,
            program,
            process,
            port,
        };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// A URL of a database as the superuser.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the postmaster.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The server's log.
    pub fn log(&self) -> &Path {
        self.process.log()
    }

    /// `kill -9` of the server and of every process it has forked: what is left is what was on disk.
    pub fn crash(&mut self) {
        let backends = children_of(self.pid());
        self.process.kill();
        for backend in &backends {
            signal(backend.pid, Signal::Kill);
        }
        // Until they are gone, the shared memory is theirs and a new server refuses to start.
        poll(Duration::from_secs(10), || {
            backends.iter().all(|backend| !backend.is_alive()).then_some(())
        });
    }

    /// Starts it again on the same data and port, after a crash.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill();
        self.process = self.instance.spawn(&self.name, &self.program)?;
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let psql = Psql {
            program: self.programs.directory.join("psql"),
        };
        let url = self.url("postgres");
        self.process
            .wait_until(STARTS_WITHIN, || psql.run(&url, &["-c", "select 1"]).is_ok())
    }
}

fn initdb(programs: &PostgresPrograms, data: &Path) -> Result<()> {
    let mut command = Command::new(programs.directory.join("initdb"));
    command.arg("-D").arg(data).args([
        "-U",
        "postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
    ]);
    command.current_dir("/").env("LC_ALL", "C").stdin(Stdio::null());
    let output = as_account(&mut command, programs.account.as_ref())
        .output()
        .context("running initdb")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("initdb failed:\n{said}").into())
    }
}

/// Postgres' own client, for what is written in SQL files.
#[derive(Clone, Debug)]
pub struct Psql {
    program: PathBuf,
}

impl Psql {
    /// Finds it on `PATH` or beside the server's programs.
    ///
    /// # Errors
    /// When there is none; the message says what to install.
    pub fn find() -> Result<Self> {
        let program = which("psql").or_else(|| candidates().first().map(|directory| directory.join("psql")));
        let missing = "no psql found. Install it: `apt-get install postgresql-client`, `brew install libpq`";
        program.map(|program| Self { program }).ok_or_else(|| missing.into())
    }

    /// Runs psql on a database and returns what it printed; the first failing statement ends it.
    ///
    /// # Errors
    /// When psql reports a failure.
    pub fn run(&self, url: &str, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        command
            .env("PGOPTIONS", "-c client_min_messages=warning")
            .env("PGCONNECT_TIMEOUT", "5");
        command
            .arg(url)
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .args(arguments)
            .stdin(Stdio::null());
        let output = command.output().context("running psql")?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
        }
        Err(format!("psql: {}", String::from_utf8_lossy(&output.stderr).trim_end()).into())
    }
}
