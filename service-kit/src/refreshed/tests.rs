//! Freshness, staleness and cooldowns, by a clock that the test moves.

use std::sync::{
    Mutex as StdMutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::sync::Semaphore;

use super::*;

/// A publisher that can be down, and a clock that stands still between steps.
struct Scene {
    refreshed: Arc<Refreshed<usize>>,
    fetches: Arc<AtomicUsize>,
    is_down: Arc<AtomicBool>,
    now: Arc<StdMutex<Instant>>,
}

impl Scene {
    fn new() -> Self {
        let (fetches, is_down) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let now = Arc::new(StdMutex::new(Instant::now()));
        let (count, fails, time) = (fetches.clone(), is_down.clone(), now.clone());
        let fetch = move || {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            let answer = (!fails.load(Ordering::SeqCst)).then_some(number);
            Box::pin(async move { answer }) as Pin<Box<dyn Future<Output = _> + Send>>
        };
        let refreshed = Refreshed::by_clock(
            Box::new(move || *time.lock().unwrap()),
            "scene",
            FetchMetrics::default(),
            Box::new(fetch),
        );
        Self { refreshed, fetches, is_down, now }
    }

    fn pass(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
    }

    fn publisher_is_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// The value, after a fetch that its age has begun in the background.
    async fn get(&self) -> Option<usize> {
        let value = self.refreshed.get().await;
        drop(self.refreshed.fetching.lock().await);
        value.map(|value| *value)
    }
}

#[tokio::test]
async fn an_old_value_serves_for_an_hour_while_the_publisher_is_down() {
    let scene = Scene::new();
    assert_eq!(scene.get().await, Some(1));
    scene.publisher_is_down(true);

    scene.pass(FRESH.saturating_sub(Duration::from_millis(1)));
    assert_eq!((scene.get().await, scene.fetches()), (Some(1), 1));
    scene.pass(STALE);
    assert_eq!((scene.get().await, scene.fetches()), (Some(1), 2));
    scene.pass(Duration::from_millis(1));
    assert_eq!((scene.get().await, scene.fetches()), (None, 2));
    scene.pass(FAILURE_COOLDOWN);
    assert_eq!((scene.get().await, scene.fetches()), (None, 3));

    scene.publisher_is_down(false);
    scene.pass(FAILURE_COOLDOWN);
    assert_eq!(scene.get().await, Some(4));
}

#[tokio::test]
async fn an_old_value_is_replaced_as_soon_as_the_publisher_is_back() {
    let scene = Scene::new();
    scene.get().await;
    scene.publisher_is_down(true);
    scene.pass(FRESH);
    assert_eq!(scene.get().await, Some(1));

    scene.publisher_is_down(false);
    scene.pass(FAILURE_COOLDOWN);

    // Nobody waits for the new one: it is there for the next.
    assert_eq!(scene.get().await, Some(1));
    assert_eq!(scene.get().await, Some(3));
}

#[tokio::test]
async fn a_flood_of_requests_for_nonsense_is_one_fetch_in_half_a_minute() {
    let scene = Scene::new();
    scene.get().await;

    for half_minute in 0..3 {
        for _ in 0..1000 {
            let seen = scene.refreshed.get().await.unwrap();
            scene.refreshed.newer_than(&seen).await;
        }
        assert_eq!(scene.fetches(), 2 + half_minute);
        scene.pass(LACK_COOLDOWN);
    }
}

#[tokio::test]
async fn what_a_value_lacks_is_unknown_while_the_publisher_is_down_and_sought_when_it_is_back() {
    let scene = Scene::new();
    let seen = scene.refreshed.get().await.unwrap();
    scene.publisher_is_down(true);

    for fetches in [2, 3, 4] {
        for _ in 0..100 {
            assert!(matches!(scene.refreshed.newer_than(&seen).await, Newer::Unavailable));
        }
        assert_eq!(scene.fetches(), fetches);
        assert_eq!(scene.get().await, Some(1));
        scene.pass(FAILURE_COOLDOWN);
    }

    scene.publisher_is_down(false);
    let newer = scene.refreshed.newer_than(&seen).await;
    assert!(matches!(newer, Newer::Value(value) if *value == 5));
}

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
    let (fetches, answers) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (count, answered) = (Arc::clone(&fetches), Arc::clone(&answers));
    let refreshed = Refreshed::new("held", FetchMetrics::default(), move || {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let answered = Arc::clone(&answered);
        async move { answered.acquire().await.ok().map(|_| number) }
    });

    for _ in 0..5 {
        let hasty = tokio::time::timeout(Duration::from_millis(5), refreshed.get()).await;
        assert!(hasty.is_err());
    }
    answers.add_permits(1);

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
    let refreshed = Refreshed::<usize>::new("nothing", FetchMetrics::default(), || async { None });
    assert!(refreshed.get().await.is_none());
}
