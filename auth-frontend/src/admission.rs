//! How many requests for pages are worked on at once, and how many bytes of forms are kept at once.
//! What is beyond is refused immediately, with a time to come back: a queue would only make everybody
//! wait longer than they will. It does not know what a page is.
//!
//! Static files are not counted: one costs less than the page that would refuse it, and the pages
//! that are let in need them.

use std::sync::Arc;

use prometheus_client::{
    metrics::{
        counter::Counter,
        gauge::{ConstGauge, Gauge},
    },
    registry::Registry,
};
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

/// Lets requests in.
pub(crate) struct Admission {
    requests: Arc<Semaphore>,
    forms: Room,
    in_flight: Gauge,
    shed: Counter,
}

/// A request that was let in, until it is dropped.
pub(crate) struct Admitted {
    _slot: OwnedSemaphorePermit,
    in_flight: Gauge,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.in_flight.dec();
    }
}

impl Admission {
    /// Lets `limit` requests in at once.
    pub(crate) fn new(limit: u16, registry: &mut Registry) -> Self {
        let admission = Self {
            requests: Arc::new(Semaphore::new(limit.into())),
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
        self.in_flight.inc();
        Ok(Admitted { _slot: slot, in_flight: self.in_flight.clone() })
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
