//! Who makes the call, as the listener established it.

use std::sync::Arc;

use outeract_domain::{ApplicationId, KeyId};
use tonic::{Request, Status};

use crate::Fault;
use crate::call::Call;

/// The application that calls, by one of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// The application.
    pub id: ApplicationId,
    /// The key of this call.
    pub key: KeyId,
    /// What the key may do.
    pub scopes: Arc<[String]>,
}

/// The operator that calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operator {
    /// The key of this call: it names the operator in the audit log.
    pub key: KeyId,
}

/// Who makes a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    Application(Application),
    Operator(Operator),
    Service(String),
    /// Health and reflection ask for no credential.
    Anyone,
}

/// The application that makes this call. INTERNAL on a method that is not for applications.
pub fn application<T>(request: &Request<T>) -> Result<Application, Status> {
    match caller(request)? {
        Caller::Application(application) => Ok(application.clone()),
        Caller::Operator(_) | Caller::Service(_) | Caller::Anyone => Err(wrong("an application")),
    }
}

/// The operator that makes this call. INTERNAL on a method that is not for operators.
pub fn operator<T>(request: &Request<T>) -> Result<Operator, Status> {
    match caller(request)? {
        Caller::Operator(operator) => Ok(*operator),
        Caller::Application(_) | Caller::Service(_) | Caller::Anyone => Err(wrong("an operator")),
    }
}

/// The service that makes this call, by name. INTERNAL on a method that is not for services.
pub fn service<T>(request: &Request<T>) -> Result<&str, Status> {
    match caller(request)? {
        Caller::Service(name) => Ok(name),
        Caller::Application(_) | Caller::Operator(_) | Caller::Anyone => Err(wrong("a service")),
    }
}

/// The call that carries this request. INTERNAL outside of a [`crate::Server`].
pub fn call<T>(request: &Request<T>) -> Result<&Arc<Call>, Status> {
    request
        .extensions()
        .get::<Arc<Call>>()
        .ok_or_else(|| Fault::internal("the request did not come through a listener of ours").into())
}

/// `request` as if `application` made it, for tests that call handlers without a listener.
#[cfg(feature = "test-util")]
pub fn impersonate<T>(mut request: Request<T>, application: Application) -> Request<T> {
    use crate::call::Slot;
    use crate::deadline::{DEFAULT, Deadline};
    use crate::method::Method;
    use crate::trace;

    let (_, trace) = trace::serve(&http::HeaderMap::new(), "");
    let call = Call::new(Method::at(""), Some(Deadline::after(DEFAULT)), trace, Slot::free());
    call.set_caller(Caller::Application(application));
    request.extensions_mut().insert(Arc::new(call));
    request
}

fn caller<T>(request: &Request<T>) -> Result<&Caller, Status> {
    call(request)?.caller().ok_or_else(|| wrong("authenticated"))
}

fn wrong(expected: &'static str) -> Status {
    Fault::internal(format!("the caller is not {expected}")).into()
}
