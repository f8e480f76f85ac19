//! Which process is meant, and telling it something.

use std::fs;
use std::process::{Command, Stdio};

/// A signal, by the name that `kill` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: please end.
    Terminate,
    /// SIGINT: Postgres' fast shutdown.
    Interrupt,
    /// SIGKILL: at once.
    Kill,
    /// SIGSTOP: freeze.
    Stop,
    /// SIGCONT: thaw.
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Terminate => "TERM",
            Self::Interrupt => "INT",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
}

/// Sends a signal. std can only SIGKILL its own children; the shell's built-in `kill` does the rest.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let mut kill = Command::new("sh");
    kill.args(["-c", "kill -s \"$0\" \"$1\"", signal.name(), &pid.to_string()])
        .stderr(Stdio::null());
    // A process that is gone already is what the caller wants.
    drop(kill.status());
}

/// A process that cannot be mistaken for a later one of the same number: its id with the time it was born.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    birth: String,
}

impl Identity {
    /// The live process of this id; a zombie counts as gone.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let birth = if cfg!(target_os = "linux") {
            birth_from_proc(pid)
        } else {
            birth_from_ps(pid)
        };
        birth.map(|birth| Self { pid, birth })
    }

    pub(crate) fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    pub(crate) fn to_line(&self) -> String {
        format!("{} {}", self.pid, self.birth)
    }

    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let (pid, birth) = line.split_once(' ')?;
        Some(Self {
            pid: pid.parse().ok()?,
            birth: birth.to_owned(),
        })
    }
}

fn birth_from_proc(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the fields after it start with the third, the state.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    (!matches!(state, "Z" | "X")).then(|| format!("{started}@{}", boot.trim()))
}

fn birth_from_ps(pid: u32) -> Option<String> {
    let output = Command::new("ps")
        .args(["-o", "stat=,lstart=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (state, started) = text.trim().split_once(' ')?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

/// The direct children of a process (Linux; elsewhere none).
pub(crate) fn children_of(pid: u32) -> Vec<Identity> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed
        .split_whitespace()
        .filter_map(|pid| Identity::of(pid.parse().ok()?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_survives_its_line_and_tells_a_dead_process() {
        let me = Identity::of(std::process::id()).unwrap();
        assert_eq!(Identity::from_line(&me.to_line()), Some(me.clone()));
        assert!(me.is_alive());

        let mut child = Command::new("sh").args(["-c", "exit"]).spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert_eq!(Identity::of(pid), None);
    }

    #[test]
    fn a_later_process_of_the_same_number_is_another() {
        let me = Identity::of(std::process::id()).unwrap();
        let earlier = Identity {
            birth: "1@before".to_owned(),
            ..me
        };
        assert!(!earlier.is_alive());
    }
}
