//! Floors: what a path could do without the part that is being judged. Each runs as a process of its own, like the service it stands beside.

use std::env;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use outeract_graph::signature::Verifier;
use outeract_proto::messaging::v1::messaging_service_server::{MessagingService, MessagingServiceServer};
use outeract_proto::messaging::v1::{
    self, GetMessageRequest, GetMessageResponse, SendMessageRequest, SendMessageResponse, SendStatus,
};
use outeract_seal::Secret;
use outeract_webhook::{Credentials, router_without_storage};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

/// Runs the floor that `words` name until it is killed: `<kind> <address>`.
pub(crate) async fn serve(words: &[String]) -> Result<()> {
    let [kind, address] = words else {
        bail!("a floor needs a kind and an address")
    };
    let address: SocketAddr = address.parse()?;
    match kind.as_str() {
        "echo" => {
            let echo = MessagingServiceServer::new(Echo);
            tonic::transport::Server::builder()
                .tcp_nodelay(true)
                .add_service(echo)
                .serve(address)
                .await?;
        }
        "ingest-without-storage" => {
            let credentials = Credentials {
                app_secrets: vec![app_secret()?],
                verify_token: Secret::from("unused"),
            };
            axum::serve(TcpListener::bind(address).await?, router_without_storage(&credentials)).await?;
        }
        "ingest-one-by-one" => {
            let router = axum::Router::new().route(outeract_webhook::PATH, post(one_by_one));
            let state = OneByOne {
                verifier: Verifier::new([&app_secret()?]),
                pool: table().await?,
            };
            axum::serve(TcpListener::bind(address).await?, router.with_state(state)).await?;
        }
        other => bail!("there is no floor {other}"),
    }
    Ok(())
}

fn app_secret() -> Result<Secret> {
    Ok(Secret::new(env::var("FLOOR_APP_SECRET").context("FLOOR_APP_SECRET")?))
}

/// Answers what `SendMessage` answers, and does nothing.
struct Echo;

#[tonic::async_trait]
impl MessagingService for Echo {
    async fn send_message(
        &self,
        request: Request<SendMessageRequest>,
    ) -> Result<Response<SendMessageResponse>, Status> {
        let request = request.into_inner();
        let status = SendStatus {
            state: 1,
            pending: true,
            ..SendStatus::default()
        };
        Ok(Response::new(SendMessageResponse {
            id: request.connection_id,
            status: Some(status),
            replayed: false,
            ..SendMessageResponse::default()
        }))
    }

    async fn get_message(&self, _: Request<GetMessageRequest>) -> Result<Response<GetMessageResponse>, Status> {
        Err(Status::not_found("nothing is kept"))
    }

    async fn batch_send_messages(
        &self,
        _: Request<v1::BatchSendMessagesRequest>,
    ) -> Result<Response<v1::BatchSendMessagesResponse>, Status> {
        Err(Status::unimplemented("a floor only sends"))
    }

    async fn send_template_message(
        &self,
        _: Request<v1::SendTemplateMessageRequest>,
    ) -> Result<Response<v1::SendTemplateMessageResponse>, Status> {
        Err(Status::unimplemented("a floor only sends"))
    }

    async fn validate_message(
        &self,
        _: Request<v1::ValidateMessageRequest>,
    ) -> Result<Response<v1::ValidateMessageResponse>, Status> {
        Err(Status::unimplemented("a floor only sends"))
    }

    async fn cancel_message(
        &self,
        _: Request<v1::CancelMessageRequest>,
    ) -> Result<Response<v1::CancelMessageResponse>, Status> {
        Err(Status::unimplemented("a floor only sends"))
    }

    async fn resolve_unknown(
        &self,
        _: Request<v1::ResolveUnknownRequest>,
    ) -> Result<Response<v1::ResolveUnknownResponse>, Status> {
        Err(Status::unimplemented("a floor only sends"))
    }

    async fn mark_message_as_read(
        &self,
        _: Request<v1::MarkMessageAsReadRequest>,
    ) -> Result<Response<v1::MarkMessageAsReadResponse>, Status> {
        Err(Status::unimplemented("a floor only sends"))
    }

    async fn send_typing_indicator(
        &self,
        _: Request<v1::SendTypingIndicatorRequest>,
    ) -> Result<Response<v1::SendTypingIndicatorResponse>, Status> {
        Err(Status::unimplemented("a floor only sends"))
    }

    async fn get_conversation_window(
        &self,
        _: Request<v1::GetConversationWindowRequest>,
    ) -> Result<Response<v1::GetConversationWindowResponse>, Status> {
        Err(Status::unimplemented("a floor only sends"))
    }
}

/// The same route with the plainest way to store: one statement, one commit for each request.
#[derive(Clone)]
struct OneByOne {
    verifier: Verifier,
    pool: PgPool,
}

async fn table() -> Result<PgPool> {
    let url = env::var("FLOOR_DATABASE_URL").context("FLOOR_DATABASE_URL")?;
    let pool = PgPoolOptions::new()
        .max_connections(16)
        .acquire_timeout(Duration::from_secs(5))
        .connect(&url)
        .await?;
    // As the webhook service's own table: a primary key and one more index.
    let table = "CREATE TABLE IF NOT EXISTS one_by_one (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), lane smallint NOT NULL DEFAULT 0,
        position bigint GENERATED ALWAYS AS IDENTITY, received_at timestamptz NOT NULL DEFAULT clock_timestamp(), body bytea NOT NULL)";
    sqlx::query(table).execute(&pool).await?;
    sqlx::query("CREATE INDEX IF NOT EXISTS one_by_one_position ON one_by_one (lane, position)")
        .execute(&pool)
        .await?;
    Ok(pool)
}

async fn one_by_one(State(state): State<OneByOne>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let signature = headers
        .get("x-hub-signature-256")
        .map(axum::http::HeaderValue::as_bytes)
        .unwrap_or_default();
    if !state.verifier.verify(&body, signature) {
        return StatusCode::UNAUTHORIZED;
    }
    let insert = sqlx::query("INSERT INTO one_by_one (body) VALUES ($1)").bind(&body[..]);
    match insert.execute(&state.pool).await {
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
