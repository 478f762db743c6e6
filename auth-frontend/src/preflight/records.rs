//! Checks that records-service can be reached and takes work. It asks what any balancer may ask,
//! without a token.

use std::time::Duration;

use records_proto::v1::records_service_server::SERVICE_NAME;
use service_kit::{
    preflight::{Finding, State, root_cause},
    telemetry::Chain,
};
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use url::Url;

use crate::{config::RecordsTls, records_client::Credentials};

const PATIENCE: Duration = Duration::from_secs(4);

/// Asks one of the replicas at a URL for its health.
pub(super) async fn check(url: &Url, tls: &RecordsTls) -> Finding {
    let what = format!("records-service {url}");
    let tls = match Credentials::new(tls).look().expect("the first look shows something") {
        Ok(tls) => tls,
        Err(error) => return Finding::new(what, State::Wrong, Chain(&error).to_string()),
    };
    let endpoint = Endpoint::new(url.to_string())
        .map(|endpoint| endpoint.connect_timeout(PATIENCE / 2).timeout(PATIENCE));
    let endpoint = match url.scheme() {
        "https" => endpoint.and_then(|endpoint| endpoint.tls_config(tls)),
        _ => endpoint,
    };
    let channel = match endpoint {
        Ok(endpoint) => endpoint.connect().await,
        Err(error) => Err(error),
    };
    let channel = match channel {
        Ok(channel) => channel,
        Err(error) => {
            let advice = format!(
                "is it running, does a NetworkPolicy let us through, and do both sides speak TLS by \
                 the same authority, or neither? {}",
                root_cause(&error)
            );
            return Finding::new(what, State::Unreachable, advice);
        }
    };
    let question = HealthCheckRequest { service: SERVICE_NAME.to_owned() };
    match HealthClient::new(channel).check(question).await {
        Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => Finding::ok(what),
        Ok(_) => {
            Finding::new(what, State::Unreachable, "it takes no work: it is starting or stopping")
        }
        Err(status) if matches!(status.code(), Code::NotFound | Code::Unimplemented) => {
            Finding::new(what, State::Wrong, "this is not records-service: set RECORDS_SERVICE_URL")
        }
        Err(status) => {
            let advice = format!("its health cannot be asked for: {}", status.message());
            Finding::new(what, State::Unreachable, advice)
        }
    }
}
