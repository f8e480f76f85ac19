use std::fmt;
use std::str::FromStr;

use http::HeaderValue;
use subtle::ConstantTimeEq as _;

use crate::key::secret_sha256;

/// The sibling services and the SHA-256 of each one's secret: `messaging=<64 hex characters>,webhook=…`.
#[derive(Clone, Default)]
pub struct Peers(Vec<(String, [u8; 32])>);

/// The text is not a list of peers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be comma-separated name=<64 hex characters: SHA-256 of the service's secret>, each name once")]
pub struct MalformedPeers;

/// What this service presents to its siblings.
#[derive(Clone)]
pub struct ServiceCredential {
    name: &'static str,
    secret_sha256: [u8; 32],
    header: HeaderValue,
}

const SCHEME: &str = "Service ";

// === impl Peers ===

impl Peers {
    /// Adds a peer; one of the same name is replaced.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, secret_sha256: [u8; 32]) -> Self {
        let name = name.into();
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, secret_sha256));
        self
    }

    /// Adds this service itself: its replicas call one another.
    #[must_use]
    pub fn with_self(self, credential: &ServiceCredential) -> Self {
        self.with(credential.name, credential.secret_sha256)
    }

    /// The peers' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The peer whose credential the header holds: `Service <name>:<secret>`. Takes the same time whatever is wrong with the secret.
    pub(crate) fn authenticate(&self, header: &str) -> Option<&str> {
        let (name, secret) = header.strip_prefix(SCHEME)?.split_once(':')?;
        let hash = secret_sha256(secret);
        let (known, expected) = self.0.iter().find(|(known, _)| known == name)?;
        bool::from(expected.ct_eq(&hash)).then_some(known.as_str())
    }
}

impl FromStr for Peers {
    type Err = MalformedPeers;

    fn from_str(text: &str) -> Result<Self, MalformedPeers> {
        let mut peers = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, digest) = part.split_once('=').ok_or(MalformedPeers)?;
            let mut hash = [0; 32];
            hex::decode_to_slice(digest, &mut hash).map_err(|_| MalformedPeers)?;
            if name.is_empty() || peers.iter().any(|(known, _)| known == name) {
                return Err(MalformedPeers);
            }
            peers.push((name.to_owned(), hash));
        }
        Ok(Self(peers))
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

// === impl ServiceCredential ===

impl ServiceCredential {
    /// The credential of the service `name`. `None` when the secret cannot stand in a header.
    pub fn new(name: &'static str, secret: &str) -> Option<Self> {
        let mut header = HeaderValue::try_from(format!("{SCHEME}{name}:{secret}")).ok()?;
        // Keeps it out of `Debug` and out of HPACK's shared table.
        header.set_sensitive(true);
        Some(Self {
            name,
            secret_sha256: secret_sha256(secret),
            header,
        })
    }

    /// The value of `authorization`.
    pub(crate) fn header(&self) -> HeaderValue {
        self.header.clone()
    }
}

impl fmt::Debug for ServiceCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceCredential")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_known_by_its_own_secret_only() {
        let messaging = ServiceCredential::new("messaging", "s3cret").unwrap();
        let webhook = ServiceCredential::new("webhook", "0ther").unwrap();
        let peers = Peers::default().with_self(&messaging).with_self(&webhook);
        let header = |credential: &ServiceCredential| credential.header().to_str().unwrap().to_owned();
        assert_eq!(peers.authenticate(&header(&messaging)), Some("messaging"));
        assert_eq!(peers.authenticate("Service webhook:s3cret"), None);
        assert_eq!(peers.authenticate("Service tracking:s3cret"), None);
        assert_eq!(peers.authenticate("Bearer messaging:s3cret"), None);
        assert!(!format!("{messaging:?} {:?}", messaging.header()).contains("s3cret"));
    }

    #[test]
    fn the_list_is_strict() {
        let digest = hex::encode(secret_sha256("s3cret"));
        let peers: Peers = format!("messaging={digest}, webhook={digest}").parse().unwrap();
        assert_eq!(peers.names().collect::<Vec<_>>(), ["messaging", "webhook"]);
        assert_eq!(peers.authenticate("Service webhook:s3cret"), Some("webhook"));
        assert!("".parse::<Peers>().is_ok());
        for bad in [
            "messaging",
            "messaging=",
            "messaging=abcd",
            &format!("={digest}"),
            &format!("a={digest},a={digest}"),
        ] {
            assert!(bad.parse::<Peers>().is_err(), "{bad}");
        }
    }
}
