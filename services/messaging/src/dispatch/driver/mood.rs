//! What a call tells about others than its message: who waits, and until when.

use std::time::Instant;

use outeract_graph::fault::Scope;

use super::Driver;
use crate::dispatch::call::Mood;
use crate::dispatch::scheduler::{LaneId, NumberId};
use crate::projection::Connection;

impl Driver {
    pub(super) fn feel(&mut self, number: &NumberId, lane: LaneId, mood: Mood, now: Instant) {
        let (scope, until, probe) = match mood {
            Mood::Well => return self.scheduler.calm(number),
            Mood::Neutral | Mood::Free => return,
            Mood::Slow { until } => {
                // Many calls learn it together: those of one moment count once.
                if !self.scheduler.braked(number, now) {
                    self.throttles.slow(number, now);
                }
                (Scope::Number, until, false)
            }
            Mood::Wait { scope, until, probe } => (scope, until, probe),
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
