use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};

use super::model::{Echo, InboundAccepted};
use super::routes::{Problem, Shared, absent};
use crate::webhook;

/// What the business sends from its own app. No window opens, and nothing is counted.
pub(super) async fn echoes(
    State(meta): Shared,
    Json(echoes): Json<Vec<Echo>>,
) -> Result<Json<Vec<InboundAccepted>>, Problem> {
    let mut accepted = Vec::with_capacity(echoes.len());
    for echo in &echoes {
        let number = meta.number(&echo.phone_number_id).ok_or_else(|| absent("number"))?;
        let to = echo.to.trim_start_matches('+');
        let user = meta.users.introduce(number.portfolio.viewer(), to, None);
        let wamid = echo.wamid.clone().unwrap_or_else(|| meta.ids.inbound(to));
        let mut item = echo.message.clone().unwrap_or_else(|| {
            let text = [("type", json!("text")), ("text", json!({"body": echo.text}))];
            text.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()
        });
        let at = echo.timestamp.unwrap_or(meta.now_ms() / 1_000);
        let own: Map<String, Value> = [
            ("from", Some(json!(number.digits))),
            ("to", user.wa_id.as_ref().map(|wa_id| json!(wa_id))),
            ("to_user_id", Some(json!(user.user_id))),
            ("id", Some(json!(wamid))),
            ("timestamp", Some(json!(at.to_string()))),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect();
        item.extend(own);
        let value = json!({
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": number.digits, "phone_number_id": number.id},
            "contacts": [webhook::sender(&user, "Simulated User")],
            "message_echoes": [item],
        });
        meta.announce(&number.waba_id, &number.subscribed, "smb_message_echoes", &value);
        accepted.push(InboundAccepted { wamid });
    }
    Ok(Json(accepted))
}
