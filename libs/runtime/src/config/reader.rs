use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use outeract_seal::Secret;

use super::env::Env;
use super::value::{Invalid, Value};

/// A configuration that is read from the environment.
pub trait FromEnv: Sized {
    /// Reads every key first and uses `?` only afterwards: a key that is never asked for counts as unknown, and a fault not met is not told.
    ///
    /// ```
    /// use outeract_runtime::config::{FromEnv, Reader, Reported};
    ///
    /// struct Config { replicas: u32, calls: usize }
    ///
    /// impl FromEnv for Config {
    ///     fn from_env(env: &mut Reader<'_>) -> Result<Self, Reported> {
    ///         let replicas = env.or("MESSAGING_MAX_REPLICAS", 4);
    ///         let calls = env.or("MESSAGING_CALLS_IN_FLIGHT", 256);
    ///         Ok(Self { replicas: replicas?, calls: calls? })
    ///     }
    /// }
    /// ```
    fn from_env(env: &mut Reader<'_>) -> Result<Self, Reported>;
}

/// The value has a fault, which the reader has noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported;

/// One fault of a configuration: which key, and what is wrong with it. Never its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key.
    pub key: String,
    /// What is wrong, as in `must be true or false`.
    pub problem: String,
}

/// Every fault of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

/// Reads keys, notes every fault, and knows which keys were asked for.
#[derive(Debug)]
pub struct Reader<'a> {
    env: &'a Env,
    settings: BTreeMap<String, Setting>,
    faults: Vec<Fault>,
}

/// A key as it took effect, for `config check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// As the environment says.
    Given(String),
    /// Not in the environment.
    Default(String),
    /// Given, and not shown.
    Secret,
    /// Not in the environment, and without a default.
    Absent,
}

const FILE: &str = "_FILE";
/// Keys with this prefix belong to every service.
const SHARED: &str = "OUTERACT_";
/// Largest secret file: a key ring of many keys fits, a wrong mount does not.
const MAX_FILE: u64 = 64 * 1_024;

// === impl Reader ===

impl<'a> Reader<'a> {
    /// Reads from `env`.
    pub fn new(env: &'a Env) -> Self {
        Self {
            env,
            settings: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    /// The value of a key that must be set.
    pub fn required<T: Value>(&mut self, key: &str) -> Result<T, Reported> {
        match self.optional(key)? {
            Some(value) => Ok(value),
            None => self.fault(key, "must be set"),
        }
    }

    /// The value of a key, if it is set.
    pub fn optional<T: Value>(&mut self, key: &str) -> Result<Option<T>, Reported> {
        let Some(text) = self.env.get(key) else {
            self.settings.insert(key.to_owned(), Setting::Absent);
            return Ok(None);
        };
        self.settings.insert(key.to_owned(), Setting::Given(text.to_owned()));
        match T::parse(text) {
            Ok(value) => Ok(Some(value)),
            Err(Invalid(problem)) => self.fault(key, problem),
        }
    }

    /// The value of a key, or `default`.
    pub fn or<T: Value + fmt::Debug>(&mut self, key: &str, default: T) -> Result<T, Reported> {
        if let Some(value) = self.optional(key)? {
            Ok(value)
        } else {
            let shown = format!("{default:?}");
            self.settings.insert(key.to_owned(), Setting::Default(shown));
            Ok(default)
        }
    }

    /// A secret that must be set: the text in `KEY`, or in the file that `KEY_FILE` names.
    pub fn secret(&mut self, key: &str) -> Result<Secret, Reported> {
        match self.optional_secret(key)? {
            Some(secret) => Ok(secret),
            None => self.fault(key, format!("or {key}{FILE} must be set")),
        }
    }

    /// A secret, if it is set.
    pub fn optional_secret(&mut self, key: &str) -> Result<Option<Secret>, Reported> {
        let file_key = format!("{key}{FILE}");
        let (text, path) = (self.env.get(key), self.env.get(&file_key));
        self.settings.insert(
            key.to_owned(),
            if text.is_some() {
                Setting::Secret
            } else {
                Setting::Absent
            },
        );
        let shown = path.map_or(Setting::Absent, |path| Setting::Given(path.to_owned()));
        self.settings.insert(file_key.clone(), shown);
        match (text, path) {
            (Some(_), Some(_)) => self.fault(key, format!("and {file_key} must not both be set")),
            (Some(text), None) => Ok(Some(Secret::from(text))),
            (None, Some(path)) => match read_secret(Path::new(path)) {
                Ok(text) => Ok(Some(Secret::new(text))),
                Err(problem) => self.fault(&file_key, problem),
            },
            (None, None) => Ok(None),
        }
    }

    /// Notes a fault that the reader does not see by itself, as of two keys together.
    pub fn fault<T>(&mut self, key: &str, problem: impl Into<String>) -> Result<T, Reported> {
        self.faults.push(Fault {
            key: key.to_owned(),
            problem: problem.into(),
        });
        Err(Reported)
    }

    /// Notes a fault unless `holds`.
    pub fn ensure(&mut self, holds: bool, key: &str, problem: impl Into<String>) -> Result<(), Reported> {
        if holds { Ok(()) } else { self.fault(key, problem) }
    }

    /// The keys asked for so far.
    pub fn settings(&self) -> &BTreeMap<String, Setting> {
        &self.settings
    }

    /// Ends the reading: every key that begins with one of `prefixes` or `OUTERACT_` must have been asked for.
    pub fn finish<T>(mut self, read: Result<T, Reported>, prefixes: &[&str]) -> Result<T, Faults> {
        for key in self.env.keys() {
            let ours = key.starts_with(SHARED) || prefixes.iter().any(|prefix| key.starts_with(prefix));
            if ours && !self.settings.contains_key(key) {
                self.faults.push(Fault {
                    key: key.to_owned(),
                    problem: "is not a key that this service knows".to_owned(),
                });
            }
        }
        match read {
            Ok(config) if self.faults.is_empty() => Ok(config),
            Ok(_) | Err(Reported) => Err(Faults(self.faults)),
        }
    }
}

fn read_secret(path: &Path) -> Result<String, String> {
    let unreadable = |cause: std::io::Error| format!("names a file that cannot be read: {cause}");
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > MAX_FILE {
        return Err(format!("names a file above {MAX_FILE} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    // Editors and `echo` end files with a line break that is no part of the secret.
    let secret = text.trim_end_matches(['\n', '\r']);
    if secret.is_empty() {
        Err("names an empty file".to_owned())
    } else {
        Ok(secret.to_owned())
    }
}

// === impl Faults ===

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} fault(s)", self.0.len())?;
        for fault in &self.0 {
            write!(f, "\n  {} {}", fault.key, fault.problem)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

// === impl Setting ===

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(text) => f.write_str(text),
            Self::Default(text) => write!(f, "{text} (default)"),
            Self::Secret => f.write_str("(secret)"),
            Self::Absent => f.write_str("(not set)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[derive(Debug)]
    struct Config {
        listen: u16,
        wait: Duration,
        secret: Secret,
    }

    impl FromEnv for Config {
        fn from_env(env: &mut Reader<'_>) -> Result<Self, Reported> {
            let listen = env.required("MESSAGING_PORT");
            let wait = env.or("MESSAGING_WAIT", Duration::from_secs(5));
            let secret = env.secret("MESSAGING_SECRET");
            let (listen, wait, secret) = (listen?, wait?, secret?);
            env.ensure(wait > Duration::ZERO, "MESSAGING_WAIT", "must not be zero")?;
            Ok(Self { listen, wait, secret })
        }
    }

    fn read(pairs: &[(&str, &str)]) -> Result<Config, Faults> {
        let env: Env = pairs.iter().copied().collect();
        let mut reader = Reader::new(&env);
        let config = Config::from_env(&mut reader);
        reader.finish(config, &["MESSAGING_"])
    }

    #[test]
    fn what_is_complete_is_read() {
        let config = read(&[
            ("MESSAGING_PORT", "7020"),
            ("MESSAGING_SECRET", "s3cret"),
            ("HOME", "/root"),
        ])
        .unwrap();
        assert_eq!((config.listen, config.wait), (7020, Duration::from_secs(5)));
        assert_eq!(config.secret.expose(), "s3cret");
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn every_fault_is_told_at_once_without_values() {
        let faults = read(&[
            ("MESSAGING_PORT", "hunter2"),
            ("MESSAGING_WAIT", "soon"),
            ("MESSAGING_WIAT", "1s"),
            ("OUTERACT_LOGS", "info"),
        ])
        .unwrap_err();
        let text = faults.to_string();
        assert!(!text.contains("hunter2") && !text.contains("soon"));
        let keys: Vec<_> = faults.0.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "MESSAGING_PORT",
                "MESSAGING_WAIT",
                "MESSAGING_SECRET",
                "MESSAGING_WIAT",
                "OUTERACT_LOGS"
            ]
        );
    }

    #[test]
    fn faults_of_several_keys_together_count() {
        let faults = read(&[
            ("MESSAGING_PORT", "1"),
            ("MESSAGING_SECRET", "x"),
            ("MESSAGING_WAIT", "0s"),
        ])
        .unwrap_err();
        assert_eq!(faults.0.len(), 1);
        assert_eq!(faults.0[0].problem, "must not be zero");
    }

    #[test]
    fn secrets_come_from_files_too_but_from_one_place() {
        let path = std::env::temp_dir().join(format!("outeract-secret-{}", std::process::id()));
        std::fs::write(&path, "s3cret\n").unwrap();
        let file = path.to_str().unwrap();
        let config = read(&[("MESSAGING_PORT", "1"), ("MESSAGING_SECRET_FILE", file)]).unwrap();
        assert_eq!(config.secret.expose(), "s3cret");
        let both = [
            ("MESSAGING_PORT", "1"),
            ("MESSAGING_SECRET_FILE", file),
            ("MESSAGING_SECRET", "x"),
        ];
        assert_eq!(read(&both).unwrap_err().0.len(), 1);
        std::fs::remove_file(&path).unwrap();
        let gone = read(&[("MESSAGING_PORT", "1"), ("MESSAGING_SECRET_FILE", file)]).unwrap_err();
        assert_eq!(gone.0[0].key, "MESSAGING_SECRET_FILE");
    }
}
