//! Tokens to call Meta with: asked for from the connection service, kept for a minute in memory, nowhere else.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use outeract_domain::ConnectionId;
use outeract_graph::Token;
use outeract_proto::connection::internal::v1::GetTokenForSendRequest;
use outeract_proto::connection::internal::v1::connection_internal_service_client::ConnectionInternalServiceClient;
use outeract_rpc::Channel;
use outeract_seal::Secret;
use tonic::Code;

use crate::projection::Connection;

/// A connection's token.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    pub token: Token,
    pub version: i64,
}

/// The tokens of the connections that send. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    client: ConnectionInternalServiceClient<Channel>,
    known: Cache<ConnectionId, Arc<Credential>>,
}

/// There is no token now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection service answered {0:?}")]
pub(crate) struct NoCredential(pub Code);

const MOST: u64 = 10_000;
const FRESH: Duration = Duration::from_mins(1);
const TIMEOUT: Duration = Duration::from_secs(5);

// === impl Credentials ===

impl Credentials {
    pub(crate) fn new(channel: Channel) -> Self {
        let known = Cache::builder().max_capacity(MOST).time_to_live(FRESH).build();
        Self {
            client: ConnectionInternalServiceClient::new(channel),
            known,
        }
    }

    /// The connection's token, asked for once by however many want it, and anew when the connection has a younger one.
    pub(crate) async fn get(&self, connection: &Connection) -> Result<Arc<Credential>, NoCredential> {
        let id = connection.id;
        if let Some(known) = self.known.get(&id).await
            && known.version < connection.token_version
        {
            self.known.invalidate(&id).await;
        }
        self.known
            .try_get_with(id, self.fetch(id))
            .await
            .map_err(|cause| *cause)
    }

    /// A token younger than `version`, which Meta refused, if there is one.
    pub(crate) async fn younger(&self, connection: ConnectionId, version: i64) -> Option<Arc<Credential>> {
        if let Some(known) = self.known.get(&connection).await {
            if known.version > version {
                return Some(known);
            }
            self.known.invalidate(&connection).await;
        }
        let fetched = self.known.try_get_with(connection, self.fetch(connection)).await.ok()?;
        (fetched.version > version).then_some(fetched)
    }

    async fn fetch(&self, connection: ConnectionId) -> Result<Arc<Credential>, NoCredential> {
        let mut request = tonic::Request::new(GetTokenForSendRequest {
            connection_id: connection.bytes(),
        });
        request.set_timeout(TIMEOUT);
        let answer = self
            .client
            .clone()
            .get_token_for_send(request)
            .await
            .map_err(|status| NoCredential(status.code()))?
            .into_inner();
        let token = Token::with_proof(Secret::new(answer.token), answer.appsecret_proof);
        Ok(Arc::new(Credential {
            token,
            version: answer.token_version,
        }))
    }
}
