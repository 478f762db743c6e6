//! Everything that routes work with, made once at start-up. It does not know the routes.

use std::sync::Arc;

use aws_config::SdkConfig;
use prometheus_client::registry::Registry;
use service_kit::{
    aws::CallMetrics, http, identity::Verifier, refreshed::FetchMetrics, sealing::Sealer,
};

use crate::{
    admission::Admission,
    config::Config,
    cookies::CookieSecurity,
    csrf,
    forms::Forms,
    headers::AnswerHeaders,
    login_attempt::LoginAttempts,
    login_limit::LoginLimit,
    metrics::Metrics,
    oidc::{Oidc, OidcSettings},
    pages::{Pages, RenderError},
    records_client::{ClientError, RecordsClient},
    session::{SessionStore, Sessions},
    untaken::Untaken,
};

/// What all requests share.
pub(crate) struct Site {
    /// How much is worked on at once.
    pub admission: Admission,
    /// How often one address may log in.
    pub login_limit: Arc<LoginLimit>,
    /// What is measured of requests and logins.
    pub metrics: Metrics,
    /// The templates.
    pub pages: Pages,
    /// The pages on their way.
    pub untaken: Untaken,
    /// Who is logged in.
    pub sessions: Sessions,
    /// Who is logging in.
    pub attempts: LoginAttempts,
    /// The identity provider.
    pub oidc: Oidc,
    /// records-service.
    pub records: RecordsClient,
    /// The organizations' forms.
    pub forms: Forms,
    /// What every answer carries.
    pub headers: AnswerHeaders,
    /// Our own origin, as browsers write it.
    pub origin: String,
    /// How cookies are set.
    pub cookies: CookieSecurity,
}

/// Why the site cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The client for the provider cannot be made.
    #[error("cannot make an HTTP client")]
    Http(#[from] reqwest::Error),
    /// The client for records-service cannot be made.
    #[error("records-service cannot be called")]
    Records(#[from] ClientError),
    /// The templates are not valid, which the tests rule out.
    #[error("cannot compile the templates")]
    Pages(#[from] RenderError),
}

impl Site {
    /// Makes the clients, whose calls are shown in `registry`. None of them connects before it is
    /// needed.
    ///
    /// # Errors
    /// See [`SiteError`].
    pub(crate) fn new(
        config: Config,
        aws: &SdkConfig,
        registry: &mut Registry,
    ) -> Result<Arc<Self>, SiteError> {
        let fetches = FetchMetrics::register(registry);
        let http = http::client()?;
        let cookies = CookieSecurity { https: config.base_url.scheme() == "https" };
        let sealer = |purpose| Sealer::new(&config.secrets, purpose);
        let store = SessionStore::new(aws, config.sessions_table, CallMetrics::register(registry));
        let headers =
            AnswerHeaders::new(&config.base_url, &config.tokens.issuer, &config.login_origins);
        let sessions =
            Sessions::new(store, sealer("session"), cookies, &config.tokens.issuer, registry);
        let attempts = LoginAttempts::new(sealer("login attempt"), cookies);
        let origin = csrf::origin_of(&config.base_url);
        let settings = OidcSettings {
            issuer: config.tokens.issuer.clone(),
            base_url: config.base_url,
            client_id: config.client_id,
            client_secret: config.client_secret,
            audience: config.tokens.audience.clone(),
        };
        let records = RecordsClient::new(
            &config.records_urls,
            &config.records_tls,
            config.max_in_flight.get(),
            registry,
        )?;
        let verifier = Verifier::new(config.tokens, http.clone(), fetches.clone());
        Ok(Arc::new(Self {
            admission: Admission::new(config.max_in_flight.get(), registry),
            login_limit: Arc::new(LoginLimit::new(
                config.logins_per_minute,
                config.trusted_proxies,
                origin.clone(),
                registry,
            )),
            metrics: Metrics::register(registry),
            pages: Pages::compile()?,
            untaken: Untaken::new(registry),
            sessions,
            attempts,
            oidc: Oidc::new(settings, verifier, http, fetches),
            forms: Forms::new(records.clone()),
            records,
            headers,
            origin,
            cookies,
        }))
    }
}
