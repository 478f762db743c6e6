//! How many lists are read at a time, and how many large ones are kept for callers who have not taken
//! them yet. A page of large records is 1 MB, which is in memory up to three times while it is read, and
//! then until its caller has taken it; with as many of these as calls, a process would have no memory
//! left. It does not know what is listed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use prost::Message;
use service_kit::shares::{Share, Shares};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};
use tonic::Response;

use crate::error::{Error, LimitedBy};

/// How many lists are read at a time, and how many of one organization. What is beyond waits in its
/// order. The usual list is read in some milliseconds, so these are thousands a second.
const TURNS: usize = 24;
const TURNS_OF_ONE: usize = TURNS / 2;
/// An answer up to here needs no place of the large ones. It is as large as a single record may be, and
/// of these there may be as many as calls.
const SMALL_BYTES: usize = 128 * 1024;
/// How many larger ones are kept until they are taken, and how many of one organization.
const LARGE: usize = 32;
const LARGE_OF_ONE: usize = LARGE / 2;
/// How long a list that was read waits for such a place, with its turn: callers mostly take their
/// answers in less, and what is refused was read in vain. Who does not take theirs holds up nobody for
/// longer.
const TAKEN_SOON: Duration = Duration::from_millis(250);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The turns and the large answers of all lists of a process.
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    // Who has no turn and waits for none is left out when somebody new comes.
    each: Mutex<HashMap<String, Weak<Semaphore>>>,
    large: Arc<Semaphore>,
    large_of_each: Arc<Shares<String>>,
}

/// A list's turn to be read, until it is dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    organization: &'a str,
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

/// The place of a large answer, until it is dropped.
pub(super) struct Large {
    _share: Share<String>,
    _place: OwnedSemaphorePermit,
}

impl Turns {
    /// All of them.
    #[must_use]
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            all: Arc::new(Semaphore::new(TURNS)),
            each: Mutex::default(),
            large: Arc::new(Semaphore::new(LARGE)),
            large_of_each: Shares::of_at_most(LARGE_OF_ONE),
        })
    }

    /// The next turn of the organization of this id. Who waits behind others of the same organization
    /// is in nobody else's way.
    pub(super) async fn next<'a>(&'a self, organization: &'a str) -> Turn<'a> {
        let own = taken(self.of(organization)).await;
        let of_all = taken(Arc::clone(&self.all)).await;
        Turn { turns: self, organization, _own: own, _of_all: of_all }
    }

    fn of(&self, organization: &str) -> Arc<Semaphore> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = each.get(organization).and_then(Weak::upgrade) {
            return own;
        }
        each.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(TURNS_OF_ONE));
        each.insert(organization.to_owned(), Arc::downgrade(&own));
        own
    }

    fn keep_large(&self, organization: &str) -> Result<Large, Error> {
        let share = self.large_of_each.take(&organization.to_owned(), 1);
        let share = share.ok_or(Error::Limited(LimitedBy::Places))?;
        let place = Arc::clone(&self.large).try_acquire_owned().map_err(|_| Error::Full)?;
        Ok(Large { _share: share, _place: place })
    }
}

async fn taken(turns: Arc<Semaphore>) -> OwnedSemaphorePermit {
    turns.acquire_owned().await.expect("nobody closes it")
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
            let read = Instant::now();
            let large = loop {
                match self.turns.keep_large(self.organization) {
                    Err(_) if read.elapsed() < TAKEN_SOON => sleep(LOOK_AGAIN).await,
                    kept => break kept?,
                }
            };
            answer.extensions_mut().insert(Arc::new(large));
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_waits_behind_their_own_organization_is_in_nobody_elses_way() {
        let turns = Turns::new();
        let next = |organization| turns.next(organization).now_or_never();

        let mut of_acme: Vec<_> = (0..TURNS_OF_ONE).map(|_| next("acme").unwrap()).collect();
        let mut waiting = Box::pin(turns.next("acme"));
        assert!(waiting.as_mut().now_or_never().is_none());
        let of_globex: Vec<_> = (0..TURNS_OF_ONE).map(|_| next("globex").unwrap()).collect();
        assert!(next("initech").is_none(), "all are taken");
        of_acme.pop();

        assert!(waiting.now_or_never().is_some());
        drop(of_globex);
        assert!(next("initech").is_some());
    }
}
