//! What an Auth0 access token must say, beyond a good signature, to make a [`Caller`]. It does not
//! know about keys.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Actor, ActorKind, Caller, Organization};

/// The longest display name, in bytes; a longer one is no name, and would be in every row.
const NAME_LIMIT: usize = 200;
/// The end of the year 9999: a later expiry is nonsense, and arithmetic on it could overflow.
const LAST_EXPIRY: u64 = 253_402_300_799;

/// The claims of an access token. Unknown ones are ignored, among them `jku` and the like.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    iss: String,
    sub: String,
    exp: u64,
    org_id: Option<String>,
    org_name: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    permissions: Option<BTreeSet<String>>,
    scope: Option<String>,
    gty: Option<String>,
    nonce: Option<Value>,
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

impl Claims {
    /// # Errors
    /// The reason why these claims make no caller, for the log.
    pub(super) fn into_caller(
        mut self,
        issuer: &str,
        name_claim: &str,
        default_permissions: &BTreeSet<String>,
    ) -> Result<Caller, &'static str> {
        if self.iss != issuer {
            return Err("the issuer is another one");
        }
        if self.nonce.is_some() {
            return Err("this is an ID token");
        }
        if self.sub.is_empty() || self.sub.len() > 255 {
            return Err("the subject is empty or too long");
        }
        if self.exp > LAST_EXPIRY {
            return Err("the expiry is out of range");
        }
        let id = self.org_id.ok_or("the token is not for an organization")?;
        if !is_organization_id(&id) {
            return Err("the organization id is malformed");
        }
        let kind = if self.gty.as_deref() == Some("client-credentials") {
            ActorKind::Machine
        } else {
            ActorKind::User
        };
        let name = match self.others.remove(name_claim) {
            Some(Value::String(name)) if !name.trim().is_empty() && name.len() <= NAME_LIMIT => {
                name
            }
            _ => self.sub.clone(),
        };
        // Without RBAC, Auth0 still says what a machine was authorized for, in its scope.
        let without_rbac = match kind {
            ActorKind::User => default_permissions.clone(),
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
}

/// A claim that is there and null is malformed, not absent.
fn not_null<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
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
    use super::*;

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
