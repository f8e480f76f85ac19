//! The end: a pass that found nothing, the proof and the event.

use std::collections::HashMap;
use std::fmt::Write as _;

use outeract_domain::{ContactId, ErasureId, EventId};
use outeract_events::timestamp;
use outeract_postgres::run_tx;
use outeract_proto::messaging::v1::{Erasure, ErasureCount, ErasureState};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Eraser, Trouble};
use crate::store::erasure::{self as store, Count, Job, Next, Shown, service, step};

/// The pass that comes first to its end never is the last: it may have raced with anything.
const LEAST_PASSES: i32 = 2;

// === impl Eraser ===

impl Eraser {
    /// A pass is over: the job has ended, or goes through everything again after a while.
    pub(super) async fn over(&self, job: &Job) -> Result<(), Trouble> {
        let again = Next {
            pass: job.pass + 1,
            anew: true,
            wait: self.timing.erasure_settles.as_secs_f64(),
            ..job.to(step::WEBHOOKS)
        };
        let event = EventId::new(&*self.clock, &*self.random).uuid();
        let owned = job.clone();
        let ended = run_tx(&self.db, "erasure.over", async move |conn| {
            if !store::hold(&mut *conn, &owned).await? {
                return Ok(false);
            }
            if owned.pass < LEAST_PASSES || store::found(&mut *conn, &owned).await? > 0 {
                store::go_on(&mut *conn, &owned, again).await?;
                return Ok(false);
            }
            let at = store::now(&mut *conn).await?;
            let counts = store::counts(&mut *conn, &[owned.id]).await?;
            let digest = digest(&owned, at, &counts);
            store::end(&mut *conn, &owned, at, &digest, event).await?;
            Ok::<_, sqlx::Error>(true)
        })
        .await?;
        if ended {
            self.told.ring();
            metrics::counter!("messaging_erasures_total").increment(1);
            tracing::info!(erasure.id = %ErasureId::from_uuid(job.id), passes = job.pass, "A user was erased");
        }
        Ok(())
    }
}

/// As the contract writes it down.
fn digest(job: &Job, ended: OffsetDateTime, counts: &[Count]) -> [u8; 32] {
    let micros = |at: OffsetDateTime| at.unix_timestamp_nanos() / 1_000;
    let mut text = String::new();
    let forgotten = job.forgotten_at.map_or(0, micros);
    // Writing to a text cannot fail.
    let _ = writeln!(text, "{}", ErasureId::from_uuid(job.id));
    let _ = writeln!(text, "{}", contact(job.contact));
    let _ = writeln!(text, "{}\n{forgotten}\n{}", micros(job.created_at), micros(ended));
    for count in counts {
        let _ = writeln!(text, "{} {} {}", word(count.service), count.what, count.rows);
    }
    Sha256::digest(text.as_bytes()).into()
}

fn contact(id: Option<Uuid>) -> String {
    id.map(|id| ContactId::from_uuid(id).to_string()).unwrap_or_default()
}

fn word(service: i16) -> &'static str {
    match service {
        service::WEBHOOK => "webhook",
        service::MESSAGING => "messaging",
        _ => "tracking",
    }
}

/// Erasures as the contract shows them, each with what it counts.
pub(crate) fn described(shown: Vec<Shown>, counts: Vec<Count>) -> Vec<Erasure> {
    let mut by_id: HashMap<Uuid, Vec<ErasureCount>> = HashMap::new();
    for count in counts {
        by_id.entry(count.erasure).or_default().push(ErasureCount {
            service: word(count.service).to_owned(),
            what: count.what,
            count: count.rows,
        });
    }
    let described = shown.into_iter().map(|row| Erasure {
        id: ErasureId::from_uuid(row.id).to_string(),
        contact_id: contact(row.contact),
        state: state(&row).into(),
        create_time: Some(timestamp::to_proto(row.created_at)),
        forget_time: row.forgotten_at.map(timestamp::to_proto),
        end_time: row.ended_at.map(timestamp::to_proto),
        passes: row.pass,
        counts: by_id.remove(&row.id).unwrap_or_default(),
        digest: row.digest.map(hex::encode).unwrap_or_default(),
    });
    described.collect()
}

fn state(row: &Shown) -> ErasureState {
    if row.ended_at.is_some() {
        return ErasureState::Done;
    }
    match row.step {
        _ if row.pass > 1 => ErasureState::Verifying,
        step::WEBHOOKS => ErasureState::Webhooks,
        step::CANCEL | step::FORGET | step::DRAIN => ErasureState::Contact,
        _ => ErasureState::Content,
    }
}
