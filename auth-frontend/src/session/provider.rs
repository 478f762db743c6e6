//! Sessions that end because the provider says so. It does not know how the provider's word is
//! verified.
//!
//! They are found by indexes, which DynamoDB brings up to date within a second or so: a session that
//! began in that second may be missed, and then ends by its own limits.

use futures_util::{StreamExt, TryStreamExt, stream};
use service_kit::identity::{EndedAtIssuer, Logout};

use super::{AT_ONCE, Reason, Sessions, StoreError, lifetime};

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

    fn token_key(&self, id: &str) -> TokenKey {
        TokenKey(format!("logout#{}", self.hash_at_issuer(id)))
    }
}
