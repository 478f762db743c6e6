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
/// At most one fetch in this time while the publisher does not answer.
const FAILURE_COOLDOWN: Duration = Duration::from_secs(1);

type Fetch<T> = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Option<T>> + Send>> + Send + Sync>;

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
    /// When the last fetch began for what a fresh value lacked.
    sought: Option<Instant>,
}

impl<T> State<T> {
    fn younger_than(&self, age: Duration) -> Option<Arc<T>> {
        self.value.clone().filter(|_| self.fetched.is_some_and(|at| at.elapsed() < age))
    }
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
        // A rate over a counter that appears with its first failure would not see that failure.
        for succeeded in [true, false] {
            metrics.of(document, succeeded);
        }
        let state = State { value: None, fetched: None, attempted: None, sought: None };
        Arc::new(Self {
            fetch: Box::new(move || Box::pin(fetch())),
            document,
            metrics,
            state: RwLock::new(state),
            fetching: Arc::default(),
        })
    }

    /// The value, at most an hour and ten minutes old; `None` where there is none.
    pub async fn get(self: &Arc<Self>) -> Option<Arc<T>> {
        if let Some(value) = self.read(|state| state.younger_than(FRESH)) {
            return Some(value);
        }
        if let Some(value) = self.read(|state| state.younger_than(FRESH + STALE)) {
            // Nobody waits for a publisher that may be down while an old value still serves.
            if let Ok(turn) = Arc::clone(&self.fetching).try_lock_owned() {
                self.fetch_for_age(turn);
            }
            return Some(value);
        }
        let turn = Arc::clone(&self.fetching).lock_owned().await;
        if self.read(|state| state.younger_than(FRESH)).is_none()
            && let Some(fetch) = self.fetch_for_age(turn)
        {
            // A task that panicked has fetched nothing, which the next line sees.
            let _ = fetch.await;
        }
        self.read(|state| state.younger_than(FRESH))
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
            None if self.read(|state| state.younger_than(FRESH)).is_some() => Newer::Nothing,
            None => Newer::Unavailable,
        }
    }

    fn read<R>(&self, look: impl FnOnce(&State<T>) -> R) -> R {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut State<T>)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn fetch_for_age(self: &Arc<Self>, turn: OwnedMutexGuard<()>) -> Option<JoinHandle<()>> {
        let attempted = self.read(|state| state.attempted);
        (!within(attempted, FAILURE_COOLDOWN)).then(|| self.spawn_fetch(turn))
    }

    fn fetch_for_lack(self: &Arc<Self>, turn: OwnedMutexGuard<()>) -> Option<JoinHandle<()>> {
        let sought = self.read(|state| state.sought);
        if within(sought, LACK_COOLDOWN) {
            return None;
        }
        self.write(|state| state.sought = Some(Instant::now()));
        Some(self.spawn_fetch(turn))
    }

    /// Fetches in a task of its own: a caller who gives up must not end, or hide, what all callers
    /// wait for.
    fn spawn_fetch(self: &Arc<Self>, turn: OwnedMutexGuard<()>) -> JoinHandle<()> {
        self.write(|state| state.attempted = Some(Instant::now()));
        let refreshed = Arc::clone(self);
        tokio::spawn(async move {
            let _turn = turn;
            let fetched = (refreshed.fetch)().await;
            refreshed.metrics.count(refreshed.document, fetched.is_some());
            if let Some(value) = fetched {
                refreshed.write(|state| {
                    state.value = Some(Arc::new(value));
                    state.fetched = Some(Instant::now());
                });
            }
        })
    }
}

fn within(last: Option<Instant>, cooldown: Duration) -> bool {
    last.is_some_and(|at| at.elapsed() < cooldown)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts its fetches, each of which takes a moment.
    fn counter() -> (Arc<Refreshed<usize>>, Arc<AtomicUsize>) {
        let fetches = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&fetches);
        let refreshed = Refreshed::new("counter", FetchMetrics::default(), move || {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Some(number)
            }
        });
        (refreshed, fetches)
    }

    #[tokio::test]
    async fn many_callers_wait_for_one_fetch() {
        let (refreshed, fetches) = counter();

        let (a, b, c) = tokio::join!(refreshed.get(), refreshed.get(), refreshed.get());

        assert_eq!([a, b, c].map(|value| *value.unwrap()), [1, 1, 1]);
        assert_eq!(fetches.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_caller_who_gives_up_neither_ends_nor_repeats_a_fetch() {
        let (refreshed, fetches) = counter();

        for _ in 0..5 {
            let hasty = tokio::time::timeout(Duration::from_millis(5), refreshed.get()).await;
            assert!(hasty.is_err());
        }

        assert_eq!(*refreshed.get().await.unwrap(), 1);
        assert_eq!(fetches.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_a_fresh_value_lacks_is_fetched_for_once_in_a_while() {
        let (refreshed, fetches) = counter();
        let first = refreshed.get().await.unwrap();

        let second = refreshed.newer_than(&first).await;
        let Newer::Value(second) = second else { panic!("{second:?}") };

        assert_eq!(*second, 2);
        assert!(matches!(refreshed.newer_than(&second).await, Newer::Nothing));
        assert!(matches!(refreshed.newer_than(&first).await, Newer::Value(_)));
        assert_eq!(fetches.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn nothing_is_given_while_the_publisher_has_never_answered() {
        let refreshed =
            Refreshed::<usize>::new("nothing", FetchMetrics::default(), || async { None });
        assert!(refreshed.get().await.is_none());
    }
}
