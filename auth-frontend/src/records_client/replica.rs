//! One replica of records-service: how busy it is, whether it can be reached, and how it does. It does
//! not know of the others.

use std::{
    fmt::Display,
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
    in_flight: AtomicUsize,
    health: Mutex<Health>,
}

struct Health {
    endpoint: Endpoint,
    /// The way to it, of one connection at a time.
    channel: Channel,
    ejected: Option<Ejected>,
    full: Option<Full>,
    /// Until when it is taken to fail whatever it is asked, if nothing succeeds before.
    failing_until: Option<Instant>,
}

/// The time after a replica has turned a call away for having too many.
#[derive(Clone, Copy)]
struct Full {
    /// How many of our calls it was working on then. Others may have the rest of its places.
    calls: usize,
    until: Instant,
}

/// How a replica takes one more call, the best first. One that turns calls away or fails does so at
/// once, and would be the least busy of all for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Nothing speaks against it.
    Free,
    /// It has as many of our calls as when it turned one away lately.
    Full,
    /// It failed lately, and nothing has succeeded since.
    Failing,
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
        let channel = endpoint.connect_lazy();
        let health = Health { endpoint, channel, ejected: None, full: None, failing_until: None };
        Self { address, in_flight: AtomicUsize::new(0), health: Mutex::new(health) }
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

    /// How it would take one more call.
    pub(super) fn standing(&self, now: Instant) -> Standing {
        let health = self.health();
        if health.failing_until.is_some_and(|until| now < until) {
            return Standing::Failing;
        }
        let is_full = |full: Full| now < full.until && self.in_flight() >= full.calls;
        if health.full.is_some_and(is_full) { Standing::Full } else { Standing::Free }
    }

    /// Notes that it did what it was asked. That does not make it less full: it has taken the calls
    /// that it had room for, and turns others away all the same.
    fn served(&self) {
        self.health().failing_until = None;
        self.reached();
    }

    /// Notes that it failed at once with something that it may fail with again, and for how long to
    /// think so. Under load, the next success says better.
    fn failed(&self, pause: Duration) {
        self.health().failing_until = Some(Instant::now() + pause);
        self.reached();
    }

    /// Notes that it turned away a call, which still counts as under way, and for how long to think
    /// that it takes no more than it has. What it knows is the latest: with the calls that end, it
    /// may give their places to others.
    fn turned_away(&self, pause: Duration) {
        let calls = self.in_flight().saturating_sub(1);
        self.health().full = Some(Full { calls, until: Instant::now() + pause });
        self.reached();
    }

    /// Makes the next call over a connection of this kind. Those under way stay where they are.
    pub(super) fn connect_by(&self, endpoint: Endpoint) {
        let mut health = self.health();
        health.channel = endpoint.connect_lazy();
        health.endpoint = endpoint;
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
    fn not_reached(&self, why: &dyn Display) {
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
        health.channel = health.endpoint.connect_lazy();
        drop(health);
        if failures == 0 {
            tracing::warn!(
                address = %self.address, %why, "cannot reach a replica of records-service"
            );
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

    pub(super) fn served(&self) {
        self.0.served();
    }

    pub(super) fn failed(&self, pause: Duration) {
        self.0.failed(pause);
    }

    pub(super) fn turned_away(&self, pause: Duration) {
        self.0.turned_away(pause);
    }

    pub(super) fn reached(&self) {
        self.0.reached();
    }

    /// `why` is for the log.
    pub(super) fn not_reached(&self, why: &dyn Display) {
        self.0.not_reached(why);
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(1);

    fn replica() -> Arc<Replica> {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        Arc::new(Replica::new(address, Endpoint::from_static("http://127.0.0.1:1")))
    }

    #[tokio::test]
    async fn a_full_replica_has_room_for_as_many_calls_as_it_had_until_its_time_is_over() {
        let replica = replica();
        let mut under_way = Vec::from([(); 3].map(|()| replica.ask()));
        let refused = replica.ask();
        let began = Instant::now();

        refused.turned_away(PAUSE);
        drop(refused);
        let with_three = replica.standing(began);
        under_way.pop().unwrap().served();
        let with_two = replica.standing(began);
        under_way.push(replica.ask());
        let with_three_again = replica.standing(began);
        let afterwards = replica.standing(Instant::now() + PAUSE);

        assert_eq!(
            [with_three, with_two, with_three_again, afterwards],
            [Standing::Full, Standing::Free, Standing::Full, Standing::Free]
        );
    }

    #[tokio::test]
    async fn a_replica_fails_until_one_call_succeeds_or_its_time_is_over() {
        let replica = replica();
        let (first, second) = (replica.ask(), replica.ask());
        let began = Instant::now();

        first.failed(PAUSE);
        let failed = replica.standing(began);
        let afterwards = replica.standing(Instant::now() + PAUSE);
        second.served();
        let succeeded = replica.standing(began);

        assert_eq!(
            [failed, afterwards, succeeded],
            [Standing::Failing, Standing::Free, Standing::Free]
        );
    }
}
