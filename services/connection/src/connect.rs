//! Makes connections of what Meta told, in one transaction: token, connections, what is to be told to others, and the audit log, or none of it.

use std::collections::HashMap;
use std::sync::Arc;

use outeract_domain::{ApplicationId, ConnectionId, E164, KeyId};
use outeract_graph::PhoneNumber;
use outeract_postgres::run_tx;
use outeract_proto::connection::v1::ConnectionState;
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::Fault;
use outeract_seal::Secret;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::audit::{Deed, row_id};
use crate::desk::Desk;
use crate::fault::{self, Error};
use crate::fields::is_name;
use crate::meta::Access;
use crate::push::HOLD;
use crate::store::connection::{self, Connection, Known, Number};
use crate::store::{application, grant, outbox};
use crate::{sealed, standing};

const MAX_META_TEXT: usize = 512;

/// What is to be connected, and for whom.
#[derive(Debug)]
pub(crate) struct Connecting {
    pub(crate) application: ApplicationId,
    pub(crate) actor: KeyId,
    pub(crate) token: Secret,
    pub(crate) access: Access,
    /// The name that the caller chose for the only number.
    pub(crate) name: Option<String>,
}

// === impl Connecting ===

impl Connecting {
    /// `NUMBER_TAKEN` when another application holds one of the numbers.
    pub(crate) async fn check_free(&self, desk: &Desk) -> Result<(), Fault> {
        let held = connection::held_by_others(&desk.db, self.application, &self.phone_number_ids()).await;
        match held.map_err(fault::database)?.first() {
            Some(number) => Err(fault::number_taken(Some(number))),
            None => Ok(()),
        }
    }

    /// Stores the connections, in the order of the numbers.
    pub(crate) async fn store(self: &Arc<Self>, desk: &Desk) -> Result<Vec<Connection>, Fault> {
        let (this, own) = (Arc::clone(self), desk.clone());
        let stored = run_tx(&desk.db, "connection.create", async move |tx| {
            this.store_in(&own, tx).await
        })
        .await;
        match stored.map_err(Fault::from) {
            Ok(rows) => Ok(rows),
            Err(fault) if fault.reason() == ErrorReason::NumberTaken => {
                // Another application was faster; say which number it has.
                self.check_free(desk).await?;
                Err(fault)
            }
            Err(fault) => Err(fault),
        }
    }

    async fn store_in(&self, desk: &Desk, tx: &mut PgConnection) -> Result<Vec<Connection>, Error> {
        if !application::lock(tx, self.application).await? {
            return Err(Fault::not_found("application").into());
        }
        let known = connection::known(tx, self.application, &self.phone_number_ids()).await?;
        let ids: HashMap<&str, Uuid> = known
            .iter()
            .map(|known| (known.phone_number_id.as_str(), known.id))
            .collect();
        let numbers: Vec<Number> = self
            .access
            .numbers
            .iter()
            .map(|number| self.number(desk, number, &ids))
            .collect();

        let grant_id = self.store_grant(desk, tx).await?;
        connection::connect(tx, self.application, self.access.waba.as_str(), grant_id, &numbers).await?;
        let replaced: Vec<Uuid> = known.iter().map(|known| known.grant_id).collect();
        grant::delete_unused(tx, &replaced).await?;

        let order: Vec<Uuid> = numbers.iter().map(|number| number.id.uuid()).collect();
        standing::linked(tx, &order).await?;
        let mut rows = connection::with_ids(&mut *tx, &order).await?;
        rows.sort_by_key(|row| order.iter().position(|id| *id == row.id));
        let versions: Vec<i64> = rows.iter().map(|row| row.version).collect();
        outbox::enqueue(tx, &desk.push.names(), &order, &versions, HOLD).await?;
        self.audit(desk, tx, &rows, &known).await?;
        Ok(rows)
    }

    async fn store_grant(&self, desk: &Desk, tx: &mut PgConnection) -> sqlx::Result<Uuid> {
        let id = row_id(&*desk.random);
        let new = grant::New {
            id,
            application: self.application,
            token_sealed: sealed::seal_token(&desk.ring, self.application, id, &self.token, &*desk.random),
            expires_at: self.access.info.expires_at,
            data_access_expires_at: self.access.info.data_access_expires_at,
        };
        grant::insert(tx, &new).await?;
        Ok(id)
    }

    async fn audit(
        &self,
        desk: &Desk,
        tx: &mut PgConnection,
        rows: &[Connection],
        known: &[Known],
    ) -> sqlx::Result<()> {
        let actor = self.actor.to_string();
        for row in rows {
            let renewed = known.iter().any(|known| known.id == row.id);
            let deed = Deed {
                actor: &actor,
                action: if renewed {
                    "connection.renew"
                } else {
                    "connection.create"
                },
                subject: ConnectionId::from_uuid(row.id).to_string(),
                detail: json!({
                    "application_id": self.application.to_string(),
                    "waba_id": row.waba_id,
                    "phone_number_id": row.phone_number_id,
                }),
            };
            deed.record(tx, &*desk.random).await?;
        }
        Ok(())
    }

    fn number(&self, desk: &Desk, number: &PhoneNumber, known: &HashMap<&str, Uuid>) -> Number {
        let id = match known.get(number.id.as_str()) {
            Some(id) => ConnectionId::from_uuid(*id),
            None => ConnectionId::new(&*desk.clock, &*desk.random),
        };
        let display = e164(&number.display_phone_number);
        let verified_name = clean(&number.verified_name);
        Number {
            id,
            phone_number_id: number.id.to_string(),
            display_number_sealed: sealed::seal_number(
                &desk.ring,
                self.application,
                id.uuid(),
                display.as_ref(),
                &*desk.random,
            ),
            name: self.name.clone(),
            default_name: if is_name(&verified_name) {
                verified_name.clone()
            } else {
                format!("WhatsApp {}", number.id)
            },
            verified_name,
            state: ConnectionState::Active as i16,
            throughput_per_second: throughput(number),
            quality_rating: quality(&number.quality_rating),
            portfolio: self.access.portfolio.clone(),
        }
    }

    fn phone_number_ids(&self) -> Vec<String> {
        self.access.numbers.iter().map(|number| number.id.to_string()).collect()
    }
}

/// The number that Meta writes for people, as in `+1 555-078-3881`.
fn e164(display: &str) -> Option<E164> {
    let digits: String = display.chars().filter(char::is_ascii_digit).collect();
    E164::from_wa_id(&digits).ok()
}

/// Meta's text without what cannot be stored or shown, within a bound.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(MAX_META_TEXT)
        .collect()
}

/// Meta's word for a number's quality.
pub(crate) fn quality(text: &str) -> String {
    let word = clean(text);
    if word.is_empty() { "UNKNOWN".to_owned() } else { word }
}

/// Messages a second that Meta allows a number, as its documentation gives them for what it says of the number.
pub(crate) fn throughput(number: &PhoneNumber) -> i32 {
    if number.is_on_biz_app {
        20
    } else if number.throughput_level == "HIGH" {
        1_000
    } else {
        80
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_what_meta_shows() {
        let read = |text: &str| e164(text).map(|number| number.as_str().to_owned());
        assert_eq!(read("+1 555-078-3881").as_deref(), Some("+15550783881"));
        assert_eq!(read("15550783881").as_deref(), Some("+15550783881"));
        assert_eq!(read("+55 (11) 91234-5678").as_deref(), Some("+5511912345678"));
        assert_eq!(read(""), None);
        assert_eq!(read("unknown"), None);
    }

    #[test]
    fn metas_texts_are_bounded_and_printable() {
        assert_eq!(clean("a\0b\nc"), "abc");
        assert_eq!(clean(&"é".repeat(600)).chars().count(), MAX_META_TEXT);
    }

    #[test]
    fn throughput_follows_level_and_coexistence() {
        let number = |level: &str, is_on_biz_app| PhoneNumber {
            id: "1".parse().unwrap(),
            display_phone_number: String::new(),
            verified_name: String::new(),
            quality_rating: String::new(),
            throughput_level: level.to_owned(),
            is_on_biz_app,
        };
        assert_eq!(throughput(&number("STANDARD", false)), 80);
        assert_eq!(throughput(&number("HIGH", false)), 1_000);
        assert_eq!(throughput(&number("NOT_APPLICABLE", false)), 80);
        assert_eq!(throughput(&number("HIGH", true)), 20);
    }
}
