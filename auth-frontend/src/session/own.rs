//! The sessions of one person, in all browsers and organizations, as that person sees and ends them.
//! It does not know how they are shown.
//!
//! They are found by an index, which DynamoDB brings up to date within a second or so: a session that
//! began in that second may be missing, and so outlive "end all others". That one has ended shows at
//! once, because each is read from the table itself.

use std::time::SystemTime;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{AT_ONCE, Reason, Session, SessionKey, Sessions, StoreError};

/// More than anybody has; who has more sees and ends the newest first.
const MOST_LISTED: usize = 100;
/// Bytes of a handle: nobody guesses one within the life of a session.
const HANDLE_BYTES: usize = 16;

/// One of a person's sessions. Times are in seconds since 1970.
#[derive(Debug)]
pub(crate) struct OwnSession {
    /// What ends it. It means something in the session that lists it and nowhere else, and tells
    /// nothing of the cookie or of its hash.
    pub handle: String,
    /// Whether it is the one that lists.
    pub is_this: bool,
    /// Such as "Firefox on Windows".
    pub device: String,
    /// What people call the organization.
    pub organization: String,
    /// When it began.
    pub began_at: u64,
    /// When its use was last noted, which is done once a minute.
    pub last_used_at: u64,
    /// When it ends unless it is used before.
    pub idle_end: u64,
    /// When it ends however much it is used.
    pub final_end: u64,
}

/// What became of ending one session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was ended.
    Done,
    /// It is the session that asked, which a logout ends.
    This,
    /// The person has no such session, or not any more.
    NotFound,
}

impl Session {
    /// What this session calls a session of the same person.
    fn handle_of(&self, key: &SessionKey) -> String {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, self.contents.form_secret.0.as_bytes());
        let tag = hmac::sign(&secret, format!("org-records session {}", key.0).as_bytes());
        URL_SAFE_NO_PAD.encode(&tag.as_ref()[..HANDLE_BYTES])
    }
}

impl Sessions {
    /// The sessions of the person whose session this is, the newest first, this one among them.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn of_person(&self, this: &Session) -> Result<Vec<OwnSession>, StoreError> {
        let now = SystemTime::now();
        let mut keys = self.keys_of_person(&this.person().subject, MOST_LISTED).await?;
        if !keys.iter().any(|key| key.0 == this.key.0) {
            keys.insert(0, SessionKey(this.key.0.clone()));
        }
        let found = stream::iter(keys).map(|key| self.own_session(this, key, now));
        let found: Vec<_> = found.buffered(AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Ends one session of the person whose session this is, for all requests that begin from now
    /// on.
    ///
    /// # Errors
    /// When the store does not answer; then the session may still be there.
    pub(crate) async fn end_one(&self, this: &Session, handle: &str) -> Result<Ended, StoreError> {
        if handle == this.handle_of(&this.key) {
            return Ok(Ended::This);
        }
        let keys = self.keys_of_person(&this.person().subject, MOST_LISTED).await?;
        let key = keys.into_iter().find(|key| handle == this.handle_of(key));
        let Some(key) = key else { return Ok(Ended::NotFound) };
        let was_there = self.delete(&key, None, Reason::Elsewhere).await?;
        Ok(if was_there { Ended::Done } else { Ended::NotFound })
    }

    /// Ends all sessions of the person whose session this is but this one.
    ///
    /// # Errors
    /// When the store does not answer; then some may still be there.
    pub(crate) async fn end_others(&self, this: &Session) -> Result<(), StoreError> {
        let keys = self.keys_of_person(&this.person().subject, usize::MAX).await?;
        let others = keys.into_iter().filter(|key| key.0 != this.key.0).map(Ok);
        stream::iter(others)
            .try_for_each_concurrent(AT_ONCE, async |key| {
                self.delete(&key, None, Reason::Elsewhere).await.map(|_| ())
            })
            .await
    }

    /// The session with this key, unless it is over or nobody can use it any more.
    async fn own_session(
        &self,
        this: &Session,
        key: SessionKey,
        now: SystemTime,
    ) -> Result<Option<OwnSession>, StoreError> {
        let Some(row) = self.store.get(&key).await? else { return Ok(None) };
        if row.lifetime.is_over(now) {
            return Ok(None);
        }
        let Some(contents) = self.open(&key, &row) else { return Ok(None) };
        Ok(Some(OwnSession {
            handle: this.handle_of(&key),
            is_this: key.0 == this.key.0,
            device: contents.device,
            organization: contents.person.organization_name,
            began_at: row.lifetime.created_at,
            last_used_at: row.lifetime.last_seen,
            idle_end: row.lifetime.expires_at,
            final_end: row.lifetime.final_end(contents.person.access_token_ends_at),
        }))
    }
}
