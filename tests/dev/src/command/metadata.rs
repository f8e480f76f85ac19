//! `cargo dev sqlx`: what sqlx needs to know of each statement to check it without a database, under `services/<service>/.sqlx`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
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
    let databases = Databases::provide()?;
    prepare(&databases, &chosen.collect::<Vec<_>>(), check)
}

/// Compares the metadata of every service with its SQL and migrations.
pub(super) fn check(databases: &Databases) -> Result<()> {
    prepare(databases, &Service::ALL, true)
}

fn prepare(databases: &Databases, services: &[Service], check: bool) -> Result<()> {
    let psql = Psql::find()?;
    let name = format!("outeract_sqlx_{}", std::process::id());
    psql.run(&databases.database_url, &["-c", &format!("create database {name}")])?;
    let database_url = with_database(&databases.database_url, &name);
    let into = databases.instance.directory();
    let outcome = services
        .iter()
        .try_for_each(|service| prepare_one(&psql, &database_url, *service, into, check));
    let dropped = psql.run(
        &databases.database_url,
        &["-c", &format!("drop database {name} with (force)")],
    );
    outcome.and(dropped.map(drop))
}

fn prepare_one(psql: &Psql, database_url: &str, service: Service, into: &Path, check: bool) -> Result<()> {
    bootstrap(database_url)?;
    migrate(psql, database_url, service)?;
    let package = root().join("services").join(service.name());
    let (kept, fresh) = (package.join(".sqlx"), into.join(format!("sqlx-{}", service.name())));
    fs::create_dir_all(&fresh).context("making a directory for metadata")?;
    write_metadata(&package, database_url, service, &fresh)?;
    let (old, new) = (list(&kept)?, list(&fresh)?);
    let difference = compare(&old, &new);
    println!(
        "{}: {} statements, {} different",
        service.name(),
        new.len(),
        difference.len()
    );
    if difference.is_empty() {
        return Ok(());
    }
    if check {
        let difference = difference.join("\n  ");
        return Err(format!(
            "services/{}/.sqlx is behind its SQL: run `cargo dev sqlx`\n  {difference}",
            service.name()
        )
        .into());
    }
    if kept.exists() {
        fs::remove_dir_all(&kept).context("removing the old metadata")?;
    }
    fs::create_dir(&kept).context("making .sqlx")?;
    new.iter()
        .try_for_each(|(name, text)| fs::write(kept.join(name), text))
        .context("writing .sqlx")
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

/// Compiling the crate against the database makes sqlx's macros write what they learn.
fn write_metadata(package: &Path, database_url: &str, service: Service, into: &Path) -> Result<()> {
    // The macros run only when the crate is compiled: a source of a new time sees to it, for this once.
    let source = File::options()
        .append(true)
        .open(package.join("src/lib.rs"))
        .context("opening src/lib.rs")?;
    let before = time_of(&source)?;
    #[expect(clippy::disallowed_methods, reason = "what cargo compares is the file system's time")]
    source.set_modified(SystemTime::now()).context("touching src/lib.rs")?;
    let touched = time_of(&source)?;
    let mut check = cargo();
    check.args(["check", "--quiet", "--all-targets", "--package", &service.binary()]);
    check.env("SQLX_OFFLINE", "false").env("SQLX_OFFLINE_DIR", into);
    let checked = run(check.env("DATABASE_URL", role_url(database_url, service)));
    // Unless somebody has edited it meanwhile, which cargo must see.
    if time_of(&source)? == touched {
        source
            .set_modified(before)
            .context("restoring the time of src/lib.rs")?;
    }
    checked
}

fn time_of(source: &File) -> Result<SystemTime> {
    source
        .metadata()
        .and_then(|facts| facts.modified())
        .context("looking at src/lib.rs")
}

/// What differs between two directories.
fn compare(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<String> {
    let missing = new
        .iter()
        .filter(|(name, text)| old.get(*name) != Some(text))
        .map(|(name, _)| format!("missing: {name}"));
    let left = old
        .keys()
        .filter(|name| !new.contains_key(*name))
        .map(|name| format!("left over: {name}"));
    missing.chain(left).collect()
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
