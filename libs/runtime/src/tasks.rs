use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use outeract_rpc::BoxError;
use tokio_util::task::TaskTracker;

use crate::stop::Stop;

/// The background tasks of a process: each has a name, a rule for when it ends by itself, and ends with the process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tasks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tracker: TaskTracker,
    stop: Stop,
    running: Mutex<BTreeMap<&'static str, usize>>,
    failed: AtomicBool,
}

/// What the end of a task means while the process is not stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExit {
    /// The process cannot do without it: stop softly, exit with a failure.
    StopProcess,
    /// It may end when its work is done. A failure or a panic is logged.
    Continue,
}

/// What a task can end with: nothing, or a result.
pub trait Ended {
    /// The failure, if it is one.
    fn into_failure(self) -> Option<BoxError>;
}

impl Ended for () {
    fn into_failure(self) -> Option<BoxError> {
        None
    }
}

/// A loop without an end, as most tasks are, has the type `!`, which Rust lets no one write but as a function's result.
impl Ended for <fn() -> ! as Returns>::Value {
    fn into_failure(self) -> Option<BoxError> {
        self
    }
}

/// Names the result of a function type.
#[doc(hidden)]
pub trait Returns {
    /// The result.
    type Value;
}

impl<T> Returns for fn() -> T {
    type Value = T;
}

impl<E: Into<BoxError>> Ended for Result<(), E> {
    fn into_failure(self) -> Option<BoxError> {
        self.err().map(Into::into)
    }
}

const RESTART_MIN: Duration = Duration::from_millis(100);
const RESTART_MAX: Duration = Duration::from_secs(10);
/// A task that ran this long has recovered: its next restart waits the least.
const RECOVERED: Duration = Duration::from_secs(30);

// === impl Tasks ===

impl Tasks {
    /// Tasks that end with `stop`.
    pub fn new(stop: Stop) -> Self {
        Self(Arc::new(Inner {
            tracker: TaskTracker::new(),
            stop,
            running: Mutex::default(),
            failed: AtomicBool::new(false),
        }))
    }

    /// Runs `future` until it ends or the process stops hard. A task that is to end softly watches [`Stop::soft`] itself.
    pub fn spawn<F>(&self, name: &'static str, on_exit: OnExit, future: F)
    where
        F: Future<Output: Ended> + Send + 'static,
    {
        let tasks = self.clone();
        self.track(name, async move {
            let Some(failure) = tasks.run(future).await else { return };
            if tasks.0.stop.is_stopping() {
                if let Err(cause) = failure {
                    tracing::warn!(task = name, %cause, "A task failed while the process stops");
                }
                return;
            }
            match (&failure, on_exit) {
                (Err(cause), _) => tracing::error!(task = name, %cause, "A task failed"),
                (Ok(()), OnExit::StopProcess) => tracing::error!(task = name, "A task ended that should not"),
                (Ok(()), OnExit::Continue) => {}
            }
            if on_exit == OnExit::StopProcess {
                tasks.0.failed.store(true, Ordering::Relaxed);
                tasks.0.stop.begin();
            }
        });
    }

    /// Runs the future that `make` makes, and another one whenever it fails or panics, after a pause that doubles up to 10 s. Ends when a future ends well
    /// or the process stops.
    pub fn restart<F, M>(&self, name: &'static str, mut make: M)
    where
        F: Future<Output: Ended> + Send + 'static,
        M: FnMut() -> F + Send + 'static,
    {
        let tasks = self.clone();
        self.track(name, async move {
            let mut pause = RESTART_MIN;
            loop {
                let started = tokio::time::Instant::now();
                let Some(Err(cause)) = tasks.run(make()).await else {
                    return;
                };
                if tasks.0.stop.is_stopping() {
                    return;
                }
                tracing::error!(task = name, %cause, "A task failed and is started again");
                metrics::counter!("outeract_task_restarts_total", "task" => name).increment(1);
                pause = if started.elapsed() > RECOVERED {
                    RESTART_MIN
                } else {
                    (pause * 2).min(RESTART_MAX)
                };
                tokio::select! {
                    () = tasks.0.stop.soft().cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
    }

    /// Waits until all tasks have ended.
    pub async fn ended(&self) {
        self.0.tracker.close();
        self.0.tracker.wait().await;
    }

    /// Names of the tasks that still run.
    pub fn running(&self) -> Vec<&'static str> {
        self.names().keys().copied().collect()
    }

    /// A task without which the process cannot do has ended.
    pub fn failed(&self) -> bool {
        self.0.failed.load(Ordering::Relaxed)
    }

    fn track(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        *self.names().entry(name).or_default() += 1;
        let tasks = self.clone();
        self.0.tracker.spawn(async move {
            future.await;
            tasks.leave(name);
        });
    }

    /// Runs a future to its end or its panic; `None` when the process stopped hard before.
    async fn run<F>(&self, future: F) -> Option<Result<(), BoxError>>
    where
        F: Future<Output: Ended> + Send + 'static,
    {
        let caught = AssertUnwindSafe(future).catch_unwind();
        tokio::select! {
            () = self.0.stop.hard().cancelled() => None,
            ended = caught => Some(match ended {
                Ok(ended) => ended.into_failure().map_or(Ok(()), Err),
                Err(panic) => Err(panicked(panic.as_ref())),
            }),
        }
    }

    fn leave(&self, name: &'static str) {
        let mut names = self.names();
        if let Some(count) = names.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                names.remove(name);
            }
        }
    }

    fn names(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, usize>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Only texts that stand in the code: a formatted one may quote data.
fn panicked(panic: &(dyn Any + Send)) -> BoxError {
    match panic.downcast_ref::<&'static str>() {
        Some(text) => format!("panicked: {text}").into(),
        None => "panicked".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_must_run_takes_the_process_with_it() {
        let stop = Stop::new();
        let tasks = Tasks::new(stop.clone());
        tasks.spawn("worker", OnExit::StopProcess, async { panic!("gone") });
        tasks.ended().await;
        assert!(stop.is_stopping() && tasks.failed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_may_end_ends_alone() {
        let stop = Stop::new();
        let tasks = Tasks::new(stop.clone());
        tasks.spawn("once", OnExit::Continue, async {
            Err::<(), _>(std::io::Error::other("gone"))
        });
        tasks.ended().await;
        assert!(!stop.is_stopping() && !tasks.failed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_restarted_task_runs_until_it_ends_well() {
        let tasks = Tasks::new(Stop::new());
        let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        tasks.restart("flaky", move || {
            let run = counted.fetch_add(1, Ordering::Relaxed);
            async move { if run < 3 { Err("again") } else { Ok(()) } }
        });
        tasks.ended().await;
        assert_eq!(runs.load(Ordering::Relaxed), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hard_stop_ends_what_does_not_end() {
        let stop = Stop::new();
        let tasks = Tasks::new(stop.clone());
        tasks.spawn("stuck", OnExit::StopProcess, std::future::pending::<()>());
        stop.begin();
        assert_eq!(tasks.running(), ["stuck"]);
        stop.abort();
        tasks.ended().await;
        assert!(!tasks.failed() && tasks.running().is_empty());
    }
}
