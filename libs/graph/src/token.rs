use outeract_seal::Secret;

use crate::signature;

/// What a call to the Graph API is authorised with: an access token and the proof that its holder knows the app secret.
#[derive(Clone)]
pub struct Token {
    access_token: Secret,
    proof: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// A token with a proof made elsewhere.
    pub fn with_proof(access_token: Secret, proof: String) -> Self {
        Self { access_token, proof }
    }

    /// A token, its proof made with the app secret.
    pub fn with_app_secret(access_token: Secret, app_secret: &Secret) -> Self {
        let proof = signature::appsecret_proof(&access_token, app_secret);
        Self { access_token, proof }
    }

    /// The app's own token, for calls about the app and about other tokens.
    pub fn of_app(app_id: &str, app_secret: &Secret) -> Self {
        Self::with_app_secret(Secret::new(format!("{app_id}|{}", app_secret.expose())), app_secret)
    }

    pub(crate) fn access_token(&self) -> &str {
        self.access_token.expose()
    }

    pub(crate) fn proof(&self) -> &str {
        &self.proof
    }
}
