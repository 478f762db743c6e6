//! Room in memory for what waits for slow clients: one room for members, of which no organization
//! holds more than half, and one for whoever is not known to be logged in, who can fill no other.
//! It does not know what waits there.

use std::sync::Arc;

use service_kit::shares::{Share, Shares};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Both rooms, in bytes.
pub(crate) struct Room {
    members: Arc<Semaphore>,
    shares: Arc<Shares<String>>,
    strangers: Arc<Semaphore>,
}

/// A part of one of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _bytes: OwnedSemaphorePermit,
    _share: Option<Share<String>>,
}

impl Room {
    /// Empty rooms.
    pub(crate) fn new(members: usize, strangers: usize) -> Self {
        Self {
            members: Arc::new(Semaphore::new(members)),
            shares: Shares::of_at_most(members / 2),
            strangers: Arc::new(Semaphore::new(strangers)),
        }
    }

    /// A place of so many bytes for a member of the organization with this id, or where there is
    /// none, for a stranger; if there is so much left for them.
    pub(crate) fn take(&self, organization: Option<&str>, bytes: usize) -> Option<Place> {
        let (room, share) = match organization {
            Some(id) => (&self.members, Some(self.shares.take(&id.to_owned(), bytes)?)),
            None => (&self.strangers, None),
        };
        let bytes = Arc::clone(room).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()?;
        Some(Place { _bytes: bytes, _share: share })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_fill_their_own_room_and_an_organization_half_of_the_others() {
        let room = Room::new(10, 3);

        let strangers = room.take(None, 3);
        let acme = room.take(Some("acme"), 5);
        assert!(strangers.is_some() && acme.is_some());
        assert!(room.take(None, 1).is_none());
        assert!(room.take(Some("acme"), 1).is_none());
        let globex = room.take(Some("globex"), 4);
        assert!(globex.is_some());
        assert!(room.take(Some("initech"), 2).is_none());

        drop(acme);
        assert!(room.take(Some("initech"), 5).is_some());
        assert!(room.take(Some("acme"), 6).is_none());
        assert!(room.take(Some("acme"), 5).is_some());
    }
}
