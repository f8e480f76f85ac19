//! What a call tells about others than its message: who waits, and until when. What an earlier owner of a number learned, or the owner of another number of the account, counts as well.

use std::time::Instant;

use outeract_graph::fault::Scope;

use super::Driver;
use crate::dispatch::call::Mood;
use crate::dispatch::scheduler::{LaneId, NumberId};
use crate::projection::{Brake, Connection};
use crate::store::brake::{APP, NUMBER, NUMBER_CAMPAIGNS, WABA, WABA_CAMPAIGNS};

impl Driver {
    pub(super) fn feel(&mut self, number: &NumberId, lane: LaneId, mood: Mood, now: Instant) {
        let (scope, until, probe, reason) = match mood {
            Mood::Well => return self.scheduler.calm(number),
            Mood::Neutral | Mood::Free => return,
            Mood::Slow { until, reason } => {
                // Many calls learn it together: those of one moment count once.
                if !self.scheduler.braked(number, now) {
                    self.throttles.slow(number, now);
                }
                (Scope::Number, until, false, reason)
            }
            Mood::Wait {
                scope,
                until,
                probe,
                reason,
            } => (scope, until, probe, reason),
        };
        let name = match scope {
            Scope::Message => return,
            Scope::Contact => {
                self.scheduler.hold_up(number, lane.contact, until, now);
                "contact"
            }
            Scope::Number => {
                self.scheduler.brake(number, until, probe);
                "number"
            }
            Scope::NumberCampaigns => {
                self.scheduler.brake_bulk(number, until);
                "number_campaigns"
            }
            Scope::Waba => {
                for number in self.of_the_same_account(number) {
                    self.scheduler.brake(&number, until, probe);
                }
                "account"
            }
            Scope::WabaCampaigns => {
                for number in self.of_the_same_account(number) {
                    self.scheduler.brake_bulk(&number, until);
                }
                "account_campaigns"
            }
            Scope::App => {
                for (number, _) in self.scheduler.owned() {
                    self.scheduler.brake(&number, until, probe);
                }
                "app"
            }
        };
        metrics::counter!("messaging_brakes_total", "scope" => name).increment(1);
        self.write_down(number, scope, Brake { until, probe }, reason);
    }

    /// For a number's next owner, and for the owners of the other numbers.
    fn write_down(&self, number: &NumberId, scope: Scope, brake: Brake, reason: &'static str) {
        let projection = &self.parts.line.projection;
        let waba = || projection.of_number(number).map(|connection| connection.waba.clone());
        let (scope, key) = match scope {
            Scope::Message | Scope::Contact => return,
            Scope::Number => (NUMBER, Some(number.to_string())),
            Scope::NumberCampaigns => (NUMBER_CAMPAIGNS, Some(number.to_string())),
            Scope::Waba => (WABA, waba()),
            Scope::WabaCampaigns => (WABA_CAMPAIGNS, waba()),
            Scope::App => (APP, Some(String::new())),
        };
        if let Some(key) = key {
            projection.brake(scope, &key, brake, reason);
        }
    }

    /// Heeds what is known to hold an owned number back.
    pub(super) fn heed(&mut self, connection: &Connection) {
        let held = self.parts.line.projection.brakes(connection);
        let number = connection.number.as_str();
        if let Some(Brake { until, probe }) = held.all {
            self.scheduler.brake(number, until, probe);
        }
        if let Some(Brake { until, .. }) = held.campaigns {
            self.scheduler.brake_bulk(number, until);
        }
    }

    /// The numbers of a number's WhatsApp Business Account that are sent from here.
    fn of_the_same_account(&self, number: &NumberId) -> Vec<NumberId> {
        let projection = &self.parts.line.projection;
        let account = |connection: &Connection| connection.waba.clone();
        let waba = projection.of_number(number).map(|connection| account(&connection));
        let owned = self.scheduler.owned().into_iter().map(|(number, _)| number);
        owned
            .filter(|other| projection.of_number(other).map(|connection| account(&connection)) == waba)
            .collect()
    }
}
