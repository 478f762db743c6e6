//! Verifies logout tokens, by which an issuer says that somebody's session with it is over. It does
//! not know what becomes of sessions here.
//!
//! Source: OpenID Connect Back-Channel Logout 1.0, sections 2.4 and 2.6. Stricter than that: RS256
//! alone, and a type that the token must name, as Auth0 does.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{TOKEN_LIMIT, Verifier, VerifyError, now, validation};
use crate::identity::claims::{Others, SKEW, not_null};

/// The event that a logout token tells of.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// The types of logout tokens, in lower case.
const LOGOUT_TYPES: [Option<&str>; 2] = [Some("logout+jwt"), Some("jwt")];
/// How old a token may be. Whoever sends it does so at once.
const FRESH: Duration = Duration::from_mins(5);
/// The longest subject, session id or token id, in bytes.
const ID_LIMIT: usize = 255;

/// Whose session is over, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logout {
    /// The `jti`: no other token of the issuer has it.
    pub id: String,
    /// When the token is refused by its age, so that its id need not be remembered any longer.
    pub stale_at: SystemTime,
    /// What has ended.
    pub ended: EndedAtIssuer,
}

/// What has ended at the issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndedAtIssuer {
    /// One session, of this subject where the token names one.
    Session {
        /// Its `sid`.
        sid: String,
        /// The `sub`.
        subject: Option<String>,
    },
    /// All sessions of this subject.
    Subject(String),
}

/// The claims of a logout token, each at most once.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: u64,
    #[serde(default, deserialize_with = "not_null")]
    exp: Option<u64>,
    jti: String,
    sub: Option<String>,
    sid: Option<String>,
    events: Map<String, Value>,
    #[serde(flatten)]
    others: Others,
}

impl Verifier {
    /// What a logout token for the client with this id says.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn verify_logout(&self, token: &str, client: &str) -> Result<Logout, VerifyError> {
        if token.len() > TOKEN_LIMIT {
            return Err(VerifyError::Invalid("it is too long"));
        }
        let issuer = &self.settings.issuer;
        let validation = validation(issuer, client, &["iss", "aud"]);
        let claims: Claims = self.claims(token, &LOGOUT_TYPES, &validation).await?;
        if claims.iss != issuer.as_str() {
            return Err(VerifyError::Invalid("its issuer is another one"));
        }
        claims.into_logout(now())
    }
}

impl Claims {
    /// By a clock that says `now`, since 1970.
    fn into_logout(self, now: Duration) -> Result<Logout, VerifyError> {
        let issued = Duration::from_secs(self.iat);
        if issued > now.saturating_add(SKEW) {
            return Err(VerifyError::Invalid("it was issued in the future"));
        }
        let stale = issued.saturating_add(FRESH).saturating_add(SKEW);
        let expired =
            self.exp.is_some_and(|end| Duration::from_secs(end).saturating_add(SKEW) < now);
        if stale <= now || expired {
            return Err(VerifyError::Expired);
        }
        // Whatever the nonce is: with one, this could be an ID token.
        if self.others.0.contains_key("nonce") {
            return Err(VerifyError::Invalid("it has a nonce"));
        }
        if !self.events.get(EVENT).is_some_and(Value::is_object) {
            return Err(VerifyError::Invalid("it tells of no logout"));
        }
        let is_id = |id: &String| !id.is_empty() && id.len() <= ID_LIMIT;
        let ids = [Some(&self.jti), self.sub.as_ref(), self.sid.as_ref()];
        if !ids.into_iter().flatten().all(is_id) {
            return Err(VerifyError::Invalid("an id in it is empty or too long"));
        }
        let ended = match (self.sid, self.sub) {
            (Some(sid), subject) => EndedAtIssuer::Session { sid, subject },
            (None, Some(subject)) => EndedAtIssuer::Subject(subject),
            (None, None) => return Err(VerifyError::Invalid("it does not say whose logout it is")),
        };
        Ok(Logout { id: self.jti, stale_at: SystemTime::UNIX_EPOCH + stale, ended })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn read(change: impl FnOnce(&mut Value)) -> Result<Logout, VerifyError> {
        let mut claims = json!({
            "iss": "https://issuer.example/",
            "aud": "client",
            "iat": NOW,
            "exp": NOW + 120,
            "jti": "one",
            "sub": "auth0|1",
            "sid": "session",
            "events": { EVENT: {} },
            "trace_id": "not looked at",
        });
        change(&mut claims);
        let claims = serde_json::from_value::<Claims>(claims);
        claims.map_err(|_| VerifyError::Invalid("malformed"))?.into_logout(Duration::from_secs(NOW))
    }

    fn without(name: &str) -> Result<Logout, VerifyError> {
        read(|claims| {
            claims.as_object_mut().unwrap().remove(name);
        })
    }

    #[test]
    fn a_token_names_a_session_or_all_of_a_subject() {
        let of = |subject: Option<&str>| EndedAtIssuer::Session {
            sid: "session".to_owned(),
            subject: subject.map(str::to_owned),
        };
        assert_eq!(read(|_| ()).unwrap().ended, of(Some("auth0|1")));
        assert_eq!(without("sub").unwrap().ended, of(None));
        assert_eq!(without("sid").unwrap().ended, EndedAtIssuer::Subject("auth0|1".to_owned()));
    }

    #[test]
    fn a_token_is_good_for_five_minutes_and_what_clocks_may_differ() {
        let issued = |at: u64| read(|claims| claims["iat"] = json!(at));

        assert!(issued(NOW + 30).is_ok());
        assert!(matches!(issued(NOW + 31), Err(VerifyError::Invalid(_))));
        assert!(issued(NOW - 329).is_ok());
        assert!(matches!(issued(NOW - 330), Err(VerifyError::Expired)));
        let stale_at = issued(NOW).unwrap().stale_at;
        assert_eq!(stale_at, SystemTime::UNIX_EPOCH + Duration::from_secs(NOW + 330));
        assert!(matches!(
            read(|claims| claims["exp"] = json!(NOW - 31)),
            Err(VerifyError::Expired)
        ));
        assert!(without("exp").is_ok());
    }

    #[test]
    fn what_is_no_logout_token_is_refused() {
        for name in ["iat", "jti", "events", "iss"] {
            assert!(without(name).is_err(), "{name}");
        }
        let changes = [
            ("nonce", json!("n")),
            ("nonce", json!(null)),
            ("events", json!({})),
            ("events", json!([EVENT])),
            ("events", json!({ EVENT: null })),
            ("events", json!({ EVENT: true })),
            ("events", json!({ "http://schemas.openid.net/event/other": {} })),
            ("jti", json!("")),
            ("jti", json!("x".repeat(256))),
            ("sub", json!("")),
            ("sid", json!("x".repeat(256))),
            ("sid", json!(7)),
            ("iat", json!("1800000000")),
            ("iat", json!(-1)),
            ("iat", json!(u64::MAX)),
            ("exp", json!("never")),
            ("exp", json!(null)),
        ];
        for (name, value) in changes {
            let refused = read(|claims| claims[name] = value.clone());
            assert!(refused.is_err(), "{name} {value}");
        }
        let nobody = read(|claims| {
            claims.as_object_mut().unwrap().retain(|name, _| name != "sub" && name != "sid");
        });
        assert!(nobody.is_err());
        let twice = r#"{"iss":"i","iat":1,"jti":"j","sub":"s","events":{},"x":1,"x":1}"#;
        assert!(serde_json::from_str::<Claims>(twice).is_err());
        assert!(serde_json::from_str::<Claims>(&twice.replace(",\"x\":1}", "}")).is_ok());
    }
}
