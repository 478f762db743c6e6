//! Sessions: somebody who is logged in in one browser. The browser holds a random value; the store
//! its hash, its times and what its indexes find it by, and everything else sealed. It does not know
//! how a login comes about.

mod device;
mod lifetime;
mod metrics;
mod own;
mod provider;
mod store;

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::{HeaderMap, HeaderValue};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use service_kit::{sealing::Sealer, telemetry::Chain};
use url::Url;

use crate::{
    cookies::{self, CookieSecurity},
    csrf,
    deadline::Deadline,
    epoch::seconds,
    random,
};

use lifetime::Lifetime;
pub(crate) use metrics::Reason;
use metrics::SessionMetrics;
pub(crate) use own::{Ended, OwnSession};
use store::Row;
pub(crate) use store::{SessionStore, StoreError};

const COOKIE: &str = "session";
/// 256 bits: nobody guesses one, and no two are the same.
const VALUE_BYTES: usize = 32;
/// How long a page waits for the use of its session to be written down, which is no page's purpose.
const NOTED_WITHIN: Duration = Duration::from_millis(500);
/// How many sessions are read or deleted at once.
const AT_ONCE: usize = 8;

/// Somebody who is logged in.
#[derive(Debug)]
pub(crate) struct Session {
    key: SessionKey,
    contents: Contents<Person>,
    /// In seconds since 1970.
    began_at: u64,
    expiry: Expiry,
}

/// When a session ends, as of the request that found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expiry {
    /// In seconds since 1970.
    pub at: u64,
    /// Whether it ends then even if it is used before.
    pub is_final: bool,
    /// How many seconds are left.
    pub seconds_left: u64,
}

/// What is sealed in the store.
#[derive(Debug, Serialize, Deserialize)]
struct Contents<P> {
    person: P,
    form_secret: FormSecret,
    /// In which browser it is. A session that an earlier version began does not say.
    #[serde(default = "some_browser")]
    device: String,
    /// When the login began of which it came, in milliseconds since 1970.
    #[serde(default)]
    login_began: u64,
}

fn some_browser() -> String {
    device::describe(&HeaderMap::new())
}

#[derive(Serialize, Deserialize)]
struct FormSecret(String);

/// Who holds it can make form tokens, so it is not printed.
impl fmt::Debug for FormSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FormSecret(..)")
    }
}

/// Who is logged in, to which organization, with what right.
#[derive(Serialize, Deserialize)]
pub(crate) struct Person {
    /// The access token, which records-service verifies on every call.
    pub access_token: String,
    /// When the access token ends, in seconds since 1970.
    pub access_token_ends_at: u64,
    /// The `sub` of both tokens.
    pub subject: String,
    /// The display name.
    pub name: String,
    /// The id of the organization.
    pub organization_id: String,
    /// What people call the organization.
    pub organization_name: String,
    /// What the access token grants.
    pub permissions: Vec<String>,
    /// The provider's id of its own session, with which it is ended.
    pub sid: Option<String>,
}

/// It holds a token and personal data, so nothing of it is printed.
impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person").finish_non_exhaustive()
    }
}

/// The SHA-256 of the cookie's value, in base64url: who reads the table cannot make a cookie.
#[derive(Debug)]
struct SessionKey(String);

impl SessionKey {
    fn of(value: &str) -> Self {
        Self(hash(value))
    }
}

/// The SHA-256 of a text, in base64url.
fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

/// The SHA-256 of the issuer and a `sub`, in base64url: by it a person's sessions are found, and who
/// reads the table does not learn whose they are unless they know already.
#[derive(Debug)]
struct PersonKey(String);

impl Session {
    /// Who is logged in.
    #[must_use]
    pub(crate) fn person(&self) -> &Person {
        &self.contents.person
    }

    /// Whether the access token grants a permission. Pages leave out what the person cannot do;
    /// records-service decides.
    #[must_use]
    pub(crate) fn has(&self, permission: &str) -> bool {
        self.contents.person.permissions.iter().any(|granted| granted == permission)
    }

    /// How long it has been there.
    #[must_use]
    pub(crate) fn age(&self) -> Duration {
        Duration::from_secs(seconds(SystemTime::now()).saturating_sub(self.began_at))
    }

    /// When it ends.
    #[must_use]
    pub(crate) fn expiry(&self) -> Expiry {
        self.expiry
    }

    /// The token of this session's forms.
    #[must_use]
    pub(crate) fn form_token(&self) -> String {
        csrf::token(self.contents.form_secret.0.as_bytes())
    }

    /// Whether `sent` is the token of this session's forms.
    #[must_use]
    pub(crate) fn is_form_token(&self, sent: Option<&str>) -> bool {
        csrf::is_token(self.contents.form_secret.0.as_bytes(), sent)
    }
}

/// The sessions of all browsers.
pub(crate) struct Sessions {
    store: SessionStore,
    sealer: Sealer,
    security: CookieSecurity,
    issuer: String,
    metrics: SessionMetrics,
}

impl Sessions {
    /// Sessions of people whom `issuer` knows, kept in `store`, sealed by `sealer`, whose numbers are
    /// shown in `registry`.
    #[must_use]
    pub(crate) fn new(
        store: SessionStore,
        sealer: Sealer,
        security: CookieSecurity,
        issuer: &Url,
        registry: &mut Registry,
    ) -> Self {
        let metrics = SessionMetrics::register(registry);
        Self { store, sealer, security, issuer: issuer.as_str().to_owned(), metrics }
    }

    /// Begins a session for somebody who has just logged in, and ends the one that this browser
    /// may have had: a value from before a login never serves after it. Answers the `Set-Cookie`
    /// value, or `None` where the provider has said since the login began (in milliseconds since
    /// 1970) that it is over there; then the session that the browser has goes on.
    ///
    /// # Errors
    /// When the store does not answer; then nobody is logged in, though a row may be left that nobody
    /// holds the value of, until it ends unused.
    ///
    /// # Panics
    /// Never: a person is plain text and numbers.
    pub(crate) async fn begin(
        &self,
        headers: &HeaderMap,
        person: &Person,
        login_began: u64,
    ) -> Result<Option<HeaderValue>, StoreError> {
        let value = random::text::<VALUE_BYTES>();
        let key = SessionKey::of(&value);
        let lifetime = Lifetime::new(SystemTime::now(), person.access_token_ends_at);
        let form_secret = FormSecret(random::text::<VALUE_BYTES>());
        let device = device::describe(headers);
        let json = serde_json::to_vec(&Contents { person, form_secret, device, login_began })
            .expect("a person is plain text and numbers");
        let sealed = self.sealer.seal(&key.0, &json);
        let owner = self.person_key(&person.subject);
        self.store.create(&key, lifetime, &owner, person.sid.as_deref(), sealed).await?;
        // Only now: of the word and the session, whichever was written first is seen by the other.
        if self.has_ended(person, login_began).await? {
            self.store.delete_of(&key, None).await?;
            return Ok(None);
        }
        if let Some(before) = self.key_in(headers) {
            self.delete(&before, None, Reason::Replaced).await?;
        }
        self.metrics.started();
        Ok(Some(self.security.set(COOKIE, &value, None)))
    }

    /// The session of the browser that sent `headers`, with its idle time begun anew.
    ///
    /// # Errors
    /// When the store does not answer. That is not the same as nobody being logged in.
    pub(crate) async fn find(&self, headers: &HeaderMap) -> Result<Option<Session>, StoreError> {
        let Some(key) = self.key_in(headers) else { return Ok(None) };
        let Some(row) = self.store.get(&key).await? else { return Ok(None) };
        let now = SystemTime::now();
        if row.lifetime.is_over(now) {
            return Ok(None);
        }
        let Some(contents) = self.open(&key, &row) else {
            tracing::warn!("a session does not open with any of the keys");
            return Ok(None);
        };
        let token_end = contents.person.access_token_ends_at;
        let mut lifetime = row.lifetime;
        if let Some(longer) = lifetime.extended(now, token_end) {
            // First, so that no use is noted of a session of which it is not known that it goes on.
            if self.has_ended(&contents.person, contents.login_began).await? {
                self.delete(&key, None, Reason::Provider).await?;
                return Ok(None);
            }
            let noted = self.store.extend(&key, lifetime, longer);
            match Deadline::after(NOTED_WITHIN).bound(noted).await {
                Ok(()) => lifetime = longer,
                // It ends a little early then, which is no reason to refuse the page.
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "cannot note the use of a session");
                }
            }
        }
        let (began_at, expiry) = (lifetime.created_at, lifetime.expiry(now, token_end));
        Ok(Some(Session { key, contents, began_at, expiry }))
    }

    /// Ends a session for all requests that begin from now on.
    ///
    /// # Errors
    /// When the store does not answer; then the session may still be there.
    pub(crate) async fn end(&self, session: &Session, reason: Reason) -> Result<(), StoreError> {
        self.delete(&session.key, None, reason).await.map(|_| ())
    }

    /// Ends a session, of this owner if one is named. Answers whether there was one.
    async fn delete(
        &self,
        key: &SessionKey,
        owner: Option<&PersonKey>,
        reason: Reason,
    ) -> Result<bool, StoreError> {
        let deleted = self.store.delete_of(key, owner).await?;
        // One that was over anyway may be there for days.
        let was_there = deleted.is_some_and(|row| !row.lifetime.is_over(SystemTime::now()));
        if was_there {
            self.metrics.ended(reason);
        }
        Ok(was_there)
    }

    /// The sessions of a person that may not be over yet, the newest first, `most` of them.
    async fn keys_of_person(
        &self,
        subject: &str,
        most: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        let since = Lifetime::earliest_begin(SystemTime::now());
        self.store.keys_of_person(&self.person_key(subject), since, most).await
    }

    /// What is sealed in a row, unless no key of ours opens it.
    fn open(&self, key: &SessionKey, row: &Row) -> Option<Contents<Person>> {
        let json = self.sealer.open(&key.0, &row.sealed)?;
        serde_json::from_slice(&json).ok()
    }

    fn person_key(&self, subject: &str) -> PersonKey {
        PersonKey(self.hash_at_issuer(subject))
    }

    /// The hash of what means something at the issuer only.
    fn hash_at_issuer(&self, text: &str) -> String {
        // No URL holds a line break, so no two pairs run together.
        hash(&format!("{}\n{text}", self.issuer))
    }

    /// The `Set-Cookie` value that makes the browser forget its session.
    #[must_use]
    pub(crate) fn forget(&self) -> HeaderValue {
        self.security.clear(COOKIE)
    }

    /// Whether the browser holds something that looks like a session, be it over or not.
    #[must_use]
    pub(crate) fn is_claimed(&self, headers: &HeaderMap) -> bool {
        self.key_in(headers).is_some()
    }

    fn key_in(&self, headers: &HeaderMap) -> Option<SessionKey> {
        let value = cookies::get(headers, &self.security.name(COOKIE))?;
        let bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
        (bytes.len() == VALUE_BYTES).then(|| SessionKey::of(value))
    }
}
