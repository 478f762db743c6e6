//! How many lists are read at a time. A page of large records is 1 MB, which is in memory up to three
//! times while it is read, and then until its caller has taken it; with as many of these as calls, a
//! process would have no memory left. It does not know what is listed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use prost::Message;
use service_kit::identity::Organization;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Response;

/// How many lists are read or, where they are large, not yet taken, and how many of one organization.
/// What is beyond waits in its order. The usual list is read in some milliseconds, so these are
/// thousands a second.
const TURNS: usize = 32;
const TURNS_OF_ONE: usize = TURNS / 2;
/// An answer up to here needs no turn once it is made. It is as large as a single record may be, and of
/// these there may be as many as calls.
const SMALL_BYTES: usize = 128 * 1024;

/// The turns of all lists of a process.
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    // Who has no turn and waits for none is left out when somebody new comes.
    each: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A list's turn, until it is dropped.
pub(super) struct Turn {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Turns {
    /// All of them.
    #[must_use]
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { all: Arc::new(Semaphore::new(TURNS)), each: Mutex::default() })
    }

    /// The next turn of this organization. Who waits behind others of the same organization is in
    /// nobody else's way.
    pub(super) async fn next(&self, organization: &Organization) -> Turn {
        let own = taken(self.of(organization.id())).await;
        let of_all = taken(Arc::clone(&self.all)).await;
        Turn { _own: own, _of_all: of_all }
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
}

async fn taken(turns: Arc<Semaphore>) -> OwnedSemaphorePermit {
    turns.acquire_owned().await.expect("nobody closes it")
}

impl Turn {
    /// The answer to the list whose turn it is. A large one keeps the turn, for the door to hold until
    /// the answer is taken.
    pub(super) fn answer<M: Message>(self, list: M) -> Response<M> {
        let is_large = list.encoded_len() > SMALL_BYTES;
        let mut answer = Response::new(list);
        if is_large {
            answer.extensions_mut().insert(Arc::new(self));
        }
        answer
    }
}
