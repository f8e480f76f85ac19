use outeract_domain::content;
use serde::Serialize;

/// The value of `location`.
#[derive(Serialize)]
pub(super) struct Location<'a> {
    latitude: f64,
    longitude: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
}

// === impl Location ===

impl<'a> Location<'a> {
    pub(super) fn new(location: &'a content::Location) -> Self {
        Self {
            latitude: location.latitude(),
            longitude: location.longitude(),
            name: location.name(),
            address: location.address(),
        }
    }
}
