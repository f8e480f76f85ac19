//! Who calls, and what they may.

use std::sync::{Arc, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use serde::Deserialize;
use subtle::ConstantTimeEq;

use crate::errors::Refusal;
use crate::meta::Meta;
use crate::world::{Account, MANAGEMENT, Number, Token, Waba};

/// What every call may carry in its query.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Access {
    pub(crate) access_token: Option<String>,
    pub(crate) appsecret_proof: Option<String>,
}

impl Meta {
    /// The caller's token, with its proof checked.
    pub(crate) fn token(&self, headers: &HeaderMap, access: &Access) -> Result<Arc<Token>, Refusal> {
        let token = self.valid_token(headers, access.access_token.as_deref())?;
        match access.appsecret_proof.as_deref() {
            Some(proof) if bool::from(proof.as_bytes().ct_eq(token.proof.as_bytes())) => Ok(token),
            Some(_) => {
                let refusal = Refusal::new(400, 100, "Invalid appsecret_proof provided in the API argument");
                Err(refusal.of_type("GraphMethodException"))
            }
            None if token.app || !self.config.require_proof => Ok(token),
            None => {
                let refusal = Refusal::new(
                    400,
                    100,
                    "API calls from the server require an appsecret_proof argument",
                );
                Err(refusal.of_type("GraphMethodException"))
            }
        }
    }

    /// The token of the header alone, without a proof: hosts other than the Graph API's ask for no more.
    pub(crate) fn bearer(&self, headers: &HeaderMap) -> Result<Arc<Token>, Refusal> {
        self.valid_token(headers, None)
    }

    fn valid_token(&self, headers: &HeaderMap, in_query: Option<&str>) -> Result<Arc<Token>, Refusal> {
        let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = header.and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("OAuth ")));
        let Some(text) = bearer.or(in_query).filter(|text| !text.is_empty()) else {
            return Err(Refusal::new(
                400,
                104,
                "An access token is required to request this resource.",
            ));
        };
        let token = self
            .find_token(text)
            .ok_or_else(|| Refusal::new(401, 190, "Invalid OAuth access token - Cannot parse access token"))?;
        if !token.valid(self.now_ms() / 1_000) {
            let refusal = Refusal::new(401, 190, "Error validating access token: Session has expired");
            return Err(refusal.subcode(463));
        }
        Ok(token)
    }

    /// A token by its text. The app's id and secret together are one, too.
    pub(crate) fn find_token(&self, text: &str) -> Option<Arc<Token>> {
        self.world().tokens.get(text).cloned()
    }

    /// The app's token, or a refusal.
    pub(crate) fn app_token(&self, headers: &HeaderMap, access: &Access) -> Result<(), Refusal> {
        if self.token(headers, access)?.app {
            return Ok(());
        }
        Err(Refusal::new(
            400,
            15,
            "(#15) This method must be called with an app access_token.",
        ))
    }

    /// An account that the caller may use.
    pub(crate) fn waba_for(&self, token: &Token, id: &str, scope: &str, verb: &str) -> Result<Arc<Waba>, Refusal> {
        let waba = self.waba(id).ok_or_else(|| Refusal::no_object(id, verb))?;
        permit(token, scope, &waba.id, id, verb)?;
        self.count(scope, &waba.account, !waba.numbers.is_empty())?;
        Ok(waba)
    }

    /// A number that the caller may use.
    pub(crate) fn number_for(&self, token: &Token, id: &str, scope: &str, verb: &str) -> Result<Arc<Number>, Refusal> {
        let number = self.number(id).ok_or_else(|| Refusal::no_object(id, verb))?;
        permit(token, scope, &number.waba_id, id, verb)?;
        if number.deleted.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Refusal::of_code(33).details("The business phone number has been deleted."));
        }
        self.count(scope, &number.account, true)?;
        Ok(number)
    }

    /// Counts a call of an account's management; what is one too many is refused.
    fn count(&self, scope: &str, account: &Account, active: bool) -> Result<(), Refusal> {
        if scope != MANAGEMENT {
            return Ok(());
        }
        let mut usage = account.usage.lock().unwrap_or_else(PoisonError::into_inner);
        if usage.take(active, self.now_ms()) || !self.switches().management {
            return Ok(());
        }
        let details = "There have been too many calls to this WhatsApp Business account. Wait a bit and try again.";
        Err(Refusal::of_code(80_007).details(details).subcode(2_446_079))
    }
}

fn permit(token: &Token, scope: &str, waba_id: &str, id: &str, verb: &str) -> Result<(), Refusal> {
    if !token.wabas.contains(waba_id) {
        return Err(Refusal::no_object(id, verb));
    }
    if !token.may(scope, waba_id) {
        return Err(Refusal::new(
            403,
            10,
            "(#10) Application does not have permission for this action",
        ));
    }
    Ok(())
}
