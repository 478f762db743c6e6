//! Something that another service publishes, kept at hand: fetched when first needed, fetched again
//! when it is old, and used for a while longer when the publisher is down. It does not know what is
//! published.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, counter::Counter, family::Family, gauge::ConstGauge},
    registry::Registry,
};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    task::JoinHandle,
};

/// How long a value is used before it is fetched again.
const FRESH: Duration = Duration::from_mins(10);
/// How long after [`FRESH`] it is still used while the publisher does not answer.
const STALE: Duration = Duration::from_hours(1);
/// At most one fetch in this time for the sake of what a fresh value lacks, lest a flood of
/// requests for nonsense turn into a flood on the publisher.
const LACK_COOLDOWN: Duration = Duration::from_secs(30);
/// At most one fetch in this time while the publisher does not answer, for whatever reason.
const FAILURE_COOLDOWN: Duration = Duration::from_secs(1);

type Fetch<T> = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Option<T>> + Send>> + Send + Sync>;
type Clock = Box<dyn Fn() -> Instant + Send + Sync>;

/// Counts fetches and tells the age of what was fetched, by document. A clone counts with it.
#[derive(Debug, Clone, Default)]
pub struct FetchMetrics {
    fetches: Family<FetchLabels, Counter>,
    fetched: Arc<RwLock<BTreeMap<&'static str, Instant>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FetchLabels {
    document: &'static str,
    outcome: &'static str,
}

impl FetchMetrics {
    /// Shows `provider_fetches_total` and `provider_document_age_seconds`.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let help = "Fetches from the identity provider";
        registry.register("provider_fetches", help, metrics.fetches.clone());
        registry.register_collector(Box::new(Ages(Arc::clone(&metrics.fetched))));
        metrics
    }

    fn of(&self, document: &'static str, succeeded: bool) -> Counter {
        let outcome = if succeeded { "ok" } else { "failed" };
        self.fetches.get_or_create_owned(&FetchLabels { document, outcome })
    }

    fn count(&self, document: &'static str, succeeded: bool) {
        self.of(document, succeeded).inc();
        if succeeded {
            let mut fetched = self.fetched.write().unwrap_or_else(PoisonError::into_inner);
            fetched.insert(document, Instant::now());
        }
    }
}

#[derive(Debug)]
struct Ages(Arc<RwLock<BTreeMap<&'static str, Instant>>>);

impl Collector for Ages {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let fetched = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if fetched.is_empty() {
            return Ok(());
        }
        let help = "Since the document in use was fetched";
        let name = "provider_document_age_seconds";
        let mut ages = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (document, at) in &*fetched {
            let age = ConstGauge::new(at.elapsed().as_secs_f64());
            age.encode(ages.encode_family(&[("document", *document)])?)?;
        }
        Ok(())
    }
}

/// A value that is fetched when it is needed.
pub struct Refreshed<T> {
    fetch: Fetch<T>,
    clock: Clock,
    document: &'static str,
    metrics: FetchMetrics,
    state: RwLock<State<T>>,
    /// Held while fetching, so that many callers wait for one answer.
    fetching: Arc<Mutex<()>>,
}

struct State<T> {
    value: Option<Arc<T>>,
    fetched: Option<Instant>,
    attempted: Option<Instant>,
    /// Whether the last fetch that has ended brought nothing.
    failed: bool,
    /// When the last fetch began for what a fresh value lacked.
    sought: Option<Instant>,
}

/// What there is besides a value that lacks something.
#[derive(Debug)]
pub enum Newer<T> {
    /// A newer value, which may lack it as well.
    Value(Arc<T>),
    /// Nothing newer, as far as was asked lately.
    Nothing,
    /// The publisher does not answer, so nobody knows.
    Unavailable,
}

impl<T: Send + Sync + 'static> Refreshed<T> {
    /// Fetches with `fetch`, which answers `None` when it has failed and has logged why. It is
    /// first called when the value is first needed. `document` is its name among the metrics.
    pub fn new<F>(
        document: &'static str,
        metrics: FetchMetrics,
        fetch: impl Fn() -> F + Send + Sync + 'static,
    ) -> Arc<Self>
    where
        F: Future<Output = Option<T>> + Send + 'static,
    {
        let fetch: Fetch<T> = Box::new(move || Box::pin(fetch()));
        Self::by_clock(Box::new(Instant::now), document, metrics, fetch)
    }

    fn by_clock(
        clock: Clock,
        document: &'static str,
        metrics: FetchMetrics,
        fetch: Fetch<T>,
    ) -> Arc<Self> {
        // A rate over a counter that appears with its first failure would not see that failure.
        for succeeded in [true, false] {
            metrics.of(document, succeeded);
        }
        let state =
            State { value: None, fetched: None, attempted: None, failed: false, sought: None };
        Arc::new(Self {
            fetch,
            clock,
            document,
            metrics,
            state: RwLock::new(state),
            fetching: Arc::default(),
        })
    }

    /// The value, at most an hour and ten minutes old; `None` where there is none.
    pub async fn get(self: &Arc<Self>) -> Option<Arc<T>> {
        if let Some(value) = self.younger_than(FRESH) {
            return Some(value);
        }
        if let Some(value) = self.younger_than(FRESH + STALE) {
            // Nobody waits for a publisher that may be down while an old value still serves.
            if let Ok(turn) = Arc::clone(&self.fetching).try_lock_owned() {
                self.fetch_for_age(turn);
            }
            return Some(value);
        }
        let turn = Arc::clone(&self.fetching).lock_owned().await;
        if self.younger_than(FRESH).is_none()
            && let Some(fetch) = self.fetch_for_age(turn)
        {
            // A task that panicked has fetched nothing, which the next line sees.
            let _ = fetch.await;
        }
        self.younger_than(FRESH)
    }

    /// What is newer than `seen`, which lacks something: fetched again, but only once in a while.
    pub async fn newer_than(self: &Arc<Self>, seen: &Arc<T>) -> Newer<T> {
        let turn = Arc::clone(&self.fetching).lock_owned().await;
        let newer = || {
            let value = self.read(|state| state.value.clone());
            value.filter(|value| !Arc::ptr_eq(value, seen))
        };
        if newer().is_none()
            && let Some(fetch) = self.fetch_for_lack(turn)
        {
            let _ = fetch.await;
        }
        match newer() {
            Some(value) => Newer::Value(value),
            None if self.younger_than(FRESH).is_some() && !self.read(|state| state.failed) => {
                Newer::Nothing
            }
            None => Newer::Unavailable,
        }
    }

    fn younger_than(&self, age: Duration) -> Option<Arc<T>> {
        self.read(|state| {
            let is_younger = self.within(state.fetched, age);
            state.value.clone().filter(|_| is_younger)
        })
    }

    fn within(&self, last: Option<Instant>, time: Duration) -> bool {
        last.is_some_and(|at| (self.clock)().saturating_duration_since(at) < time)
    }

    fn read<R>(&self, look: impl FnOnce(&State<T>) -> R) -> R {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut State<T>)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn fetch_for_age(self: &Arc<Self>, turn: OwnedMutexGuard<()>) -> Option<JoinHandle<()>> {
        let attempted = self.read(|state| state.attempted);
        (!self.within(attempted, FAILURE_COOLDOWN)).then(|| self.spawn_fetch(turn))
    }

    fn fetch_for_lack(self: &Arc<Self>, turn: OwnedMutexGuard<()>) -> Option<JoinHandle<()>> {
        let is_too_soon = self.read(|state| {
            if state.failed {
                self.within(state.attempted, FAILURE_COOLDOWN)
            } else {
                self.within(state.sought, LACK_COOLDOWN)
            }
        });
        if is_too_soon {
            return None;
        }
        self.write(|state| state.sought = Some((self.clock)()));
        Some(self.spawn_fetch(turn))
    }

    /// Fetches in a task of its own: a caller who gives up must not end, or hide, what all callers
    /// wait for.
    fn spawn_fetch(self: &Arc<Self>, turn: OwnedMutexGuard<()>) -> JoinHandle<()> {
        self.write(|state| state.attempted = Some((self.clock)()));
        let refreshed = Arc::clone(self);
        tokio::spawn(async move {
            let _turn = turn;
            let fetched = (refreshed.fetch)().await;
            refreshed.metrics.count(refreshed.document, fetched.is_some());
            refreshed.write(|state| {
                state.failed = fetched.is_none();
                if let Some(value) = fetched {
                    state.value = Some(Arc::new(value));
                    state.fetched = Some((refreshed.clock)());
                }
            });
        })
    }
}

#[cfg(test)]
mod tests;
