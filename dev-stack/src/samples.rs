//! The sample organizations, people and clients, and the names and secrets that belong to them:
//! the one place where they are written down. None of it is secret.

use crate::auth0::{Api, MachineClient, Membership, Organization, User, WebClient};

/// The identifier of the API, `AUTH0_AUDIENCE` of both services.
pub const AUDIENCE: &str = "https://records.local/api";
/// The claim with the person's display name, `ACTOR_NAME_CLAIM` of both services.
pub const NAME_CLAIM: &str = "https://org-records/name";

/// The id of the organization `acme`, "Acme Corporation".
pub const ACME: &str = "org_acme00000000000";
/// The id of the organization `globex`, "Globex".
pub const GLOBEX: &str = "org_globex000000000";

/// The password of every sample user.
pub const PASSWORD: &str = "correct-horse";

/// The client of auth-frontend, `AUTH0_CLIENT_ID`.
pub const WEB_CLIENT_ID: &str = "org-records-web";
/// Its secret, `AUTH0_CLIENT_SECRET`.
pub const WEB_CLIENT_SECRET: &str = "local-web-secret-not-for-production";

/// The internal service of acme.
pub const ACME_MACHINE: &str = "acme-machine";
/// The internal service of globex.
pub const GLOBEX_MACHINE: &str = "globex-machine";
/// The secret of both internal services.
pub const MACHINE_SECRET: &str = "local-machine-secret-not-for-production";

/// Everything that the API lets people do.
pub const PERMISSIONS: [&str; 6] = [
    "records:read",
    "records:create",
    "records:update",
    "records:delete",
    "forms:manage",
    "audit:read",
];
const EDITOR: [&str; 4] = ["records:read", "records:create", "records:update", "records:delete"];
const VIEWER: [&str; 1] = ["records:read"];
const MACHINE: [&str; 5] =
    ["records:read", "records:create", "records:update", "records:delete", "audit:read"];

/// The API that records-service is.
#[must_use]
pub fn api() -> Api {
    Api { audience: AUDIENCE.to_owned(), permissions: owned(&PERMISSIONS), rbac: true }
}

/// `acme` and `globex`.
#[must_use]
pub fn organizations() -> Vec<Organization> {
    [(ACME, "acme", "Acme Corporation"), (GLOBEX, "globex", "Globex")]
        .map(|(id, name, display_name)| Organization {
            id: id.to_owned(),
            name: name.to_owned(),
            display_name: display_name.to_owned(),
        })
        .into()
}

/// Everybody who can log in. `newcomer` belongs to no organization until invited.
#[must_use]
pub fn users() -> Vec<User> {
    [
        ("5f7c8ec7c33c6c004bbafe01", "acme-admin", "Ada Admin"),
        ("5f7c8ec7c33c6c004bbafe02", "acme-editor", "Eddie Editor"),
        ("5f7c8ec7c33c6c004bbafe03", "acme-viewer", "Vera Viewer"),
        ("5f7c8ec7c33c6c004bbafe04", "globex-admin", "Gloria Admin"),
        ("5f7c8ec7c33c6c004bbafe05", "consultant", "Connie Consultant"),
        ("5f7c8ec7c33c6c004bbafe06", "newcomer", "Nico Newcomer"),
    ]
    .map(|(id, username, name)| User {
        id: format!("auth0|{id}"),
        username: username.to_owned(),
        password: PASSWORD.to_owned(),
        name: name.to_owned(),
        email: format!("{username}@example.com"),
    })
    .into()
}

/// Who may do what in which organization.
#[must_use]
pub fn memberships() -> Vec<Membership> {
    [
        ("acme-admin", ACME, &PERMISSIONS[..]),
        ("acme-editor", ACME, &EDITOR),
        ("acme-viewer", ACME, &VIEWER),
        ("globex-admin", GLOBEX, &PERMISSIONS),
        ("consultant", ACME, &EDITOR),
        ("consultant", GLOBEX, &EDITOR),
    ]
    .map(|(username, organization, permissions)| Membership {
        username: username.to_owned(),
        organization: organization.to_owned(),
        permissions: owned(permissions),
    })
    .into()
}

/// The client of auth-frontend, which people reach at `app_url`, an origin without a slash.
#[must_use]
pub fn web_client(app_url: &str) -> WebClient {
    WebClient {
        id: WEB_CLIENT_ID.to_owned(),
        secret: WEB_CLIENT_SECRET.to_owned(),
        name: "Org Records".to_owned(),
        callbacks: vec![format!("{app_url}/auth/callback")],
        logout_urls: vec![format!("{app_url}/"), app_url.to_owned()],
        login_url: format!("{app_url}/auth/login"),
        backchannel_logout_url: Some(backchannel_logout_url(app_url)),
    }
}

/// Where auth-frontend, at `app_url` for Auth0, hears of sessions that have ended.
#[must_use]
pub fn backchannel_logout_url(app_url: &str) -> String {
    format!("{app_url}/auth/backchannel-logout")
}

/// One internal service for each organization.
#[must_use]
pub fn machine_clients() -> Vec<MachineClient> {
    [(ACME_MACHINE, ACME, "Acme importer"), (GLOBEX_MACHINE, GLOBEX, "Globex importer")]
        .map(|(id, organization, name)| MachineClient {
            id: id.to_owned(),
            secret: MACHINE_SECRET.to_owned(),
            name: name.to_owned(),
            organizations: vec![organization.to_owned()],
            scopes: owned(&MACHINE),
        })
        .into()
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}
