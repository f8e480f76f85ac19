//! gRPC health and reflection, on both listeners.

use outeract_proto::FILE_DESCRIPTOR_SET;
use outeract_rpc::BoxError;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tonic_reflection::server::Builder;

use crate::health::Health;
use crate::stop::Stop;

/// Health and reflection for one service.
pub(crate) struct Probes {
    reporter: HealthReporter,
    application: Vec<String>,
    internal: Vec<String>,
    reflection: bool,
}

// === impl Probes ===

impl Probes {
    pub(crate) fn new(name: &str, reflection: bool) -> Self {
        let all = services(&format!("outeract.{name}."));
        let public = format!("outeract.{name}.v");
        let (application, internal) = all.into_iter().partition(|service| service.starts_with(&public));
        Self {
            reporter: HealthReporter::new(),
            application,
            internal,
            reflection,
        }
    }

    /// Adds both to the listener for applications.
    pub(crate) fn application(&self, routes: Routes) -> Result<Routes, BoxError> {
        self.add(routes, &self.application)
    }

    /// Adds both to the listener for siblings and operators.
    pub(crate) fn internal(&self, routes: Routes) -> Result<Routes, BoxError> {
        self.add(routes, &self.internal)
    }

    /// Reports readiness as the health of the server (`""`) and of each service.
    pub(crate) fn follow(&self, health: &Health, stop: Stop) -> impl Future<Output = ()> + Send + 'static {
        let reporter = self.reporter.clone();
        let names: Vec<String> = [String::new()]
            .into_iter()
            .chain(self.application.iter().chain(&self.internal).cloned())
            .collect();
        let mut ready = health.watch();
        async move {
            loop {
                let status = if *ready.borrow_and_update() {
                    ServingStatus::Serving
                } else {
                    ServingStatus::NotServing
                };
                for name in &names {
                    reporter.set_service_status(name, status).await;
                }
                tokio::select! {
                    () = stop.soft().cancelled() => return,
                    changed = ready.changed() => if changed.is_err() { return },
                }
            }
        }
    }

    fn add(&self, routes: Routes, services: &[String]) -> Result<Routes, BoxError> {
        let health = HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()));
        let routes = routes.add_service(health);
        if !self.reflection {
            return Ok(routes);
        }
        let mut builder = Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health");
        for service in services {
            builder = builder.with_service_name(service.clone());
        }
        Ok(routes.add_service(builder.build_v1()?))
    }
}

/// Full names of the contract's services whose package begins so.
fn services(prefix: &str) -> Vec<String> {
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default().file;
    files
        .iter()
        .flat_map(|file| {
            file.service
                .iter()
                .map(|service| format!("{}.{}", file.package(), service.name()))
        })
        .filter(|name| name.starts_with(prefix))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_belong_to_one_listener() {
        let probes = Probes::new("connection", true);
        assert!(
            probes
                .application
                .contains(&"outeract.connection.v1.ApplicationService".to_owned())
        );
        assert!(
            probes
                .internal
                .contains(&"outeract.connection.admin.v1.AdminService".to_owned())
        );
        assert!(
            probes
                .application
                .iter()
                .all(|service| !probes.internal.contains(service))
        );
    }
}
