//! Sessions that end because the provider says so. It does not know how the provider's word is
//! verified.
//!
//! They are found by indexes, which DynamoDB brings up to date within a second or so, a login that is
//! under way has no session yet, and not every session can be deleted at every time. So the word is
//! written down before any session is looked for, and decides: it is looked for after a session was
//! written, and whenever its use is noted. What is not deleted at once ends by that, within a minute.

use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, TryStreamExt, future::try_join_all, stream};
use service_kit::identity::{EndedAtIssuer, Logout};

use super::{AT_ONCE, Person, Reason, Sessions, StoreError, lifetime::ABSOLUTE};
use crate::epoch::{milliseconds, seconds};

/// How long the word is kept: longer than any session that it may be about, by what logins under way
/// and clocks that differ can add.
const HEARD_FOR: Duration = ABSOLUTE.saturating_add(Duration::from_hours(1));

/// The SHA-256 of the issuer and a token's id, with a mark that no session's key has.
#[derive(Debug)]
pub(super) struct TokenKey(pub(super) String);

/// The SHA-256 of the issuer and of what has ended there, with a mark that no session's key has.
#[derive(Debug)]
pub(super) struct EndedKey(pub(super) String);

impl Sessions {
    /// Writes down what the provider says has ended. From now on a login that has begun before begins
    /// no session any more, and sessions end when their use is noted. Answers whether the token is new:
    /// the same once more, on whichever replica, is not heard.
    ///
    /// # Errors
    /// When the store does not answer. It may be written down then.
    pub(crate) async fn hear_provider(&self, logout: &Logout) -> Result<bool, StoreError> {
        if self.store.remembers(&self.token_key(&logout.id)).await? {
            return Ok(false);
        }
        let now = SystemTime::now();
        let word = self.key_of_word(&logout.ended);
        self.store.hear(&word, milliseconds(now), seconds(now + HEARD_FOR)).await?;
        Ok(true)
    }

    /// Ends what was heard to have ended, for all requests that begin from now on, and answers how
    /// many sessions that were. A person may have very many, and this takes the longer for it.
    ///
    /// The token is remembered last: one that was cut off in the middle is good again, and one that
    /// comes twice at once does the same twice.
    ///
    /// # Errors
    /// When the store does not answer. Some may not have ended yet then.
    pub(crate) async fn end_for_provider(&self, logout: &Logout) -> Result<usize, StoreError> {
        let ended = self.end_at_issuer(&logout.ended).await?;
        self.store.remember(&self.token_key(&logout.id), seconds(logout.stale_at)).await?;
        Ok(ended)
    }

    async fn end_at_issuer(&self, ended: &EndedAtIssuer) -> Result<usize, StoreError> {
        let (keys, owner) = match ended {
            EndedAtIssuer::Session { sid, subject } => {
                let owner = subject.as_deref().map(|subject| self.person_key(subject));
                (self.store.keys_of_sid(sid).await?, owner)
            }
            EndedAtIssuer::Subject(subject) => {
                let keys = self.keys_of_person(subject, usize::MAX).await?;
                (keys, Some(self.person_key(subject)))
            }
        };
        let owner = owner.as_ref();
        let ended = stream::iter(keys)
            .map(async |key| self.delete(&key, owner, Reason::Provider).await)
            .buffer_unordered(AT_ONCE)
            .try_filter(|was_there| std::future::ready(*was_there));
        ended.try_fold(0, async |count, _| Ok(count + 1)).await
    }

    /// Whether it was heard that this is over at the provider: the provider's session, at any time,
    /// or the person, since the login began, in milliseconds since 1970.
    ///
    /// A session that has ended at the provider does not come back: its word is said when it is
    /// destroyed. Who logs in again has another one, and is let in at once. For a person, what counts is
    /// when the login began and not when its tokens were issued: a code that was given before the word
    /// buys tokens after it. The two times may be of two replicas, whose clocks may differ.
    /// Source: "Back-Channel Logout" in Auth0's documentation.
    pub(super) async fn has_ended(
        &self,
        person: &Person,
        login_began: u64,
    ) -> Result<bool, StoreError> {
        let subject = Some(person.subject.as_str());
        let mut words = vec![(self.ended_key(None, subject), login_began)];
        if let Some(sid) = person.sid.as_deref().filter(|sid| !sid.is_empty()) {
            let at_any_time = |subject| (self.ended_key(Some(sid), subject), 0);
            words.extend([subject, None].map(at_any_time));
        }
        let heard = try_join_all(words.iter().map(|(word, _)| self.store.heard(word))).await?;
        let mut heard = heard.into_iter().zip(&words);
        Ok(heard.any(|(heard, (_, since))| heard.is_some_and(|heard| heard >= *since)))
    }

    fn key_of_word(&self, ended: &EndedAtIssuer) -> EndedKey {
        match ended {
            EndedAtIssuer::Session { sid, subject } => {
                self.ended_key(Some(sid), subject.as_deref())
            }
            EndedAtIssuer::Subject(subject) => self.ended_key(None, Some(subject)),
        }
    }

    /// A word that names both is about nobody else, even if its session should be somebody else's.
    fn ended_key(&self, sid: Option<&str>, subject: Option<&str>) -> EndedKey {
        // No subject of ours holds a line break, and no id of a word is empty.
        let both = format!("{}\n{}", subject.unwrap_or_default(), sid.unwrap_or_default());
        EndedKey(format!("ended#{}", self.hash_at_issuer(&both)))
    }

    fn token_key(&self, id: &str) -> TokenKey {
        TokenKey(format!("logout#{}", self.hash_at_issuer(id)))
    }
}
