//! The arrival of forms: how large each may be, and who may have more of them kept than all can. It does
//! not know what is in them.

use std::time::Duration;

use axum::{body::Body, http::HeaderMap};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::OnceCell;

use crate::{deadline::Deadline, error::Error, room::Place, session::Session, site::Site};

/// The largest form without a record, in bytes: the longest logout token that is looked at, and what
/// else a provider may say. So much of any form is kept without asking for room, or strangers could
/// keep everybody from logging out: connections bound it, and 900 of them have 18 MiB.
pub(crate) const SMALL: usize = 20 * 1024;
/// The largest form with a record: one of 128 KiB, three bytes a byte where it is escaped, with room
/// to say precisely that a record is too large.
pub(crate) const LARGE: usize = 1024 * 1024;
/// A body that is not kept is read up to here.
const DISCARD_LIMIT: usize = 16 * 1024 * 1024;
/// What a form beyond [`SMALL`] asks for each time that it has used up what it has, in bytes. What has
/// arrived counts, not what is said to come.
const PIECE: usize = 32 * 1024;
/// How long a large form waits for who sends it to be found.
const FOUND_WITHIN: Duration = Duration::from_secs(1);

/// The whole form of at most `most` bytes, once it has arrived, and the places that it takes. What is
/// not kept is read all the same: browsers show an answer only when they could send all they had to
/// say.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::Invalid`] where it breaks off, and [`Error::Busy`] where there is no
/// room for as much of it as came.
pub(crate) async fn arrive(
    body: Body,
    most: usize,
    headers: &HeaderMap,
    site: &Site,
) -> Result<(Bytes, Vec<Place>), Error> {
    let mut arrived =
        Ok(Form { site, headers, sender: OnceCell::new(), places: Vec::new(), bytes: Vec::new() });
    let mut length = 0;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk: Bytes = chunk.map_err(|_| Error::Invalid("the body broke off"))?;
        length += chunk.len();
        if length > DISCARD_LIMIT {
            break;
        }
        if let Ok(form) = &mut arrived
            && let Err(error) = form.add(&chunk, most).await
        {
            arrived = Err(error);
        }
    }
    arrived.map(|form| (form.bytes.into(), form.places))
}

/// As much of a form as has arrived.
struct Form<'a> {
    site: &'a Site,
    headers: &'a HeaderMap,
    sender: OnceCell<Option<Session>>,
    places: Vec<Place>,
    bytes: Vec<u8>,
}

impl Form<'_> {
    async fn add(&mut self, chunk: &[u8], most: usize) -> Result<(), Error> {
        let length = self.bytes.len() + chunk.len();
        if length > most {
            return Err(Error::TooLarge);
        }
        while self.allowed() < length {
            let sender = self.sender.get_or_init(|| self.find_sender()).await;
            let sender = sender.as_ref().map(Session::person);
            self.places.push(self.site.admission.keep(sender, PIECE)?);
        }
        let allowed = self.allowed();
        append(&mut self.bytes, chunk, allowed);
        Ok(())
    }

    /// How many bytes of it may be kept so far.
    fn allowed(&self) -> usize {
        SMALL + self.places.len() * PIECE
    }

    /// Who sends it. Whether they may is asked once it is there; where it cannot be found out, they
    /// count as a stranger, and the page that says so repeats what was typed.
    async fn find_sender(&self) -> Option<Session> {
        let found = self.site.sessions.find(self.headers);
        Deadline::after(FOUND_WITHIN).bound(found).await.ok().flatten()
    }
}

/// Appends to what has no more than `allowed` bytes, and takes no more memory than that: a vector
/// that grows by itself may take twice what is in it.
fn append(bytes: &mut Vec<u8>, chunk: &[u8], allowed: usize) {
    let length = bytes.len() + chunk.len();
    if length > bytes.capacity() {
        bytes.reserve_exact((2 * length).min(allowed) - bytes.len());
    }
    bytes.extend_from_slice(chunk);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_arrived_takes_no_more_memory_than_it_has_places_for() {
        for chunk in [1, 1000, PIECE - 1, PIECE, 3 * PIECE] {
            let (mut bytes, mut allowed) = (Vec::new(), SMALL);
            while bytes.len() + chunk <= LARGE {
                while allowed < bytes.len() + chunk {
                    allowed += PIECE;
                }
                append(&mut bytes, &vec![b'x'; chunk], allowed);

                assert!(bytes.capacity() <= allowed, "{} of {allowed}", bytes.capacity());
            }
            assert!(bytes.len() > LARGE - chunk);
        }
    }
}
