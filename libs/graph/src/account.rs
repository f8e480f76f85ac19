use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use outeract_domain::{PhoneNumberId, WabaId};
use outeract_seal::Secret;
use time::OffsetDateTime;

use crate::{CallError, Client, Reply, Token};

/// What Meta knows of an access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInfo {
    /// The app it was made for.
    pub app_id: String,
    /// It still works.
    pub is_valid: bool,
    /// When it stops working; `None`: never.
    pub expires_at: Option<OffsetDateTime>,
    /// When it stops giving access to data although it is valid; `None`: never.
    pub data_access_expires_at: Option<OffsetDateTime>,
    /// Permissions.
    pub scopes: Vec<String>,
    /// WABAs it may manage, newest first. Empty where Meta lists none: the permission, if it is among `scopes`, is bound to no particular ones.
    pub waba_ids: Vec<String>,
}

/// A business phone number as Meta lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneNumber {
    /// Meta's id of the number.
    pub id: PhoneNumberId,
    /// The number as Meta writes it for people, for example `+1 555-078-3881`.
    pub display_phone_number: String,
    /// Name that Meta shows to recipients; empty: none approved.
    pub verified_name: String,
    /// Meta's word for the quality, for example `GREEN`; `UNKNOWN` when absent.
    pub quality_rating: String,
    /// Meta's word for the throughput, for example `STANDARD` or `HIGH`.
    pub throughput_level: String,
    /// It is also used in the WhatsApp Business app (coexistence).
    pub is_on_biz_app: bool,
}

#[derive(Deserialize)]
pub(crate) struct Data<T> {
    pub(crate) data: T,
    #[serde(default)]
    paging: Option<Paging>,
}

#[derive(Deserialize)]
struct Paging {
    #[serde(default)]
    cursors: Option<Cursors>,
    #[serde(default)]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Cursors {
    #[serde(default)]
    after: Option<String>,
}

#[derive(Deserialize)]
struct WireToken {
    #[serde(default)]
    app_id: String,
    #[serde(default)]
    is_valid: bool,
    #[serde(default)]
    expires_at: i64,
    #[serde(default)]
    data_access_expires_at: i64,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    granular_scopes: Vec<WireScope>,
}

#[derive(Deserialize)]
struct WireScope {
    scope: String,
    #[serde(default)]
    target_ids: Vec<String>,
}

#[derive(Deserialize)]
struct WireNumber {
    id: String,
    #[serde(default)]
    display_phone_number: String,
    #[serde(default)]
    verified_name: Option<String>,
    #[serde(default)]
    quality_rating: Option<String>,
    #[serde(default)]
    throughput: Option<WireThroughput>,
    #[serde(default)]
    is_on_biz_app: Option<bool>,
}

#[derive(Deserialize)]
struct WireThroughput {
    #[serde(default)]
    level: String,
}

#[derive(Deserialize)]
struct WireOwner {
    #[serde(default)]
    owner_business_info: Option<WireBusiness>,
}

#[derive(Deserialize)]
struct WireBusiness {
    id: String,
}

#[derive(Deserialize)]
struct WireLimit {
    #[serde(default)]
    whatsapp_business_manager_messaging_limit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Done {
    success: bool,
}

/// Numbers asked for in one page, and pages read at most: a WABA has far fewer.
const PAGE: &str = "100";
const MAX_PAGES: usize = 50;
/// Ids and words of Meta's are shorter than this by far.
const LONGEST_WORD: usize = 64;

impl Client {
    /// What Meta knows of `token`. Asked with the app's own token.
    pub async fn debug_token(&self, app: &Token, token: &Secret) -> Result<TokenInfo, CallError> {
        let reply = self.get(app, "debug_token", &[("input_token", token.expose())]).await?;
        let wire: WireToken = read::<Data<WireToken>>(&reply)?.data;
        let targets = wire
            .granular_scopes
            .into_iter()
            .find(|scope| scope.scope == "whatsapp_business_management");
        Ok(TokenInfo {
            app_id: wire.app_id,
            is_valid: wire.is_valid,
            expires_at: time_of(wire.expires_at),
            data_access_expires_at: time_of(wire.data_access_expires_at),
            scopes: wire.scopes,
            waba_ids: targets.map_or_else(Vec::new, |scope| scope.target_ids),
        })
    }

    /// The WABA's numbers, in Meta's order.
    pub async fn list_phone_numbers(&self, token: &Token, waba: &WabaId) -> Result<Vec<PhoneNumber>, CallError> {
        let fields = "id,display_phone_number,verified_name,quality_rating,throughput,is_on_biz_app";
        let path = format!("{waba}/phone_numbers");
        let mut numbers = Vec::new();
        let mut after = String::new();
        for _ in 0..MAX_PAGES {
            let mut query = vec![("fields", fields), ("limit", PAGE)];
            if !after.is_empty() {
                query.push(("after", &after));
            }
            let page: Data<Vec<WireNumber>> = read(&self.get(token, &path, &query).await?)?;
            let next = page.next();
            for number in page.data {
                numbers.push(number.try_into()?);
            }
            match next {
                Some(cursor) if cursor != after => after = cursor,
                _ => break,
            }
        }
        Ok(numbers)
    }

    /// The id of the business portfolio that owns the WABA; none where Meta does not say.
    pub async fn owner_business(&self, token: &Token, waba: &WabaId) -> Result<Option<String>, CallError> {
        let query = [("fields", "owner_business_info")];
        let wire: WireOwner = read(&self.get(token, waba.as_str(), &query).await?)?;
        let id = wire.owner_business_info.map(|business| business.id);
        Ok(id.filter(|id| (1..=LONGEST_WORD).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit())))
    }

    /// Meta's word for how many unique users the number's portfolio may write to outside their windows in 24 hours, for example `TIER_2K`; none where Meta does not say.
    pub async fn messaging_limit(&self, token: &Token, number: &PhoneNumberId) -> Result<Option<String>, CallError> {
        let query = [("fields", "whatsapp_business_manager_messaging_limit")];
        let wire: WireLimit = read(&self.get(token, number.as_str(), &query).await?)?;
        let word = match wire.whatsapp_business_manager_messaging_limit {
            Some(serde_json::Value::String(word)) => Some(word),
            Some(serde_json::Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        Ok(word.filter(|word| {
            (1..=LONGEST_WORD).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_graphic())
        }))
    }

    /// Subscribes the app to the WABA's webhooks. Doing it again changes nothing.
    pub async fn subscribe_waba(&self, token: &Token, waba: &WabaId) -> Result<(), CallError> {
        done(
            &self
                .post(token, &format!("{waba}/subscribed_apps"), &[], b"{}".to_vec())
                .await?,
        )
    }

    /// Sets the app's webhook: Meta verifies `callback_url` with `verify_token` before it answers.
    pub async fn subscribe_app(
        &self,
        app: &Token,
        app_id: &str,
        callback_url: &str,
        verify_token: &Secret,
        fields: &[&str],
    ) -> Result<(), CallError> {
        let body = json!({
            "object": "whatsapp_business_account",
            "callback_url": callback_url,
            "verify_token": verify_token.expose(),
            "fields": fields.join(","),
        });
        done(
            &self
                .post(
                    app,
                    &format!("{app_id}/subscriptions"),
                    &[],
                    body.to_string().into_bytes(),
                )
                .await?,
        )
    }
}

impl<T> Data<T> {
    /// What the next page is asked for with; `None`: this is the last.
    pub(crate) fn next(&self) -> Option<String> {
        let paging = self.paging.as_ref().filter(|paging| paging.next.is_some())?;
        paging.cursors.as_ref()?.after.clone()
    }
}

impl TryFrom<WireNumber> for PhoneNumber {
    type Error = CallError;

    fn try_from(wire: WireNumber) -> Result<Self, CallError> {
        Ok(Self {
            id: wire
                .id
                .parse()
                .map_err(|_| CallError::Unintelligible { http_status: 200 })?,
            display_phone_number: wire.display_phone_number,
            verified_name: wire.verified_name.unwrap_or_default(),
            quality_rating: wire.quality_rating.unwrap_or_else(|| "UNKNOWN".to_owned()),
            throughput_level: wire
                .throughput
                .map_or_else(|| "STANDARD".to_owned(), |throughput| throughput.level),
            is_on_biz_app: wire.is_on_biz_app.unwrap_or(false),
        })
    }
}

pub(crate) fn read<T: DeserializeOwned>(reply: &Reply) -> Result<T, CallError> {
    serde_json::from_slice(&reply.body).map_err(|_| CallError::Unintelligible { http_status: 200 })
}

fn done(reply: &Reply) -> Result<(), CallError> {
    let Done { success } = read(reply)?;
    if success {
        Ok(())
    } else {
        Err(CallError::Unintelligible { http_status: 200 })
    }
}

/// Meta writes 0 for never.
fn time_of(seconds: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .filter(|_| seconds > 0)
}
