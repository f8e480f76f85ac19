//! What Meta or the token's holder lacks: each case its code and reason, and nothing stored.

use std::time::Duration;

use outeract_proto::connection::v1::CreateConnectionRequest;
use outeract_proto::r#type::v1::ErrorReason;
use outeract_simulator::control::{ChangeToken, NewWorld, WorldCreated};
use outeract_simulator::{Config, Effect, Match};
use tonic::{Code, Request, Status};

use crate::suite::{Suite, Tenant, assert_refused, create, fact, paths};

/// A service, an application and a world at Meta.
struct Scene {
    suite: Suite,
    tenant: Tenant,
    world: WorldCreated,
}

// === impl Scene ===

impl Scene {
    async fn with(new: NewWorld) -> Self {
        let suite = Suite::start().await;
        let world = suite.world(new).await;
        let tenant = suite.tenant("Acme").await;
        Self { suite, tenant, world }
    }

    async fn new() -> Self {
        Self::with(NewWorld::default()).await
    }

    async fn fault(&self, endpoint: &str, effect: Effect) {
        let matches = Match {
            endpoint: Some(endpoint.to_owned()),
            ..Match::default()
        };
        self.suite.sim.fault(matches, effect).await.unwrap();
    }

    /// The refusal of a request, which leaves nothing behind.
    async fn refusal(&self, request: CreateConnectionRequest, code: Code, reason: ErrorReason) -> Status {
        let answer = self.suite.connections(&self.tenant).create_connection(request).await;
        let status = assert_refused(answer, code, reason);
        assert_eq!(self.suite.rows().await, [0, 0, 0]);
        assert!(self.suite.messaging.told().is_empty() && self.suite.webhook.told().is_empty());
        status
    }

    async fn token_refused(&self, request: CreateConnectionRequest, missing: &str) {
        let status = self
            .refusal(request, Code::FailedPrecondition, ErrorReason::TokenRefused)
            .await;
        assert_eq!(fact(&status, "missing").as_deref(), Some(missing));
    }
}

fn respond(body: &str) -> Effect {
    Effect::Respond {
        status: 200,
        content_type: None,
        body: body.to_owned(),
        execute: false,
    }
}

fn error(code: i32, http_status: u16) -> Effect {
    Effect::Error {
        code,
        http_status: Some(http_status),
        details: None,
        subcode: None,
        is_transient: None,
    }
}

#[tokio::test]
async fn every_broken_field_is_named_at_once() {
    let scene = Scene::new().await;
    let request = CreateConnectionRequest {
        access_token: String::new(),
        waba_id: "1/2".to_owned(),
        phone_number_ids: vec!["+1".to_owned()],
        name: "\n".to_owned(),
    };
    let status = scene
        .refusal(request, Code::InvalidArgument, ErrorReason::InvalidField)
        .await;
    assert_eq!(
        paths(&status),
        ["access_token", "waba_id", "phone_number_ids[0]", "name"]
    );
}

#[tokio::test]
async fn a_token_of_another_app() {
    let scene = Scene::new().await;
    let body = format!(
        r#"{{"data":{{"app_id":"1","is_valid":true,"scopes":["whatsapp_business_management","whatsapp_business_messaging"],
        "granular_scopes":[{{"scope":"whatsapp_business_management","target_ids":["{}"]}}]}}}}"#,
        scene.world.wabas[0].waba_id
    );
    assert_ne!(Config::default().app_id, "1");
    scene.fault("debug_token", respond(&body)).await;
    scene.token_refused(create(&scene.world.token), "app_id").await;
}

#[tokio::test]
async fn tokens_that_do_not_work() {
    let scene = Scene::new().await;
    scene.token_refused(create("EAAunknown"), "is_valid").await;
    let revoke = ChangeToken {
        token: scene.world.token.clone(),
        revoked: Some(true),
        expires_in_seconds: None,
    };
    scene.suite.sim.change_token(&revoke).await.unwrap();
    scene.token_refused(create(&scene.world.token), "is_valid").await;
    let expired = scene
        .suite
        .world(NewWorld {
            token_expires_in_seconds: Some(-1),
            ..NewWorld::default()
        })
        .await;
    scene.token_refused(create(&expired.token), "is_valid").await;
}

#[tokio::test]
async fn a_token_without_a_permission() {
    for (held, missing) in [
        ("whatsapp_business_management", "whatsapp_business_messaging"),
        ("whatsapp_business_messaging", "whatsapp_business_management"),
    ] {
        let scene = Scene::with(NewWorld {
            scopes: Some(vec![held.to_owned()]),
            ..NewWorld::default()
        })
        .await;
        scene.token_refused(create(&scene.world.token), missing).await;
    }
}

#[tokio::test]
async fn an_account_that_the_token_was_not_granted_for() {
    let scene = Scene::with(NewWorld {
        wabas: 2,
        ..NewWorld::default()
    })
    .await;
    let [first, second] = &scene.world.wabas[..] else {
        panic!("two accounts")
    };
    let request = CreateConnectionRequest {
        waba_id: second.waba_id.clone(),
        ..create(&first.token)
    };
    scene.token_refused(request, "whatsapp_business_management").await;
    assert!(!scene.suite.subscribed(&second.token, &second.waba_id).await);
}

#[tokio::test]
async fn a_number_of_another_account() {
    let scene = Scene::with(NewWorld {
        wabas: 2,
        ..NewWorld::default()
    })
    .await;
    let [first, second] = &scene.world.wabas[..] else {
        panic!("two accounts")
    };
    let request = CreateConnectionRequest {
        waba_id: first.waba_id.clone(),
        phone_number_ids: vec![
            first.numbers[0].phone_number_id.clone(),
            second.numbers[0].phone_number_id.clone(),
        ],
        ..create(&scene.world.token)
    };
    scene.refusal(request, Code::NotFound, ErrorReason::NotFound).await;
    assert!(!scene.suite.subscribed(&first.token, &first.waba_id).await);
}

#[tokio::test]
async fn meta_refuses() {
    let scene = Scene::new().await;
    for endpoint in ["debug_token", "phone_numbers", "subscribed_apps"] {
        scene.fault(endpoint, error(200, 403)).await;
        let request = create(&scene.world.token);
        let status = scene
            .refusal(request, Code::FailedPrecondition, ErrorReason::MetaRefused)
            .await;
        assert_eq!(fact(&status, "meta_code").as_deref(), Some("200"));
        scene.suite.sim.clear_faults().await.unwrap();
    }
    // What was wrong passed: the same call works.
    assert_eq!(scene.suite.connect(&scene.tenant, &scene.world.token).await.len(), 1);
}

#[tokio::test]
async fn meta_fails_or_is_not_understood() {
    let scene = Scene::new().await;
    let faults = [
        error(2, 500),
        Effect::ResetBefore,
        Effect::ResponseLost,
        Effect::Truncated,
        Effect::NonJson,
    ];
    for effect in faults {
        for endpoint in ["debug_token", "phone_numbers", "subscribed_apps"] {
            scene.fault(endpoint, effect.clone()).await;
            let request = create(&scene.world.token);
            scene
                .refusal(request, Code::Unavailable, ErrorReason::MetaUnavailable)
                .await;
            scene.suite.sim.clear_faults().await.unwrap();
        }
    }
    assert_eq!(scene.suite.connect(&scene.tenant, &scene.world.token).await.len(), 1);
}

#[tokio::test]
async fn meta_is_away() {
    let mut scene = Scene::new().await;
    let request = create(&scene.world.token);
    let nowhere = outeract_simulator::Simulator::start(Config::default()).await.unwrap();
    std::mem::replace(&mut scene.suite.meta, nowhere).stop().await;
    scene
        .refusal(request, Code::Unavailable, ErrorReason::MetaUnavailable)
        .await;
}

#[tokio::test]
async fn meta_is_slower_than_the_caller_waits() {
    let scene = Scene::new().await;
    let effect = Effect::Latency {
        before_ms: 5_000,
        after_ms: 0,
        jitter_ms: 0,
    };
    scene.fault("phone_numbers", effect).await;
    let mut request = Request::new(create(&scene.world.token));
    request.set_timeout(Duration::from_secs(1));
    let answer = scene.suite.connections(&scene.tenant).create_connection(request).await;
    assert_refused(answer, Code::Unavailable, ErrorReason::MetaUnavailable);
    assert_eq!(scene.suite.rows().await, [0, 0, 0]);
}
