use std::sync::Arc;

use outeract_domain::ApplicationId;
use outeract_proto::connection::internal::v1::connection_internal_service_client::ConnectionInternalServiceClient;
use outeract_proto::connection::internal::v1::{AuthenticateKeyRequest, AuthenticateKeyResponse, KeyVerdict};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Channel, Keys, Unavailable, Verdict};

/// Keys as the connection service knows them, asked over its internal listener. [`crate::Authenticator`] remembers the answers.
#[derive(Debug, Clone)]
pub struct RemoteKeys {
    client: ConnectionInternalServiceClient<Channel>,
}

// === impl RemoteKeys ===

impl RemoteKeys {
    /// Asks the connection service at the other end of `channel`.
    pub fn new(channel: Channel) -> Self {
        Self {
            client: ConnectionInternalServiceClient::new(channel),
        }
    }
}

impl Keys for RemoteKeys {
    async fn authenticate(&self, key_id: Uuid, secret_sha256: [u8; 32]) -> Result<Verdict, Unavailable> {
        let request = AuthenticateKeyRequest {
            key_id: key_id.as_bytes().to_vec(),
            secret_sha256: secret_sha256.to_vec(),
        };
        let answer = self.client.clone().authenticate_key(request).await;
        verdict(answer.map_err(|status| Unavailable(status.into()))?.into_inner())
    }
}

fn verdict(answer: AuthenticateKeyResponse) -> Result<Verdict, Unavailable> {
    let expires = match answer.expire_time {
        None => None,
        Some(at) => Some(
            OffsetDateTime::from_unix_timestamp(at.seconds).map_err(|out_of_range| Unavailable(out_of_range.into()))?,
        ),
    };
    match answer.verdict() {
        KeyVerdict::Valid if answer.operator => Ok(Verdict::Operator { expires }),
        KeyVerdict::Valid => {
            let application = ApplicationId::from_slice(&answer.application_id)
                .ok_or_else(|| Unavailable("the answer names no application".into()))?;
            Ok(Verdict::Application {
                application,
                scopes: Arc::from(answer.scopes),
                expires,
            })
        }
        KeyVerdict::Unknown => Ok(Verdict::Unknown),
        KeyVerdict::Expired => Ok(Verdict::Expired),
        KeyVerdict::Revoked => Ok(Verdict::Revoked),
        // A newer connection service may know verdicts that this one does not: none of them lets anyone in.
        KeyVerdict::Unspecified => Err(Unavailable("the answer's verdict is not known here".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_verdict_with_an_application_lets_in() {
        let answer = |verdict: KeyVerdict, application_id: &[u8]| AuthenticateKeyResponse {
            verdict: verdict.into(),
            application_id: application_id.to_vec(),
            scopes: vec!["events:read".to_owned()],
            operator: false,
            expire_time: None,
        };
        let id = [7; 16];
        assert!(matches!(
            verdict(answer(KeyVerdict::Valid, &id)),
            Ok(Verdict::Application { .. })
        ));
        assert!(verdict(answer(KeyVerdict::Valid, &[])).is_err());
        assert!(verdict(answer(KeyVerdict::Unspecified, &id)).is_err());
        assert!(matches!(
            verdict(answer(KeyVerdict::Revoked, &id)),
            Ok(Verdict::Revoked)
        ));
        let operator = AuthenticateKeyResponse {
            operator: true,
            ..answer(KeyVerdict::Valid, &[])
        };
        assert!(matches!(verdict(operator), Ok(Verdict::Operator { .. })));
    }
}
