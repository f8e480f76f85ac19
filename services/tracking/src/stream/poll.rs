//! What other processes recorded, acknowledged or took over.

use std::sync::Arc;
use std::time::Duration;

use outeract_postgres::Summary;
use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};

use super::Streams;
use crate::store;

const PERIOD: Duration = Duration::from_millis(250);

/// Asks for all open streams together, for ever.
pub(crate) async fn poll(pool: PgPool, streams: Arc<Streams>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut away = false;
    loop {
        ticks.tick().await;
        let (applications, names) = streams.consumers();
        if names.is_empty() {
            continue;
        }
        match store::consumer::standings(&pool, &applications, &names).await {
            Ok(standings) => {
                streams.stand((&applications, &names), standings);
                away = false;
            }
            // Streams find out by themselves when they read.
            Err(error) if !away => {
                away = true;
                tracing::warn!("Cannot ask how consumers stand: {}", Summary(&error));
            }
            Err(_) => {}
        }
    }
}
