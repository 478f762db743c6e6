//! One replica of records-service: how busy it is, and whether it can be reached. It does not know of
//! the others.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

use crate::random;

/// How long a replica that cannot be reached is left alone, doubled each time it still cannot …
const FIRST_EJECTION: Duration = Duration::from_millis(500);
/// … up to here. A single call tries it then.
const LONGEST_EJECTION: Duration = Duration::from_secs(10);

/// One process of records-service.
pub(super) struct Replica {
    address: SocketAddr,
    endpoint: Endpoint,
    in_flight: AtomicUsize,
    health: Mutex<Health>,
}

struct Health {
    /// The way to it, of one connection at a time.
    channel: Channel,
    ejected: Option<Ejected>,
}

/// The time in which a replica is left alone.
#[derive(Clone, Copy)]
struct Ejected {
    /// How often in a row it could not be reached.
    failures: u32,
    since: Instant,
    until: Instant,
}

impl Replica {
    /// The one at `address`, which `endpoint` leads to.
    pub(super) fn new(address: SocketAddr, endpoint: Endpoint) -> Self {
        let health = Health { channel: endpoint.connect_lazy(), ejected: None };
        Self { address, endpoint, in_flight: AtomicUsize::new(0), health: Mutex::new(health) }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many calls it is working on.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// One more call to it.
    pub(super) fn ask(self: &Arc<Self>) -> Asked {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Asked(Arc::clone(self))
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often in a row it could not be reached.
    pub(super) fn failures(&self) -> u32 {
        self.health().ejected.map_or(0, |ejected| ejected.failures)
    }

    /// Since when it is left alone, if it is. One that is not any more is tried with a single call
    /// before it gets others.
    pub(super) fn ejected_since(&self, now: Instant) -> Option<Instant> {
        let ejected = self.health().ejected?;
        let on_trial = ejected.until <= now && self.in_flight() == 0;
        (!on_trial).then_some(ejected.since)
    }

    /// Notes that it has answered.
    fn reached(&self) {
        let mut health = self.health();
        if health.ejected.take().is_some() {
            tracing::info!(address = %self.address, "a replica of records-service is back");
        }
    }

    /// Notes that it could not be reached, or has not answered at all. The next call goes over a new
    /// connection: one that a cut network has left silent would stay so until its pings fail.
    fn not_reached(&self) {
        let now = Instant::now();
        let mut health = self.health();
        if health.ejected.is_some_and(|ejected| now < ejected.until) {
            // Of all calls that were under way to it, the first has said so already.
            return;
        }
        let failures = health.ejected.map_or(0, |before| before.failures);
        let pause = FIRST_EJECTION * 2_u32.saturating_pow(failures.min(8));
        let pause = pause.min(LONGEST_EJECTION);
        let until = now + pause / 2 + random::up_to(pause / 2);
        health.ejected = Some(Ejected { failures: failures + 1, since: now, until });
        health.channel = self.endpoint.connect_lazy();
        drop(health);
        if failures == 0 {
            tracing::warn!(address = %self.address, "cannot reach a replica of records-service");
        }
    }
}

/// A replica with one more call, until it is dropped.
pub(super) struct Asked(Arc<Replica>);

impl Asked {
    pub(super) fn channel(&self) -> Channel {
        self.0.health().channel.clone()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.0.address
    }

    pub(super) fn reached(&self) {
        self.0.reached();
    }

    pub(super) fn not_reached(&self) {
        self.0.not_reached();
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
