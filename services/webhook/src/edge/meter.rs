use metrics::Counter;

/// Counters of the edge, registered once: looking them up for every request costs more than the signature.
pub(super) struct Meter {
    pub(super) stored: Counter,
    pub(super) bad_signature: Counter,
    pub(super) encoded: Counter,
    pub(super) too_large: Counter,
    pub(super) too_slow: Counter,
    pub(super) broken_off: Counter,
    pub(super) overloaded: Counter,
    pub(super) not_stored: Counter,
    pub(super) over_budget: Counter,
    pub(super) handshake_accepted: Counter,
    pub(super) handshake_refused: Counter,
}

// === impl Meter ===

impl Meter {
    pub(super) fn new() -> Self {
        let post = |outcome: &'static str| metrics::counter!("webhook_posts_total", "outcome" => outcome);
        let handshake = |outcome: &'static str| metrics::counter!("webhook_handshakes_total", "outcome" => outcome);
        Self {
            stored: post("stored"),
            bad_signature: post("bad_signature"),
            encoded: post("encoded"),
            too_large: post("too_large"),
            too_slow: post("too_slow"),
            broken_off: post("broken_off"),
            overloaded: post("overloaded"),
            not_stored: post("not_stored"),
            over_budget: post("over_budget"),
            handshake_accepted: handshake("accepted"),
            handshake_refused: handshake("refused"),
        }
    }
}
