//! What Meta is asked about an account, and what its answers mean for a caller.

use std::time::Duration;

use outeract_domain::{PhoneNumberId, WabaId};
use outeract_graph::{CallError, Client, PhoneNumber, Token, TokenInfo, signature};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::{Fault, deadline};
use outeract_seal::Secret;
use time::OffsetDateTime;
use tokio::time::timeout;
use tonic::Code;

/// Manages accounts and receives their webhooks. Its targets are the accounts that a token gives access to.
const MANAGEMENT: &str = "whatsapp_business_management";
/// Sends messages and receives them.
const MESSAGING: &str = "whatsapp_business_messaging";
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Numbers connected by one call: more fit no push.
const MOST_NUMBERS: usize = 1_000;

/// Meta, seen by this installation's app: the app secret stays in here.
#[derive(Debug)]
pub(crate) struct Meta {
    graph: Client,
    app_id: String,
    app_secret: Secret,
    app: Token,
}

/// An account that a token gives access to.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) info: TokenInfo,
    pub(crate) waba: WabaId,
    /// The numbers to connect, in the order in which Meta lists them.
    pub(crate) numbers: Vec<PhoneNumber>,
    pub(crate) portfolio: Portfolio,
}

/// The business portfolio that owns an account, as far as Meta says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Portfolio {
    /// Its id. Empty: Meta does not say.
    pub(crate) id: String,
    /// Meta's word for how many unique users it may write to outside their windows in 24 hours. Empty: Meta does not say.
    pub(crate) messaging_limit: String,
}

// === impl Meta ===

impl Meta {
    pub(crate) fn new(graph: Client, app_id: String, app_secret: Secret) -> Self {
        let app = Token::of_app(&app_id, &app_secret);
        Self {
            graph,
            app_id,
            app_secret,
            app,
        }
    }

    pub(crate) fn app_id(&self) -> &str {
        &self.app_id
    }

    /// What shows Meta that a call with this token comes from the app.
    pub(crate) fn proof(&self, token: &Secret) -> String {
        signature::appsecret_proof(token, &self.app_secret)
    }

    /// What the token gives access to: one account, and its numbers or those of them that are wanted.
    pub(crate) async fn examine(
        &self,
        token: &Secret,
        waba: Option<WabaId>,
        wanted: &[PhoneNumberId],
        now: OffsetDateTime,
    ) -> Result<Access, Fault> {
        let info = within_deadline(self.graph.debug_token(&self.app, token)).await?;
        let waba = self.judge(&info, waba, now)?;
        let listed = self.numbers(token, &waba).await?;
        let numbers = choose(listed, wanted)?;
        let portfolio = match numbers.first() {
            Some(number) => self.portfolio(token, &waba, &number.id).await,
            None => Portfolio::default(),
        };
        Ok(Access {
            info,
            waba,
            numbers,
            portfolio,
        })
    }

    /// The account's numbers, in Meta's order.
    pub(crate) async fn numbers(&self, token: &Secret, waba: &WabaId) -> Result<Vec<PhoneNumber>, Fault> {
        within_deadline(self.graph.list_phone_numbers(&self.token(token), waba)).await
    }

    /// The portfolio that owns the account, known by one of its numbers. What Meta does not say, for whatever reason, is asked again another day.
    pub(crate) async fn portfolio(&self, token: &Secret, waba: &WabaId, number: &PhoneNumberId) -> Portfolio {
        let token = self.token(token);
        let (id, limit) = tokio::join!(
            within_deadline(self.graph.owner_business(&token, waba)),
            within_deadline(self.graph.messaging_limit(&token, number)),
        );
        Portfolio {
            id: told(id, "the portfolio that owns it"),
            messaging_limit: told(limit, "its messaging limit"),
        }
    }

    /// Subscribes the app to the account's webhooks. Harmless to repeat.
    pub(crate) async fn subscribe_waba(&self, token: &Secret, waba: &WabaId) -> Result<(), Fault> {
        within_deadline(self.graph.subscribe_waba(&self.token(token), waba)).await
    }

    /// Sets where Meta sends the app's webhooks. Harmless to repeat.
    pub(crate) async fn subscribe_app(
        &self,
        url: &str,
        verify_token: &Secret,
        fields: &[&str],
    ) -> Result<(), CallError> {
        self.graph
            .subscribe_app(&self.app, &self.app_id, url, verify_token, fields)
            .await
    }

    fn token(&self, token: &Secret) -> Token {
        Token::with_app_secret(token.clone(), &self.app_secret)
    }

    /// Whether the token may be used, and for which account.
    fn judge(&self, info: &TokenInfo, wanted: Option<WabaId>, now: OffsetDateTime) -> Result<WabaId, Fault> {
        let passed = |at: Option<OffsetDateTime>| at.is_some_and(|at| at <= now);
        if !info.is_valid || passed(info.expires_at) {
            return Err(token_refused("the token is not valid", "is_valid"));
        }
        if info.app_id != self.app_id {
            return Err(token_refused("the token belongs to another Meta app", "app_id"));
        }
        if passed(info.data_access_expires_at) {
            return Err(token_refused("the token's access to data has expired", "data_access"));
        }
        let held = |scope: &&str| info.scopes.iter().any(|held| held == scope);
        let missing: Vec<_> = [MANAGEMENT, MESSAGING]
            .into_iter()
            .filter(|scope| !held(scope))
            .collect();
        if !missing.is_empty() {
            return Err(token_refused("the token lacks a permission", missing.join(",")));
        }
        choose_account(&info.waba_ids, wanted)
    }
}

/// What Meta says, or nothing.
fn told(answer: Result<Option<String>, Fault>, what: &str) -> String {
    match answer {
        Ok(told) => told.unwrap_or_default(),
        Err(fault) => {
            tracing::warn!(reason = ?fault.reason(), "Meta does not say of an account: {what}");
            String::new()
        }
    }
}

/// The account wanted, or the only one that the token was granted for. A permission that is bound to no accounts comes without any: then Meta itself
/// decides when the account's numbers are asked for.
fn choose_account(granted: &[String], wanted: Option<WabaId>) -> Result<WabaId, Fault> {
    match (wanted, granted) {
        (Some(wanted), granted) if granted.iter().any(|id| id == wanted.as_str()) => Ok(wanted),
        (Some(wanted), []) => Ok(wanted),
        (Some(_), _) => Err(token_refused("the token gives no access to the account", MANAGEMENT)),
        (None, [only]) => only.parse().map_err(|_| unintelligible()),
        (None, []) => Err(Fault::invalid(
            "waba_id",
            "must name the account: the token is not bound to particular ones",
        )),
        (None, many) => Err(Fault::invalid(
            "waba_id",
            format!("must name the account: the token gives access to {}", many.len()),
        )),
    }
}

/// The numbers wanted, or all; in the order in which Meta lists them.
fn choose(listed: Vec<PhoneNumber>, wanted: &[PhoneNumberId]) -> Result<Vec<PhoneNumber>, Fault> {
    if listed.is_empty() || !wanted.iter().all(|id| listed.iter().any(|number| number.id == *id)) {
        return Err(Fault::not_found("phone number"));
    }
    let chosen = |number: &PhoneNumber| wanted.is_empty() || wanted.contains(&number.id);
    let numbers: Vec<_> = listed.into_iter().filter(chosen).collect();
    if numbers.len() > MOST_NUMBERS {
        return Err(Fault::invalid(
            "phone_number_ids",
            format!("must name the numbers: the account has more than {MOST_NUMBERS}"),
        ));
    }
    Ok(numbers)
}

/// Asks Meta for as long as the answer can still be passed on.
async fn within_deadline<T>(call: impl Future<Output = Result<T, CallError>>) -> Result<T, Fault> {
    let answer = match deadline::current() {
        None => call.await,
        Some(deadline) => {
            let patience = deadline.pass_on().ok_or_else(Fault::deadline_exceeded)?;
            timeout(patience, call)
                .await
                .map_err(|late| unavailable().source(late))?
        }
    };
    answer.map_err(refused)
}

/// What a failed call to Meta means for the caller.
fn refused(error: CallError) -> Fault {
    match error {
        CallError::Refused(error) if error.http_status < 500 && !error.is_transient => {
            Fault::precondition(ErrorReason::MetaRefused, format!("Meta refused: error {}", error.code))
                .with("meta_code", error.code.to_string())
        }
        CallError::Refused(error) => unavailable().with("meta_code", error.code.to_string()).source(error),
        CallError::Unreachable(_) | CallError::Unintelligible { .. } => unavailable().source(error),
        CallError::Invalid(_) | CallError::Foreign => Fault::internal(error),
    }
}

fn unavailable() -> Fault {
    Fault::new(
        Code::Unavailable,
        ErrorReason::MetaUnavailable,
        "Meta could not be reached or answered with a fault; try again",
    )
    .retry_after(RETRY_AFTER)
}

fn unintelligible() -> Fault {
    refused(CallError::Unintelligible { http_status: 200 })
}

fn token_refused(message: &'static str, missing: impl Into<String>) -> Fault {
    Fault::precondition(ErrorReason::TokenRefused, message).with("missing", missing)
}

#[cfg(test)]
mod tests {
    use outeract_graph::GraphError;
    use time::Duration as Span;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-23 10:00 UTC);

    fn meta() -> Meta {
        let http = outeract_egress::Client::new(&outeract_egress::Config::default()).unwrap();
        let graph = Client::new(http, "http://127.0.0.1:1", "v25.0");
        Meta::new(graph, "77".to_owned(), Secret::from("app secret"))
    }

    fn info() -> TokenInfo {
        TokenInfo {
            app_id: "77".to_owned(),
            is_valid: true,
            expires_at: None,
            data_access_expires_at: None,
            scopes: vec![MESSAGING.to_owned(), MANAGEMENT.to_owned()],
            waba_ids: vec!["1".to_owned()],
        }
    }

    fn refusal(info: &TokenInfo) -> Fault {
        meta().judge(info, None, NOW).unwrap_err()
    }

    fn number(id: &str) -> PhoneNumber {
        PhoneNumber {
            id: id.parse().unwrap(),
            display_phone_number: String::new(),
            verified_name: String::new(),
            quality_rating: String::new(),
            throughput_level: String::new(),
            is_on_biz_app: false,
        }
    }

    #[tokio::test]
    async fn a_token_needs_validity_app_time_and_both_permissions() {
        assert_eq!(meta().judge(&info(), None, NOW).unwrap().as_str(), "1");
        let soon = Some(NOW + Span::SECOND);
        let good = TokenInfo {
            expires_at: soon,
            data_access_expires_at: soon,
            ..info()
        };
        assert!(meta().judge(&good, None, NOW).is_ok());
        let past = Some(NOW);
        let bad = [
            TokenInfo {
                is_valid: false,
                ..info()
            },
            TokenInfo {
                expires_at: past,
                ..info()
            },
            TokenInfo {
                app_id: "78".to_owned(),
                ..info()
            },
            TokenInfo {
                data_access_expires_at: past,
                ..info()
            },
            TokenInfo {
                scopes: vec![MESSAGING.to_owned()],
                ..info()
            },
            TokenInfo {
                scopes: Vec::new(),
                ..info()
            },
        ];
        for info in bad {
            assert_eq!(refusal(&info).reason(), ErrorReason::TokenRefused, "{info:?}");
        }
    }

    #[test]
    fn the_account_is_named_unless_there_is_one() {
        let granted = ["1".to_owned(), "2".to_owned()];
        let id = |text: &str| Some(text.parse().unwrap());
        assert_eq!(choose_account(&granted, id("2")).unwrap().as_str(), "2");
        assert_eq!(choose_account(&granted[..1], None).unwrap().as_str(), "1");
        let foreign = choose_account(&granted, id("3")).unwrap_err();
        assert_eq!(foreign.reason(), ErrorReason::TokenRefused);
        // Meta leaves the accounts out where the permission holds for all of them.
        assert_eq!(choose_account(&[], id("3")).unwrap().as_str(), "3");
        assert_eq!(choose_account(&[], None).unwrap_err().violations()[0].path, "waba_id");
        let several = choose_account(&granted, None).unwrap_err();
        assert_eq!(several.violations()[0].path, "waba_id");
    }

    #[test]
    fn numbers_come_in_metas_order_and_all_wanted_must_be_there() {
        let ids = |numbers: Vec<PhoneNumber>| numbers.iter().map(|n| n.id.to_string()).collect::<Vec<_>>();
        let listed = || vec![number("3"), number("1"), number("2")];
        let wanted = |ids: &[&str]| ids.iter().map(|id| id.parse().unwrap()).collect::<Vec<PhoneNumberId>>();
        assert_eq!(ids(choose(listed(), &[]).unwrap()), ["3", "1", "2"]);
        assert_eq!(ids(choose(listed(), &wanted(&["2", "3", "2"])).unwrap()), ["3", "2"]);
        assert_eq!(
            choose(listed(), &wanted(&["2", "4"])).unwrap_err().reason(),
            ErrorReason::NotFound
        );
        assert_eq!(choose(Vec::new(), &[]).unwrap_err().reason(), ErrorReason::NotFound);
    }

    #[test]
    fn a_refusal_is_final_and_a_server_fault_is_not() {
        let error = |http_status, is_transient| GraphError {
            http_status,
            is_transient,
            ..GraphError::from_code(200)
        };
        let reason = |error: GraphError| refused(error.into()).reason();
        assert_eq!(reason(error(403, false)), ErrorReason::MetaRefused);
        assert_eq!(reason(error(500, false)), ErrorReason::MetaUnavailable);
        assert_eq!(reason(error(400, true)), ErrorReason::MetaUnavailable);
    }
}
