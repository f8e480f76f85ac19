//! The gRPC edge, the same for every service: errors that machines can read, who calls, deadlines, limits, trace context.
//!
//! A handler sees little of it:
//!
//! ```
//! use outeract_proto::connection::v1::{Application, GetApplicationRequest, GetApplicationResponse, UpdateApplicationSettingsRequest, UpdateApplicationSettingsResponse};
//! use outeract_proto::connection::v1::application_service_server::ApplicationService;
//! use outeract_rpc::{Fault, Reply, caller};
//!
//! struct Applications;
//!
//! #[tonic::async_trait]
//! impl ApplicationService for Applications {
//!     async fn get_application(&self, request: tonic::Request<GetApplicationRequest>) -> Reply<GetApplicationResponse> {
//!         let application = caller::application(&request)?;
//!         let name = name_of(application.id).await.map_err(Fault::unavailable)?.ok_or(Fault::not_found("application"))?;
//!         Ok(tonic::Response::new(GetApplicationResponse {
//!             application: Some(Application { id: application.id.to_string(), name, create_time: None, settings: None }),
//!             key_id: application.key.to_string(),
//!             scopes: application.scopes.to_vec(),
//!         }))
//!     }
//!
//!     async fn update_application_settings(
//!         &self,
//!         _: tonic::Request<UpdateApplicationSettingsRequest>,
//!     ) -> Reply<UpdateApplicationSettingsResponse> {
//!         Err(tonic::Status::unimplemented("an example"))
//!     }
//! }
//!
//! # async fn name_of(_: outeract_domain::ApplicationId) -> Result<Option<String>, std::io::Error> { Ok(None) }
//! ```
//!
//! [`Server`] listens: it knows the method from the path, its access rule from [`outeract_proto::access`], and does in this order: shed what is above
//! the concurrency limit, authenticate, count against the application's [`Quota`], bound by the deadline, run, and make every error that leaves carry
//! `google.rpc.ErrorInfo`.
//! [`Channel`] calls a sibling service: it adds the service's credential, what is left of the deadline and the W3C trace context.

mod accept;
mod authenticator;
mod body;
mod call;
pub mod caller;
mod channel;
mod complete;
pub mod deadline;
mod fault;
mod gate;
mod key;
mod method;
pub mod page;
mod peers;
mod quota;
mod remote_keys;
mod server;
pub mod trace;

pub use accept::accept;
pub use authenticator::{Authenticator, Keys, Unavailable, Verdict};
pub use call::Call;
pub use channel::{Channel, ChannelError};
pub use fault::{Fault, Violation, reason};
pub use key::{KeyText, MalformedKey, secret_sha256};
pub use peers::{MalformedPeers, Peers, ServiceCredential};
pub use quota::Quota;
pub use remote_keys::RemoteKeys;
pub use server::{Admission, Limits, Server};

/// What a handler answers: a response, or a status that [`Fault`] made.
pub type Reply<T> = Result<tonic::Response<T>, tonic::Status>;

/// Any error, where only its text for the log matters.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
