//! Telling the owner of a number what was stored for it: in memory where this process is the owner, else by `Dispatch`. A hint that is lost is found by the owner's scan.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outeract_proto::messaging::internal::v1::messaging_internal_service_client::MessagingInternalServiceClient;
use outeract_proto::messaging::internal::v1::{DispatchHint, DispatchRequest};
use outeract_rpc::Channel;
use outeract_runtime::{Context, OnExit};
use tokio::sync::{Semaphore, mpsc, watch};
use uuid::Uuid;

use super::driver::Command;
use super::owner::{Route, Routes};
use crate::projection::Connection;
use crate::status::queued;
use crate::vault::Letter;
use crate::waiters::Waiters;

/// A message that this process has just stored.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub message: Uuid,
    pub contact: Uuid,
    pub place: i64,
    pub priority: i16,
    pub ready_in: Duration,
    pub connection: Arc<Connection>,
    pub letter: Arc<Letter>,
    pub traceparent: Option<String>,
    pub awaited: bool,
}

/// A message that another process has stored.
#[derive(Debug, Clone)]
pub(crate) struct Hinted {
    pub number: String,
    pub message: Uuid,
    pub awaited: bool,
}

/// The entrance. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Hints(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    context: Context,
    commands: mpsc::Sender<Command>,
    routes: watch::Receiver<Arc<Routes>>,
    waiters: Waiters,
    peers: Mutex<HashMap<String, MessagingInternalServiceClient<Channel>>>,
    /// Hints on their way to other processes.
    sending: Arc<Semaphore>,
}

/// Most hints of one call.
const MOST: usize = 1_000;
/// Most calls to other processes at a time; what is beyond is left to their scans.
const CALLS: usize = 128;
/// The longest that a caller waits.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(5);

// === impl Hints ===

impl Hints {
    pub(super) fn new(
        context: &Context,
        commands: mpsc::Sender<Command>,
        routes: watch::Receiver<Arc<Routes>>,
        waiters: Waiters,
    ) -> Self {
        Self(Arc::new(Inner {
            context: context.clone(),
            commands,
            routes,
            waiters,
            peers: Mutex::default(),
            sending: Arc::new(Semaphore::new(CALLS)),
        }))
    }

    /// Messages were stored here. Never waits.
    pub(crate) fn accepted(&self, fresh: Vec<Fresh>) {
        let routes = Arc::clone(&self.0.routes.borrow());
        let mut mine = Vec::with_capacity(fresh.len());
        let mut theirs: HashMap<&str, Vec<DispatchHint>> = HashMap::new();
        for fresh in fresh {
            match routes.get(fresh.connection.number.as_str()) {
                Some(Route::Mine) => mine.push(fresh),
                Some(Route::Theirs(url)) => theirs.entry(url).or_default().push(DispatchHint {
                    message_id: fresh.message.as_bytes().to_vec(),
                    phone_number_id: fresh.connection.number.to_string(),
                    wait: fresh.awaited,
                }),
                // Nobody sends from the number just now; whoever comes to own it scans.
                None => self.0.waiters.tell(fresh.message, queued()),
            }
        }
        if !mine.is_empty()
            && let Err(refused) = self.0.commands.try_send(Command::Fresh(mine))
        {
            metrics::counter!("messaging_hints_dropped_total").increment(1);
            if let mpsc::error::TrySendError::Full(Command::Fresh(fresh))
            | mpsc::error::TrySendError::Closed(Command::Fresh(fresh)) = refused
            {
                for fresh in fresh {
                    self.0.waiters.tell(fresh.message, queued());
                }
            }
        }
        for (url, hints) in theirs {
            for hints in hints.chunks(MOST) {
                self.send(url, hints.to_vec());
            }
        }
    }

    /// Something became of a message of `number` that its owner had better know at once. Never waits.
    pub(crate) fn changed(&self, number: &str, message: Uuid) {
        let routes = Arc::clone(&self.0.routes.borrow());
        match routes.get(number) {
            Some(Route::Mine) => self.hinted(vec![Hinted {
                number: number.to_owned(),
                message,
                awaited: false,
            }]),
            Some(Route::Theirs(url)) => self.send(
                url,
                vec![DispatchHint {
                    message_id: message.as_bytes().to_vec(),
                    phone_number_id: number.to_owned(),
                    wait: false,
                }],
            ),
            None => {}
        }
    }

    /// Messages were stored elsewhere, and this process is said to own their numbers.
    pub(crate) fn hinted(&self, hints: Vec<Hinted>) {
        if let Err(refused) = self.0.commands.try_send(Command::Hinted(hints)) {
            metrics::counter!("messaging_hints_dropped_total").increment(1);
            if let mpsc::error::TrySendError::Full(Command::Hinted(hints))
            | mpsc::error::TrySendError::Closed(Command::Hinted(hints)) = refused
            {
                for hint in hints {
                    self.0.waiters.tell(hint.message, queued());
                }
            }
        }
    }

    fn send(&self, url: &str, hints: Vec<DispatchHint>) {
        let awaited: Vec<_> = hints
            .iter()
            .filter(|hint| hint.wait)
            .filter_map(|hint| Uuid::from_slice(&hint.message_id).ok())
            .collect();
        let waiters = self.0.waiters.clone();
        let release = move |awaited: Vec<Uuid>| {
            for message in awaited {
                waiters.tell(message, queued());
            }
        };
        let (Ok(permit), Some(client)) = (Arc::clone(&self.0.sending).try_acquire_owned(), self.peer(url)) else {
            metrics::counter!("messaging_hints_dropped_total").increment(1);
            release(awaited);
            return;
        };
        let waiters = self.0.waiters.clone();
        self.0
            .context
            .tasks
            .spawn("dispatch.hint", OnExit::Continue, async move {
                let _permit = permit;
                let told = tokio::time::timeout(LONGEST_WAIT, follow(client, hints, waiters));
                if !matches!(told.await, Ok(Ok(()))) {
                    metrics::counter!("messaging_hints_lost_total").increment(1);
                }
                release(awaited);
            });
    }

    fn peer(&self, url: &str) -> Option<MessagingInternalServiceClient<Channel>> {
        let mut peers = self.0.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peers.get(url) {
            return Some(peer.clone());
        }
        // Processes come and go with their addresses.
        let routes = Arc::clone(&self.0.routes.borrow());
        peers.retain(|known, _| {
            routes
                .values()
                .any(|route| matches!(route, Route::Theirs(url) if **url == **known))
        });
        let channel = Channel::new(url, self.0.context.identity.credential.clone()).ok()?;
        let peer = MessagingInternalServiceClient::new(channel);
        peers.insert(url.to_owned(), peer.clone());
        Some(peer)
    }
}

async fn follow(
    mut client: MessagingInternalServiceClient<Channel>,
    hints: Vec<DispatchHint>,
    waiters: Waiters,
) -> Result<(), tonic::Status> {
    let mut answers = client.dispatch(DispatchRequest { hints }).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        if let (Ok(message), Some(status)) = (Uuid::from_slice(&answer.message_id), answer.status) {
            waiters.tell(message, status);
        }
    }
    Ok(())
}
