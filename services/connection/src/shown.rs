//! Connections as their application sees them, with what Meta told of them.

use std::collections::HashMap;

use outeract_proto::connection::v1 as public;
use outeract_rpc::Fault;
use prost_types::Timestamp;
use uuid::Uuid;

use crate::desk::Desk;
use crate::store::connection::Connection;
use crate::store::standing::{self, Aspect, Stored};
use crate::{convert, fault};

// === impl Desk ===

impl Desk {
    /// These connections, in order.
    pub(crate) async fn shown(&self, rows: Vec<Connection>) -> Result<Vec<public::Connection>, Fault> {
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let told = standing::of(&self.db, &ids).await.map_err(fault::database)?;
        let mut of: HashMap<Uuid, Vec<Stored>> = HashMap::new();
        for one in told {
            of.entry(one.connection_id).or_default().push(one);
        }
        let shown = rows.into_iter().map(|row| {
            let told = of.remove(&row.id).unwrap_or_default();
            let mut shown = convert::connection(&self.ring, row)?;
            for one in told {
                show(&mut shown, one);
            }
            Ok(shown)
        });
        shown.collect()
    }
}

fn show(shown: &mut public::Connection, told: Stored) {
    const BAN: i16 = Aspect::Ban as i16;
    const RESTRICTION: i16 = Aspect::Restriction as i16;
    const REVIEW: i16 = Aspect::Review as i16;
    const NAME: i16 = Aspect::Name as i16;
    const USERNAME: i16 = Aspect::Username as i16;
    match told.aspect {
        BAN => shown.ban_state = told.word,
        RESTRICTION => shown.restrictions = restrictions(&told),
        REVIEW => shown.review_decision = told.word,
        NAME => shown.name_status = told.word,
        USERNAME => (shown.username, shown.username_status) = (told.word, told.detail),
        // The state tells of the link, the rating of the quality.
        _ => {}
    }
}

/// Those that have not ended.
fn restrictions(told: &Stored) -> Vec<public::ConnectionRestriction> {
    let now = told.now.unix_timestamp();
    let list: Vec<(String, i64)> = serde_json::from_str(&told.restrictions).unwrap_or_default();
    list.into_iter()
        .filter(|(_, end)| *end == 0 || *end > now)
        .map(|(kind, end)| public::ConnectionRestriction {
            r#type: kind,
            expire_time: (end > 0).then_some(Timestamp { seconds: end, nanos: 0 }),
        })
        .collect()
}
