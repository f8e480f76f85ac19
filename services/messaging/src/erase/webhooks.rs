//! Stored webhooks. They are looked through first; and once more, for what came between that and the moment at which the contact was gone.

use outeract_events::timestamp;
use outeract_postgres::run_tx;
use outeract_proto::webhook::internal::v1::EraseUserRequest;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Eraser, PATIENCE, Trouble, counted};
use crate::store::erase as data;
use crate::store::erasure::{self as store, Job, Next, service, step};
use crate::store::run;

/// Ids, and numbers, of one call.
const IDS: usize = 100;
const NUMBERS: usize = 1_000;
/// Passes that look through stored webhooks.
const PASSES: i32 = 2;

// === impl Eraser ===

impl Eraser {
    pub(super) async fn webhooks(&self, job: &Job) -> Result<(), Trouble> {
        if job.pass > PASSES {
            return self.go_on(job, job.to(step::CANCEL)).await;
        }
        let numbers = run!(self.db, "erase.numbers", |conn| data::numbers(conn, job.application))?;
        let requests = requests(job, &self.ids(job)?.digits(), &self.ids(job)?.users(), &numbers);
        let (mut done, mut parts, mut posts) = (true, 0, 0);
        for request in requests {
            let mut request = tonic::Request::new(request);
            request.set_timeout(PATIENCE);
            let answer = self.webhook.clone().erase_user(request).await;
            let answer = answer
                .map_err(|status| Trouble::Sibling("webhook", status.code()))?
                .into_inner();
            done &= answer.done;
            parts += answer.erased;
            posts += answer.scanned;
        }
        if !done {
            let wait = self.timing.refresh.as_secs_f64();
            return self.go_on(job, Next { wait, ..job.here() }).await;
        }
        let owned = job.clone();
        run_tx(&self.db, "erasure.webhooks", async move |conn| {
            if store::hold(&mut *conn, &owned).await? {
                let counts = [("parts", parts), ("posts", posts)];
                // What comes in after the contact was gone is a new contact's, so this need not come to nothing.
                store::add(&mut *conn, &owned, service::WEBHOOK, &counts, false).await?;
                store::go_on(&mut *conn, &owned, owned.to(step::CANCEL)).await?;
            }
            Ok::<_, sqlx::Error>(())
        })
        .await?;
        counted("webhook_parts", parts);
        Ok(())
    }
}

/// The calls of a pass. Each has an id of its own, the same whoever makes it.
fn requests(job: &Job, digits: &[String], users: &[String], numbers: &[String]) -> Vec<EraseUserRequest> {
    let rounds = digits.len().max(users.len()).div_ceil(IDS);
    let part = |ids: &[String], round: usize| ids.iter().skip(round * IDS).take(IDS).cloned().collect::<Vec<_>>();
    let mut requests = Vec::new();
    for round in 0..rounds {
        for numbers in numbers.chunks(NUMBERS) {
            requests.push(EraseUserRequest {
                application_id: job.application.as_bytes().to_vec(),
                erasure_id: call(job, requests.len()).as_bytes().to_vec(),
                wa_ids: part(digits, round),
                user_ids: part(users, round),
                phone_number_ids: numbers.to_vec(),
                receive_time_from: (!job.is_first() && !job.rescan).then(|| timestamp::to_proto(job.created_at)),
                receive_time_to: job.forgotten_at.filter(|_| !job.is_first()).map(timestamp::to_proto),
            });
        }
    }
    requests
}

fn call(job: &Job, number: usize) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(job.id.as_bytes());
    hash.update(job.pass.to_be_bytes());
    hash.update((number as u64).to_be_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn job(pass: i32) -> Job {
        Job {
            id: Uuid::from_u128(1),
            application: Uuid::from_u128(2),
            contact: None,
            created_at: datetime!(2026-11-25 10:00 UTC),
            forgotten_at: Some(datetime!(2026-11-25 10:05 UTC)),
            lease: Uuid::nil(),
            after: 0,
            place: 0,
            pass,
            step: step::WEBHOOKS,
            rescan: false,
            contacts: Vec::new(),
            identities: Vec::new(),
        }
    }

    #[test]
    fn every_id_meets_every_number_in_calls_of_bounded_size_that_are_the_same_every_time() {
        let ids = |count: usize| (0..count).map(|n| format!("{n:08}")).collect::<Vec<_>>();
        let calls = requests(&job(1), &ids(150), &ids(30), &ids(1_001));
        assert_eq!(calls.len(), 4);
        assert!(
            calls
                .iter()
                .all(|call| call.wa_ids.len() <= 100 && call.phone_number_ids.len() <= 1_000)
        );
        let met: std::collections::HashSet<_> = calls
            .iter()
            .flat_map(|call| {
                call.wa_ids
                    .iter()
                    .flat_map(|id| call.phone_number_ids.iter().map(move |number| (id, number)))
            })
            .collect();
        assert_eq!(met.len(), 150 * 1_001);
        let keys: std::collections::HashSet<_> = calls.iter().map(|call| call.erasure_id.clone()).collect();
        assert_eq!(keys.len(), 4);
        assert_eq!(calls, requests(&job(1), &ids(150), &ids(30), &ids(1_001)));
        assert!(requests(&job(1), &[], &[], &ids(3)).is_empty());
        assert!(requests(&job(1), &ids(3), &[], &[]).is_empty());
    }

    #[test]
    fn the_second_pass_looks_only_at_what_came_in_between() {
        let one = |job: &Job| requests(job, &["14155551234".to_owned()], &[], &["1".to_owned()]).remove(0);
        let (first, second) = (one(&job(1)), one(&job(2)));
        assert_eq!((first.receive_time_from, first.receive_time_to), (None, None));
        assert!(second.receive_time_from.is_some() && second.receive_time_to.is_some());
        assert_ne!(first.erasure_id, second.erasure_id);
        let late = Job { rescan: true, ..job(2) };
        assert!(one(&late).receive_time_from.is_none());
    }
}
