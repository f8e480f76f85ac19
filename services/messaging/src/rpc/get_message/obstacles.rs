//! Everything that a message waits for.

use outeract_domain::{Priority, Submission};
use outeract_proto::connection::v1::ConnectionState;
use outeract_proto::messaging::v1::Obstacle;
use outeract_rpc::Fault;
use time::OffsetDateTime;

use super::Messaging;
use crate::obstacle;
use crate::problem;
use crate::store::brake::{self, Standing};
use crate::store::message::Message;
use crate::store::run;
use crate::store::waiting::{self, Waiting};

/// What a message waits for.
#[derive(Debug, Default)]
pub(super) struct Wait {
    pub(super) obstacles: Vec<Obstacle>,
    pub(super) held_by_operator: bool,
    /// It is not tried before then.
    pub(super) next_at: Option<OffsetDateTime>,
}

pub(super) async fn find(service: &Messaging, row: &Message) -> Result<Wait, Fault> {
    match Submission::try_from(row.state) {
        Ok(Submission::Queued) => {}
        Ok(Submission::Unknown) if row.held => {
            return Ok(Wait {
                obstacles: vec![obstacle::held()],
                ..Wait::default()
            });
        }
        _ => return Ok(Wait::default()),
    }
    let (db, patience) = (&service.context.db, service.patience);
    let waiting = run!(db, "waiting.of", |conn| waiting::of(
        conn,
        &row.number,
        row.id,
        patience
    ))?;
    // None: it left the queue in this very moment.
    let Some(waiting) = waiting else {
        return Ok(Wait::default());
    };
    let campaign = row.priority >= Priority::Bulk.code();
    let brakes = run!(db, "brake.standing", |conn| brake::standing(
        conn,
        row.connection,
        campaign
    ))?;
    Ok(wait(row, &waiting, &brakes))
}

fn wait(row: &Message, waiting: &Waiting, brakes: &[Standing]) -> Wait {
    let mut obstacles = Vec::new();
    let held_by_operator = waiting.hold.is_some();
    obstacles.extend(waiting.hold.as_deref().map(obstacle::held_by_operator));
    if waiting.connection_state == Some(ConnectionState::Restricted as i16) {
        obstacles.push(obstacle::connection_restricted());
    } else if waiting.connection_state != Some(ConnectionState::Active as i16) {
        obstacles.push(obstacle::connection_not_active());
    } else if waiting.connection_paused == Some(true) {
        obstacles.push(obstacle::connection_paused());
    }
    obstacles.extend(brakes.iter().map(obstacle::braked));
    if let Some(until) = waiting.ready_at {
        obstacles.push(match row.reason.as_deref() {
            Some(reason) => {
                let sentence = problem::of_reason(reason, row.meta_code, true).message;
                obstacle::refused(reason, sentence, until)
            }
            None => obstacle::scheduled(until),
        });
    }
    if waiting.behind {
        obstacles.push(obstacle::behind(waiting.behind_until));
    }
    if obstacles.is_empty() {
        obstacles.push(obstacle::turn());
    }
    let next_at = brakes.iter().map(|brake| brake.until).chain(row.next_attempt_at).max();
    Wait {
        obstacles,
        held_by_operator,
        next_at,
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;
    use uuid::Uuid;

    use super::*;

    const LATER: OffsetDateTime = datetime!(2026-11-23 10:00 UTC);

    fn row(reason: Option<&str>) -> Message {
        Message {
            id: Uuid::nil(),
            application: Uuid::nil(),
            connection: Uuid::nil(),
            number: "1".to_owned(),
            sealed: Vec::new(),
            state: Submission::Queued.code(),
            held: false,
            attempt: i32::from(reason.is_some()),
            duplicates: 0,
            wamid_sealed: None,
            meta_code: reason.map(|_| 131_056),
            reason: reason.map(str::to_owned),
            next_attempt_at: None,
            expires_at: None,
            doubted: false,
            priority: 2,
            send_at: None,
            created_at: LATER,
            updated_at: LATER,
            fell_back: false,
        }
    }

    fn free() -> Waiting {
        Waiting {
            ready_at: None,
            behind: false,
            behind_until: None,
            connection_state: Some(ConnectionState::Active as i16),
            connection_paused: Some(false),
            hold: None,
        }
    }

    fn reasons(row: &Message, waiting: &Waiting) -> Vec<(String, bool)> {
        let wait = wait(row, waiting, &[]);
        wait.obstacles
            .into_iter()
            .map(|obstacle| (obstacle.reason, obstacle.retry_time.is_some()))
            .collect()
    }

    #[test]
    fn every_obstacle_is_named_and_without_one_it_is_the_turn() {
        let of = |reason: &str, timed| (reason.to_owned(), timed);
        assert_eq!(reasons(&row(None), &free()), [of("WAITING_FOR_TURN", false)]);
        let everything = Waiting {
            ready_at: Some(LATER),
            behind: true,
            behind_until: Some(LATER),
            connection_state: Some(ConnectionState::NeedsReauth as i16),
            connection_paused: Some(true),
            hold: Some("an audit".to_owned()),
        };
        assert_eq!(
            reasons(&row(Some("RECIPIENT_RATE_LIMITED")), &everything),
            [
                of("HELD_BY_OPERATOR", false),
                of("CONNECTION_NOT_ACTIVE", false),
                of("RECIPIENT_RATE_LIMITED", true),
                of("WAITING_FOR_EARLIER_MESSAGE", true),
            ]
        );
        let scheduled = Waiting {
            ready_at: Some(LATER),
            connection_paused: Some(true),
            ..free()
        };
        assert_eq!(
            reasons(&row(None), &scheduled),
            [of("CONNECTION_PAUSED", false), of("SCHEDULED", true)]
        );
        let unknown = Waiting {
            connection_state: None,
            connection_paused: None,
            ..free()
        };
        assert_eq!(reasons(&row(None), &unknown), [of("CONNECTION_NOT_ACTIVE", false)]);
    }

    #[test]
    fn the_operators_words_are_shown() {
        let held = Waiting {
            hold: Some("an audit".to_owned()),
            ..free()
        };
        let brake = Standing {
            scope: brake::WABA,
            until: LATER,
            reason: "ACCOUNT_LOCKED".to_owned(),
        };
        let wait = wait(&row(None), &held, &[brake]);
        assert!(wait.held_by_operator);
        let told: Vec<_> = wait
            .obstacles
            .iter()
            .map(|obstacle| obstacle.message.as_str())
            .collect();
        let braked =
            "An answer of Meta's to another message holds the WhatsApp Business Account back: Meta locked the account.";
        assert_eq!((told, wait.next_at), (vec!["an audit", braked], Some(LATER)));
    }
}
