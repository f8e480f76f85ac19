//! `cargo dev sqlx`: what sqlx needs to know of each statement to check it without a database, under `services/<service>/.sqlx`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use outeract_dev::{Context as _, Psql, Result, Service, bootstrap, cargo, role_url, root};

use super::databases::Databases;
use super::run;

/// `cargo dev sqlx [--check] [service…]`
pub(crate) fn sqlx(arguments: &[String]) -> Result<()> {
    let check = arguments.iter().any(|argument| argument == "--check");
    let named: Vec<&String> = arguments.iter().filter(|argument| *argument != "--check").collect();
    if let Some(unknown) = named
        .iter()
        .find(|name| !Service::ALL.iter().any(|service| service.name() == **name))
    {
        return Err(format!("there is no service `{unknown}`").into());
    }
    let chosen = Service::ALL
        .into_iter()
        .filter(|service| named.is_empty() || named.iter().any(|name| *name == service.name()));
    let chosen: Vec<Service> = chosen.collect();
    let databases = Databases::provide()?;
    if check {
        compare(&databases, &chosen)
    } else {
        write(&databases, &chosen)
    }
}

/// Compares the metadata of every service with its SQL and migrations.
pub(super) fn check(databases: &Databases) -> Result<()> {
    compare(databases, &Service::ALL)
}

/// In one compilation, so that dependencies are looked at once.
fn compare(databases: &Databases, services: &[Service]) -> Result<()> {
    let fresh = databases.instance.directory().join("sqlx");
    with_schemas(databases, services, |url| compile(services, url, &fresh))?;
    let mut kept = BTreeMap::new();
    for service in services {
        kept.extend(list(&folder(*service))?);
    }
    let fresh = list(&fresh)?;
    let missing = fresh
        .keys()
        .filter(|name| kept.get(*name) != fresh.get(*name))
        .map(|name| format!("\n  missing: {name}"));
    let left = kept
        .keys()
        .filter(|name| !fresh.contains_key(*name))
        .map(|name| format!("\n  left over: {name}"));
    let difference: String = missing.chain(left).collect();
    println!("{} statements", fresh.len());
    if difference.is_empty() {
        Ok(())
    } else {
        Err(format!("run `cargo dev sqlx`: .sqlx is behind the SQL{difference}").into())
    }
}

fn write(databases: &Databases, services: &[Service]) -> Result<()> {
    with_schemas(databases, services, |url| {
        for service in services {
            let fresh = databases.instance.directory().join(service.name());
            compile(&[*service], url, &fresh)?;
            let (kept, fresh) = (folder(*service), list(&fresh)?);
            if kept.exists() {
                fs::remove_dir_all(&kept).context("removing the old metadata")?;
            }
            fs::create_dir(&kept).context("making .sqlx")?;
            fresh
                .iter()
                .try_for_each(|(name, text)| fs::write(kept.join(name), text))
                .context("writing .sqlx")?;
            println!("{}: {} statements", service.name(), fresh.len());
        }
        Ok(())
    })
}

fn package(service: Service) -> PathBuf {
    root().join("services").join(service.name())
}

fn folder(service: Service) -> PathBuf {
    package(service).join(".sqlx")
}

/// Runs `work` with the URL of a database that has the schemas of `services`, and drops it.
fn with_schemas(databases: &Databases, services: &[Service], work: impl FnOnce(&str) -> Result<()>) -> Result<()> {
    let psql = Psql::find()?;
    let name = format!("outeract_sqlx_{}", std::process::id());
    psql.run(&databases.database_url, &["-c", &format!("create database {name}")])?;
    let url = with_database(&databases.database_url, &name);
    let migrated =
        bootstrap(&url).and_then(|()| services.iter().try_for_each(|service| migrate(&psql, &url, *service)));
    let outcome = migrated.and_then(|()| work(&url));
    let dropped = psql.run(
        &databases.database_url,
        &["-c", &format!("drop database {name} with (force)")],
    );
    outcome.and(dropped.map(drop))
}

/// Applies the files as the service's own role, each in one transaction unless it asks for none.
fn migrate(psql: &Psql, database_url: &str, service: Service) -> Result<()> {
    let directory = root().join("services").join(service.name()).join("migrations");
    for (name, text) in list(&directory)? {
        if Path::new(&name).extension().is_none_or(|extension| extension != "sql") {
            continue;
        }
        let file = directory.join(&name).display().to_string();
        let mut arguments = vec!["-f", &file];
        if !text.starts_with("-- no-transaction") {
            arguments.push("-1");
        }
        psql.run(&role_url(database_url, service), &arguments)?;
    }
    Ok(())
}

/// Compiling a crate against the database makes sqlx's macros write what they learn.
fn compile(services: &[Service], database_url: &str, into: &Path) -> Result<()> {
    fs::create_dir_all(into).context("making a directory for metadata")?;
    let mut check = cargo();
    check.args(["check", "--quiet", "--all-targets"]);
    if services == Service::ALL {
        check.arg("--workspace");
    } else {
        check.args(
            services
                .iter()
                .flat_map(|service| ["--package".to_owned(), service.binary()]),
        );
    }
    check
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", into)
        .env("DATABASE_URL", database_url);
    // The macros run only when the crate is compiled: a source of a new time sees to it, for this once.
    let sources: Result<Vec<_>> = services
        .iter()
        .map(|service| Touched::new(&package(*service).join("src/lib.rs")))
        .collect();
    let sources = sources?;
    let checked = run(&mut check);
    sources.into_iter().try_for_each(Touched::restore)?;
    checked
}

/// A file that looks newer than it is.
struct Touched {
    file: File,
    before: SystemTime,
    marked: SystemTime,
}

impl Touched {
    fn new(path: &Path) -> Result<Self> {
        let file = File::options()
            .append(true)
            .open(path)
            .context(format_args!("opening {}", path.display()))?;
        let before = time_of(&file)?;
        #[expect(clippy::disallowed_methods, reason = "what cargo compares is the file system's time")]
        file.set_modified(SystemTime::now()).context("touching src/lib.rs")?;
        let marked = time_of(&file)?;
        Ok(Self { file, before, marked })
    }

    /// Its old time again, unless somebody has edited it meanwhile, which cargo must see.
    fn restore(self) -> Result<()> {
        if time_of(&self.file)? == self.marked {
            self.file
                .set_modified(self.before)
                .context("restoring the time of src/lib.rs")?;
        }
        Ok(())
    }
}

fn time_of(source: &File) -> Result<SystemTime> {
    source
        .metadata()
        .and_then(|facts| facts.modified())
        .context("looking at src/lib.rs")
}

/// The files of a directory by name; none if it is not there.
fn list(directory: &Path) -> Result<BTreeMap<String, String>> {
    if !directory.exists() {
        return Ok(BTreeMap::new());
    }
    let entries = fs::read_dir(directory).context(format_args!("reading {}", directory.display()))?;
    let files = entries.flatten().map(|entry| {
        let text = fs::read_to_string(entry.path()).context(format_args!("reading {}", entry.path().display()))?;
        Ok((entry.file_name().to_string_lossy().into_owned(), text))
    });
    files.collect()
}

/// The same server and user, another database.
pub(super) fn with_database(url: &str, database: &str) -> String {
    let (base, query) = url
        .split_once('?')
        .map_or((url, None), |(base, query)| (base, Some(query)));
    let after_scheme = base.find("://").map_or(0, |at| at + 3);
    let end = base[after_scheme..]
        .find('/')
        .map_or(base.len(), |at| after_scheme + at);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{database}{query}", &base[..end])
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn another_database_of_the_same_server() {
        assert_eq!(with_database("postgres://u:p@h:1/a", "b"), "postgres://u:p@h:1/b");
        assert_eq!(with_database("postgres://h", "b"), "postgres://h/b");
        assert_eq!(
            with_database("postgres://h/a?sslmode=require", "b"),
            "postgres://h/b?sslmode=require"
        );
    }
}
