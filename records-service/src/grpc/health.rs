//! What `grpc.health.v1` says. It is told whether the process serves.

use records_proto::v1::{
    audit_service_server::SERVICE_NAME as AUDIT, forms_service_server::SERVICE_NAME as FORMS,
    records_service_server::SERVICE_NAME as RECORDS,
};
use tonic_health::{ServingStatus, server::HealthReporter};

/// Each service of the contract, and the whole.
const SERVICES: [&str; 4] = ["", RECORDS, FORMS, AUDIT];

/// Sets what the health service says.
pub(crate) struct Health(HealthReporter);

impl Health {
    /// For the service that this reporter came with.
    pub(crate) fn new(reporter: HealthReporter) -> Self {
        Self(reporter)
    }

    /// Says from now on whether the services are there.
    pub(crate) async fn set(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in SERVICES {
            self.0.set_service_status(service, status).await;
        }
    }

    /// Ends the streams of those who watch, which would otherwise keep their connections open.
    pub(crate) async fn end(mut self) {
        for service in SERVICES {
            self.0.clear_service_status(service).await;
        }
    }
}
