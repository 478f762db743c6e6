//! Sessions that end because the provider says so. It does not know how the provider's word is
//! verified.
//!
//! They are found by indexes, which DynamoDB brings up to date within a second or so: a session that
//! began in that second may be missed, and then ends by its own limits.

use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{StreamExt, TryStreamExt, stream};
use service_kit::identity::{EndedAtIssuer, Logout};

use super::{AT_ONCE, Lifetime, PersonKey, Reason, SessionKey, Sessions, StoreError, lifetime};

/// The SHA-256 of the issuer and a token's id, with a mark that no session's key has.
#[derive(Debug)]
pub(super) struct TokenKey(pub(super) String);

/// What became of the provider's word.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ProviderLogout {
    /// So many sessions were ended.
    Done(usize),
    /// It was heard before.
    Replayed,
}

impl Sessions {
    /// Ends what has ended at the provider, for all requests that begin from now on. Whoever sends the
    /// same word once more, to whichever replica, ends nothing. It is remembered last: a word that
    /// was cut off in the middle is good again, and one that comes twice at once does the same twice.
    ///
    /// # Errors
    /// When the store does not answer. Some may have ended then.
    pub(crate) async fn end_for_provider(
        &self,
        logout: &Logout,
    ) -> Result<ProviderLogout, StoreError> {
        let token = self.token_key(&logout.id);
        if self.store.remembers(&token).await? {
            return Ok(ProviderLogout::Replayed);
        }
        let ended = self.end_at_issuer(&logout.ended).await?;
        self.store.remember(&token, lifetime::seconds(logout.stale_at)).await?;
        Ok(ProviderLogout::Done(ended))
    }

    async fn end_at_issuer(&self, ended: &EndedAtIssuer) -> Result<usize, StoreError> {
        let (keys, owner) = match ended {
            EndedAtIssuer::Session { sid, subject } => {
                let owner = subject.as_deref().map(|subject| self.person_key(subject));
                (self.store.keys_of_sid(sid).await?, owner)
            }
            EndedAtIssuer::Subject(subject) => {
                let owner = self.person_key(subject);
                let since = Lifetime::earliest_begin(SystemTime::now());
                (self.store.keys_of_person(&owner, since, usize::MAX).await?, Some(owner))
            }
        };
        let ended = stream::iter(keys)
            .map(|key| self.end_of(key, owner.as_ref()))
            .buffer_unordered(AT_ONCE)
            .try_filter(|was_there| std::future::ready(*was_there));
        ended.try_fold(0, async |count, _| Ok(count + 1)).await
    }

    async fn end_of(&self, key: SessionKey, owner: Option<&PersonKey>) -> Result<bool, StoreError> {
        let deleted = self.store.delete_of(&key, owner).await?;
        Ok(self.has_ended(deleted, Reason::Provider))
    }

    fn token_key(&self, id: &str) -> TokenKey {
        let text = format!("{}\n{id}", self.issuer);
        let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()));
        TokenKey(format!("logout#{hash}"))
    }
}
