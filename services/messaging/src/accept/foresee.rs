//! What stands in an order's way now, without storing it: what the flush and the gate would say.

use sqlx::PgPool;
use time::OffsetDateTime;

use super::Order;
use crate::store::{DbError, accept as store, quota, run};
use crate::window::{Refusal, open_for};

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreseen {
    /// It would be stored, and pass the gate.
    Clear,
    /// It would not be stored.
    Refused(Refusal),
    /// It would be stored, and wait for a place in the portfolio's quota: until then at least.
    NoPlace(Option<OffsetDateTime>),
}

/// Asks Postgres, nobody else.
pub(crate) async fn foresee(db: &PgPool, order: &Order) -> Result<Foreseen, DbError> {
    let terms = order.gate();
    let asked = [order.asked(&terms)];
    let found = run!(db, "accept.resolve", |conn| store::resolve(conn, &asked))?;
    let Some(found) = found.first() else {
        return Ok(Foreseen::Clear);
    };
    let open = open_for(found.window_left).is_some();
    let later = order.terms.send_at.is_some();
    if let Some(refusal) = terms.refusal(open || later, found.unwanted) {
        return Ok(Foreseen::Refused(refusal));
    }
    if open || terms.sandbox {
        return Ok(Foreseen::Clear);
    }
    let (portfolio, contact) = (&*order.connection.portfolio, found.contact);
    let room = run!(db, "quota.room", |conn| quota::room(conn, portfolio, contact))?;
    Ok(match room {
        Some(room) if !room.placed && room.most.is_some_and(|most| room.used >= i64::from(most)) => {
            Foreseen::NoPlace(room.next_at)
        }
        Some(_) | None => Foreseen::Clear,
    })
}
