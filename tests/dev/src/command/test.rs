//! `cargo dev test`: every check there is.

use std::process::Command;

use outeract_dev::{PostgresPrograms, RedisProgram, Result, cargo};

use super::databases::Databases;
use super::steps::Steps;
use super::{contracts, dependencies, manifests, metadata, run, tools};

/// Tests and all: programs built alone would get their dependencies with fewer features, and so every dependency twice.
const BUILD: [&str; 4] = ["build", "--workspace", "--all-targets", "--locked"];

/// `cargo dev test [arguments for cargo test]`
pub(crate) fn test(arguments: &[String]) -> Result<()> {
    println!("cargo dev test: setting up Postgres and Redis");
    let databases = Databases::provide()?;
    // Where DATABASE_URL and REDIS_URL are given, these may be missing.
    for missing in [
        PostgresPrograms::find_or_install().err(),
        RedisProgram::find_or_install().err(),
    ]
    .into_iter()
    .flatten()
    {
        println!("the end-to-end tests kill servers of their own and will fail: {missing}");
    }
    if !arguments.is_empty() {
        run(cargo().args(BUILD))?;
        return run(&mut cargo_test(&databases, arguments));
    }
    let mut steps = Steps::default();
    steps.run("format", || run(cargo().args(["fmt", "--all", "--check"])));
    let buf = tools::buf();
    steps.run_with("contract: lint and format", &buf, |buf| contracts::lint(buf));
    steps.run_with("contract: nothing broken since the newest release", &buf, |buf| {
        contracts::breaking(buf)
    });
    steps.run("statements: .sqlx fits the SQL and the migrations", || {
        metadata::check(&databases)
    });
    steps.run("clippy", || {
        run(cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ]))
    });
    steps.run("build", || run(cargo().args(BUILD)));
    steps.run_with(
        "dependencies: licenses, sources, bans, advisories",
        &tools::deny(),
        |deny| dependencies::check(deny),
    );
    let checkers = tools::kustomize().and_then(|kustomize| Ok((kustomize, tools::python()?)));
    steps.run_with(
        "manifests: schema, policy, configuration",
        &checkers,
        |(kustomize, python)| manifests::check(python, &manifests::render(kustomize)?),
    );
    if std::env::var_os("META_OPENAPI").is_none_or(|path| path.is_empty()) {
        let why = "META_OPENAPI is not set: nothing is held against Meta's own OpenAPI file";
        steps.leave_out("requests and webhooks fit Meta's own description", why);
    }
    steps.run("tests", || run(&mut cargo_test(&databases, &[])));
    steps.finish()
}

/// `cargo test` over the whole workspace, unless the arguments choose packages.
fn cargo_test(databases: &Databases, arguments: &[String]) -> Command {
    let chooses = |argument: &String| argument.starts_with("-p") || argument.starts_with("--package");
    let mut command = cargo();
    command
        .args(["test", "--locked"])
        .env("DATABASE_URL", &databases.database_url)
        .env("REDIS_URL", &databases.redis_url);
    if !arguments.iter().any(chooses) {
        command.arg("--workspace");
    }
    if arguments.is_empty() {
        command.arg("--no-fail-fast");
    }
    command.args(arguments);
    command
}
