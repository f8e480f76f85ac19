use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

const CHUNK: usize = 16 * 1024;
/// Chunks on their way in one direction while they are delayed.
const IN_FLIGHT: usize = 256;

/// A TCP proxy on loopback that breaks what passes through it. Faults act on open and new connections alike, from the next bytes on.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    faults: watch::Sender<Faults>,
    // Dropping it ends every connection.
    _tasks: JoinSet<()>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    refuse: bool,
    requests: Flow,
    responses: Flow,
    /// Counts calls of `reset`: a connection that sees it grow is cut.
    resets: u64,
    /// Bytes of responses after which a connection is cut.
    budget: Option<usize>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Flow {
    #[default]
    Pass,
    Delay(Duration),
    /// Nothing passes until this ends, and then everything.
    Hold,
    Swallow,
}

/// A connection came to its budget's end.
struct Cut;

// === impl FaultProxy ===

impl FaultProxy {
    /// Listens on a free port and passes everything to `target`.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port to listen on");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (faults, seen) = watch::channel(Faults::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, target, seen));
        Self {
            address,
            faults,
            _tasks: tasks,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every fault. Connections that lost bytes stay as broken as they are.
    pub fn heal(&self) {
        self.faults.send_modify(|faults| {
            *faults = Faults {
                resets: faults.resets,
                ..Faults::default()
            };
        });
    }

    /// Delays what passes by `delay` in each direction.
    pub fn latency(&self, delay: Duration) {
        self.faults.send_modify(|faults| {
            faults.requests = Flow::Delay(delay);
            faults.responses = Flow::Delay(delay);
        });
    }

    /// Swallows everything in both directions: connections stay open and silent.
    pub fn blackhole(&self) {
        self.faults.send_modify(|faults| {
            faults.requests = Flow::Swallow;
            faults.responses = Flow::Swallow;
        });
    }

    /// Lets requests through and holds responses back: the work is done, and its caller hears of it when the fault ends.
    pub fn hold_responses(&self) {
        self.faults.send_modify(|faults| faults.responses = Flow::Hold);
    }

    /// Lets requests through and swallows responses: the work is done, and nobody hears of it.
    pub fn lose_responses(&self) {
        self.faults.send_modify(|faults| faults.responses = Flow::Swallow);
    }

    /// Cuts new connections at once.
    pub fn refuse(&self) {
        self.faults.send_modify(|faults| faults.refuse = true);
    }

    /// Cuts every open connection with RST.
    pub fn reset(&self) {
        self.faults.send_modify(|faults| faults.resets += 1);
    }

    /// Cuts each connection with RST once `bytes` of responses have passed, counted from now for open ones.
    pub fn reset_after(&self, bytes: usize) {
        self.faults.send_modify(|faults| faults.budget = Some(bytes));
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, faults: watch::Receiver<Faults>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(serve(client, target, faults.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut client: TcpStream, target: SocketAddr, mut faults: watch::Receiver<Faults>) {
    let start = *faults.borrow_and_update();
    if start.refuse {
        return cut(&client);
    }
    let Ok(mut server) = TcpStream::connect(target).await else {
        return cut(&client);
    };
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let requests = pump(from_client, to_server, faults.clone(), |faults| (faults.requests, None));
        let responses = pump(from_server, to_client, faults.clone(), |faults| {
            (faults.responses, faults.budget)
        });
        let both = async { tokio::try_join!(requests, responses).map(|_| ()) };
        tokio::select! {
            ended = both => ended,
            _ = faults.wait_for(|now| now.resets > start.resets) => Err(Cut),
        }
    };
    if ended.is_err() {
        cut(&client);
        cut(&server);
    }
}

/// Makes the end of `stream` an RST instead of a FIN.
fn cut(stream: &TcpStream) {
    // It fails only for a socket that is gone.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Passes bytes on until the sender closes, or the budget is spent.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut faults: watch::Receiver<Faults>,
    select: impl Fn(&Faults) -> (Flow, Option<usize>),
) -> Result<(), Cut> {
    let (queue, mut due) = mpsc::channel::<(Instant, Result<Vec<u8>, Cut>)>(IN_FLIGHT);
    let read = async move {
        let mut passed = 0;
        let mut since = None;
        loop {
            let mut chunk = vec![0; CHUNK];
            let count = match from.read(&mut chunk).await {
                Ok(0) | Err(_) => return Ok(()),
                Ok(count) => count,
            };
            let (flow, budget) = match faults.wait_for(|now| !matches!(select(now).0, Flow::Hold)).await {
                Ok(now) => select(&now),
                Err(_) => return Ok(()),
            };
            if budget != since {
                (since, passed) = (budget, 0);
            }
            let left = budget.map(|budget| budget.saturating_sub(passed));
            passed += count;
            chunk.truncate(left.unwrap_or(count).min(count));
            let at = match flow {
                Flow::Pass => Some(Instant::now()),
                Flow::Delay(delay) => Some(Instant::now() + delay),
                Flow::Hold | Flow::Swallow => None,
            };
            if let Some(at) = at
                && queue.send((at, Ok(chunk))).await.is_err()
            {
                return Ok(());
            }
            if left.is_some_and(|left| left <= count) {
                // Behind what is queued already.
                let _ = queue.send((Instant::now(), Err(Cut))).await;
                return Ok(());
            }
        }
    };
    let write = async move {
        while let Some((at, chunk)) = due.recv().await {
            sleep_until(at).await;
            if to.write_all(&chunk?).await.is_err() {
                return Ok(());
            }
        }
        // The reader has ended: pass the end on.
        let _ = to.shutdown().await;
        Ok(())
    };
    tokio::try_join!(read, write).map(|_| ())
}
