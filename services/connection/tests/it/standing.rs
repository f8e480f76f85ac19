//! What Meta tells of accounts changes what their connections may do.

use outeract_clock::{Clock as _, SystemClock};
use outeract_proto::connection::admin::v1::ListAuditEntriesRequest;
use outeract_proto::connection::internal::v1::{
    AccountNews, AccountRestriction, GetTokenForSendRequest, ReportAccountsRequest, ReportOutcome,
};
use outeract_proto::connection::v1::{Connection, ConnectionState, GetConnectionRequest};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_simulator::control::NewWorld;
use outeract_testkit::eventually;
use prost_types::Timestamp;
use time::Duration;
use tonic::Code;

use crate::suite::{SOON, Suite, Tenant, assert_refused, paths, uuid};

const BUSINESS: &str = "RESTRICTED_BIZ_INITIATED_MESSAGING";
const CUSTOMER: &str = "RESTRICTED_CUSTOMER_INITIATED_MESSAGING";

/// An application with two numbers of one account.
struct Stage {
    suite: Suite,
    tenant: Tenant,
    token: String,
    waba: String,
    made: Vec<Connection>,
}

// === impl Stage ===

impl Stage {
    async fn new() -> Self {
        let suite = Suite::start().await;
        let new = NewWorld {
            numbers_per_waba: 2,
            ..NewWorld::default()
        };
        let world = suite.world(new).await;
        let tenant = suite.tenant("Acme").await;
        let made = suite.connect(&tenant, &world.token).await;
        Self {
            suite,
            tenant,
            token: world.token.clone(),
            waba: world.wabas[0].waba_id.clone(),
            made,
        }
    }

    fn news(&self, event: &str, seconds: i64) -> AccountNews {
        AccountNews {
            waba_id: self.waba.clone(),
            field: "account_update".to_owned(),
            event: event.to_owned(),
            occur_time: Some(from_now(seconds)),
            ..AccountNews::default()
        }
    }

    fn ban(&self, state: &str, seconds: i64) -> AccountNews {
        AccountNews {
            ban_state: state.to_owned(),
            ..self.news("DISABLED_UPDATE", seconds)
        }
    }

    async fn report(&self, news: Vec<AccountNews>) -> Vec<ReportOutcome> {
        let request = ReportAccountsRequest { news };
        let answer = self.suite.internal_as("webhook").report_accounts(request).await;
        let outcomes = answer.unwrap().into_inner().outcomes;
        outcomes
            .into_iter()
            .map(|outcome| outcome.try_into().unwrap())
            .collect()
    }

    async fn get(&self, index: usize) -> Connection {
        let request = GetConnectionRequest {
            id: self.made[index].id.clone(),
        };
        let answer = self.suite.connections(&self.tenant).get_connection(request).await;
        answer.unwrap().into_inner().connection.unwrap()
    }

    async fn states(&self) -> [(ConnectionState, String); 2] {
        let (first, second) = (self.get(0).await, self.get(1).await);
        [first, second].map(|one| (one.state(), one.state_reason))
    }

    /// What messaging was told last of a connection.
    fn told(&self, index: usize) -> Option<i32> {
        let id = uuid(&self.made[index]);
        let told = self.suite.messaging.told();
        let of = told.iter().filter(|one| one.connection_id == id.as_bytes());
        of.max_by_key(|one| one.version).map(|one| one.state)
    }
}

/// Seconds from now; before it where they are negative.
fn from_now(seconds: i64) -> Timestamp {
    Timestamp {
        seconds: SystemClock.now().unix_timestamp() + seconds,
        nanos: 0,
    }
}

fn both(state: ConnectionState, reason: &str) -> [(ConnectionState, String); 2] {
    [(state, reason.to_owned()), (state, reason.to_owned())]
}

#[tokio::test]
async fn a_ban_holds_every_connection_of_the_account_until_it_is_lifted_and_older_news_change_nothing() {
    let stage = Stage::new().await;
    let ban = stage.ban("DISABLE", 0);
    assert_eq!(stage.report(vec![ban.clone()]).await, [ReportOutcome::Taken]);
    assert_eq!(stage.states().await, both(ConnectionState::Restricted, "DISABLE"));
    assert_eq!(stage.get(0).await.ban_state, "DISABLE");
    eventually(SOON, async || stage.told(0) == Some(3) && stage.told(1) == Some(3)).await;
    let request = GetTokenForSendRequest {
        connection_id: uuid(&stage.made[0]).as_bytes().to_vec(),
    };
    let token = stage.suite.internal_as("messaging").get_token_for_send(request).await;
    assert_refused(token, Code::FailedPrecondition, ErrorReason::ConnectionNotActive);

    // A lifting that occurred before the ban came late. The same ban again is no change.
    let version = stage.suite.messaging.versions(uuid(&stage.made[0])).into_iter().max();
    stage.report(vec![stage.ban("REINSTATE", -3_600)]).await;
    assert_eq!(stage.states().await, both(ConnectionState::Restricted, "DISABLE"));
    assert_eq!(stage.report(vec![ban]).await, [ReportOutcome::Taken]);
    assert_eq!(
        stage.suite.messaging.versions(uuid(&stage.made[0])).into_iter().max(),
        version
    );

    stage.suite.db.advance(Duration::minutes(1)).await;
    stage.report(vec![stage.ban("REINSTATE", 30)]).await;
    assert_eq!(stage.states().await, both(ConnectionState::Active, ""));
    assert_eq!(stage.get(0).await.ban_state, "REINSTATE");
    eventually(SOON, async || stage.told(0) == Some(1)).await;

    let entries = stage
        .suite
        .admin()
        .list_audit_entries(ListAuditEntriesRequest::default())
        .await;
    let entries = entries.unwrap().into_inner().entries;
    let of_meta = entries.iter().filter(|entry| entry.actor_id == "meta").count();
    assert_eq!(of_meta, 4, "two connections, banned and reinstated");
}

#[tokio::test]
async fn news_of_one_call_count_in_the_order_in_which_they_occurred() {
    let stage = Stage::new().await;
    let news = vec![stage.ban("REINSTATE", -10), stage.ban("DISABLE", -20)];
    stage.report(news).await;
    assert_eq!(stage.states().await, both(ConnectionState::Active, ""));
}

#[tokio::test]
async fn a_restriction_of_messaging_ends_by_itself_and_others_restrict_nothing() {
    let stage = Stage::new().await;
    let restricted = |kinds: &[&str], seconds: i64, at: i64| AccountNews {
        restrictions: kinds
            .iter()
            .map(|kind| AccountRestriction {
                r#type: (*kind).to_owned(),
                expire_time: Some(from_now(seconds)),
            })
            .collect(),
        ..stage.news("ACCOUNT_RESTRICTION", at)
    };
    stage
        .report(vec![restricted(&["RESTRICTED_ADD_PHONE_NUMBER_ACTION"], 600, -20)])
        .await;
    let shown = stage.get(0).await;
    assert_eq!((shown.state(), shown.restrictions.len()), (ConnectionState::Active, 1));

    stage.report(vec![restricted(&[BUSINESS], 600, -15)]).await;
    let shown = stage.get(0).await;
    assert_eq!(shown.state(), ConnectionState::Active);
    assert!(shown.restricted_outside_windows && shown.state_expire_time.is_none());

    stage.report(vec![restricted(&[CUSTOMER], 600, -10)]).await;
    assert_eq!(stage.states().await, both(ConnectionState::Restricted, CUSTOMER));
    let shown = stage.get(0).await;
    let end = shown.state_expire_time.unwrap().seconds;
    assert_eq!(shown.restrictions[0].expire_time.unwrap().seconds, end);
    eventually(SOON, async || stage.told(0) == Some(3)).await;

    stage.suite.db.advance(Duration::minutes(11)).await;
    eventually(SOON, async || stage.states().await == both(ConnectionState::Active, "")).await;
    let shown = stage.get(0).await;
    assert!(shown.restrictions.is_empty() && shown.state_expire_time.is_none());
    eventually(SOON, async || stage.told(0) == Some(1)).await;
}

#[tokio::test]
async fn a_ban_outlasts_a_restriction() {
    let stage = Stage::new().await;
    let restriction = AccountNews {
        restrictions: vec![AccountRestriction {
            r#type: CUSTOMER.to_owned(),
            expire_time: Some(from_now(600)),
        }],
        ..stage.news("ACCOUNT_RESTRICTION", -10)
    };
    stage.report(vec![restriction, stage.ban("DISABLE", -10)]).await;
    assert!(stage.get(0).await.state_expire_time.is_none());
    stage.suite.db.advance(Duration::minutes(11)).await;
    stage.report(vec![stage.ban("DISABLE", 60)]).await;
    assert_eq!(stage.states().await, both(ConnectionState::Restricted, "DISABLE"));
    stage.report(vec![stage.ban("REINSTATE", 120)]).await;
    assert_eq!(stage.states().await, both(ConnectionState::Active, ""));
}

#[tokio::test]
async fn a_removed_app_ends_connections_until_they_are_made_anew_and_another_apps_removal_nothing() {
    let stage = Stage::new().await;
    let removed = |app: &str, at: i64| AccountNews {
        partner_app_id: app.to_owned(),
        ..stage.news("PARTNER_APP_UNINSTALLED", at)
    };
    stage.report(vec![removed("12345", 5)]).await;
    assert_eq!(stage.states().await, both(ConnectionState::Active, ""));
    // Removed before it was connected: that is what it was connected for.
    stage.report(vec![removed("", -3_600)]).await;
    assert_eq!(stage.states().await, both(ConnectionState::Active, ""));

    // Of one number only: the other goes on.
    let one = AccountNews {
        phone_number: stage.made[0].display_phone_number.trim_start_matches('+').to_owned(),
        ..removed("", 5)
    };
    stage.report(vec![one]).await;
    let states = stage.states().await;
    assert_eq!(
        states[0],
        (ConnectionState::Disconnected, "PARTNER_APP_UNINSTALLED".to_owned())
    );
    assert_eq!(states[1].0, ConnectionState::Active);
    eventually(SOON, async || stage.told(0) == Some(4)).await;
    stage.report(vec![stage.news("ACCOUNT_RECONNECTED", 6)]).await;
    assert_eq!(
        stage.get(0).await.state(),
        ConnectionState::Disconnected,
        "its token is gone"
    );

    stage.report(vec![stage.ban("DISABLE", 7)]).await;
    stage.suite.db.advance(Duration::minutes(1)).await;
    stage.suite.connect(&stage.tenant, &stage.token).await;
    assert_eq!(
        stage.states().await,
        [
            (ConnectionState::Active, String::new()),
            (ConnectionState::Restricted, "DISABLE".to_owned())
        ],
        "what was ended hears of no ban; a ban outlasts a new token"
    );
}

#[tokio::test]
async fn an_offboarded_account_waits_until_it_is_reconnected() {
    let stage = Stage::new().await;
    stage.report(vec![stage.news("ACCOUNT_OFFBOARDED", 5)]).await;
    assert_eq!(
        stage.states().await,
        both(ConnectionState::Restricted, "ACCOUNT_OFFBOARDED")
    );
    stage.suite.db.advance(Duration::minutes(1)).await;
    stage.report(vec![stage.news("ACCOUNT_RECONNECTED", 10)]).await;
    assert_eq!(stage.states().await, both(ConnectionState::Active, ""));
}

#[tokio::test]
async fn what_is_told_of_numbers_and_limits_is_shown() {
    let stage = Stage::new().await;
    stage.suite.db.advance(Duration::minutes(5)).await;
    let number = stage.made[1].display_phone_number.trim_start_matches('+').to_owned();
    let news = |field: &str, number: &str, current: &str| AccountNews {
        field: field.to_owned(),
        phone_number: number.to_owned(),
        current: current.to_owned(),
        ..stage.news("", 60)
    };
    let named = AccountNews {
        status: "approved".to_owned(),
        ..news("business_username_update", &number, "shop")
    };
    let outcomes = stage
        .report(vec![
            named,
            news("phone_number_name_update", &number, "REJECTED"),
            news("account_review_update", "", "APPROVED"),
            news("business_capability_update", "", "10000"),
            news("phone_number_name_update", "1999", "APPROVED"),
            news("account_alerts", "", ""),
        ])
        .await;
    let (taken, nobody) = (ReportOutcome::Taken, ReportOutcome::NoConnection);
    assert_eq!(outcomes, [taken, taken, taken, taken, nobody, ReportOutcome::Ignored]);
    let (first, second) = (stage.get(0).await, stage.get(1).await);
    assert_eq!((first.username.as_str(), first.name_status.as_str()), ("", ""));
    assert_eq!(
        (
            second.username.as_str(),
            second.username_status.as_str(),
            second.name_status.as_str()
        ),
        ("shop", "approved", "REJECTED")
    );
    for shown in [first, second] {
        assert_eq!(
            (shown.review_decision.as_str(), shown.messaging_limit.as_str()),
            ("APPROVED", "TIER_10K")
        );
        assert_eq!(shown.state(), ConnectionState::Active);
    }
}

#[tokio::test]
async fn only_webhook_reports_and_bad_reports_are_refused_whole() {
    let stage = Stage::new().await;
    let unknown = AccountNews {
        waba_id: "404x".to_owned(),
        ..stage.ban("DISABLE", 0)
    };
    assert_eq!(stage.report(vec![unknown]).await, [ReportOutcome::NoConnection]);
    let call = async |sibling, news| {
        let request = ReportAccountsRequest { news };
        stage.suite.internal_as(sibling).report_accounts(request).await
    };
    let answer = call("messaging", vec![stage.ban("DISABLE", 0)]).await;
    assert_refused(answer, Code::PermissionDenied, ErrorReason::ScopeMissing);
    let timeless = AccountNews {
        occur_time: None,
        event: "x".repeat(513),
        ..stage.ban("DISABLE", 0)
    };
    let answer = call("webhook", vec![stage.ban("DISABLE", 0), timeless]).await;
    let status = assert_refused(answer, Code::InvalidArgument, ErrorReason::InvalidField);
    assert_eq!(paths(&status), ["news[1].event", "news[1].occur_time"]);
    let many = vec![stage.ban("DISABLE", 0); 1_001];
    assert_refused(
        call("webhook", many).await,
        Code::InvalidArgument,
        ErrorReason::InvalidField,
    );
    assert_eq!(stage.states().await, both(ConnectionState::Active, ""));
}

#[tokio::test]
async fn what_an_account_may_not_begin_is_told_until_it_ends() {
    let stage = Stage::new().await;
    let restriction = AccountNews {
        restrictions: vec![AccountRestriction {
            r#type: BUSINESS.to_owned(),
            expire_time: Some(from_now(600)),
        }],
        ..stage.news("ACCOUNT_RESTRICTION", 0)
    };
    stage.report(vec![restriction, stage.ban("DISABLE", 0)]).await;
    assert_eq!(stage.states().await, both(ConnectionState::Restricted, "DISABLE"));
    stage.suite.db.advance(Duration::minutes(1)).await;
    stage.report(vec![stage.ban("REINSTATE", 30)]).await;
    assert_eq!(stage.states().await, both(ConnectionState::Active, ""));
    let id = uuid(&stage.made[0]);
    let outside = || {
        let told = stage.suite.messaging.told();
        let of = told.iter().filter(|one| one.connection_id == id.as_bytes());
        of.max_by_key(|one| one.version)
            .map(|one| one.restricted_outside_windows)
    };
    eventually(SOON, async || outside() == Some(true)).await;
    stage.suite.db.advance(Duration::minutes(10)).await;
    eventually(SOON, async || outside() == Some(false)).await;
}
