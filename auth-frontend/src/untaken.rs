//! The pages that are made and that nobody has taken yet. Who does not read keeps a page in memory
//! for as long as a connection may last, so together they are bounded, and each counts until the
//! last of it is with the operating system. It does not know what they say.
//!
//! What the operating system holds for a connection is bounded where the port is taken, and takes a
//! small page whole. A connection has one page at a time, so their number bounds the small ones.

use bytes::Bytes;
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};

use crate::{
    room::{Place, Room},
    session::Person,
};

/// The largest page that takes no room, in bytes: most are smaller. 900 connections of them have 28
/// MiB.
const SMALL: usize = 32 * 1024;
/// The bytes of all large pages of members: some dozens of the largest.
const OF_MEMBERS: usize = 24 * 1024 * 1024;
/// The bytes of all large error pages that repeat what was typed by who may or may not be logged in.
/// Anybody can have such pages made, which must keep nobody from others.
const OF_STRANGERS: usize = 8 * 1024 * 1024;

/// The room for large pages that nobody has taken yet.
pub(crate) struct Untaken {
    room: Room,
    bytes: Gauge,
}

impl Untaken {
    /// All of it, with what is in it shown in `registry`.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let bytes = Gauge::default();
        registry.register(
            "http_server_pages_untaken_bytes",
            "Large pages made and not yet taken by those who asked",
            bytes.clone(),
        );
        Self { room: Room::new(OF_MEMBERS, OF_STRANGERS), bytes }
    }

    /// A page for this member, or for a stranger, if it is small or there is room for it.
    pub(crate) fn page(&self, html: String, member: Option<&Person>) -> Option<Bytes> {
        // What it was made in may be twice as large.
        let html = html.into_boxed_str();
        if html.len() <= SMALL {
            return Some(Bytes::from(html.into_boxed_bytes()));
        }
        let place = self.room.take(member, html.len())?;
        let (length, bytes) = (i64::try_from(html.len()).ok()?, self.bytes.clone());
        bytes.inc_by(length);
        Some(Bytes::from_owner(Held { html, length, bytes, _place: place }))
    }
}

/// A page in its place. hyper keeps the bytes of an answer, and not a copy, until the socket has
/// taken them.
struct Held {
    html: Box<str>,
    length: i64,
    bytes: Gauge,
    _place: Place,
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
    fn a_page_has_its_place_until_the_last_of_it_is_dropped() {
        let untaken = Untaken::new(&mut Registry::default());
        let page = || untaken.page("x".repeat(OF_STRANGERS), None);
        let mut first = page().unwrap();
        let none = page();
        let last = first.split_off(OF_STRANGERS - 1);
        drop(first);
        let still_none = page();
        let small = untaken.page("x".repeat(SMALL), None);
        let held = untaken.bytes.get();
        drop(last);

        let again = page();

        assert!(none.is_none() && still_none.is_none() && small.is_some() && again.is_some());
        assert_eq!(held, i64::try_from(OF_STRANGERS).unwrap());
        drop(again);
        assert_eq!(untaken.bytes.get(), 0);
    }
}
