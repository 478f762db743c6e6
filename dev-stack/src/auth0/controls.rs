//! What a test does to the local Auth0, and tokens without a browser. None of it exists at the
//! real one.

use std::time::Duration;

use serde_json::Value;

use super::{
    Auth0, Endpoint, FailureMode, Membership,
    backchannel::{self, Notice},
    http::with_query,
    keys::{Algorithm, random_text},
    options::{Organization, User},
    tenant::{Grant, Invitation, SsoSession, Tenant},
    tokens,
};
use crate::Error;

impl Auth0 {
    /// An access token for the API, for this person (by username) in this organization (by name or
    /// id), as a login with `openid profile email` would give it.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a stranger or somebody who is not a member.
    pub fn user_token(&self, username: &str, organization: &str) -> Result<String, Error> {
        let claims = self.user_claims(username, organization)?;
        Ok(self.sign(&self.header(), &claims))
    }

    /// An access token for the API, for this program in this organization, as the token endpoint
    /// would give it.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a stranger or an organization that its grant is not for.
    pub fn machine_token(&self, client: &str, organization: &str) -> Result<String, Error> {
        let claims = self.machine_claims(client, organization)?;
        Ok(self.sign(&self.header(), &claims))
    }

    /// The claims of [`Auth0::user_token`], for tests that change them before signing.
    ///
    /// # Errors
    /// As [`Auth0::user_token`].
    pub fn user_claims(&self, username: &str, organization: &str) -> Result<Value, Error> {
        let grant = self.grant(username, organization)?;
        Ok(tokens::user_access(&self.tenant, &self.tenant.lock(), &grant))
    }

    /// The claims of [`Auth0::machine_token`], for tests that change them before signing.
    ///
    /// # Errors
    /// As [`Auth0::machine_token`].
    pub fn machine_claims(&self, client: &str, organization: &str) -> Result<Value, Error> {
        let tenant = &self.tenant;
        let found = tenant.machine_client(client).ok_or_else(|| unknown("client", client))?;
        let organization = find_organization(tenant, organization)?;
        if !found.organizations.contains(&organization.id) {
            return Err(unknown("member", client));
        }
        let state = tenant.lock();
        Ok(tokens::machine_access(tenant, &state, found, Some(organization), &found.scopes))
    }

    /// The claims of an ID token for the first web client, without a nonce.
    ///
    /// # Errors
    /// As [`Auth0::user_token`].
    pub fn id_token_claims(&self, username: &str, organization: &str) -> Result<Value, Error> {
        Ok(tokens::id(&self.tenant, &self.grant(username, organization)?, None))
    }

    /// The header of our tokens: RS256, `JWT` and the current key.
    #[must_use]
    pub fn header(&self) -> Value {
        tokens::header(&self.tenant.lock())
    }

    /// A token with exactly this header and these claims. The signature is the current key's over
    /// RSA and SHA-256, whatever the header says.
    #[must_use]
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.tenant.lock().keys.sign(header, claims)
    }

    /// The current key's signature over any bytes, for tokens of a shape that [`Auth0::sign`] does
    /// not make.
    #[must_use]
    pub fn signature(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        self.tenant.lock().keys.signature(algorithm, message)
    }

    /// The JWK set as it is published now.
    #[must_use]
    pub fn jwks(&self) -> Value {
        self.tenant.lock().keys.jwks()
    }

    /// Signs with a new key from now on; the old one stays published.
    ///
    /// # Errors
    /// [`Error::Storage`] when the keys cannot be kept.
    pub fn rotate_keys(&self) -> Result<(), Error> {
        let mut state = self.tenant.lock();
        state.keys.rotate()?;
        self.tenant.save(&state)
    }

    /// Publishes no key but the current one from now on.
    ///
    /// # Errors
    /// [`Error::Storage`] when the keys cannot be kept.
    pub fn revoke_old_keys(&self) -> Result<(), Error> {
        let mut state = self.tenant.lock();
        state.keys.revoke_previous();
        self.tenant.save(&state)
    }

    /// Makes an endpoint fail until [`Auth0::recover`].
    pub fn fail(&self, endpoint: Endpoint, mode: FailureMode) {
        self.tenant.lock().failures.insert(endpoint, mode);
    }

    /// Ends all failures.
    pub fn recover(&self) {
        self.tenant.lock().failures.clear();
    }

    /// How many requests an endpoint has had, failed ones too.
    #[must_use]
    pub fn requests(&self, endpoint: Endpoint) -> usize {
        self.tenant.lock().requests.get(&endpoint).copied().unwrap_or_default()
    }

    /// How long access tokens issued from now on are good for.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.tenant.lock().token_lifetime = lifetime;
    }

    /// Ends every login session here, as if all had run out; applications are not told.
    pub fn end_sessions(&self) {
        self.tenant.lock().sessions.clear();
    }

    /// Ends every login session of a person here, as an administrator does, and tells the
    /// applications. Gives the status of each answer; 0 where there was none.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a stranger.
    pub async fn revoke_sessions(&self, username: &str) -> Result<Vec<u16>, Error> {
        find_user(&self.tenant, username)?;
        Ok(backchannel::send(revoke(&self.tenant, Some(username))).await)
    }

    /// The header of logout tokens: RS256, `logout+jwt` and the current key.
    #[must_use]
    pub fn logout_header(&self) -> Value {
        tokens::logout_header(&self.tenant.lock())
    }

    /// The claims of a logout token for the first web client, for tests that change them before
    /// signing.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a stranger.
    pub fn logout_claims(&self, username: &str, sid: &str) -> Result<Value, Error> {
        let user = find_user(&self.tenant, username)?;
        let client = self.tenant.options.web_clients.first().map(|client| client.id.as_str());
        Ok(tokens::logout(&self.tenant, client.unwrap_or_default(), &user.id, sid))
    }

    /// Takes somebody out of an organization. Tokens they have stay good until they expire.
    ///
    /// # Errors
    /// [`Error::Unknown`] for who is not a member.
    pub fn remove_member(&self, username: &str, organization: &str) -> Result<(), Error> {
        let user = find_user(&self.tenant, username)?;
        let organization = find_organization(&self.tenant, organization)?;
        let mut state = self.tenant.lock();
        if state.membership(user, organization).is_none() {
            return Err(unknown("member", username));
        }
        state.memberships.retain(|membership| {
            membership.username != user.username || membership.organization != organization.id
        });
        self.tenant.save(&state)
    }

    /// Makes somebody a member, or changes what a member may do.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a user or an organization that does not exist.
    pub fn add_member(
        &self,
        username: &str,
        organization: &str,
        permissions: &[&str],
    ) -> Result<(), Error> {
        let membership = Membership {
            username: find_user(&self.tenant, username)?.username.clone(),
            organization: find_organization(&self.tenant, organization)?.id.clone(),
            permissions: permissions.iter().map(|&text| text.to_owned()).collect(),
        };
        let mut state = self.tenant.lock();
        state.add_member(membership);
        self.tenant.save(&state)
    }

    /// A link to the first web client that makes whoever follows it and logs in a member of the
    /// organization. It works once.
    ///
    /// # Errors
    /// [`Error::Unknown`] for an organization that does not exist.
    pub fn invite(&self, organization: &str, permissions: &[&str]) -> Result<String, Error> {
        let permissions = permissions.iter().map(|&text| text.to_owned()).collect();
        invite(&self.tenant, organization, permissions)
    }

    /// Makes every invitation that was not accepted yet too old.
    ///
    /// # Errors
    /// [`Error::Storage`] when that cannot be kept.
    pub fn expire_invitations(&self) -> Result<(), Error> {
        expire_invitations(&self.tenant)
    }

    fn grant(&self, username: &str, organization: &str) -> Result<Grant, Error> {
        let user = find_user(&self.tenant, username)?;
        let organization = find_organization(&self.tenant, organization)?;
        if self.tenant.lock().membership(user, organization).is_none() {
            return Err(unknown("member", username));
        }
        let client = self.tenant.options.web_clients.first().map(|client| client.id.clone());
        Ok(Grant {
            client_id: client.unwrap_or_default(),
            user: user.clone(),
            organization: organization.clone(),
            scope: "openid profile email".to_owned(),
            audience: Some(self.tenant.options.api.audience.clone()),
            sid: random_text(24),
            auth_time: None,
            family: String::new(),
        })
    }
}

/// Ends the login sessions of a person, or of everybody, and gives what applications must be told.
pub(super) fn revoke(tenant: &Tenant, username: Option<&str>) -> Vec<Notice> {
    let mut state = tenant.lock();
    let is_meant = |session: &SsoSession| {
        username.is_none_or(|username| session.user.username.eq_ignore_ascii_case(username))
    };
    let ended: Vec<_> =
        state.sessions.extract_if(|_, session| is_meant(session)).map(|(_, ended)| ended).collect();
    backchannel::notices(tenant, &state, &ended)
}

/// Makes an invitation and gives its link.
pub(super) fn invite(
    tenant: &Tenant,
    organization: &str,
    permissions: Vec<String>,
) -> Result<String, Error> {
    let organization = find_organization(tenant, organization)?;
    let client = tenant.options.web_clients.first().ok_or_else(|| unknown("client", "web"))?;
    let ticket = random_text(24);
    let mut state = tenant.lock();
    state.invitations.push(Invitation {
        ticket: ticket.clone(),
        organization: organization.id.clone(),
        permissions,
    });
    tenant.save(&state)?;
    Ok(with_query(
        &client.login_url,
        &[
            ("invitation", Some(&ticket)),
            ("organization", Some(&organization.id)),
            ("organization_name", Some(&organization.name)),
        ],
    ))
}

/// The provider does not tell one that has expired from one that was used.
pub(super) fn expire_invitations(tenant: &Tenant) -> Result<(), Error> {
    let mut state = tenant.lock();
    state.invitations.clear();
    tenant.save(&state)
}

pub(super) fn find_user<'a>(tenant: &'a Tenant, username: &str) -> Result<&'a User, Error> {
    tenant.user(username).ok_or_else(|| unknown("user", username))
}

pub(super) fn find_organization<'a>(
    tenant: &'a Tenant,
    id_or_name: &str,
) -> Result<&'a Organization, Error> {
    tenant.organization(id_or_name).ok_or_else(|| unknown("organization", id_or_name))
}

fn unknown(kind: &'static str, name: &str) -> Error {
    Error::Unknown { kind, name: name.to_owned() }
}
