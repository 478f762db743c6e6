//! Who calls. A [`Caller`], and with it an [`Organization`], is made by the [`Verifier`] from an
//! access token and in no other way, so a function that asks for one cannot be reached without a
//! verified token.

mod claims;
pub(crate) mod jwks;
mod verifier;

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

pub use verifier::{EndedAtIssuer, Logout, Verifier, VerifierSettings, VerifyError};

/// The caller's organization, as its access token names it.
///
/// It can be read
/// ```
/// fn partition(organization: &service_kit::identity::Organization) -> &str {
///     organization.id()
/// }
/// ```
/// and not made outside this module:
/// ```compile_fail,E0451
/// let forged = service_kit::identity::Organization { id: "org_acme".into(), name: None };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    id: String,
    name: Option<String>,
}

impl Organization {
    /// The id that Auth0 gives it (`org_id`): 1 to 64 of letters, digits, "_" and "-",
    /// of which the first is a letter or digit. It is never given to another organization.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its name (`org_name`), which may change and be given to another organization later.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

/// A person or a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorKind {
    /// A person who logged in.
    User,
    /// A program with client credentials.
    Machine,
}

/// Who does something, as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The subject of the token.
    pub id: String,
    /// The display name, or the id where the token has none.
    pub name: String,
    /// A person or a program.
    pub kind: ActorKind,
}

/// Somebody with a verified access token of one organization.
///
/// It can be asked whose it is
/// ```
/// fn partition(caller: &service_kit::identity::Caller) -> &str {
///     caller.organization().id()
/// }
/// ```
/// and neither made outside this module nor moved to another organization:
/// ```compile_fail,E0616
/// fn move_over(caller: &mut service_kit::identity::Caller, to: &service_kit::identity::Caller) {
///     caller.organization = to.organization().clone();
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    organization: Organization,
    actor: Actor,
    permissions: BTreeSet<String>,
    expires_at: Duration,
}

impl Caller {
    /// The one organization that this caller may touch.
    #[must_use]
    pub fn organization(&self) -> &Organization {
        &self.organization
    }

    /// Who is calling.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Whether the token grants a permission.
    #[must_use]
    pub fn has(&self, permission: &str) -> bool {
        self.permissions.contains(permission)
    }

    /// What the token grants.
    pub fn permissions(&self) -> impl Iterator<Item = &str> {
        self.permissions.iter().map(String::as_str)
    }

    /// When the token ends.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.expires_at
    }
}
