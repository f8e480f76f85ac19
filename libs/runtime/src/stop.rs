use tokio_util::sync::CancellationToken;

/// The two steps of stopping. Soft: take no new work, finish what has begun. Hard: end now, whatever is lost. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    soft: CancellationToken,
    hard: CancellationToken,
}

// === impl Stop ===

impl Stop {
    /// A process that runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Canceled when no new work is to be taken.
    pub fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// Canceled when everything is to end.
    pub fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// No new work is taken any more.
    pub fn is_stopping(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Takes the first step.
    pub fn begin(&self) {
        self.soft.cancel();
    }

    /// Takes both steps.
    pub fn abort(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }
}
