//! How many lists are read at a time, and how many large ones are kept for callers who have not taken
//! them yet. A page of large records is 1 MB, which is in memory up to three times while it is read, and
//! then until its caller has taken it; with as many of these as calls, a process would have no memory
//! left. It does not know what is listed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use prometheus_client::{metrics::histogram::Histogram, registry::Registry};
use prost::Message;
use service_kit::metrics::durations;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use tonic::Response;

use crate::error::{Error, LimitedBy};

/// How many lists are read at a time, and half of them for one organization. What is beyond waits in
/// its order. The usual list is read in some milliseconds, so these are thousands a second.
const TURNS: usize = 24;
/// An answer up to here needs no place of the large ones. It is as large as a single record may be, and
/// of these there may be as many as calls.
const SMALL_BYTES: usize = 128 * 1024;
/// How many larger ones are kept until they are taken, and half of them for one organization.
const LARGE: usize = 32;
/// How long a list that was read waits for such a place, with its turn: callers mostly take their
/// answers in less, and what is refused was read in vain. Who does not take theirs holds up nobody for
/// longer.
const TAKEN_SOON: Duration = Duration::from_millis(250);

/// The turns and the large answers of all lists of a process.
pub(crate) struct Turns {
    reading: Places,
    large: Places,
    waits: Histogram,
}

/// A list's turn to be read, until it is dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    organization: &'a str,
    _held: Held,
}

impl Turns {
    /// All of them. How long is waited for them is shown in `registry`.
    #[must_use]
    pub(crate) fn new(registry: &mut Registry) -> Arc<Self> {
        let waits = durations();
        let help = "How long lists waited for their turn to be read";
        registry.register("grpc_server_list_wait_seconds", help, waits.clone());
        Arc::new(Self { reading: Places::new(TURNS), large: Places::new(LARGE), waits })
    }

    /// The next turn of the organization of this id.
    pub(super) async fn next<'a>(&'a self, organization: &'a str) -> Turn<'a> {
        let _wait = Wait { began: Instant::now(), waits: &self.waits };
        let own = taken(self.reading.of(organization)).await;
        let of_all = taken(Arc::clone(&self.reading.all)).await;
        Turn { turns: self, organization, _held: Held { _own: own, _of_all: of_all } }
    }

    async fn keep_large(&self, organization: &str) -> Result<Held, Error> {
        let soon = Instant::now() + TAKEN_SOON;
        let own = timeout_at(soon, taken(self.large.of(organization))).await;
        let own = own.map_err(|_| Error::Limited(LimitedBy::Places))?;
        let of_all = timeout_at(soon, taken(Arc::clone(&self.large.all))).await;
        Ok(Held { _own: own, _of_all: of_all.map_err(|_| Error::Full)? })
    }
}

/// A wait for a turn. One that is given up at its deadline was as long as that.
struct Wait<'a> {
    began: Instant,
    waits: &'a Histogram,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.waits.observe(self.began.elapsed().as_secs_f64());
    }
}

impl Turn<'_> {
    /// The answer to the list whose turn it was. A large one has a place, for the door to hold until
    /// the answer is taken.
    ///
    /// # Errors
    /// `Limited` and `Full` where there is no place for it.
    pub(super) async fn answer<M: Message>(self, list: M) -> Result<Response<M>, Error> {
        let is_large = list.encoded_len() > SMALL_BYTES;
        let mut answer = Response::new(list);
        if is_large {
            let held = self.turns.keep_large(self.organization).await?;
            answer.extensions_mut().insert(Arc::new(held));
        }
        Ok(answer)
    }
}

/// Places of which one organization has at most half. Who waits behind others of the same organization
/// is in nobody else's way.
struct Places {
    all: Arc<Semaphore>,
    of_one: usize,
    // Who has no place and waits for none is left out when somebody new comes.
    each: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// One of them, until it is dropped.
pub(super) struct Held {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Places {
    fn new(all: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), of_one: all / 2, each: Mutex::default() }
    }

    fn of(&self, organization: &str) -> Arc<Semaphore> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = each.get(organization).and_then(Weak::upgrade) {
            return own;
        }
        each.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.of_one));
        each.insert(organization.to_owned(), Arc::downgrade(&own));
        own
    }
}

async fn taken(places: Arc<Semaphore>) -> OwnedSemaphorePermit {
    places.acquire_owned().await.expect("nobody closes it")
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use prometheus_client::encoding::text::encode;
    use service_kit::metrics;

    use super::*;

    #[tokio::test]
    async fn who_waits_behind_their_own_organization_is_in_nobody_elses_way() {
        let mut registry = metrics::registry("serve");
        let turns = Turns::new(&mut registry);
        let next = |organization| turns.next(organization).now_or_never();

        let mut of_acme: Vec<_> = (0..TURNS / 2).map(|_| next("acme").unwrap()).collect();
        let mut waiting = Box::pin(turns.next("acme"));
        assert!(waiting.as_mut().now_or_never().is_none());
        let of_globex: Vec<_> = (0..TURNS / 2).map(|_| next("globex").unwrap()).collect();
        assert!(next("initech").is_none(), "all are taken");
        of_acme.pop();

        assert!(waiting.now_or_never().is_some());
        drop(of_globex);
        assert!(next("initech").is_some());
        // Those that were let in at once, those that gave up, and the one that waited.
        let mut shown = String::new();
        encode(&mut shown, &registry).unwrap();
        let waits = TURNS + 3;
        assert!(shown.contains(&format!("grpc_server_list_wait_seconds_count {waits}")), "{shown}");
    }
}
