//! The first operator key: by the command of the real binary, or given by the deployment.

use std::process::{Command, Output};

use outeract_clock::{SystemClock, SystemRandom};
use outeract_connection::Connection;
use outeract_domain::KeyId;
use outeract_proto::connection::admin::v1::{ListApplicationsRequest, RevokeKeyRequest};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::KeyText;
use outeract_runtime::Process;
use outeract_runtime::config::Env;
use outeract_simulator::{Config, Simulator};
use outeract_testkit::TestDatabase;
use tonic::Code;

use crate::sibling::Sibling;
use crate::suite::{Suite, assert_refused, env};

/// Runs the service's binary.
fn run(command: &str, env: &Env) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_outeract-connection"));
    program.arg(command).env_clear();
    for key in env.keys() {
        program.env(key, env.get(key).unwrap_or_default());
    }
    program.output().unwrap()
}

#[tokio::test]
async fn the_commands_make_the_schema_and_print_one_key_once() {
    let db = TestDatabase::create(&[]).await;
    let meta = Simulator::start(Config::default()).await.unwrap();
    let env = env(&db, &meta, &Sibling::away(), &Sibling::away());
    assert!(!run("bootstrap", &env).status.success(), "there is no schema yet");
    for _ in 0..2 {
        let migrated = run("migrate", &env);
        assert!(migrated.status.success(), "{migrated:?}");
    }
    let first = run("bootstrap", &env);
    assert!(first.status.success(), "{first:?}");
    let printed = String::from_utf8(first.stdout).unwrap();
    // Nothing else, so that a script can take it.
    let keys: Vec<_> = printed.lines().collect();
    assert_eq!(keys.len(), 1, "{printed}");
    assert!(KeyText::parse(keys[0]).is_ok_and(|key| key.is_operator()));
    assert!(!String::from_utf8_lossy(&first.stderr).contains(keys[0]));

    let second = run("bootstrap", &env);
    assert!(!second.status.success());
    let said = [second.stdout, second.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        said.contains("an operator key exists already") && !said.contains("otr_op_"),
        "{said}"
    );
}

#[tokio::test]
async fn a_given_key_is_registered_once_and_stays_revoked() {
    let suite = Suite::start().await;
    let start = async |key: &str| {
        let mut env = env(&suite.db, &suite.meta, &suite.messaging, &suite.webhook);
        env.set("CONNECTION_BOOTSTRAP_OPERATOR_KEY", key);
        Process::start::<Connection>(&env)
            .await
            .map(|process| process.stopper()())
    };
    // Every replica, and every start.
    start(&suite.operator).await.unwrap();
    let list = async |key: &str| {
        let mut client = suite.admin_with(key);
        client.list_applications(ListApplicationsRequest::default()).await
    };
    assert!(list(&suite.operator).await.is_ok());

    // The same id with another secret is a mistake that must be seen.
    let id = KeyText::parse(&suite.operator).unwrap().key;
    let (other, _) = KeyText::generate("op", id, &SystemRandom);
    let refused = start(&other).await.unwrap_err();
    assert!(
        refused.to_string().contains("CONNECTION_BOOTSTRAP_OPERATOR_KEY"),
        "{refused}"
    );

    let (second, _) = KeyText::generate("op", KeyId::new(&SystemClock, &SystemRandom), &SystemRandom);
    start(&second).await.unwrap();
    assert!(list(&second).await.is_ok());
    let request = RevokeKeyRequest { id: id.to_string() };
    suite.admin_with(&second).revoke_key(request).await.unwrap();
    start(&suite.operator).await.unwrap();
    assert_refused(
        list(&suite.operator).await,
        Code::Unauthenticated,
        ErrorReason::KeyRevoked,
    );
}
