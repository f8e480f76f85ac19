//! Bad input: each kind has its documented code and reason, and nothing is stored.

use outeract_e2e::{Api, Options, World, reason, text_message};
use outeract_proto::connection::admin::v1::{CreateKeyRequest, RevokeKeyRequest};
use outeract_proto::connection::v1::{GetApplicationRequest, GetConnectionRequest};
use outeract_proto::messaging::v1::{GetMessageRequest, SendMessageRequest};
use outeract_proto::tracking::v1::GetEventRequest;
use outeract_simulator::control::NewWorld;
use outeract_testkit::eventually;
use std::time::{Duration, SystemTime};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const ANN: &str = "+14155559999";

fn fields(status: &Status) -> Vec<String> {
    let violations = status
        .get_details_bad_request()
        .map(|request| request.field_violations)
        .unwrap_or_default();
    violations.into_iter().map(|violation| violation.field).collect()
}

async fn refused(api: &Api, request: SendMessageRequest) -> (Code, String, Vec<String>) {
    let status = api.messaging.clone().send_message(request).await.expect_err("refused");
    (status.code(), reason(&status), fields(&status))
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_with_its_reason_and_stores_nothing() {
    let world = World::start("refusals", &Options::default()).expect("a world");
    let (api, _, connections) = world
        .connected("One", &NewWorld::default())
        .await
        .expect("a connection");
    let (other, _, others) = world
        .connected("Two", &NewWorld::default())
        .await
        .expect("a connection");
    let connection = connections[0].as_str();
    let good = || text_message("key", connection, ANN, "hello");
    let invalid = |path: &str| (Code::InvalidArgument, "INVALID_FIELD".to_owned(), vec![path.to_owned()]);

    // Fields.
    let long = text_message("key", connection, ANN, &"a".repeat(4_097));
    assert_eq!(refused(&api, long).await, invalid("content.text.body"));
    for to in ["14155559999", "+1 415 555 9999", "+14155559999x", "+0415", ""] {
        let request = SendMessageRequest {
            to_external_id: to.to_owned(),
            ..good()
        };
        assert_eq!(refused(&api, request).await, invalid("to_external_id"), "{to}");
    }
    for key in ["", "käse", &"k".repeat(129)] {
        let request = SendMessageRequest {
            idempotency_key: key.to_owned(),
            ..good()
        };
        assert_eq!(refused(&api, request).await, invalid("idempotency_key"), "{key}");
    }
    let request = SendMessageRequest {
        connection_id: "pc_nonsense".to_owned(),
        ..good()
    };
    assert_eq!(refused(&api, request).await, invalid("connection_id"));
    let everything = SendMessageRequest {
        on_unknown: 99,
        wait: 99,
        ..SendMessageRequest::default()
    };
    let (code, _, mut paths) = refused(&api, everything).await;
    paths.sort();
    assert_eq!(code, Code::InvalidArgument);
    assert_eq!(
        paths,
        [
            "connection_id",
            "content.kind",
            "idempotency_key",
            "on_unknown",
            "to_external_id",
            "wait"
        ]
    );

    // Another application's things answer exactly as absent ones.
    let not_found = (Code::NotFound, "NOT_FOUND".to_owned(), Vec::new());
    let absent = "pc_01jd00000000000000000000aa";
    for id in [others[0].as_str(), absent] {
        let request = SendMessageRequest {
            connection_id: id.to_owned(),
            ..good()
        };
        assert_eq!(refused(&api, request).await, not_found, "{id}");
    }
    world.users_have_written([ANN.to_owned()]).await.expect("written");
    let theirs = other
        .messaging
        .clone()
        .send_message(text_message("key", &others[0], ANN, "hello"))
        .await;
    let theirs = theirs.expect("stored").into_inner().id;
    let same = |first: Status, second: Status| {
        assert_eq!(
            (first.code(), first.message(), reason(&first)),
            (second.code(), second.message(), reason(&second))
        );
        assert_eq!(first.code(), Code::NotFound);
    };
    let event = "evt_01jd00000000000000000000aa";
    let get = async |id: &str| {
        api.messaging
            .clone()
            .get_message(GetMessageRequest { id: id.to_owned() })
            .await
            .expect_err("not ours")
    };
    same(get(&theirs).await, get(event).await);
    let get = async |id: &str| {
        api.events
            .clone()
            .get_event(GetEventRequest { id: id.to_owned() })
            .await
            .expect_err("not ours")
    };
    same(get(&theirs).await, get(event).await);
    let get = async |id: &str| {
        api.connections
            .clone()
            .get_connection(GetConnectionRequest { id: id.to_owned() })
            .await
            .expect_err("not ours")
    };
    same(get(&others[0]).await, get(absent).await);

    // Nothing of all that was stored.
    let pool = sqlx::PgPool::connect(&world.database_url())
        .await
        .expect("the database");
    let count = |table: &'static str| {
        let pool = pool.clone();
        async move {
            let rows: i64 = match table {
                "message" => sqlx::query_scalar("SELECT count(*) FROM messaging.message")
                    .fetch_one(&pool)
                    .await
                    .expect("counted"),
                _ => sqlx::query_scalar("SELECT count(*) FROM messaging.idempotency")
                    .fetch_one(&pool)
                    .await
                    .expect("counted"),
            };
            rows
        }
    };
    assert_eq!(
        (count("message").await, count("idempotency").await),
        (1, 1),
        "only the other application's message"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_do_not_count() {
    let world = World::start("keys", &Options::default()).expect("a world");
    let api = world.admin.create_application("One").await.expect("an application");
    let ask = async |key: &str| {
        let api = Api::new(&world.urls, key, "").expect("a key");
        // Each service decides by itself.
        let connection = api.application.clone().get_application(GetApplicationRequest {}).await;
        let message = api
            .messaging
            .clone()
            .get_message(GetMessageRequest {
                id: "evt_01jd00000000000000000000aa".to_owned(),
            })
            .await;
        let event = api
            .events
            .clone()
            .get_event(GetEventRequest {
                id: "evt_01jd00000000000000000000aa".to_owned(),
            })
            .await;
        [connection.err(), message.err(), event.err()].map(|error| error.map(|status| (status.code(), reason(&status))))
    };
    let all = |code: Code, reason: &str| [(); 3].map(|()| Some((code, reason.to_owned())));

    // The key that counts gets through to the question.
    assert_eq!(ask(&api.key).await[0], None);
    let mut wrong = api.key.clone();
    let last = if wrong.ends_with('A') { 'B' } else { 'A' };
    wrong.replace_range(10..11, if &wrong[10..11] == "0" { "1" } else { "0" });
    assert_eq!(ask(&wrong).await, all(Code::Unauthenticated, "KEY_UNKNOWN"));
    let at = api.key.len() - 5;
    let mut wrong = api.key.clone();
    wrong.replace_range(at..=at, if wrong.as_bytes()[at] == last as u8 { "C" } else { "D" });
    assert_eq!(ask(&wrong).await, all(Code::Unauthenticated, "KEY_UNKNOWN"));
    for nonsense in ["", "x", "otr_live", "Bearer"] {
        let [Some((code, reason)), ..] = ask(nonsense).await else {
            panic!("{nonsense} counted")
        };
        assert_eq!(code, Code::Unauthenticated, "{nonsense}");
        assert!(
            ["CREDENTIALS_MISSING", "KEY_UNKNOWN"].contains(&reason.as_str()),
            "{reason}"
        );
    }

    // A key without the scope.
    let mut admin = world.admin.connection.clone();
    let key = |scopes: &[&str], expire_time| CreateKeyRequest {
        application_id: api.application_id.clone(),
        name: "more".to_owned(),
        scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        expire_time,
        ..CreateKeyRequest::default()
    };
    let narrow = admin
        .create_key(key(&["webhooks:read"], None))
        .await
        .expect("a key")
        .into_inner();
    let [connection, message, event] = ask(&narrow.secret).await;
    assert_eq!(connection, None, "any key may ask who it is");
    assert_eq!(
        (message, event),
        (
            Some((Code::PermissionDenied, "SCOPE_MISSING".to_owned())),
            Some((Code::PermissionDenied, "SCOPE_MISSING".to_owned()))
        )
    );

    // A key that expires: the shortest life that the server takes.
    let soon = SystemTime::now() + Duration::from_secs(2);
    let short = admin
        .create_key(key(&["*"], Some(soon.into())))
        .await
        .expect("a key")
        .into_inner();
    eventually(Duration::from_secs(40), async || {
        ask(&short.secret).await == all(Code::Unauthenticated, "KEY_EXPIRED")
    })
    .await;

    // A revoked key stops working everywhere within 30 seconds.
    let id = narrow.key.expect("a key").id;
    admin.revoke_key(RevokeKeyRequest { id }).await.expect("revoked");
    let revoked = all(Code::Unauthenticated, "KEY_REVOKED");
    eventually(Duration::from_secs(40), async || ask(&narrow.secret).await == revoked).await;

    // An application's key opens no admin method.
    let mut impostor = world.urls.clone();
    impostor.replace_operator_key(&api.key);
    let impostor = outeract_e2e::Admin::new(&impostor).expect("a client");
    let refused = impostor.create_application("Mine").await.expect_err("refused");
    let status = refused.downcast_ref::<Status>().expect("a status");
    assert_eq!(status.code(), Code::PermissionDenied);
}
