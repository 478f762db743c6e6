//! A login that has begun and is not finished: what the browser must bring back, kept in an
//! encrypted cookie of its own, so that several tabs can log in at once and no other browser can
//! finish what this one began. It does not know the provider's protocol.

use std::time::{Duration, SystemTime};

use aws_lc_rs::constant_time;
use axum::http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use service_kit::sealing::Sealer;

use crate::{
    cookies::{self, CookieSecurity},
    epoch::{milliseconds, seconds},
    random,
    return_path::ReturnPath,
};

/// How long a person has to log in.
const LIFETIME: Duration = Duration::from_mins(10);
/// How long the browser keeps the cookie, in seconds. It outlives the attempt so that a login that
/// was left open too long still knows the way back to where the person was going.
const COOKIE_LIFETIME: u32 = 2 * 60 * 60;
/// The most attempts that one browser has open; the oldest go first.
const OPEN_ATTEMPTS: usize = 5;
/// The most that their cookies weigh together, in bytes: each takes about one KiB, with the longest
/// wish four, and many servers accept 8 KiB of cookies and no more.
const OPEN_BYTES: usize = 6 * 1024;
/// How a cookie's name begins; the attempt's id follows.
const COOKIE_PREFIX: &str = "txn-";
/// Bytes of randomness in an id, which only has to differ among the few of one browser.
const ID_BYTES: usize = 6;
const STATE_BYTES: usize = 32;

/// What a person asks for when logging in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoginWish {
    /// The organization, by name or id. Without it the provider asks.
    pub organization: Option<String>,
    /// The ticket of an invitation to that organization.
    #[serde(default)]
    pub invitation: Option<String>,
    /// Where the person was going.
    pub return_to: ReturnPath,
    /// The organization that the person left for this one, by name or id.
    #[serde(default)]
    pub instead_of: Option<String>,
    /// To be asked for the password even by a provider that knows the person, who may want to be
    /// known as somebody else.
    #[serde(default)]
    pub asks_password: bool,
    /// To log in once more to the organization where they are.
    #[serde(default)]
    pub renews: bool,
}

/// What must come back from the provider, or is needed when it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoginAttempt {
    /// Goes to the provider and comes back with the browser: the attempt's id, a dot, and a secret.
    pub state: String,
    /// Comes back inside the ID token.
    pub nonce: String,
    /// The PKCE code verifier.
    pub verifier: String,
    /// What was asked for. Its parts stand beside the others, so that replicas of two versions
    /// understand each other's cookies.
    #[serde(flatten)]
    pub wish: LoginWish,
    /// When it began, in milliseconds since 1970. One of an earlier version does not say.
    #[serde(default)]
    pub began_at: u64,
    /// Seconds since 1970 after which the attempt cannot be finished.
    expires_at: u64,
}

/// Why the browser's cookies have no attempt for a callback.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotBegun {
    /// This browser did not begin it, or has finished it already.
    Unknown,
    /// It took too long. What was asked for is still known.
    Expired(LoginWish),
}

/// Keeps attempts in cookies.
pub(crate) struct LoginAttempts {
    sealer: Sealer,
    security: CookieSecurity,
}

impl LoginAttempt {
    /// A new attempt, with a nonce and a verifier that the protocol has made.
    #[must_use]
    pub(crate) fn new(nonce: String, verifier: String, wish: LoginWish, now: SystemTime) -> Self {
        let state = format!("{}.{}", random::text::<ID_BYTES>(), random::text::<STATE_BYTES>());
        let expires_at = seconds(now + LIFETIME);
        let began_at = milliseconds(now);
        Self { state, nonce, verifier, wish, began_at, expires_at }
    }

    fn id(&self) -> &str {
        id_of(&self.state)
    }
}

fn id_of(state: &str) -> &str {
    state.split_once('.').map_or(state, |(id, _)| id)
}

impl LoginAttempts {
    /// Keeps attempts sealed by `sealer`.
    #[must_use]
    pub(crate) fn new(sealer: Sealer, security: CookieSecurity) -> Self {
        Self { sealer, security }
    }

    /// The `Set-Cookie` values that keep `attempt` in the browser that sent `headers`, and drop
    /// the oldest of its others where there are too many.
    ///
    /// # Panics
    /// Never: an attempt is plain text and numbers.
    #[must_use]
    pub(crate) fn keep(&self, headers: &HeaderMap, attempt: &LoginAttempt) -> Vec<HeaderValue> {
        let prefix = self.security.name(COOKIE_PREFIX);
        let bytes = |id: &str, value: &str| prefix.len() + id.len() + value.len();
        let mut open: Vec<(u64, &str, usize)> = cookies::with_prefix(headers, &prefix)
            .into_iter()
            .map(|(id, value)| {
                let expires_at = self.open(id, value).map_or(0, |open| open.expires_at);
                (expires_at, id, bytes(id, value))
            })
            .collect();
        open.sort_unstable();
        let name = format!("{COOKIE_PREFIX}{}", attempt.id());
        let json = serde_json::to_vec(attempt).expect("an attempt is plain text and numbers");
        let value = self.sealer.seal(&name, &json);
        let mut together = bytes(attempt.id(), &value);
        let stay = open.iter().rev().take(OPEN_ATTEMPTS - 1).take_while(|(_, _, bytes)| {
            together += bytes;
            together <= OPEN_BYTES
        });
        let dropped = open.len() - stay.count();
        open.iter()
            .take(dropped)
            .map(|(_, id, _)| self.forget(id))
            .chain([self.security.set(&name, &value, Some(COOKIE_LIFETIME))])
            .collect()
    }

    /// The attempt that this browser began with `state`.
    ///
    /// # Errors
    /// See [`NotBegun`].
    pub(crate) fn find(
        &self,
        headers: &HeaderMap,
        state: &str,
        now: SystemTime,
    ) -> Result<LoginAttempt, NotBegun> {
        let id = id_of(state);
        let name = self.security.name(&format!("{COOKIE_PREFIX}{id}"));
        let attempt = cookies::get(headers, &name)
            .and_then(|value| self.open(id, value))
            .ok_or(NotBegun::Unknown)?;
        let same =
            constant_time::verify_slices_are_equal(attempt.state.as_bytes(), state.as_bytes());
        if same.is_err() {
            return Err(NotBegun::Unknown);
        }
        if seconds(now) >= attempt.expires_at {
            return Err(NotBegun::Expired(attempt.wish));
        }
        Ok(attempt)
    }

    /// What was asked for by the newest of this browser's attempts that have not come back.
    #[must_use]
    pub(crate) fn last_wish(&self, headers: &HeaderMap) -> Option<LoginWish> {
        let prefix = self.security.name(COOKIE_PREFIX);
        cookies::with_prefix(headers, &prefix)
            .into_iter()
            .filter_map(|(id, value)| self.open(id, value))
            .max_by_key(|attempt| attempt.expires_at)
            .map(|attempt| attempt.wish)
    }

    /// The `Set-Cookie` value that ends the attempt with `state`, so that it is finished once only.
    /// `None` where the state is none of ours.
    #[must_use]
    pub(crate) fn end(&self, state: &str) -> Option<HeaderValue> {
        let id = id_of(state);
        let ours = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (id.len() <= 2 * ID_BYTES && !id.is_empty() && id.bytes().all(ours))
            .then(|| self.forget(id))
    }

    fn forget(&self, id: &str) -> HeaderValue {
        self.security.clear(&format!("{COOKIE_PREFIX}{id}"))
    }

    fn open(&self, id: &str, value: &str) -> Option<LoginAttempt> {
        let json = self.sealer.open(&format!("{COOKIE_PREFIX}{id}"), value)?;
        serde_json::from_slice(&json).ok()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header;
    use proptest::prelude::*;
    use service_kit::{config::Environment, sealing::Secrets};

    use super::*;

    fn attempts(secret: &str) -> LoginAttempts {
        let mut env = Environment::from_pairs([("KEY", secret)]);
        let secrets = Secrets::from_environment(&mut env, "KEY").unwrap();
        LoginAttempts::new(Sealer::new(&secrets, "login"), CookieSecurity { https: true })
    }

    fn ours() -> LoginAttempts {
        attempts("0123456789abcdef0123456789abcdef")
    }

    fn attempt(at: SystemTime) -> LoginAttempt {
        let return_to = ReturnPath::parse("/records/1?x=y").unwrap();
        let wish =
            LoginWish { organization: Some("acme".into()), return_to, ..LoginWish::default() };
        LoginAttempt::new("nonce".into(), "verifier".into(), wish, at)
    }

    /// What a browser would send after these `Set-Cookie` values, on top of what it had.
    fn browser(before: &HeaderMap, set: &[HeaderValue]) -> HeaderMap {
        let mut jar: Vec<(String, String)> = cookies::with_prefix(before, "")
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        for cookie in set {
            let cookie = cookie.to_str().unwrap();
            let (name, rest) = cookie.split_once('=').unwrap();
            jar.retain(|(known, _)| known != name);
            if !cookie.contains("Max-Age=0") {
                jar.push((name.to_owned(), rest.split(';').next().unwrap().to_owned()));
            }
        }
        jar.iter()
            .map(|(name, value)| (header::COOKIE, format!("{name}={value}").parse().unwrap()))
            .collect()
    }

    #[test]
    fn an_attempt_is_found_by_the_browser_that_began_it() {
        let (ours, now) = (ours(), SystemTime::now());
        let (first, second) = (attempt(now), attempt(now));

        let jar = browser(&HeaderMap::new(), &ours.keep(&HeaderMap::new(), &first));
        let jar = browser(&jar, &ours.keep(&jar, &second));

        assert_eq!(ours.find(&jar, &first.state, now), Ok(first.clone()));
        assert_eq!(ours.find(&jar, &second.state, now), Ok(second.clone()));
        assert_eq!(ours.find(&HeaderMap::new(), &first.state, now), Err(NotBegun::Unknown));
        let jar = browser(&jar, &[ours.end(&first.state).unwrap()]);
        assert_eq!(ours.find(&jar, &first.state, now), Err(NotBegun::Unknown));
        assert_eq!(ours.find(&jar, &second.state, now), Ok(second));
    }

    #[test]
    fn an_attempt_left_open_too_long_still_knows_what_was_asked_for() {
        let (ours, now) = (ours(), SystemTime::now());
        let attempt = attempt(now);
        let jar = browser(&HeaderMap::new(), &ours.keep(&HeaderMap::new(), &attempt));

        let late = ours.find(&jar, &attempt.state, now + LIFETIME + Duration::from_secs(1));

        assert_eq!(late, Err(NotBegun::Expired(attempt.wish)));
    }

    #[test]
    fn the_oldest_of_too_many_attempts_goes() {
        let (ours, now) = (ours(), SystemTime::now());
        let mut jar = HeaderMap::new();

        let begun: Vec<_> = (0..7)
            .map(|minute| {
                let attempt = attempt(now + Duration::from_secs(minute));
                jar = browser(&jar, &ours.keep(&jar, &attempt));
                attempt
            })
            .collect();

        let found: Vec<_> =
            begun.iter().map(|attempt| ours.find(&jar, &attempt.state, now).is_ok()).collect();
        assert_eq!(found, [false, false, true, true, true, true, true]);
    }

    #[test]
    fn the_oldest_go_where_all_attempts_together_would_be_too_large_for_a_server() {
        let (ours, now) = (ours(), SystemTime::now());
        let mut jar = HeaderMap::new();

        let begun: Vec<_> = (0..7)
            .map(|minute| {
                let mut attempt = attempt(now + Duration::from_secs(minute));
                attempt.wish.return_to =
                    ReturnPath::parse(&format!("/{}", "x".repeat(1023))).unwrap();
                jar = browser(&jar, &ours.keep(&jar, &attempt));
                let together: usize = jar.values().map(HeaderValue::len).sum();
                assert!(together < 6 * 1024, "{together}");
                attempt
            })
            .collect();

        let found: Vec<_> =
            begun.iter().map(|attempt| ours.find(&jar, &attempt.state, now).is_ok()).collect();
        assert_eq!(found, [false, false, false, false, true, true, true]);
    }

    #[test]
    fn a_cookie_under_another_name_or_of_another_key_does_not_open() {
        let (ours, now) = (ours(), SystemTime::now());
        let attempt = attempt(now);
        let kept = ours.keep(&HeaderMap::new(), &attempt);
        let cookie = kept[0].to_str().unwrap();
        let value = cookie.split_once('=').unwrap().1.split(';').next().unwrap();
        let renamed: HeaderMap =
            [(header::COOKIE, format!("__Host-txn-AAAAAAAA={value}").parse().unwrap())]
                .into_iter()
                .collect();

        let other_name = ours.find(&renamed, "AAAAAAAA.x", now);
        let other_state =
            ours.find(&browser(&HeaderMap::new(), &kept), &format!("{}.forged", attempt.id()), now);
        let other_key = attempts("another key another key another!").find(
            &browser(&HeaderMap::new(), &kept),
            &attempt.state,
            now,
        );

        assert_eq!(other_name, Err(NotBegun::Unknown));
        assert_eq!(other_state, Err(NotBegun::Unknown));
        assert_eq!(other_key, Err(NotBegun::Unknown));
    }

    #[test]
    fn an_attempt_of_a_replica_that_knew_of_no_invitations_is_still_understood() {
        let older = r#"{"state":"a.b","nonce":"n","verifier":"v","organization":"acme",
                        "return_to":"/records","expires_at":1}"#;

        let attempt: LoginAttempt = serde_json::from_str(older).unwrap();

        assert_eq!(attempt.wish.organization.as_deref(), Some("acme"));
        assert_eq!(attempt.wish.return_to.as_str(), "/records");
    }

    #[test]
    fn the_cookie_fits_a_browser_with_the_longest_wish() {
        let wish = LoginWish {
            // As JSON has them, quotes are twice as long.
            organization: Some("\"".repeat(100)),
            invitation: Some("\"".repeat(512)),
            return_to: ReturnPath::parse(&format!("/{}", "x".repeat(1023))).unwrap(),
            instead_of: Some("\"".repeat(100)),
            asks_password: true,
            renews: true,
        };
        let attempt = LoginAttempt::new("n".repeat(43), "v".repeat(43), wish, SystemTime::now());

        assert!(ours().keep(&HeaderMap::new(), &attempt)[0].len() < 4096);
    }

    proptest! {
        #[test]
        fn no_state_from_outside_is_found_or_breaks_a_header(state in "\\PC{0,60}") {
            let (ours, now) = (ours(), SystemTime::now());
            let jar = browser(&HeaderMap::new(), &ours.keep(&HeaderMap::new(), &attempt(now)));

            prop_assert_eq!(ours.find(&jar, &state, now), Err(NotBegun::Unknown));
            let _ = ours.end(&state);
        }
    }
}
