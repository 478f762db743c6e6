//! An Auth0 tenant with Organizations on this machine: a real OpenID Connect provider over HTTP,
//! with the error answers of the real one. It knows neither service; who exists in it comes from
//! its options.

mod authorize;
mod backchannel;
mod client_auth;
mod controls;
mod discovery;
mod failures;
mod http;
mod keys;
mod local_admin;
mod login;
mod logout;
mod options;
mod pages;
mod tenant;
mod token_endpoint;
mod tokens;
mod userinfo;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{MethodRouter, get, post},
};
use tokio::sync::Mutex;
use url::Url;

pub use failures::{Endpoint, FailureMode};
pub use keys::Algorithm;
pub use options::{Api, Auth0Options, MachineClient, Membership, Organization, User, WebClient};

use crate::{Error, ports, server::Server};
use tenant::Tenant;

const PURPOSE: &str = "the local Auth0";

/// A local Auth0 that listens on this machine. Its methods are what a test or the `/local` page
/// does to it; what applications do goes over HTTP.
pub struct Auth0 {
    address: SocketAddr,
    tenant: Arc<Tenant>,
    server: Mutex<Option<Server>>,
}

impl Auth0 {
    /// Starts it.
    ///
    /// # Errors
    /// [`Error::PortTaken`], [`Error::Url`] for an issuer that is none, or what the folder says.
    pub async fn start(options: Auth0Options) -> Result<Self, Error> {
        let (listener, address) = ports::listen(options.address, PURPOSE).await?;
        let issuer = match &options.issuer {
            Some(issuer) => normal_issuer(issuer)?,
            None => format!("http://localhost:{}/", address.port()),
        };
        // Making an RSA key takes a good part of a second.
        let opened = tokio::task::spawn_blocking(move || Tenant::open(issuer, options)).await;
        let tenant = Arc::new(opened.map_err(|_| Error::Key)??);
        let server = Mutex::new(Some(Server::start(listener, app(&tenant))));
        Ok(Self { address, tenant, server })
    }

    /// The issuer, with a slash at its end, for `AUTH0_ISSUER_URL`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.tenant.issuer
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Closes the port and cuts every connection; sessions and keys stay. Stopping twice does
    /// nothing.
    pub async fn stop(&self) {
        if let Some(server) = self.server.lock().await.take() {
            server.stop().await;
        }
    }

    /// Listens on the same port again, with everything as it was. Resuming what runs does nothing.
    ///
    /// # Errors
    /// [`Error::PortTaken`] when somebody took the port meanwhile.
    pub async fn resume(&self) -> Result<(), Error> {
        let mut server = self.server.lock().await;
        if server.is_none() {
            let (listener, _) = ports::listen(self.address, PURPOSE).await?;
            *server = Some(Server::start(listener, app(&self.tenant)));
        }
        Ok(())
    }
}

fn normal_issuer(issuer: &str) -> Result<String, Error> {
    let parsed = Url::parse(issuer).ok().filter(|url| url.has_host() && url.query().is_none());
    let parsed =
        parsed.ok_or_else(|| Error::Url { what: "the issuer", value: issuer.to_owned() })?;
    let issuer = String::from(parsed);
    Ok(if issuer.ends_with('/') { issuer } else { format!("{issuer}/") })
}

/// Every address of the provider.
fn app(tenant: &Arc<Tenant>) -> Router {
    let failing = |endpoint: Endpoint, route: MethodRouter<Arc<Tenant>>| {
        route.layer(from_fn_with_state((tenant.clone(), endpoint), failures::interfere))
    };
    let configuration = failing(Endpoint::Discovery, get(discovery::configuration));
    let userinfo = get(userinfo::userinfo).post(userinfo::userinfo);
    Router::new()
        .route("/.well-known/openid-configuration", configuration)
        .route("/.well-known/jwks.json", failing(Endpoint::Jwks, get(discovery::jwks)))
        .route("/authorize", failing(Endpoint::Authorize, get(authorize::begin)))
        .route("/authorize/resume", get(authorize::resume))
        .route("/u/organization", get(login::organization_page).post(login::choose_organization))
        .route("/u/login", get(login::login_page).post(login::log_in))
        .route("/oauth/token", failing(Endpoint::Token, post(token_endpoint::token)))
        .route("/userinfo", failing(Endpoint::UserInfo, userinfo))
        .route("/oidc/logout", failing(Endpoint::Logout, get(logout::oidc).post(logout::oidc_form)))
        .route("/v2/logout", failing(Endpoint::Logout, get(logout::v2)))
        .merge(local_admin::routes(tenant))
        .with_state(tenant.clone())
}
