//! The four services (and the simulator) as processes: their environment in one place, start, stop, kill, restart.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::environment::{self, Ports, Secrets};
use crate::instance::{binaries, is_free};
use crate::{Context, Instance, Process, Program, Psql, Replica, Result, Signal, tree, wire};

/// A service of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Accounts, keys, numbers, tokens.
    Connection,
    /// Accepts and sends messages.
    Messaging,
    /// Takes Meta's webhooks.
    Webhook,
    /// The event log.
    Tracking,
}

impl Service {
    /// All of them, in the order in which they are started.
    pub const ALL: [Self; 4] = [Self::Connection, Self::Tracking, Self::Messaging, Self::Webhook];

    /// Its name, which is also its schema.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Messaging => "messaging",
            Self::Webhook => "webhook",
            Self::Tracking => "tracking",
        }
    }

    /// What its own configuration keys start with.
    pub fn prefix(self) -> String {
        self.name().to_uppercase()
    }

    /// Its program.
    pub fn binary(self) -> String {
        format!("outeract-{}", self.name())
    }
}

/// What a suite is made from.
#[derive(Clone, Debug)]
pub struct SuiteOptions {
    /// A superuser's URL of the database that holds the four schemas; each service connects to it in its own role.
    pub database_url: String,
    /// Where Redis is.
    pub redis_url: String,
    /// Where Meta's Graph API is; none starts our simulator for it.
    pub graph_base_url: Option<String>,
    /// The directory for one log file per process; it is made if need be.
    pub logs: PathBuf,
    /// The directory where the messaging service keeps files, every replica of it; it makes it.
    pub files: PathBuf,
    /// The ports of the documentation (7010 and up) where they are all free.
    pub documented_ports: bool,
    /// More settings of the simulator, such as `SIMULATOR_STATUS_DELAYS`.
    pub simulator: BTreeMap<String, String>,
}

impl SuiteOptions {
    /// With a simulator and ports of its own.
    pub fn new(database_url: impl Into<String>, redis_url: impl Into<String>, logs: impl Into<PathBuf>) -> Self {
        let logs = logs.into();
        Self {
            database_url: database_url.into(),
            redis_url: redis_url.into(),
            graph_base_url: None,
            files: logs.join("files"),
            logs,
            documented_ports: false,
            simulator: BTreeMap::new(),
        }
    }
}

/// The four services with generated secrets. Dropping it kills them.
///
/// Every call blocks: from async code, use a blocking thread.
#[derive(Debug)]
pub struct Suite {
    instance: Instance,
    options: SuiteOptions,
    secrets: Secrets,
    simulator_port: u16,
    simulator: Option<Process>,
    replicas: Vec<Replica>,
}

impl Suite {
    /// Chooses ports and makes secrets, one replica for each service. Nothing runs yet: change settings by [`Replica::set`], then
    /// [`Suite::migrate`] and [`Suite::start`].
    ///
    /// # Errors
    /// When the instance has no ports left.
    pub fn new(instance: &Instance, options: SuiteOptions) -> Result<Self> {
        fs::create_dir_all(&options.logs).context(format_args!("making {}", options.logs.display()))?;
        let documented = options.documented_ports && (7010..=7050).all(is_free);
        let simulator_port = if documented { 7050 } else { instance.port()? };
        let secrets = Secrets::generate()?;
        let mut suite = Self {
            instance: instance.clone(),
            options,
            secrets,
            simulator_port,
            simulator: None,
            replicas: Vec::new(),
        };
        for service in Service::ALL {
            let ports = if documented {
                Ports::documented(service)
            } else {
                Ports::of(instance, service)?
            };
            suite
                .replicas
                .push(suite.replica_with(service, service.name().to_owned(), ports)?);
        }
        suite.connect_siblings();
        Ok(suite)
    }

    /// Adds another process of a service (not yet running), which shares its database, secrets and siblings.
    ///
    /// # Errors
    /// When the instance has no ports left.
    pub fn add_replica(&mut self, service: Service) -> Result<&mut Replica> {
        let number = self
            .replicas
            .iter()
            .filter(|replica| replica.service() == service)
            .count()
            + 1;
        let ports = Ports::of(&self.instance, service)?;
        let name = format!("{}-{number}", service.name());
        let replica = self.replica_with(service, name, ports)?;
        self.replicas.push(replica);
        self.connect_siblings();
        let added = self.replicas.last_mut();
        added.ok_or_else(|| "the replica just added is not there".into())
    }

    fn replica_with(&self, service: Service, name: String, ports: Ports) -> Result<Replica> {
        let graph = self.graph_base_url();
        let environment = environment::of_service(service, &ports, &self.secrets, &self.options, &graph);
        let path = binaries()?.join(service.binary());
        let log = self.options.logs.join(format!("{name}.log"));
        let program = Program::new(path, log).environment(environment);
        Ok(Replica::new(&self.instance, service, ports, program, name))
    }

    /// The URLs of siblings can only be set when all have ports.
    fn connect_siblings(&mut self) {
        let internal = |service| {
            self.replicas
                .iter()
                .find(|replica| replica.service() == service)
                .map(Replica::internal_url)
        };
        let urls: Vec<_> = Service::ALL
            .into_iter()
            .filter_map(|service| Some((service, internal(service)?)))
            .collect();
        let edge = self
            .replicas
            .iter()
            .find(|replica| replica.service() == Service::Webhook)
            .map(Replica::edge_url);
        for replica in &mut self.replicas {
            let service = replica.service();
            for (sibling, url) in urls.iter().filter(|(sibling, _)| environment::calls(service, *sibling)) {
                replica.set(&format!("{}_{}_URL", service.prefix(), sibling.prefix()), url);
            }
            // Connection tells Meta where to send webhooks.
            if let (Service::Connection, Some(edge)) = (service, &edge) {
                replica.set("CONNECTION_WEBHOOK_CALLBACK_URL", &format!("{edge}/webhooks/whatsapp"));
            }
        }
    }

    /// Makes roles and schemas in the database (`libs/postgres/bootstrap.sql`), then lets each service migrate its own.
    ///
    /// # Errors
    /// When the SQL or a migration fails.
    pub fn migrate(&self) -> Result<()> {
        bootstrap(&self.options.database_url)?;
        self.replicas
            .iter()
            .filter(|replica| replica.name() == replica.service().name())
            .try_for_each(Replica::migrate)
    }

    /// Starts the simulator (unless `graph_base_url` was given) and every replica, and waits until all are ready.
    ///
    /// # Errors
    /// When one ends or is not ready in time.
    pub fn start(&mut self, limit: Duration) -> Result<()> {
        if self.options.graph_base_url.is_none() {
            self.start_simulator(limit)?;
        }
        self.replicas.iter_mut().try_for_each(Replica::start)?;
        self.replicas
            .iter_mut()
            .try_for_each(|replica| replica.wait_until_ready(limit))
    }

    fn start_simulator(&mut self, limit: Duration) -> Result<()> {
        let log = self.options.logs.join("simulator.log");
        let program = Program::new(binaries()?.join("outeract-simulator"), log)
            .environment(environment::of_simulator(self.simulator_port, &self.secrets))
            .environment(self.options.simulator.clone());
        let mut process = self.instance.spawn("simulator", &program)?;
        let port = self.simulator_port;
        process.wait_until(limit, || wire::http_status(port, "/").is_ok())?;
        self.simulator = Some(process);
        Ok(())
    }

    /// The first replica of a service.
    ///
    /// # Errors
    /// Never for a suite as built by [`Suite::new`].
    pub fn service(&mut self, service: Service) -> Result<&mut Replica> {
        let found = self.replicas.iter_mut().find(|replica| replica.service() == service);
        found.ok_or_else(|| format!("the suite has no {}", service.name()).into())
    }

    /// All replicas.
    pub fn replicas(&mut self) -> &mut [Replica] {
        &mut self.replicas
    }

    /// The simulator's process, when this suite started one.
    pub fn simulator(&mut self) -> Option<&mut Process> {
        self.simulator.as_mut()
    }

    /// Where Graph API calls go.
    pub fn graph_base_url(&self) -> String {
        let simulator = || format!("http://127.0.0.1:{}", self.simulator_port);
        self.options.graph_base_url.clone().unwrap_or_else(simulator)
    }

    /// The generated secrets.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// What a client program (the tour, a benchmark) needs to know, as environment variables: `SUITE_<SERVICE>_URL` (application
    /// listener), `SUITE_<SERVICE>_INTERNAL_URL`, `SUITE_WEBHOOK_EDGE_URL`, `SUITE_GRAPH_URL`,
    /// `SUITE_OPERATOR_KEY`, `SUITE_APP_SECRET`, `SUITE_VERIFY_TOKEN`, `SUITE_DATABASE_URL`, `SUITE_REDIS_URL`.
    pub fn client_environment(&self) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::from([
            ("SUITE_GRAPH_URL".to_owned(), self.graph_base_url()),
            ("SUITE_OPERATOR_KEY".to_owned(), self.secrets.operator_key.clone()),
            ("SUITE_APP_ID".to_owned(), self.secrets.app_id.clone()),
            ("SUITE_APP_SECRET".to_owned(), self.secrets.app_secret.clone()),
            ("SUITE_VERIFY_TOKEN".to_owned(), self.secrets.verify_token.clone()),
            ("SUITE_DATABASE_URL".to_owned(), self.options.database_url.clone()),
            ("SUITE_REDIS_URL".to_owned(), self.options.redis_url.clone()),
        ]);
        for replica in self.replicas.iter().rev() {
            let prefix = format!("SUITE_{}", replica.service().prefix());
            variables.insert(format!("{prefix}_URL"), replica.application_url());
            variables.insert(format!("{prefix}_INTERNAL_URL"), replica.internal_url());
            if environment::has_edge(replica.service()) {
                variables.insert(format!("{prefix}_EDGE_URL"), replica.edge_url());
            }
        }
        variables
    }

    /// Asks every process to end and waits; what is left after `limit` is killed.
    pub fn stop(&mut self, limit: Duration) {
        for replica in &mut self.replicas {
            replica.signal(Signal::Terminate);
        }
        for replica in &mut self.replicas {
            // Killing it is the answer to one that does not end.
            drop(replica.stop(limit));
        }
        self.simulator = None;
    }
}

/// Makes the roles and schemas of the four services in a database.
///
/// # Errors
/// When psql is missing or refuses.
pub fn bootstrap(database_url: &str) -> Result<()> {
    let password = |service: Service| {
        format!(
            "set outeract.{}_password = '{}'",
            service.name(),
            environment::ROLE_PASSWORD
        )
    };
    let passwords = Service::ALL.map(password).join("; ");
    let file = tree::root().join("libs/postgres/bootstrap.sql").display().to_string();
    Psql::find()?
        .run(database_url, &["-1", "-c", &passwords, "-f", &file])
        .map(drop)
}

/// A database's URL in the role of a service, as [`bootstrap`] made it.
pub fn role_url(database_url: &str, service: Service) -> String {
    environment::role_url(database_url, service)
}
