use super::part::part;
use super::{Check, Draft, Finite, Private};

/// A place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    at: Coordinates,
    name: Option<Private>,
    address: Option<Private>,
}

/// Degrees north and east.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Coordinates {
    latitude: Finite,
    longitude: Finite,
}

part!(struct Coordinates { latitude, longitude });
part!(struct Location { at, name, address });

const MAX_NAME: usize = 1_000;
const MAX_ADDRESS: usize = 1_000;

// === impl Location ===

impl Location {
    /// A place by its degrees north (-90 to 90) and east (-180 to 180), with name and address of at most 1,000 characters; empty: none.
    pub fn new(latitude: f64, longitude: f64, name: String, address: String, check: &mut Check) -> Draft<Self> {
        let latitude = degrees("latitude", latitude, 90.0, check);
        let longitude = degrees("longitude", longitude, 180.0, check);
        let name = check.optional_text("name", name, MAX_NAME);
        let address = check.optional_text("address", address, MAX_ADDRESS);
        let at = latitude
            .zip(longitude)
            .map(|(latitude, longitude)| Coordinates { latitude, longitude });
        Draft(at.map(|at| Self { at, name, address }))
    }

    /// Degrees north.
    pub fn latitude(&self) -> f64 {
        self.at.latitude.get()
    }

    /// Degrees east.
    pub fn longitude(&self) -> f64 {
        self.at.longitude.get()
    }

    /// Name of the place.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Address of the place.
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }
}

impl std::fmt::Debug for Coordinates {
    // Where somebody is, is private.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

fn degrees(field: &str, degrees: f64, most: f64, check: &mut Check) -> Option<Finite> {
    let degrees = Finite::new(degrees).filter(|degrees| degrees.get().abs() <= most);
    check.expect(degrees.is_some(), field, &format!("must be -{most} to {most} degrees"));
    degrees
}
