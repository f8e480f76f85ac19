use std::fmt;
use std::str::FromStr;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A value that is never printed and is wiped from memory when dropped.
#[derive(Clone, Default)]
pub struct Secret<T: Zeroize = String>(T);

// === impl Secret ===

impl<T: Zeroize> Secret<T> {
    /// Guards `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself: keep it out of logs, spans and errors.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize + AsRef<[u8]>> Secret<T> {
    /// Whether `candidate` is the same value, found out in constant time (for values of one length).
    pub fn matches(&self, candidate: impl AsRef<[u8]>) -> bool {
        bool::from(self.0.as_ref().ct_eq(candidate.as_ref()))
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        Ok(Self::from(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_nothing() {
        let secret = Secret::from("hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(format!("{:?}", Secret::new(vec![1_u8, 2])), "Secret(…)");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn compares() {
        let secret = Secret::from("hunter2");
        assert!(secret.matches("hunter2"));
        assert!(!secret.matches("hunter3"));
        assert!(!secret.matches("hunter"));
        assert!(!secret.matches(""));
    }
}
