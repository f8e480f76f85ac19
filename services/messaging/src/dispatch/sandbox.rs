//! Messages that are not to reach Meta: where the call would be made, an acceptance is made up.

use std::fmt::Write as _;

use outeract_domain::Wamid;

use super::call::{Flight, Line, Mood};
use super::cargo::Cargo;
use super::record::Finding;
use super::scheduler::Outcome;
use crate::store::record::Accepted;

/// Meta's own ids have no second dot.
const PREFIX: &str = "wamid.sandbox.";

// === impl Line ===

impl Line {
    /// Ends a sandboxed message as if Meta had accepted it and its recipient had read it.
    pub(super) async fn simulate(&self, flight: Flight<'_>) -> (Outcome<Cargo>, Mood) {
        metrics::counter!("messaging_calls_total", "outcome" => "simulated").increment(1);
        let mut random = [0; 16];
        self.random.fill(&mut random);
        let Some(wamid) = Wamid::new(wamid(&random)) else {
            return (Outcome::Ended, Mood::Free);
        };
        let row = Accepted {
            number: flight.admission.number.to_string(),
            application: flight.subject.application.uuid(),
            message: flight.admission.message,
            attempt: flight.begun.attempt,
            wamid_hash: self.vault.wamid_hash(&flight.admission.number, wamid.as_str()),
            wamid_sealed: self
                .vault
                .seal_wamid(flight.subject.application.uuid(), flight.admission.message, &wamid),
        };
        self.note(&flight, Finding::Simulated { row, wamid }).await;
        (Outcome::Ended, Mood::Free)
    }
}

fn wamid(random: &[u8; 16]) -> String {
    random.iter().fold(PREFIX.to_owned(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_id_is_long_and_not_one_of_metas() {
        let made = wamid(&[0xab; 16]);
        assert_eq!(made, format!("wamid.sandbox.{}", "ab".repeat(16)));
        assert!(Wamid::new(made).is_some());
    }
}
