//! Which user we are, and as whom the database servers run: Postgres refuses root.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use crate::{Context, Result};

/// A system account to run a server as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name, for messages.
    pub name: String,
    /// Its user id.
    pub uid: u32,
    /// Its main group.
    pub gid: u32,
}

/// Our own user id. std has no call for it; `id` is everywhere.
pub(crate) fn own_uid() -> Result<u32> {
    static UID: OnceLock<u32> = OnceLock::new();
    if let Some(uid) = UID.get() {
        return Ok(*uid);
    }
    let output = Command::new("id").arg("-u").output().context("running id -u")?;
    let uid = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .context("reading the output of id -u")?;
    Ok(*UID.get_or_init(|| uid))
}

/// Whether we are root.
pub fn is_root() -> bool {
    own_uid().is_ok_and(|uid| uid == 0)
}

/// The account to run database servers as: none when we are an ordinary user (they then run as ourselves).
///
/// # Errors
/// As root on a system without any unprivileged account.
pub(crate) fn for_servers() -> Result<Option<Account>> {
    if !is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
    let mut accounts: Vec<Account> = users
        .lines()
        .filter_map(parse)
        .filter(|account| account.uid != 0)
        .collect();
    let preferred = ["postgres", "_postgres", "redis", "nobody"];
    accounts.sort_by_key(|account| {
        preferred
            .iter()
            .position(|name| *name == account.name)
            .unwrap_or(preferred.len())
    });
    let account = accounts.into_iter().next();
    account
        .map(Some)
        .ok_or_else(|| "Postgres does not run as root, and /etc/passwd has no other account".into())
}

fn parse(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Account { name, uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines_of_passwd() {
        let account = parse("postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash").unwrap();
        assert_eq!(
            account,
            Account {
                name: "postgres".to_owned(),
                uid: 101,
                gid: 104
            }
        );
        assert_eq!(
            parse("nobody:*:-2:-2:Unprivileged User:/var/empty:/usr/bin/false"),
            None
        );
        assert_eq!(parse(""), None);
    }
}
