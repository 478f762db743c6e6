//! What an Auth0 access token must say, beyond a good signature, to make a [`Caller`]. It does not
//! know about keys, nor what time it is.

use std::{collections::BTreeSet, fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{Actor, ActorKind, Caller, Organization, VerifyError};

/// How far the clocks of issuer and verifier may differ.
pub(super) const SKEW: Duration = Duration::from_secs(30);
/// The longest display name, in bytes; a longer one is no name, and would be in every row.
const NAME_LIMIT: usize = 200;
/// The end of the year 9999: a later expiry is nonsense, and arithmetic on it could overflow.
const LAST_EXPIRY: u64 = 253_402_300_799;

/// The claims of an access token, each of which is there once: of a name that is there twice,
/// issuer and verifier might read different ones. Unknown claims are ignored. Times are whole
/// seconds since 1970, as Auth0 writes them.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    iss: String,
    sub: String,
    exp: u64,
    #[serde(default, deserialize_with = "not_null")]
    nbf: Option<u64>,
    #[serde(default, deserialize_with = "not_null")]
    iat: Option<u64>,
    org_id: Option<String>,
    org_name: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    permissions: Option<BTreeSet<String>>,
    scope: Option<String>,
    gty: Option<String>,
    nonce: Option<Value>,
    #[serde(flatten)]
    others: Others,
}

/// What the claims are held against.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) name_claim: &'a str,
    pub(super) default_permissions: &'a BTreeSet<String>,
    /// Since 1970.
    pub(super) now: Duration,
}

impl Claims {
    /// # Errors
    /// [`VerifyError::Expired`], or [`VerifyError::Invalid`] with the reason why these claims make
    /// no caller.
    pub(super) fn into_caller(mut self, expected: &Expected<'_>) -> Result<Caller, VerifyError> {
        self.check_times(expected.now)?;
        if self.iss != expected.issuer {
            return Err(VerifyError::Invalid("the issuer is another one"));
        }
        if self.nonce.is_some() {
            return Err(VerifyError::Invalid("this is an ID token"));
        }
        if !is_subject(&self.sub) {
            return Err(VerifyError::Invalid("the subject is malformed"));
        }
        let id = self.org_id.ok_or(VerifyError::Invalid("the token is not for an organization"))?;
        if !is_organization_id(&id) {
            return Err(VerifyError::Invalid("the organization id is malformed"));
        }
        let kind = kind_of(&self.sub, self.gty.as_deref());
        let name = match self.others.0.remove(expected.name_claim) {
            Some(Value::String(name)) if !name.trim().is_empty() && name.len() <= NAME_LIMIT => {
                name
            }
            _ => self.sub.clone(),
        };
        // Without RBAC, Auth0 still says what a machine was authorized for, in its scope.
        let without_rbac = match kind {
            ActorKind::User => expected.default_permissions.clone(),
            ActorKind::Machine => {
                let scope = self.scope.as_deref().unwrap_or_default();
                scope.split_whitespace().map(ToOwned::to_owned).collect()
            }
        };
        Ok(Caller {
            organization: Organization { id, name: self.org_name },
            actor: Actor { id: self.sub, name, kind },
            permissions: self.permissions.unwrap_or(without_rbac),
            expires_at: Duration::from_secs(self.exp),
        })
    }

    fn check_times(&self, now: Duration) -> Result<(), VerifyError> {
        if self.exp > LAST_EXPIRY {
            return Err(VerifyError::Invalid("the expiry is out of range"));
        }
        if Duration::from_secs(self.exp) + SKEW < now {
            return Err(VerifyError::Expired);
        }
        let is_future = |time: Option<u64>| {
            time.is_some_and(|time| Duration::from_secs(time) > now.saturating_add(SKEW))
        };
        if is_future(self.nbf) {
            return Err(VerifyError::Invalid("it is not valid yet"));
        }
        if is_future(self.iat) {
            return Err(VerifyError::Invalid("it was issued in the future"));
        }
        Ok(())
    }
}

/// The claims without a field of their own.
#[derive(Debug)]
pub(super) struct Others(pub(super) Map<String, Value>);

impl<'de> Deserialize<'de> for Others {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Distinct;

        impl<'de> Visitor<'de> for Distinct {
            type Value = Others;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("claims, each of them once")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut claims: A) -> Result<Others, A::Error> {
                let mut others = Map::new();
                while let Some((name, value)) = claims.next_entry()? {
                    if others.insert(name, value).is_some() {
                        return Err(A::Error::custom("a claim is there twice"));
                    }
                }
                Ok(Others(others))
            }
        }

        deserializer.deserialize_map(Distinct)
    }
}

/// Auth0 names a program by `gty`, and in the profile of RFC 9068, which has no such claim, by its
/// subject alone. A person's subject holds a "|" between connection and user.
///
/// Source: "Access Token Profiles" in the Auth0 docs.
fn kind_of(subject: &str, grant_type: Option<&str>) -> ActorKind {
    let is_client = subject.ends_with("@clients") && !subject.contains('|');
    if is_client || grant_type == Some("client-credentials") {
        ActorKind::Machine
    } else {
        ActorKind::User
    }
}

/// 1 to 255 bytes without control characters.
fn is_subject(subject: &str) -> bool {
    (1..=255).contains(&subject.len()) && !subject.contains(char::is_control)
}

/// A claim that is there and null is malformed, not absent.
pub(super) fn not_null<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// `^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`
fn is_organization_id(id: &str) -> bool {
    id.len() <= 64
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn verified(change: impl FnOnce(&mut Value)) -> Result<Caller, VerifyError> {
        let mut claims = json!({
            "iss": "https://issuer.example/",
            "sub": "auth0|1",
            "exp": NOW + 60,
            "org_id": "org_acme",
        });
        change(&mut claims);
        let claims: Claims = serde_json::from_value(claims).unwrap();
        claims.into_caller(&Expected {
            issuer: "https://issuer.example/",
            name_claim: "https://org-records/name",
            default_permissions: &BTreeSet::from(["records:read".to_owned()]),
            now: Duration::from_secs(NOW),
        })
    }

    #[test]
    fn clocks_may_differ_by_30_seconds_and_not_by_31() {
        for skew in [0, 29, 30] {
            for (claim, time) in [("exp", NOW - skew), ("nbf", NOW + skew), ("iat", NOW + skew)] {
                let caller = verified(|claims| claims[claim] = json!(time));
                assert!(caller.is_ok(), "{claim} {skew}: {caller:?}");
            }
        }

        let expired = verified(|claims| claims["exp"] = json!(NOW - 31));
        assert!(matches!(expired, Err(VerifyError::Expired)), "{expired:?}");
        for claim in ["nbf", "iat"] {
            for time in [NOW + 31, u64::MAX] {
                let early = verified(|claims| claims[claim] = json!(time));
                assert!(matches!(early, Err(VerifyError::Invalid(_))), "{claim} {time}");
            }
        }
    }

    #[test]
    fn a_program_is_known_by_its_grant_or_by_its_subject() {
        let kind = |subject: &str, gty: Value| {
            let caller = verified(|claims| {
                claims["sub"] = json!(subject);
                claims["gty"] = gty;
            });
            caller.unwrap().actor.kind
        };

        assert_eq!(kind("x1@clients", json!("client-credentials")), ActorKind::Machine);
        assert_eq!(kind("x1", json!("client-credentials")), ActorKind::Machine);
        assert_eq!(kind("x1@clients", json!(null)), ActorKind::Machine);
        assert_eq!(kind("auth0|1", json!(null)), ActorKind::User);
        assert_eq!(kind("oidc|acme|ada@clients", json!(null)), ActorKind::User);
        assert_eq!(kind("auth0|1", json!("password")), ActorKind::User);
    }

    #[test]
    fn a_program_without_rbac_has_its_scope_and_not_the_defaults_of_people() {
        let machine = verified(|claims| claims["sub"] = json!("x1@clients")).unwrap();
        assert!(!machine.has("records:read"));

        let person = verified(|_| ()).unwrap();
        assert!(person.has("records:read"));
    }

    #[test]
    fn an_organization_id_has_64_plain_characters_at_most() {
        for good in ["org_abc", "A", "0", "a-b_c", &"x".repeat(64)] {
            assert!(is_organization_id(good), "{good:?}");
        }
        for bad in ["", "_a", "-a", "a b", "a#b", "a\n", "é", "a/b", &"x".repeat(65)] {
            assert!(!is_organization_id(bad), "{bad:?}");
        }
    }
}
