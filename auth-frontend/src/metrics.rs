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

/// How long requests took, and how many logins failed.
pub(crate) struct Metrics {
    requests: Family<RequestLabels, Histogram, fn() -> Histogram>,
    login_failures: Family<ReasonLabels, Counter>,
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

impl Metrics {
    /// Shows `http_server_request_duration_seconds` and `login_failures_total`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let requests = Family::new_with_constructor(durations as fn() -> Histogram);
        let help = "Requests, from their heads to their answers";
        registry.register("http_server_request_duration_seconds", help, requests.clone());
        let login_failures = Family::default();
        let help = "Logins that came back from the provider and did not succeed";
        registry.register("login_failures", help, login_failures.clone());
        Self { requests, login_failures }
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
