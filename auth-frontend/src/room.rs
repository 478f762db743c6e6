//! Room in memory for what waits for slow clients: one room for members, of which no organization
//! holds more than half and no person more than an eighth, and one for whoever is not known to be
//! logged in, who can fill no other. It does not know what waits there.

use std::sync::Arc;

use service_kit::shares::{Share, Shares};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::session::Person;

/// Both rooms, in bytes.
pub(crate) struct Room {
    members: Arc<Semaphore>,
    organizations: Arc<Shares<String>>,
    /// By `sub`, in all organizations: who is in several could fill the room in their names.
    persons: Arc<Shares<String>>,
    strangers: Arc<Semaphore>,
}

/// A part of one of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _bytes: OwnedSemaphorePermit,
    _shares: Option<[Share<String>; 2]>,
}

impl Room {
    /// Empty rooms.
    pub(crate) fn new(members: usize, strangers: usize) -> Self {
        Self {
            members: Arc::new(Semaphore::new(members)),
            organizations: Shares::of_at_most(members / 2),
            persons: Shares::of_at_most(members / 8),
            strangers: Arc::new(Semaphore::new(strangers)),
        }
    }

    /// A place of so many bytes for this member, or where there is none, for a stranger; if there is
    /// so much left for them.
    pub(crate) fn take(&self, member: Option<&Person>, bytes: usize) -> Option<Place> {
        let (room, shares) = match member {
            Some(person) => {
                let of_organization = self.organizations.take(&person.organization_id, bytes)?;
                let of_person = self.persons.take(&person.subject, bytes)?;
                (&self.members, Some([of_organization, of_person]))
            }
            None => (&self.strangers, None),
        };
        let bytes = Arc::clone(room).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()?;
        Some(Place { _bytes: bytes, _shares: shares })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(organization: &str, subject: &str) -> Person {
        Person {
            access_token: String::new(),
            access_token_ends_at: 0,
            subject: subject.to_owned(),
            name: String::new(),
            organization_id: organization.to_owned(),
            organization_name: String::new(),
            permissions: Vec::new(),
            sid: None,
        }
    }

    #[test]
    fn strangers_fill_their_own_room_and_an_organization_half_of_the_others() {
        let room = Room::new(16, 3);
        let take =
            |organization: &str, person: &str| room.take(Some(&member(organization, person)), 2);

        let strangers = room.take(None, 3);
        let acme = ["a", "b", "c", "d"].map(|person| take("acme", person));
        assert!(strangers.is_some() && acme.iter().all(Option::is_some));
        assert!(room.take(None, 1).is_none());
        assert!(take("acme", "e").is_none());
        let globex = ["f", "g", "h"].map(|person| take("globex", person));
        let last = take("initech", "i");
        assert!(globex.iter().all(Option::is_some) && last.is_some());
        assert!(take("initech", "j").is_none());

        drop(acme);
        assert!(take("initech", "j").is_some());
        assert!(take("acme", "e").is_some());
    }

    #[test]
    fn a_person_has_an_eighth_of_it_in_all_organizations_together() {
        let room = Room::new(16, 0);
        let take =
            |organization: &str, bytes| room.take(Some(&member(organization, "connie")), bytes);

        let in_acme = take("acme", 1);
        let in_globex = take("globex", 1);
        assert!(in_acme.is_some() && in_globex.is_some());
        assert!(take("acme", 1).is_none() && take("globex", 1).is_none());
        assert!(room.take(Some(&member("acme", "ada")), 2).is_some());

        drop(in_acme);
        assert!(take("globex", 2).is_none());
        assert!(take("globex", 1).is_some());
    }
}
