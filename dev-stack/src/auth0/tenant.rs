//! Everything the local Auth0 knows and remembers, behind one lock that is never held across an
//! await. No HTTP here.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    failures::{Endpoint, FailureMode},
    keys::{KeyRing, SavedKey, random_text},
    options::{Auth0Options, MachineClient, Membership, Organization, User, WebClient},
};
use crate::{Error, storage};

/// How long somebody may take to log in.
const TRANSACTION_LIFETIME: Duration = Duration::from_hours(1);

/// What is fixed, and what changes.
pub(super) struct Tenant {
    /// With a slash at its end.
    pub(super) issuer: String,
    pub(super) options: Auth0Options,
    file: Option<PathBuf>,
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) keys: KeyRing,
    pub(super) memberships: Vec<Membership>,
    pub(super) invitations: Vec<Invitation>,
    pub(super) token_lifetime: Duration,
    /// By the value of the cookie.
    pub(super) sessions: HashMap<String, SsoSession>,
    /// By the `state` in the address of the login pages.
    pub(super) transactions: HashMap<String, Transaction>,
    pub(super) codes: HashMap<String, Code>,
    pub(super) refresh_tokens: HashMap<String, RefreshToken>,
    /// Access tokens that name no API, good for the userinfo endpoint alone.
    pub(super) opaque_tokens: HashMap<String, (Grant, Instant)>,
    /// Failed logins in a row by username.
    pub(super) failed_logins: HashMap<String, (u32, Instant)>,
    pub(super) failures: HashMap<Endpoint, FailureMode>,
    pub(super) requests: HashMap<Endpoint, usize>,
}

/// What survives a restart.
#[derive(Serialize, Deserialize)]
struct Saved {
    keys: Vec<SavedKey>,
    memberships: Vec<Membership>,
    invitations: Vec<Invitation>,
}

/// A link that makes whoever follows it and logs in a member.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Invitation {
    pub(super) ticket: String,
    /// The id of the organization.
    pub(super) organization: String,
    pub(super) permissions: Vec<String>,
}

/// That a browser has logged in here.
#[derive(Debug, Clone)]
pub(super) struct SsoSession {
    pub(super) user: User,
    /// The `sid` of ID tokens, and what a logout hint names.
    pub(super) sid: String,
    /// Seconds since 1970.
    pub(super) logged_in_at: i64,
    /// Ties the logout confirmation to this session.
    pub(super) confirmation: String,
    /// The ids of the applications that were logged in to.
    pub(super) clients: BTreeSet<String>,
}

/// A login under way.
#[derive(Debug, Clone)]
pub(super) struct Transaction {
    /// The value of the cookie of the browser that began it.
    pub(super) device: String,
    pub(super) request: AuthorizationRequest,
    pub(super) organization: Option<Organization>,
    /// That the password was given in this very login.
    pub(super) authenticated: bool,
    pub(super) began: Instant,
}

/// What an application asked for, checked.
#[derive(Debug, Clone)]
pub(super) struct AuthorizationRequest {
    pub(super) client: WebClient,
    pub(super) redirect_uri: String,
    pub(super) state: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) scope: String,
    pub(super) audience: Option<String>,
    pub(super) challenge: String,
    pub(super) invitation: Option<String>,
    pub(super) login_hint: Option<String>,
    /// `prompt=login`.
    pub(super) asks_password: bool,
    /// Seconds.
    pub(super) max_age: Option<i64>,
}

/// What somebody's login gave to a client.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) client_id: String,
    pub(super) user: User,
    pub(super) organization: Organization,
    pub(super) scope: String,
    pub(super) audience: Option<String>,
    pub(super) sid: String,
    /// Present when `max_age` was asked for.
    pub(super) auth_time: Option<i64>,
    /// Shared by all tokens that come of one code.
    pub(super) family: String,
}

/// An authorization code, kept after use so that a replay is noticed.
pub(super) struct Code {
    pub(super) grant: Grant,
    pub(super) redirect_uri: String,
    pub(super) challenge: String,
    pub(super) nonce: Option<String>,
    pub(super) issued: Instant,
    pub(super) used: bool,
}

/// A refresh token, kept after use so that a replay is noticed.
pub(super) struct RefreshToken {
    pub(super) grant: Grant,
    pub(super) used: bool,
}

impl Tenant {
    pub(super) fn open(issuer: String, options: Auth0Options) -> Result<Self, Error> {
        let file = options.storage.file("auth0.json")?;
        let saved = match &file {
            Some(path) => restore(path)?,
            None => None,
        };
        let is_new = saved.is_none();
        let (keys, memberships, invitations) = match saved {
            Some(saved) => saved,
            None => (KeyRing::generate()?, options.memberships.clone(), Vec::new()),
        };
        let state = State {
            keys,
            memberships,
            invitations,
            token_lifetime: options.token_lifetime,
            sessions: HashMap::new(),
            transactions: HashMap::new(),
            codes: HashMap::new(),
            refresh_tokens: HashMap::new(),
            opaque_tokens: HashMap::new(),
            failed_logins: HashMap::new(),
            failures: HashMap::new(),
            requests: HashMap::new(),
        };
        let tenant = Self { issuer, options, file, state: Mutex::new(state) };
        if is_new {
            tenant.save(&tenant.lock())?;
        }
        Ok(tenant)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is a single assignment or insertion, so a panic elsewhere leaves no half.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what survives a restart.
    pub(super) fn save(&self, state: &State) -> Result<(), Error> {
        let Some(path) = &self.file else { return Ok(()) };
        let saved = Saved {
            keys: state.keys.save()?,
            memberships: state.memberships.clone(),
            invitations: state.invitations.clone(),
        };
        let content = serde_json::to_vec_pretty(&saved).expect("strings serialize");
        storage::write(path, &content)
    }

    pub(super) fn failure(&self, endpoint: Endpoint) -> Option<FailureMode> {
        self.lock().failures.get(&endpoint).cloned()
    }

    /// An address under the issuer; `path` has no slash in front.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    /// The organization of this id, or of this name in any case.
    pub(super) fn organization(&self, id_or_name: &str) -> Option<&Organization> {
        self.options.organizations.iter().find(|organization| {
            organization.id == id_or_name || organization.name.eq_ignore_ascii_case(id_or_name)
        })
    }

    pub(super) fn user(&self, username: &str) -> Option<&User> {
        self.options.users.iter().find(|user| user.username.eq_ignore_ascii_case(username))
    }

    pub(super) fn web_client(&self, id: &str) -> Option<&WebClient> {
        self.options.web_clients.iter().find(|client| client.id == id)
    }

    pub(super) fn machine_client(&self, id: &str) -> Option<&MachineClient> {
        self.options.machine_clients.iter().find(|client| client.id == id)
    }
}

impl State {
    pub(super) fn membership(
        &self,
        user: &User,
        organization: &Organization,
    ) -> Option<&Membership> {
        self.memberships.iter().find(|membership| {
            membership.username == user.username && membership.organization == organization.id
        })
    }

    pub(super) fn invitation(
        &self,
        ticket: &str,
        organization: &Organization,
    ) -> Option<&Invitation> {
        self.invitations.iter().find(|invitation| {
            invitation.ticket == ticket && invitation.organization == organization.id
        })
    }

    /// Makes the user a member with the invitation's permissions, and uses the invitation up.
    pub(super) fn accept(&mut self, ticket: &str, user: &User) {
        let Some(at) = self.invitations.iter().position(|known| known.ticket == ticket) else {
            return;
        };
        let invitation = self.invitations.remove(at);
        self.add_member(Membership {
            username: user.username.clone(),
            organization: invitation.organization,
            permissions: invitation.permissions,
        });
    }

    /// Adds the membership in place of an earlier one of the same person.
    pub(super) fn add_member(&mut self, new: Membership) {
        self.memberships
            .retain(|old| old.username != new.username || old.organization != new.organization);
        self.memberships.push(new);
    }

    /// Begins a login; gives what names it in addresses.
    pub(super) fn begin(&mut self, transaction: Transaction) -> String {
        self.transactions.retain(|_, known| known.began.elapsed() < TRANSACTION_LIFETIME);
        let id = random_text(24);
        self.transactions.insert(id.clone(), transaction);
        id
    }

    /// Forgets every token that came of the same code.
    pub(super) fn revoke_family(&mut self, family: &str) {
        self.refresh_tokens.retain(|_, token| token.grant.family != family);
        self.opaque_tokens.retain(|_, (grant, _)| grant.family != family);
    }
}

type Restored = (KeyRing, Vec<Membership>, Vec<Invitation>);

fn restore(path: &std::path::Path) -> Result<Option<Restored>, Error> {
    let Some(content) = storage::read(path)? else { return Ok(None) };
    let damaged = |problem: String| Error::Damaged { path: path.to_owned(), problem };
    let saved: Saved =
        serde_json::from_slice(&content).map_err(|error| damaged(error.to_string()))?;
    let keys = KeyRing::restore(&saved.keys).ok_or_else(|| damaged("no usable key".to_owned()))?;
    Ok(Some((keys, saved.memberships, saved.invitations)))
}
