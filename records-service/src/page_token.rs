//! Page tokens: where the next page starts, sealed so that nobody can make one, and bound to the
//! organization and list they were made for.

use std::time::{Duration, SystemTime};

use service_kit::{
    identity::Organization,
    sealing::{Sealer, Secrets},
};

/// How long a token may be used.
const LIFETIME: Duration = Duration::from_hours(24);

/// What a token pages through. A token made for one list does not open for another.
#[derive(Debug, Clone, Copy)]
pub(crate) enum List {
    /// Records, newest first.
    Records,
    /// Audit events, newest first.
    AuditEvents,
}

/// The text is not a token that serves here and now.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PageTokenError {
    /// It was not made by us for this list of this organization.
    #[error("is not valid here")]
    Invalid,
    /// It is too old.
    #[error("has expired")]
    Expired,
}

/// Makes and opens page tokens.
pub(crate) struct PageTokens(Sealer);

impl PageTokens {
    /// Tokens sealed with these secrets.
    #[must_use]
    pub(crate) fn new(secrets: &Secrets) -> Self {
        Self(Sealer::new(secrets, "page token"))
    }

    /// The token for the page that starts after this sort key.
    #[must_use]
    pub(crate) fn seal(&self, organization: &Organization, list: List, after: &str) -> String {
        self.seal_until(organization.id(), list, after, SystemTime::now() + LIFETIME)
    }

    /// The sort key at which the page before ended.
    ///
    /// # Errors
    /// See [`PageTokenError`].
    pub(crate) fn open(
        &self,
        organization: &Organization,
        list: List,
        token: &str,
    ) -> Result<String, PageTokenError> {
        self.open_at(organization.id(), list, token, SystemTime::now())
    }

    fn seal_until(&self, organization: &str, list: List, after: &str, end: SystemTime) -> String {
        let mut plaintext = seconds(end).to_be_bytes().to_vec();
        plaintext.extend_from_slice(after.as_bytes());
        self.0.seal(&context(organization, list), &plaintext)
    }

    fn open_at(
        &self,
        organization: &str,
        list: List,
        token: &str,
        now: SystemTime,
    ) -> Result<String, PageTokenError> {
        let plaintext =
            self.0.open(&context(organization, list), token).ok_or(PageTokenError::Invalid)?;
        let (end, after) = plaintext.split_first_chunk().ok_or(PageTokenError::Invalid)?;
        if u64::from_be_bytes(*end) <= seconds(now) {
            return Err(PageTokenError::Expired);
        }
        String::from_utf8(after.to_vec()).map_err(|_| PageTokenError::Invalid)
    }
}

/// No organization id holds a space, so no two contexts are the same.
fn context(organization: &str, list: List) -> String {
    format!("{organization} {list:?}")
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use service_kit::config::Environment;

    use super::*;

    fn tokens() -> PageTokens {
        let mut env = Environment::from_pairs([("KEY", "0123456789abcdef0123456789abcdef")]);
        PageTokens::new(&Secrets::from_environment(&mut env, "KEY").unwrap())
    }

    #[test]
    fn a_token_serves_its_own_organization_and_list_until_it_expires() {
        let (tokens, now, after) = (tokens(), SystemTime::now(), "rec#1");
        let end = now + Duration::from_secs(10);
        let token = tokens.seal_until("org_acme", List::Records, after, end);

        assert_eq!(tokens.open_at("org_acme", List::Records, &token, now), Ok(after.to_owned()));

        let invalid = Err(PageTokenError::Invalid);
        assert_eq!(tokens.open_at("org_globex", List::Records, &token, now), invalid);
        assert_eq!(tokens.open_at("org_acme", List::AuditEvents, &token, now), invalid);
        assert_eq!(tokens.open_at("org_acme", List::Records, "nonsense", now), invalid);
        assert_eq!(tokens.open_at("org_acme", List::Records, "", now), invalid);
        let expired = Err(PageTokenError::Expired);
        assert_eq!(tokens.open_at("org_acme", List::Records, &token, end), expired);
    }
}
