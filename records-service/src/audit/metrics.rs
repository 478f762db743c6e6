//! What is measured of an event's way from the outbox to the trail. The names are explained in
//! `docs/metrics.md`.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::SystemTime,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::Registry,
};
use service_kit::metrics::durations;

/// The measures of the relay. A clone measures with it.
#[derive(Clone)]
pub(crate) struct RelayMetrics {
    /// Events that the queue took straight from the calls that committed them.
    pub(super) fast: Counter,
    /// Events that the queue took from the outbox.
    pub(super) swept: Counter,
    /// Events that the queue did not take.
    pub(super) failures: Counter,
    outbox: Outbox,
}

impl RelayMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let published = Family::<[(&str, &str); 1], Counter>::default();
        let help = "Events that the queue took";
        registry.register("relay_events_published", help, published.clone());
        let failures = Counter::default();
        let help = "Events that the queue did not take at an attempt";
        registry.register("relay_publish_failures", help, failures.clone());
        let outbox = Outbox::default();
        registry.register_collector(Box::new(outbox.clone()));
        let by = |path| published.get_or_create_owned(&[("path", path)]);
        Self { fast: by("fast"), swept: by("sweep"), failures, outbox }
    }

    /// What the sweeper knows of the outbox: nothing in a process that does not sweep, which then
    /// shows nothing, lest what it once knew contradict the one that does.
    pub(super) fn outbox(&self) -> MutexGuard<'_, Option<Backlog>> {
        self.outbox.lock()
    }
}

/// The events in the outbox that should be on the queue by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Backlog {
    /// When they were counted.
    pub(super) at: SystemTime,
    pub(super) late_events: u32,
    /// When the first of them was committed.
    pub(super) oldest: Option<SystemTime>,
}

#[derive(Debug, Clone, Default)]
struct Outbox(Arc<Mutex<Option<Backlog>>>);

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Option<Backlog>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Outbox {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let Some(backlog) = *self.lock() else { return Ok(()) };
        let age = backlog.oldest.and_then(|oldest| oldest.elapsed().ok()).unwrap_or_default();
        let mut show = |name, help, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        let help = "Events that should be on the queue by now";
        show("outbox_late_events", help, backlog.late_events.into())?;
        show("outbox_oldest_age_seconds", "Age of the oldest of these", age.as_secs_f64())?;
        let help = "When the outbox was last swept";
        show("outbox_swept_timestamp_seconds", help, unix_seconds(backlog.at))
    }
}

/// The measures of the worker.
pub(super) struct WorkerMetrics {
    pub(super) stored: Counter,
    pub(super) duplicate: Counter,
    pub(super) refused: Counter,
    /// From a change to its entry in the trail.
    pub(super) delays: Histogram,
    received: Gauge<f64, AtomicU64>,
}

impl WorkerMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let events = Family::<[(&str, &str); 1], Counter>::default();
        registry.register("audit_events", "Messages of the queue", events.clone());
        let delays = durations();
        let help = "From the change to its entry in the trail";
        registry.register("audit_event_delay_seconds", help, delays.clone());
        let received = Gauge::default();
        let help = "When the queue last answered";
        registry.register("audit_received_timestamp_seconds", help, received.clone());
        let of = |outcome| events.get_or_create_owned(&[("outcome", outcome)]);
        Self {
            stored: of("stored"),
            duplicate: of("duplicate"),
            refused: of("refused"),
            delays,
            received,
        }
    }

    /// The queue has answered.
    pub(super) fn received(&self) {
        self.received.set(unix_seconds(SystemTime::now()));
    }
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
