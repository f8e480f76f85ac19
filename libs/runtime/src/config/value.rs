use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use outeract_rpc::Peers;

/// A type that a configuration value can have.
pub trait Value: Sized {
    /// Reads the value's text.
    fn parse(text: &str) -> Result<Self, Invalid>;
}

/// What a value must be, where it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub String);

/// `http://host:port`, as of a sibling's internal listener. TLS between services is added by the deployment, so `https` is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUrl(String);

// === impl Invalid ===

impl Invalid {
    /// `must` as in `be a duration such as 5s`.
    pub fn must(must: impl fmt::Display) -> Self {
        Self(format!("must {must}"))
    }
}

// === impl ServiceUrl ===

impl ServiceUrl {
    /// The URL's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value for ServiceUrl {
    fn parse(text: &str) -> Result<Self, Invalid> {
        let uri: Option<Uri> = text.parse().ok();
        let fits = uri.is_some_and(|uri| {
            uri.scheme_str() == Some("http")
                && uri
                    .authority()
                    .is_some_and(|authority| !authority.as_str().contains('@'))
                && matches!(uri.path(), "" | "/")
                && uri.query().is_none()
        });
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::must("be http://host:port"))
        }
    }
}

impl Value for Duration {
    fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::must("be a duration such as 250ms, 5s, 10m or 2h");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (count, unit) = text.split_at_checked(digits).ok_or_else(invalid)?;
        let count: u64 = count.parse().map_err(|_| invalid())?;
        let seconds = |each: u64| count.checked_mul(each).map(Self::from_secs).ok_or_else(invalid);
        match unit {
            "ms" => Ok(Self::from_millis(count)),
            "s" => seconds(1),
            "m" => seconds(60),
            "h" => seconds(3_600),
            _ => Err(invalid()),
        }
    }
}

impl Value for bool {
    fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "true" | "on" | "1" => Ok(true),
            "false" | "off" | "0" => Ok(false),
            _ => Err(Invalid::must("be true or false")),
        }
    }
}

impl Value for String {
    fn parse(text: &str) -> Result<Self, Invalid> {
        Ok(text.to_owned())
    }
}

impl Value for PathBuf {
    fn parse(text: &str) -> Result<Self, Invalid> {
        Ok(text.into())
    }
}

impl Value for Peers {
    fn parse(text: &str) -> Result<Self, Invalid> {
        text.parse()
            .map_err(|malformed: outeract_rpc::MalformedPeers| Invalid(malformed.to_string()))
    }
}

impl Value for SocketAddr {
    fn parse(text: &str) -> Result<Self, Invalid> {
        text.parse()
            .map_err(|_| Invalid::must("be an address and port such as 0.0.0.0:7020"))
    }
}

macro_rules! numbers {
    ($($type:ty),*) => {
        $(impl Value for $type {
            fn parse(text: &str) -> Result<Self, Invalid> {
                text.parse().map_err(|_| Invalid::must("be a number in range"))
            }
        })*
    };
}

numbers!(u16, u32, u64, usize, i32, i64, f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(Duration::parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(Duration::parse("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(Duration::parse("10m"), Ok(Duration::from_mins(10)));
        assert_eq!(Duration::parse("2h"), Ok(Duration::from_hours(2)));
        for bad in [
            "",
            "5",
            "s",
            "-5s",
            "1.5s",
            "5 s",
            "5d",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(Duration::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn service_urls_have_no_credentials_or_path() {
        assert!(ServiceUrl::parse("http://connection:7011").is_ok());
        assert!(ServiceUrl::parse("http://connection.example/").is_ok());
        for bad in [
            "connection:7011",
            "https://connection",
            "ftp://connection",
            "http://a:b@connection",
            "http://connection/path",
            "http://",
        ] {
            assert!(ServiceUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
