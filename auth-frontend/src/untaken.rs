//! The pages that are made and that nobody has taken yet. Who does not read keeps a page in memory
//! for as long as a connection may last, so together they are bounded, and each counts until the
//! last of it is with the operating system. It does not know what they say.
//!
//! What the operating system holds for a connection is bounded where the port is taken.

use std::sync::Arc;

use bytes::Bytes;
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bytes of all pages that somebody asked for: some thousands as they mostly are, some dozens of
/// the largest. Whoever is not logged in gets small ones only, too few on all connections to fill it.
const PAGES: usize = 24 * 1024 * 1024;
/// The bytes of all error pages that repeat what was typed by who may or may not be logged in. They
/// have a room of their own: anybody can have such pages made, which must keep nobody from others.
const REPEATED: usize = 8 * 1024 * 1024;

/// The room for pages that nobody has taken yet.
pub(crate) struct Untaken {
    pages: Arc<Semaphore>,
    repeated: Arc<Semaphore>,
    bytes: Gauge,
}

impl Untaken {
    /// All of it, with what is in it shown in `registry`.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let room = |bytes| Arc::new(Semaphore::new(bytes));
        let bytes = Gauge::default();
        registry.register(
            "http_server_pages_untaken_bytes",
            "Pages made and not yet taken by those who asked",
            bytes.clone(),
        );
        Self { pages: room(PAGES), repeated: room(REPEATED), bytes }
    }

    /// A page that somebody asked for, if there is room for it.
    pub(crate) fn page(&self, html: String) -> Option<Bytes> {
        self.hold(&self.pages, html)
    }

    /// A page that repeats what somebody sent of whom nothing is known, if there is room for it.
    pub(crate) fn repeated(&self, html: String) -> Option<Bytes> {
        self.hold(&self.repeated, html)
    }

    fn hold(&self, room: &Arc<Semaphore>, html: String) -> Option<Bytes> {
        // What it was made in may be twice as large.
        let html = html.into_boxed_str();
        let length = u32::try_from(html.len()).ok()?;
        let room = Arc::clone(room).try_acquire_many_owned(length).ok()?;
        let (length, bytes) = (i64::from(length), self.bytes.clone());
        bytes.inc_by(length);
        Some(Bytes::from_owner(Held { html, length, bytes, _room: room }))
    }
}

/// A page with its room. hyper keeps the bytes of an answer, and not a copy, until the socket has
/// taken them.
struct Held {
    html: Box<str>,
    length: i64,
    bytes: Gauge,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.html.as_bytes()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.bytes.dec_by(self.length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_its_room_until_the_last_of_it_is_dropped() {
        let untaken = Untaken::new(&mut Registry::default());
        let mut page = untaken.page("x".repeat(PAGES)).unwrap();
        let none = untaken.page("x".to_owned());
        let repeated = untaken.repeated("x".repeat(REPEATED));
        let last = page.split_off(PAGES - 1);
        drop(page);
        let still_none = untaken.page("x".to_owned());
        drop(last);

        let again = untaken.page("x".repeat(PAGES));

        assert!(none.is_none() && still_none.is_none());
        assert!(repeated.is_some() && again.is_some());
        assert_eq!(untaken.bytes.get(), i64::try_from(PAGES + REPEATED).unwrap());
    }
}
