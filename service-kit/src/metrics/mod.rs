//! The metrics of a process: the registry with what every process tells about itself, and the one
//! set of buckets for durations. It does not know what else is measured. The names of all metrics
//! are in `docs/metrics.md`.

#[cfg(target_os = "linux")]
mod process;

use prometheus_client::{
    metrics::{gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

/// In seconds: from the quickest call to the longest wait that somebody may still be behind.
const DURATION_BUCKETS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A registry that already has the build and, on Linux, what the operating system knows of the
/// process. `process` is what the process does, such as `serve`.
///
/// The revision is that of the environment variable `REVISION` at compile time.
#[must_use]
pub fn registry(process: &'static str) -> Registry {
    let mut registry = Registry::default();
    let build = Info::new([
        ("process", process),
        ("version", env!("CARGO_PKG_VERSION")),
        ("revision", option_env!("REVISION").unwrap_or("unknown")),
    ]);
    registry.register("org_records_build", "What runs here", build);
    #[cfg(target_os = "linux")]
    registry.register_collector(Box::new(process::Process));
    registry
}

/// One of what a gauge counts, until it is dropped.
#[derive(Debug)]
pub struct Tally(Gauge);

impl Tally {
    /// One more.
    #[must_use]
    pub fn of(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A histogram of seconds, with the same buckets for everything, so that durations of different
/// steps can be laid over each other.
#[must_use]
pub fn durations() -> Histogram {
    Histogram::new(DURATION_BUCKETS)
}
