//! Tokens, secrets and phone numbers stay out of the database's clear text, the logs and the errors.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use outeract_proto::connection::internal::v1::GetTokenForSendRequest;
use outeract_proto::connection::v1::CreateConnectionRequest;
use outeract_simulator::control::NewWorld;
use outeract_simulator::{Config, Effect, Match};
use tracing_subscriber::fmt::MakeWriter;

use crate::suite::{CONNECTION_SECRET, Suite, create, hex, uuid};

/// Everything that is logged in this process while the test runs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

// === impl Log ===

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Every row of every table of the schema, as text.
async fn dump(suite: &Suite) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'connection' ORDER BY 1",
    )
    .fetch_all(suite.db.admin())
    .await
    .unwrap();
    assert!(tables.len() >= 7, "{tables:?}");
    sqlx::query_scalar("SELECT schema_to_xml('connection', true, false, '')::text")
        .fetch_one(suite.db.admin())
        .await
        .unwrap()
}

#[tokio::test]
async fn no_secret_and_no_number_is_stored_in_clear_logged_or_told() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    // Of this thread, on which everything in this test runs.
    let _guard = tracing::subscriber::set_default(subscriber);

    let suite = Suite::start().await;
    let world = suite.world(NewWorld::default()).await;
    let tenant = suite.tenant("Acme").await;
    let canary = &world.token;
    let mut errors = Vec::new();
    for endpoint in ["debug_token", "phone_numbers", "subscribed_apps"] {
        for effect in [
            Effect::ResetBefore,
            Effect::Respond {
                status: 400,
                content_type: None,
                body: format!(
                    r#"{{"error":{{"message":"bad token {canary}","code":190,"error_data":{{"details":"{canary}"}}}}}}"#
                ),
                execute: false,
            },
            Effect::Respond {
                status: 200,
                content_type: None,
                body: canary.clone(),
                execute: false,
            },
        ] {
            let matches = Match {
                endpoint: Some(endpoint.to_owned()),
                ..Match::default()
            };
            suite.sim.fault(matches, effect).await.unwrap();
            errors.push(
                suite
                    .connections(&tenant)
                    .create_connection(create(canary))
                    .await
                    .unwrap_err(),
            );
            suite.sim.clear_faults().await.unwrap();
        }
    }
    let broken = CreateConnectionRequest {
        waba_id: "x".to_owned(),
        ..create(canary)
    };
    errors.push(suite.connections(&tenant).create_connection(broken).await.unwrap_err());
    let made = suite.connect(&tenant, canary).await;
    suite.connect(&tenant, canary).await;
    let request = GetTokenForSendRequest {
        connection_id: uuid(&made[0]).as_bytes().to_vec(),
    };
    let token = suite
        .internal_as("messaging")
        .get_token_for_send(request)
        .await
        .unwrap()
        .into_inner();

    let number = world.wabas[0].numbers[0].e164.trim_start_matches('+');
    // Its last 43 characters: the secret may hold `_` itself.
    let secret = |key: &str| key[key.len() - 43..].to_owned();
    let app_secret = Config::default().app_secret;
    let stored = dump(&suite).await;
    let logged = log.text();
    assert!(stored.contains(&made[0].phone_number_id) && logged.contains("Started outeract-connection"));
    for hidden in [
        canary,
        number,
        &secret(&tenant.key),
        &secret(&suite.operator),
        &app_secret,
    ] {
        assert!(hidden.len() > 8);
        assert!(
            !stored.contains(hidden) && !stored.contains(&hex(hidden.as_bytes())),
            "stored in clear"
        );
        for error in &errors {
            let shown = format!("{error:?}{}", String::from_utf8_lossy(error.details()));
            assert!(!shown.contains(hidden), "told: {shown}");
        }
    }
    for hidden in [
        canary,
        number,
        &secret(&tenant.key),
        &secret(&suite.operator),
        &app_secret,
        &token.appsecret_proof,
        CONNECTION_SECRET,
    ] {
        let line = logged.lines().find(|line| line.contains(hidden));
        assert_eq!(line, None, "logged");
    }
}
