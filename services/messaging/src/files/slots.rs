//! How many uploads a process takes at a time: each may hold a part of a file in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use outeract_domain::ApplicationId;

/// The places for uploads. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slots(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    of: HashMap<ApplicationId, usize>,
    all: usize,
}

/// A place that is taken. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
    application: ApplicationId,
}

/// Uploads at a time: with a part each, 120 MiB.
const MOST: usize = 24;
/// Uploads of one application at a time: no three of them can take every place.
const MOST_OF_ONE: usize = 8;

// === impl Slots ===

impl Slots {
    /// A place, unless all are taken, or all that the application may have.
    pub(crate) fn take(&self, application: ApplicationId) -> Option<Slot> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.of.get(&application).copied().unwrap_or(0);
        if taken.all >= MOST || own >= MOST_OF_ONE {
            return None;
        }
        taken.all += 1;
        taken.of.insert(application, own + 1);
        metrics::gauge!("messaging_uploads_in_flight").set(taken.all as f64);
        Some(Slot {
            slots: self.clone(),
            application,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        metrics::gauge!("messaging_uploads_in_flight").set(taken.all as f64);
        if let Some(own) = taken.of.get_mut(&self.application) {
            *own -= 1;
            if *own == 0 {
                taken.of.remove(&self.application);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn application(number: u128) -> ApplicationId {
        ApplicationId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn one_application_leaves_places_to_others_and_all_are_given_back() {
        let slots = Slots::default();
        let first: Vec<_> = (0..MOST_OF_ONE).filter_map(|_| slots.take(application(1))).collect();
        assert_eq!(first.len(), MOST_OF_ONE);
        assert!(slots.take(application(1)).is_none());
        let others: Vec<_> = (0..MOST as u128)
            .filter_map(|other| slots.take(application(10 + other)))
            .collect();
        assert_eq!(others.len(), MOST - MOST_OF_ONE);
        assert!(slots.take(application(2)).is_none());
        drop((first, others));
        assert!(slots.0.lock().expect("whole").of.is_empty());
        assert!(slots.take(application(1)).is_some());
    }
}
