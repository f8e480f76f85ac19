use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// After a failed accept (out of file descriptors, mostly): the listener stays, and does not spin.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until `drain`, at most `most` at once, and serves each by `serve` on its own task. Returns when the last of them has ended;
/// dropped before, it ends them all.
pub async fn accept<F, S>(listener: TcpListener, most: usize, drain: CancellationToken, serve: S)
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(TcpStream) -> F,
{
    let places = Arc::new(Semaphore::new(most));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            // A place first: while all are taken, newcomers wait in the kernel's queue.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            biased;
            () = drain.cancelled() => break,
            (place, accepted) = accepted => match accepted {
                Ok((stream, _)) => {
                    // Without it, each answer would wait for the peer's delayed acknowledgement.
                    let _ = stream.set_nodelay(true);
                    let served = serve(stream);
                    connections.spawn(async move {
                        let _place = place;
                        served.await;
                    });
                }
                Err(cause) => {
                    tracing::warn!(%cause, "Could not accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    // Closes the socket at once, so that newcomers are refused and go to another replica.
    drop(listener);
    while connections.join_next().await.is_some() {}
}
