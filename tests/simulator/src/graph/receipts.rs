//! Receipts for messages of users: read, and typing.

use std::sync::PoisonError;

use axum::response::Response;
use serde_json::json;

use crate::errors::Refusal;
use crate::ledger::Receipt;
use crate::meta::Meta;
use crate::respond;
use crate::rules;
use crate::world::Number;

/// Takes a receipt for a message that the number received in the last thirty days.
pub(super) fn take(meta: &Meta, number: &Number, receipt: &rules::Receipt) -> Result<Response, Refusal> {
    let now_ms = meta.now_ms();
    if !receipt.wamid.starts_with("wamid.") {
        let details = "Param message_id is not a message id";
        return Err(Refusal::new(400, 100, format!("(#100) {details}")).details(details));
    }
    let message = meta.known.find(&receipt.wamid, now_ms);
    if !message.is_some_and(|message| message.readable(&number.id)) {
        let details = "message_id: is not of a message that this number received in the last 30 days";
        return Err(Refusal::of_code(131_009).details(details));
    }
    meta.ledger
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .receipts
        .push(Receipt {
            wamid: receipt.wamid.clone(),
            phone_number_id: number.id.clone(),
            typing: receipt.typing,
            at_ms: now_ms,
        });
    Ok(respond::value(&json!({"success": true})))
}
