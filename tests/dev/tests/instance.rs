//! What is started ends with its parent, and a crash of Postgres keeps what was committed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "only tests call the helpers")]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use outeract_dev::{Instance, Postgres, PostgresPrograms, Psql, Redis, RedisProgram};

const SOON: Duration = Duration::from_secs(20);

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !check() {
        assert!(Instant::now() < end, "{what}: not within {SOON:?}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// The part of the tests below that dies: this test program again, holding servers. By itself it does nothing.
#[test]
fn holder() {
    if std::env::var_os("HOLD").is_none() {
        return;
    }
    let instance = Instance::create().unwrap();
    let _postgres = Postgres::start(&instance, &PostgresPrograms::find().unwrap(), &[]).unwrap();
    let redis = Redis::start(&instance, &RedisProgram::find().unwrap()).unwrap();
    let guard = guard_of(&instance);
    println!("\nholding {} {} {guard}", instance.directory().display(), redis.pid());
    drop(std::io::stdin().lines().next());
}

fn guard_of(instance: &Instance) -> u32 {
    let wanted = format!("__guard\0{}\0", instance.directory().display());
    let all = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut guards = all.filter(|pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).ends_with(&wanted)
    });
    guards.next().unwrap()
}

struct Held {
    holder: std::process::Child,
    directory: PathBuf,
    redis: u32,
    guard: u32,
}

fn hold() -> Held {
    let mut holder = Command::new(std::env::current_exe().unwrap());
    holder
        .args(["holder", "--exact", "--nocapture"])
        .env("HOLD", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut holder = holder.spawn().unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let line = lines
        .map_while(Result::ok)
        .find(|line| line.starts_with("holding "))
        .unwrap();
    let [_, directory, redis, guard] = line.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{line}")
    };
    Held {
        holder,
        directory: directory.into(),
        redis: redis.parse().unwrap(),
        guard: guard.parse().unwrap(),
    }
}

fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[test]
#[cfg(target_os = "linux")]
fn servers_end_when_their_owner_is_killed() {
    let mut held = hold();
    assert!(is_running(held.redis) && held.directory.exists());
    held.holder.kill().unwrap();
    held.holder.wait().unwrap();
    eventually("the directory is gone", || !held.directory.exists());
    assert!(!is_running(held.redis));
}

#[test]
#[cfg(target_os = "linux")]
fn the_next_start_clears_up_after_an_owner_and_a_guard_that_were_killed() {
    let mut held = hold();
    let guard = held.guard.to_string();
    assert!(
        Command::new("sh")
            .args(["-c", "kill -9 $0", &guard])
            .status()
            .unwrap()
            .success()
    );
    eventually("the guard is gone", || !is_running(held.guard));
    held.holder.kill().unwrap();
    held.holder.wait().unwrap();
    assert!(is_running(held.redis) && held.directory.exists());

    let next = Instance::create().unwrap();
    assert!(!held.directory.exists() && !is_running(held.redis));
    drop(next);
}

#[test]
fn a_crash_of_postgres_keeps_what_was_committed() {
    let instance = Instance::create().unwrap();
    let mut postgres = Postgres::start(&instance, &PostgresPrograms::find().unwrap(), &[]).unwrap();
    let (psql, url) = (Psql::find().unwrap(), postgres.url("postgres"));
    assert_eq!(
        psql.run(&url, &["-c", "show fsync", "-c", "show max_connections"])
            .unwrap(),
        "on\n300"
    );
    psql.run(&url, &["-c", "create table t as select 7 as n"]).unwrap();
    postgres.crash();
    assert!(psql.run(&url, &["-c", "select"]).is_err());
    postgres.restart().unwrap();
    assert_eq!(psql.run(&url, &["-c", "select n from t"]).unwrap(), "7");
    outeract_dev::bootstrap(&url).unwrap();
    let role = outeract_dev::role_url(&url, outeract_dev::Service::Webhook);
    assert_eq!(
        psql.run(&role, &["-c", "select current_user"]).unwrap(),
        "outeract_webhook"
    );
}

#[test]
fn instances_have_ports_of_their_own_and_take_their_directory_along() {
    let (one, two) = (Instance::create().unwrap(), Instance::create().unwrap());
    let ports = |instance: &Instance| std::iter::from_fn(|| instance.port().ok()).collect::<Vec<_>>();
    let (first, second) = (ports(&one), ports(&two));
    assert!(first.len() >= 32 && second.len() >= 32 && first.iter().all(|port| !second.contains(port)));
    let directory = one.directory().to_owned();
    drop(one);
    assert!(!directory.exists() && two.directory().exists());
}
