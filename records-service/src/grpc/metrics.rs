//! What is measured of the calls of the gRPC port. The names are explained in `docs/metrics.md`.

use std::num::NonZeroU32;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use service_kit::metrics::durations;

use crate::error::LimitedBy;

/// The measures of calls.
pub(super) struct Metrics {
    pub(super) durations: Family<CallLabels, Histogram, fn() -> Histogram>,
    pub(super) in_flight: Gauge,
    pub(super) shed: Counter,
    pub(super) limited: Family<LimitedLabels, Counter>,
}

/// Which call this was, and what came of it. Nothing here says whose it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CallLabels {
    pub(super) service: &'static str,
    pub(super) method: &'static str,
    pub(super) code: &'static str,
}

/// Which limit somebody has reached. Nothing here says who it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LimitedLabels {
    pub(super) by: &'static str,
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry, limit: NonZeroU32) -> Self {
        let durations = Family::new_with_constructor(durations as fn() -> Histogram);
        let help = "Calls of the contract that were admitted";
        registry.register("grpc_server_request_duration_seconds", help, durations.clone());
        let in_flight = Gauge::default();
        let help = "Calls admitted and not yet answered";
        registry.register("grpc_server_requests_in_flight", help, in_flight.clone());
        let most: Gauge = Gauge::default();
        most.set(limit.get().into());
        registry.register("grpc_server_requests_limit", "How many may be in flight", most);
        let shed = Counter::default();
        let help = "Calls turned away because there was no room for them or their answers";
        registry.register("grpc_server_requests_shed", help, shed.clone());
        let limited = Family::<LimitedLabels, Counter>::default();
        // A rate over a counter that appears with its first call would not see that call.
        for by in LimitedBy::ALL {
            limited.get_or_create_owned(&LimitedLabels { by: by.as_str() });
        }
        let help = "Calls turned away because their caller or organization asks too much";
        registry.register("grpc_server_requests_limited", help, limited.clone());
        Self { durations, in_flight, shed, limited }
    }
}
