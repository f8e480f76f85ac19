use std::panic::Location;
use std::time::Duration;

use tokio::time::{Instant, sleep};

const FIRST: Duration = Duration::from_millis(2);
const LAST: Duration = Duration::from_millis(50);

/// Waits until `condition` holds; asks again and again.
///
/// # Panics
/// When it does not hold within `deadline`, naming the caller's line.
#[track_caller]
pub fn eventually<F>(deadline: Duration, mut condition: F) -> impl Future<Output = ()>
where
    F: AsyncFnMut() -> bool,
{
    let caller = Location::caller();
    async move {
        let end = Instant::now() + deadline;
        let mut pause = FIRST;
        while !condition().await {
            assert!(
                Instant::now() < end,
                "{caller}: the condition did not hold within {deadline:?}"
            );
            sleep(pause).await;
            pause = (pause * 2).min(LAST);
        }
    }
}
