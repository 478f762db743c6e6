//! What the local Auth0 is set up with: its people, organizations, clients and lifetimes.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{Storage, samples};

/// What the local Auth0 is set up with.
#[derive(Debug, Clone)]
pub struct Auth0Options {
    /// Where it listens; port 0 means any free one.
    pub address: SocketAddr,
    /// The issuer as browsers and services reach it; `None` means `http://localhost:<port>/`.
    /// A missing slash at its end is added.
    pub issuer: Option<String>,
    /// Where signing keys, memberships and invitations are kept.
    pub storage: Storage,
    /// The one API that access tokens can be asked for.
    pub api: Api,
    /// The organizations.
    pub organizations: Vec<Organization>,
    /// The people of the one database connection.
    pub users: Vec<User>,
    /// Who belongs to which organization.
    pub memberships: Vec<Membership>,
    /// Applications that people log in to.
    pub web_clients: Vec<WebClient>,
    /// Programs that get tokens with their own secret.
    pub machine_clients: Vec<MachineClient>,
    /// How long access tokens are good for; Auth0's default is 24 hours.
    pub token_lifetime: Duration,
    /// How long ID tokens are good for; Auth0's default is 10 hours.
    pub id_token_lifetime: Duration,
    /// How long an authorization code is good for.
    pub code_lifetime: Duration,
    /// The claim of access tokens that an Action fills with the person's name.
    pub name_claim: String,
    /// Whether `/local` answers other machines too. In a container every peer is another machine;
    /// publish its port on loopback alone then.
    pub open_controls: bool,
}

impl Auth0Options {
    /// The sample organizations, people and clients, for an app at `app_url` (an origin without a
    /// slash at its end), in memory and on any free port of loopback.
    #[must_use]
    pub fn sample(app_url: &str) -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            issuer: None,
            storage: Storage::Memory,
            api: samples::api(),
            organizations: samples::organizations(),
            users: samples::users(),
            memberships: samples::memberships(),
            web_clients: vec![samples::web_client(app_url)],
            machine_clients: samples::machine_clients(),
            token_lifetime: Duration::from_hours(24),
            id_token_lifetime: Duration::from_hours(10),
            code_lifetime: Duration::from_mins(1),
            name_claim: samples::NAME_CLAIM.to_owned(),
            open_controls: false,
        }
    }
}

/// An API that tokens are for.
#[derive(Debug, Clone)]
pub struct Api {
    /// Its identifier, the audience of its tokens.
    pub audience: String,
    /// Every permission it has.
    pub permissions: Vec<String>,
    /// Whether tokens carry a `permissions` claim ("RBAC" and "Add Permissions in the Access
    /// Token" in Auth0's settings).
    pub rbac: bool,
}

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// `org_` and more; never reused.
    pub id: String,
    /// What people type; lower case.
    pub name: String,
    /// What pages show.
    pub display_name: String,
}

/// Somebody who can log in.
#[derive(Debug, Clone)]
pub struct User {
    /// `auth0|` and 24 hexadecimal digits.
    pub id: String,
    /// What they type to log in.
    pub username: String,
    /// Their password, in the clear: it is a sample.
    pub password: String,
    /// What pages show.
    pub name: String,
    /// Their address.
    pub email: String,
}

/// That somebody belongs to an organization, and what they may do there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The user.
    pub username: String,
    /// The id of the organization.
    pub organization: String,
    /// Their permissions there.
    pub permissions: Vec<String>,
}

/// An application that people log in to, in Auth0 a "Regular Web Application" whose organization
/// usage is "require", with the prompt before login. PKCE is required of it.
#[derive(Debug, Clone)]
pub struct WebClient {
    /// Its client id.
    pub id: String,
    /// Its client secret.
    pub secret: String,
    /// What pages call it.
    pub name: String,
    /// Where it may have codes sent, compared as text.
    pub callbacks: Vec<String>,
    /// Where it may have browsers sent after logout, compared as text.
    pub logout_urls: Vec<String>,
    /// Its "Application Login URI", which invitation links lead to.
    pub login_url: String,
    /// Its "Back-Channel Logout URI", of plain http, which hears of sessions that have ended.
    pub backchannel_logout_url: Option<String>,
}

/// A program that gets tokens by client credentials, always for one organization.
#[derive(Debug, Clone)]
pub struct MachineClient {
    /// Its client id.
    pub id: String,
    /// Its client secret.
    pub secret: String,
    /// What pages call it.
    pub name: String,
    /// The ids of the organizations that its grant is for.
    pub organizations: Vec<String>,
    /// The permissions that its grant is for.
    pub scopes: Vec<String>,
}
