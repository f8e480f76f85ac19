//! Media at Meta: bytes are given once and named by id, and users' bytes are fetched. Neither is ever held whole.

use std::fmt;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::Uri;
use http::header::CONTENT_TYPE;
use outeract_domain::PhoneNumberId;
use outeract_egress::{FilePart, SendError};
use serde::{Deserialize, Deserializer};

use crate::{CallError, Client, GraphError, Token};

/// What Meta tells of a medium.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Medium {
    /// Where its bytes are, for five minutes.
    pub url: String,
    /// Its MIME type.
    #[serde(default)]
    pub mime_type: String,
    /// SHA-256 of its bytes in hex.
    #[serde(default)]
    pub sha256: String,
    /// Its size in bytes; 0 when Meta does not say.
    #[serde(default, deserialize_with = "size")]
    pub file_size: u64,
}

/// A medium's bytes as they come. Their number is not bounded here.
pub struct Download {
    /// The MIME type that came with them; empty: none did.
    pub mime_type: String,
    /// The bytes.
    pub body: BoxStream<'static, Result<Bytes, SendError>>,
}

#[derive(Deserialize)]
struct Uploaded {
    id: String,
}

/// Longest id of a medium that is believed; Meta's have about 16 digits.
const LONGEST_ID: usize = 64;
/// Where Meta keeps media, beside the Graph API's own host.
const LOOKASIDE: &str = "lookaside.fbsbx.com";
const CDN: &str = ".fbcdn.net";

// === impl Client ===

impl Client {
    /// Gives a file to Meta for messages from `number`. Gives the medium's id, which is that number's alone and lives 30 days. One request, not repeated.
    pub async fn upload_media(
        &self,
        token: &Token,
        number: &PhoneNumberId,
        file: FilePart,
    ) -> Result<String, CallError> {
        let url = self.authorised_url(token, &format!("{number}/media"), &[]);
        let mime_type = file.mime_type.clone();
        let fields = [("messaging_product", "whatsapp"), ("type", mime_type.as_str())];
        let request = self.http.post_form(&url, token.access_token(), &fields, file)?;
        let reply = self.call(request).await?;
        let uploaded = serde_json::from_slice::<Uploaded>(&reply.body).ok();
        uploaded
            .map(|uploaded| uploaded.id)
            .filter(|id| is_id(id))
            .ok_or(CallError::Unintelligible { http_status: 200 })
    }

    /// Where a medium of `number` can be downloaded, and what it is.
    pub async fn media(&self, token: &Token, number: &PhoneNumberId, id: &str) -> Result<Medium, CallError> {
        let reply = self
            .get(token, path(id)?, &[("phone_number_id", number.as_str())])
            .await?;
        serde_json::from_slice(&reply.body).map_err(|_| CallError::Unintelligible { http_status: 200 })
    }

    /// Opens a medium's bytes at the URL that [`Self::media`] or a webhook named. The token goes to Meta's hosts only.
    pub async fn download(&self, token: &Token, url: &str) -> Result<Download, CallError> {
        if !self.is_metas(url) {
            return Err(CallError::Foreign);
        }
        let request = self.http.get(url, token.access_token())?;
        let answer = self.http.open(request).await?;
        let http_status = answer.status.as_u16();
        if !answer.status.is_success() {
            return Err(refusal(answer.body, http_status).await);
        }
        let mime_type = answer.headers.get(CONTENT_TYPE);
        let mime_type = mime_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        Ok(Download {
            mime_type: mime_type.to_owned(),
            body: answer.body,
        })
    }

    /// Deletes a medium of `number`.
    pub async fn delete_media(&self, token: &Token, number: &PhoneNumberId, id: &str) -> Result<(), CallError> {
        let url = self.authorised_url(token, path(id)?, &[("phone_number_id", number.as_str())]);
        let request = self.http.delete(&url, token.access_token())?;
        self.call(request).await.map(drop)
    }

    /// Whether the token may go to `url`: the Graph API's own scheme, host and port, or one of Meta's hosts for media, by TLS.
    fn is_metas(&self, url: &str) -> bool {
        let (Ok(url), Ok(base)) = (url.parse::<Uri>(), self.base.parse::<Uri>()) else {
            return false;
        };
        let (Some(authority), Some(own)) = (url.authority(), base.authority()) else {
            return false;
        };
        if authority.as_str().contains('@') {
            return false;
        }
        if url.scheme() == base.scheme() && authority.as_str().eq_ignore_ascii_case(own.as_str()) {
            return true;
        }
        let host = authority.host().to_ascii_lowercase();
        url.scheme_str() == Some("https")
            && authority.port_u16().is_none_or(|port| port == 443)
            && (host == LOOKASIDE || host.ends_with(CDN))
    }
}

/// The path of a medium. An id that is none could name another object, or none of Meta's.
fn path(id: &str) -> Result<&str, CallError> {
    if is_id(id) { Ok(id) } else { Err(CallError::Foreign) }
}

fn is_id(id: &str) -> bool {
    (1..=LONGEST_ID).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// What an answer that is no success says, as far as it is short.
async fn refusal(mut body: BoxStream<'static, Result<Bytes, SendError>>, http_status: u16) -> CallError {
    const MOST: usize = 64 * 1024;
    let mut text = Vec::new();
    while let Some(Ok(chunk)) = futures_util::StreamExt::next(&mut body).await {
        if text.len() + chunk.len() > MOST {
            break;
        }
        text.extend_from_slice(&chunk);
    }
    GraphError::parse(&text, http_status).map_or(CallError::Unintelligible { http_status }, CallError::Refused)
}

/// Meta writes sizes as numbers or as texts.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Size {
        Number(u64),
        Text(String),
    }
    Ok(match Size::deserialize(deserializer)? {
        Size::Number(size) => size,
        Size::Text(text) => text.parse().unwrap_or(0),
    })
}

// === impl Medium ===

impl fmt::Debug for Medium {
    // The URL opens the bytes to whoever has a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Medium")
            .field("mime_type", &self.mime_type)
            .field("file_size", &self.file_size)
            .finish_non_exhaustive()
    }
}

// === impl Download ===

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("mime_type", &self.mime_type)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(base: &str) -> Client {
        let http = outeract_egress::Client::new(&outeract_egress::Config::default()).expect("a client");
        Client::new(http, base, "v25.0")
    }

    #[test]
    fn the_token_goes_to_metas_hosts_only() {
        let client = client("https://graph.facebook.com");
        for own in [
            "https://graph.facebook.com/v25.0/1",
            "https://GRAPH.facebook.com/v25.0/1",
            "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1",
            "https://LOOKASIDE.fbsbx.com:443/x",
            "https://scontent.xx.fbcdn.net/x",
        ] {
            assert!(client.is_metas(own), "{own}");
        }
        for foreign in [
            "",
            "/x",
            "lookaside.fbsbx.com",
            "http://lookaside.fbsbx.com/x",
            "http://graph.facebook.com/x",
            "https://graph.facebook.com:8443/x",
            "https://lookaside.fbsbx.com:8443/x",
            "https://lookaside.fbsbx.com.example/x",
            "https://a:b@lookaside.fbsbx.com/x",
            "https://lookaside.fbsbx.com@example.com/x",
            "https://example.com/lookaside.fbsbx.com",
            "https://fbcdn.net/x",
            "https://xfbcdn.net/x",
            "https://169.254.169.254/latest/meta-data",
            "file:///etc/passwd",
        ] {
            assert!(!client.is_metas(foreign), "{foreign}");
        }
    }

    #[test]
    fn another_base_is_reached_by_its_own_port_only() {
        let client = client("http://127.0.0.1:7050");
        assert!(client.is_metas("http://127.0.0.1:7050/x"));
        assert!(!client.is_metas("http://127.0.0.1:5432/x"));
        assert!(!client.is_metas("https://127.0.0.1:7050/x"));
    }

    #[test]
    fn sizes_are_read_as_numbers_and_as_texts() {
        let read = |json: &str| serde_json::from_str::<Medium>(json).map(|medium| medium.file_size);
        assert_eq!(read(r#"{"url":"u","file_size":7}"#).expect("read"), 7);
        assert_eq!(read(r#"{"url":"u","file_size":"7"}"#).expect("read"), 7);
        assert_eq!(read(r#"{"url":"u","file_size":"many"}"#).expect("read"), 0);
        assert_eq!(read(r#"{"url":"u"}"#).expect("read"), 0);
        assert!(read("{}").is_err());
    }

    #[test]
    fn what_cannot_be_an_id_names_nothing() {
        for bad in ["", "1/2", "../1", "1?x", &"1".repeat(65), "é"] {
            assert!(path(bad).is_err(), "{bad}");
        }
        assert!(path("4490709327384033").is_ok());
    }
}
