use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

use super::{Networks, is_public};

/// Bytes of a target's URL.
const MAX_URL: usize = 2_048;

/// What may be called.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Ports of public hosts.
    pub ports: Vec<u16>,
    /// Networks that may be called besides, by plain HTTP and on any port, too. For development.
    pub allowed: Networks,
}

/// A URL that may be called as far as its form tells.
#[derive(Clone)]
pub struct Target {
    pub(super) url: Url,
    /// The host, when it is an address.
    pub(super) address: Option<IpAddr>,
    /// Its form suits networks that are allowed by name only: plain HTTP, or a port of its own.
    pub(super) allowed_only: bool,
}

/// Why a target is not called. Never names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No URL, or one of more than 2,048 bytes.
    #[error("must be an absolute URL of at most 2,048 bytes")]
    Form,
    /// Neither https nor, where that is allowed, http.
    #[error("must begin with https://")]
    Scheme,
    /// User or password.
    #[error("must have no user or password")]
    User,
    /// A fragment, which is never sent.
    #[error("must have no fragment")]
    Fragment,
    /// Another port than those of the policy.
    #[error("must use a port that this installation calls, such as 443")]
    Port,
    /// A name that only means something inside, such as `localhost` or `metadata.internal`.
    #[error("must name a public host")]
    Host,
    /// One of the host's addresses is not public.
    #[error("must have public addresses only")]
    Address,
}

// === impl Policy ===

impl Policy {
    /// HTTPS on ports 443 and 8443, and no private network.
    pub fn strict() -> Self {
        Self {
            ports: vec![443, 8443],
            allowed: Networks::default(),
        }
    }

    /// Reads a target and checks all that shows without asking a name server.
    pub fn target(&self, text: &str) -> Result<Target, Refused> {
        if text.len() > MAX_URL {
            return Err(Refused::Form);
        }
        let url = Url::parse(text).map_err(|_| Refused::Form)?;
        let plain = url.scheme() == "http";
        let open = self.allowed != Networks::default();
        if url.scheme() != "https" && !(plain && open) {
            return Err(Refused::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::User);
        }
        if url.fragment().is_some() {
            return Err(Refused::Fragment);
        }
        let port = url.port_or_known_default().ok_or(Refused::Form)?;
        let odd = !self.ports.contains(&port);
        if odd && !open {
            return Err(Refused::Port);
        }
        let host = url.host_str().ok_or(Refused::Form)?;
        let address = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        let target = Target {
            address,
            allowed_only: plain || odd,
            url,
        };
        match address {
            Some(address) if !self.may_call(address, target.allowed_only) => Err(Refused::Address),
            None if !open && is_inner(target.url.host_str().unwrap_or_default()) => Err(Refused::Host),
            _ => Ok(target),
        }
    }

    pub(super) fn may_call(&self, address: IpAddr, allowed_only: bool) -> bool {
        self.allowed.contain(address) || (!allowed_only && is_public(address))
    }
}

/// Whether a name is one that only means something inside a machine or a cluster. Their addresses are refused anyway; this tells sooner.
fn is_inner(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    !host.contains('.')
        || [".localhost", ".local", ".internal", ".localdomain", ".home.arpa"]
            .iter()
            .any(|inner| host.ends_with(inner))
        || host.starts_with("metadata.")
}

// === impl Target ===

impl Target {
    /// The URL, normalised.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }
}

// A target's URL can hold secrets.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Refused {
        Policy::strict().target(text).unwrap_err()
    }

    #[test]
    fn a_target_is_a_public_https_url() {
        for fine in [
            "https://hooks.example.com/x?y=1",
            "https://example.com:8443",
            "https://8.8.8.8/",
        ] {
            assert!(Policy::strict().target(fine).is_ok(), "{fine}");
        }
        assert_eq!(refused("hooks.example.com"), Refused::Form);
        assert_eq!(
            refused(&format!("https://example.com/{}", "a".repeat(2_048))),
            Refused::Form
        );
        assert_eq!(refused("http://example.com"), Refused::Scheme);
        assert_eq!(refused("ftp://example.com"), Refused::Scheme);
        assert_eq!(refused("https://user@example.com"), Refused::User);
        assert_eq!(refused("https://:secret@example.com"), Refused::User);
        assert_eq!(refused("https://example.com/#x"), Refused::Fragment);
        assert_eq!(refused("https://example.com:6379"), Refused::Port);
    }

    #[test]
    fn every_spelling_of_an_inner_address_is_refused() {
        for url in [
            "https://127.0.0.1",
            "https://127.1",
            "https://2130706433",
            "https://0x7f000001",
            "https://0177.0.0.1",
            "https://[::1]",
            "https://[::ffff:127.0.0.1]",
            "https://[::ffff:7f00:1]",
            "https://169.254.169.254",
            "https://[64:ff9b::a9fe:a9fe]",
            "https://[2002:a9fe:a9fe::1]",
            "https://[fd00:ec2::254]",
            "https://0",
            "https://１２７.０.０.１",
            "https://10.0.0.1.",
            "https://[fe80::1]",
        ] {
            assert_eq!(refused(url), Refused::Address, "{url}");
        }
        for url in [
            "https://localhost",
            "https://LOCALHOST.",
            "https://metadata.google.internal",
            "https://kubernetes",
            "https://tracking.outeract.svc.cluster.local",
            "https://metadata.example.com",
            "https://a.localhost",
        ] {
            assert_eq!(refused(url), Refused::Host, "{url}");
        }
    }

    #[test]
    fn allowed_networks_may_be_called_plainly_and_on_any_port_and_others_not() {
        let policy = Policy {
            allowed: Networks::parse("127.0.0.0/8").unwrap(),
            ..Policy::strict()
        };
        assert!(policy.target("http://127.0.0.1:8080").is_ok());
        assert!(policy.target("http://localhost:8080").unwrap().allowed_only);
        assert_eq!(policy.target("http://10.0.0.1:8080").unwrap_err(), Refused::Address);
        assert_eq!(policy.target("http://8.8.8.8").unwrap_err(), Refused::Address);
        assert!(!policy.target("https://example.com").unwrap().allowed_only);
    }

    #[test]
    fn debug_shows_no_url() {
        let target = Policy::strict().target("https://example.com/secret").unwrap();
        assert!(!format!("{target:?}").contains("example"));
    }
}
