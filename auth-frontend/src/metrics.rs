//! What is measured of requests and logins. The names of all metrics are in `docs/metrics.md`. It
//! does not know what leads to them.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use service_kit::metrics::durations;

/// What became of a back-channel logout.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BackchannelOutcome {
    /// Sessions were ended, or there were none to end.
    Done,
    /// The request was not the provider's, or not fresh, or came twice.
    Refused,
    /// It could not be carried out.
    Failed,
}

/// How long requests took, how many logins failed, and what became of back-channel logouts.
pub(crate) struct Metrics {
    requests: Family<RequestLabels, Histogram, fn() -> Histogram>,
    login_failures: Family<ReasonLabels, Counter>,
    backchannel_logouts: Family<OutcomeLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

impl Metrics {
    /// Shows `http_server_request_duration_seconds`, `login_failures_total` and
    /// `backchannel_logouts_total`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let requests = Family::new_with_constructor(durations as fn() -> Histogram);
        let help = "Requests, from their heads to their answers";
        registry.register("http_server_request_duration_seconds", help, requests.clone());
        let login_failures = Family::default();
        let help = "Logins that came back from the provider and did not succeed";
        registry.register("login_failures", help, login_failures.clone());
        let backchannel_logouts = Family::default();
        let help = "Requests of the provider to end sessions";
        registry.register("backchannel_logouts", help, backchannel_logouts.clone());
        Self { requests, login_failures, backchannel_logouts }
    }

    /// A request to a route, by its pattern, was answered.
    pub(crate) fn request(
        &self,
        method: &'static str,
        route: &str,
        status: StatusCode,
        took: Duration,
    ) {
        let labels = RequestLabels { method, route: route.to_owned(), status: status.as_u16() };
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Somebody came back from the provider and was not logged in.
    pub(crate) fn login_failed(&self, reason: &'static str) {
        self.login_failures.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// The provider, or whoever says to be it, asked to end sessions.
    pub(crate) fn backchannel_logout(&self, outcome: BackchannelOutcome) {
        let outcome = match outcome {
            BackchannelOutcome::Done => "done",
            BackchannelOutcome::Refused => "refused",
            BackchannelOutcome::Failed => "failed",
        };
        self.backchannel_logouts.get_or_create(&OutcomeLabels { outcome }).inc();
    }
}

/// A method as a label, and in the names of spans: clients can make up others without end.
/// Source: RFC 9110 §9 and RFC 5789.
#[must_use]
pub(crate) fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "CONNECT" => "CONNECT",
        "OPTIONS" => "OPTIONS",
        "TRACE" => "TRACE",
        "PATCH" => "PATCH",
        _ => "OTHER",
    }
}
