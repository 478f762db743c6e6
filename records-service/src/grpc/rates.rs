//! How often a caller, and all callers of an organization together, may call. So one organization
//! that asks without end leaves the others their share. It does not know what is asked, nor how much
//! is worked on at a time.
//!
//! Each process counts for itself: behind several replicas there is as much more room.

use std::{
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use service_kit::identity::Caller;

use crate::{
    config::Rate,
    error::{Error, LimitedBy},
};

/// After so many calls, those who have not called lately are forgotten. So there are never many more
/// known than call within the time of a burst. Only who has a token is known at all.
const FORGET_EVERY: u32 = 8192;

/// The limits of callers and organizations.
pub(crate) struct Rates {
    callers: Limit<Counted>,
    organizations: Limit<Counted>,
}

impl Rates {
    /// These rates for each caller and each organization.
    pub(crate) fn new(caller: Rate, organization: Rate) -> Self {
        Self { callers: Limit::new(caller), organizations: Limit::new(organization) }
    }

    /// Lets a call in. One that its caller's own limit turns away takes nothing of what the others of
    /// the organization have.
    ///
    /// # Errors
    /// `Limited`: a second later there is room again.
    pub(super) fn admit(&self, caller: &Arc<Caller>) -> Result<(), Error> {
        if !self.callers.admits(&Counted::caller(caller)) {
            return Err(Error::Limited(LimitedBy::Caller));
        }
        if !self.organizations.admits(&Counted::organization_of(caller)) {
            return Err(Error::Limited(LimitedBy::Organization));
        }
        Ok(())
    }
}

/// One limit of many, each with its own count.
struct Limit<K: Hash + Eq + Clone> {
    counts: DefaultKeyedRateLimiter<K>,
    calls: AtomicU32,
}

impl<K: Hash + Eq + Clone> Limit<K> {
    fn new(rate: Rate) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self { counts: RateLimiter::keyed(quota), calls: AtomicU32::new(0) }
    }

    fn admits(&self, key: &K) -> bool {
        if self.calls.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.counts.retain_recent();
        }
        self.counts.check_key(key).is_ok()
    }
}

/// Somebody in one organization, or the organization of somebody. In another organization the same
/// person is somebody else, lest one organization notice the other.
#[derive(Clone)]
pub(super) struct Counted {
    caller: Arc<Caller>,
    is_alone: bool,
}

impl Counted {
    fn caller(caller: &Arc<Caller>) -> Self {
        Self { caller: Arc::clone(caller), is_alone: true }
    }

    pub(super) fn organization_of(caller: &Arc<Caller>) -> Self {
        Self { caller: Arc::clone(caller), is_alone: false }
    }

    fn key(&self) -> (&str, Option<&str>) {
        let person = self.is_alone.then_some(self.caller.actor().id.as_str());
        (self.caller.organization().id(), person)
    }
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Counted {}

impl Hash for Counted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        num::NonZeroU32,
        time::{Duration, Instant},
    };

    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        let number = |number| NonZeroU32::new(number).unwrap();
        Rate { per_second: number(per_second), burst: number(burst) }
    }

    #[test]
    fn each_has_a_burst_of_its_own() {
        let limit = Limit::new(rate(1, 3));
        let started = Instant::now();

        let first: Vec<_> = (0..5).map(|_| limit.admits(&"a")).collect();

        // In a second there is room for one more, however few instructions that takes.
        let is_late = started.elapsed() >= Duration::from_secs(1);
        assert_eq!(first[..3], [true; 3]);
        assert!(first[3..] == [false; 2] || is_late, "{first:?}");
        assert!(limit.admits(&"b"));
    }

    #[test]
    fn those_who_have_not_called_lately_are_forgotten() {
        // After a microsecond nobody has called lately.
        let limit = Limit::new(rate(1_000_000, 1));

        for key in 0..20 * FORGET_EVERY {
            assert!(limit.admits(&key));
        }

        let known = u32::try_from(limit.counts.len()).unwrap();
        assert!(known < 2 * FORGET_EVERY, "{known} are known");
    }
}
