//! How many requests for pages are worked on at once, and how many bytes of forms are kept at once.
//! What is beyond is refused immediately, with a time to come back: a queue would only make everybody
//! wait longer than they will. It does not know what a page is.
//!
//! Static files are not counted: one costs less than the page that would refuse it, and the pages
//! that are let in need them. The provider's words have places of their own, and wait for them:
//! people who fill the others must not keep anybody from being logged out.

use std::sync::Arc;

use prometheus_client::{
    metrics::{
        counter::Counter,
        gauge::{ConstGauge, Gauge},
    },
    registry::Registry,
};
use service_kit::metrics::Tally;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    error::Error,
    room::{Place, Room},
    session::Person,
};

/// The bytes of all large forms of members, arriving and being worked on: 32 of the largest. A form on
/// its way counts here and not among the requests, or some slow senders could keep everybody from
/// reading.
const OF_MEMBERS: usize = 32 * 1024 * 1024;
/// The bytes of all large forms of whoever is not known to be logged in. They are kept for the sake of
/// those whose session has ended, so that what they typed is not lost.
const OF_STRANGERS: usize = 8 * 1024 * 1024;

/// How many of the provider's words are worked on at once, with up to eight calls each. Only what is
/// sure to be the provider's takes one of these places.
const WORDS: usize = 64;

/// Lets requests in.
pub(crate) struct Admission {
    requests: Arc<Semaphore>,
    words: Arc<Semaphore>,
    forms: Room,
    in_flight: Gauge,
    shed: Counter,
}

/// A request that was let in, until it is dropped. Whoever sees fewer in flight finds its place free:
/// fields are dropped in their order.
pub(crate) struct Admitted {
    _slot: OwnedSemaphorePermit,
    _counted: Tally,
}

impl Admission {
    /// Lets `limit` requests in at once.
    pub(crate) fn new(limit: u16, registry: &mut Registry) -> Self {
        let admission = Self {
            requests: Arc::new(Semaphore::new(limit.into())),
            words: Arc::new(Semaphore::new(WORDS)),
            forms: Room::new(OF_MEMBERS, OF_STRANGERS),
            in_flight: Gauge::default(),
            shed: Counter::default(),
        };
        registry.register(
            "http_server_requests_in_flight",
            "Requests admitted and not yet answered",
            admission.in_flight.clone(),
        );
        registry.register(
            "http_server_requests_limit",
            "How many requests may be in flight",
            ConstGauge::new(i64::from(limit)),
        );
        registry.register(
            "http_server_requests_shed",
            "Requests answered 503 because there was no room for them",
            admission.shed.clone(),
        );
        admission
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub(crate) fn enter(&self) -> Result<Admitted, Error> {
        let slot = Arc::clone(&self.requests).try_acquire_owned().map_err(|_| self.refuse())?;
        Ok(Admitted { _slot: slot, _counted: Tally::of(&self.in_flight) })
    }

    /// Lets a word of the provider in, as soon as there is a place for it.
    pub(crate) async fn enter_with_word(&self) -> OwnedSemaphorePermit {
        let Ok(place) = Arc::clone(&self.words).acquire_owned().await else {
            unreachable!("the semaphore is never closed")
        };
        place
    }

    /// Keeps so many bytes of a large form of this member, or of a stranger.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub(crate) fn keep(&self, member: Option<&Person>, bytes: usize) -> Result<Place, Error> {
        self.forms.take(member, bytes).ok_or_else(|| self.refuse())
    }

    /// The answer to a request that there is no room for.
    pub(crate) fn refuse(&self) -> Error {
        self.shed.inc();
        Error::Busy
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::join_all};
    use service_kit::metrics;

    use super::*;

    #[test]
    fn words_of_the_provider_have_places_of_their_own_and_wait_for_them() {
        let admission = Admission::new(1, &mut metrics::registry("frontend"));
        let _page = admission.enter().unwrap();
        let words = (0..WORDS).map(|_| admission.enter_with_word());

        let mut places = join_all(words).now_or_never().unwrap();
        let next = admission.enter_with_word().now_or_never();
        places.pop();
        let after_another = admission.enter_with_word().now_or_never();

        assert!(next.is_none() && after_another.is_some());
    }
}
