//! The configuration of the frontend, read once before anything binds. It does not know what the
//! values are used for.

use std::{
    net::SocketAddr,
    num::{NonZeroU16, NonZeroU32},
    time::Duration,
};

use secrecy::SecretString;
use service_kit::{
    config::{Environment, Mistakes, is_loopback},
    identity::VerifierSettings,
    sealing::Secrets,
    telemetry::LogSettings,
};
use url::Url;

/// The variables and what each is for, as `--help` prints them.
pub const VARIABLES: &str = "\
Environment (each variable marked * must be set; a secret NAME may be a file named by NAME_FILE):
  APP_ADDRESS             where to listen [0.0.0.0:3000]
  APP_BASE_URL          * the origin that browsers use, such as https://records.example.com;
                          plain http is for localhost only
  OPS_ADDRESS             where /livez, /readyz and /metrics answer [0.0.0.0:9090]
  AUTH0_DOMAIN          * the Auth0 tenant, such as tenant.eu.auth0.com
  AUTH0_ISSUER_URL        the whole issuer URL, instead of AUTH0_DOMAIN
  AUTH0_CLIENT_ID       * the application's client id
  AUTH0_CLIENT_SECRET   * the application's client secret (secret)
  AUTH0_AUDIENCE        * the API identifier that access tokens are for
  AUTH0_SECRET          * keys of 32 characters or more for cookies and sessions, separated by
                          commas: the first seals, all open (secret)
  ACTOR_NAME_CLAIM        the access-token claim with the display name [https://org-records/name]
  DEFAULT_PERMISSIONS     for access tokens without permissions [records:read records:create]
  LOGIN_ORIGINS           further origins that a login or logout passes through, such as that of an
                          enterprise identity provider, separated by spaces
  RECORDS_SERVICE_URL   * records-service, such as http://localhost:50051; https for TLS. Several
                          are separated by commas; every address of a host name is a replica
  MAX_IN_FLIGHT           requests worked on at once; what is beyond is answered 503 [256]
  LOGIN_RATE_PER_MINUTE   requests of logins and logouts that one address may send in a minute; what
                          is beyond is answered 429 [600]
  TRUSTED_PROXY_HOPS      how many proxies of yours each request comes through: the client's address
                          is that many from the right of X-Forwarded-For. With 0 it is the peer's [0]
  SESSIONS_TABLE          the DynamoDB table of sessions [sessions]
  OTEL_EXPORTER_OTLP_ENDPOINT
                          where traces go, such as http://collector:4318; other OTEL_* as well
  AWS_REGION, AWS_ENDPOINT_URL_DYNAMODB and the rest of the AWS SDK's own variables
  LOG_FORMAT              json, text or auto: text on a terminal, else json [auto]
  RUST_LOG                what to log [info]
  SHUTDOWN_PAUSE_SECONDS  how long to go on accepting after SIGTERM, until balancers know [0]";

/// Everything that is configured.
pub struct Config {
    /// Where to listen.
    pub address: SocketAddr,
    /// Where the ops port listens.
    pub ops_address: SocketAddr,
    /// The origin that browsers use, with the path `/`.
    pub base_url: Url,
    /// What access tokens must match, and the issuer.
    pub tokens: VerifierSettings,
    /// The application's client id.
    pub client_id: String,
    /// The application's client secret.
    pub client_secret: SecretString,
    /// Origins beside the issuer's that a login or logout passes through.
    pub login_origins: Vec<Url>,
    /// Keys for cookies and sessions.
    pub secrets: Secrets,
    /// Where records-service is: one URL or several, all of the same.
    pub records_urls: Vec<Url>,
    /// How many requests are worked on at once.
    pub max_in_flight: NonZeroU16,
    /// How many requests of logins and logouts one address may send in a minute.
    pub logins_per_minute: NonZeroU32,
    /// How many proxies of ours each request comes through.
    pub trusted_proxies: u8,
    /// The table of sessions.
    pub sessions_table: String,
    /// How and what is logged.
    pub log: LogSettings,
    /// How long to go on accepting after the signal to stop.
    pub shutdown_pause: Duration,
}

impl Config {
    /// Reads all variables.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn from_environment(mut env: Environment) -> Result<Self, Mistakes> {
        let address = env.or("APP_ADDRESS", "0.0.0.0:3000");
        let ops_address = read_ops_address(&mut env);
        let base_url = base_url(&mut env);
        let tokens = VerifierSettings::from_environment(&mut env);
        let client_id = env.required("AUTH0_CLIENT_ID");
        let client_secret = env.secret("AUTH0_CLIENT_SECRET");
        let login_origins = login_origins(&mut env);
        let secrets = Secrets::from_environment(&mut env, "AUTH0_SECRET");
        let records_urls = env.urls("RECORDS_SERVICE_URL");
        let max_in_flight = env.or("MAX_IN_FLIGHT", "256");
        let logins_per_minute = env.or("LOGIN_RATE_PER_MINUTE", "600");
        let trusted_proxies = env.or("TRUSTED_PROXY_HOPS", "0");
        let sessions_table = env.or("SESSIONS_TABLE", "sessions");
        let log = LogSettings::from_environment(&mut env);
        let shutdown_pause = env.or("SHUTDOWN_PAUSE_SECONDS", "0").map(Duration::from_secs);
        let config = (|| {
            Some(Self {
                address: address?,
                ops_address: ops_address?,
                base_url: base_url?,
                tokens: tokens?,
                client_id: client_id?,
                client_secret: client_secret?,
                login_origins,
                secrets: secrets?,
                records_urls: records_urls?,
                max_in_flight: max_in_flight?,
                logins_per_minute: logins_per_minute?,
                trusted_proxies: trusted_proxies?,
                sessions_table: sessions_table?,
                log,
                shutdown_pause: shutdown_pause?,
            })
        })();
        env.finish(config)
    }
}

/// Where the ops port listens, for who only needs that.
///
/// # Errors
/// A mistake in `OPS_ADDRESS`.
pub fn ops_address(mut env: Environment) -> Result<SocketAddr, Mistakes> {
    let address = read_ops_address(&mut env);
    env.finish(address)
}

fn read_ops_address(env: &mut Environment) -> Option<SocketAddr> {
    env.or("OPS_ADDRESS", "0.0.0.0:9090")
}

fn login_origins(env: &mut Environment) -> Vec<Url> {
    let mut origins = Vec::new();
    for text in env.words::<Vec<_>>("LOGIN_ORIGINS", "") {
        match Url::parse(&text) {
            Ok(url) if url.scheme() == "https" && url.has_host() => origins.push(url),
            _ => env.mistake("LOGIN_ORIGINS", format!("{text:?} is not an https origin")),
        }
    }
    origins
}

/// `APP_BASE_URL`, which must be an origin: cookies and redirects are for all of it.
fn base_url(env: &mut Environment) -> Option<Url> {
    let url = env.url("APP_BASE_URL")?;
    let is_origin = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !is_origin {
        env.mistake("APP_BASE_URL", "must be an origin, without a path, query or user");
        return None;
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        let problem =
            "plain http is for localhost only, as cookies would travel unprotected; use https";
        env.mistake("APP_BASE_URL", problem);
        return None;
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 7] = [
        ("APP_BASE_URL", "https://records.example.com"),
        ("AUTH0_DOMAIN", "tenant.eu.auth0.com"),
        ("AUTH0_CLIENT_ID", "client"),
        ("AUTH0_CLIENT_SECRET", "secret"),
        ("AUTH0_AUDIENCE", "https://records.local/api"),
        ("AUTH0_SECRET", "0123456789abcdef0123456789abcdef"),
        ("RECORDS_SERVICE_URL", "http://localhost:50051"),
    ];

    fn with(changes: &[(&str, &str)]) -> Result<Config, Mistakes> {
        let pairs = GOOD.iter().filter(|(name, _)| changes.iter().all(|(other, _)| name != other));
        Config::from_environment(Environment::from_pairs(pairs.chain(changes).copied()))
    }

    #[test]
    fn what_has_a_default_need_not_be_set() {
        let config = with(&[]).unwrap();

        assert_eq!(config.address.port(), 3000);
        assert_eq!(config.ops_address.port(), 9090);
        assert_eq!(config.sessions_table, "sessions");
        assert_eq!(config.base_url.as_str(), "https://records.example.com/");
        assert_eq!(config.shutdown_pause, Duration::ZERO);
        assert_eq!(config.max_in_flight.get(), 256);
        assert_eq!(config.logins_per_minute.get(), 600);
        assert_eq!(config.trusted_proxies, 0);
        assert_eq!(config.records_urls.len(), 1);
    }

    #[test]
    fn records_service_may_be_at_several_addresses() {
        let config = with(&[("RECORDS_SERVICE_URL", "http://a:50051, https://b")]).unwrap();

        let urls: Vec<_> = config.records_urls.iter().map(Url::as_str).collect();
        assert_eq!(urls, ["http://a:50051/", "https://b/"]);
        assert!(with(&[("RECORDS_SERVICE_URL", "http://a:50051,")]).is_err());
        assert!(with(&[("RECORDS_SERVICE_URL", "http://a:50051,b")]).is_err());
    }

    #[test]
    fn all_mistakes_are_listed_at_once() {
        let mistakes = Config::from_environment(Environment::from_pairs([
            ("APP_ADDRESS", "nowhere"),
            ("APP_BASE_URL", "ftp://records.example"),
            ("AUTH0_CLIENT_SECRET_FILE", "/does/not/exist"),
            ("AUTH0_SECRET", "short"),
            ("LOG_FORMAT", "xml"),
            ("LOGIN_RATE_PER_MINUTE", "0"),
            ("MAX_IN_FLIGHT", "0"),
            ("SHUTDOWN_PAUSE_SECONDS", "-1"),
            ("TRUSTED_PROXY_HOPS", "many"),
        ]))
        .err()
        .unwrap()
        .to_string();

        for variable in [
            "APP_ADDRESS",
            "APP_BASE_URL",
            "AUTH0_DOMAIN",
            "AUTH0_CLIENT_ID",
            "AUTH0_CLIENT_SECRET_FILE",
            "AUTH0_AUDIENCE",
            "AUTH0_SECRET",
            "RECORDS_SERVICE_URL",
            "LOG_FORMAT",
            "LOGIN_RATE_PER_MINUTE",
            "MAX_IN_FLIGHT",
            "SHUTDOWN_PAUSE_SECONDS",
            "TRUSTED_PROXY_HOPS",
        ] {
            assert!(mistakes.contains(&format!("\n  {variable}: ")), "{variable}: {mistakes}");
        }
        assert!(mistakes.contains("13 mistake(s)"), "{mistakes}");
    }

    #[test]
    fn the_base_url_is_an_origin_and_plain_http_is_for_localhost() {
        let good = [
            "http://localhost:3000",
            "http://localhost:3000/",
            "http://127.0.0.1:3000",
            "http://[::1]:3000",
            "http://app.localhost",
            "https://records.example.com:8443",
        ];
        for url in good {
            assert!(with(&[("APP_BASE_URL", url)]).is_ok(), "{url}");
        }
        let bad = [
            "https://records.example.com/app",
            "https://records.example.com/?a",
            "https://user@records.example.com/",
            "http://records.example.com",
            "http://localhost.example.com",
        ];
        for url in bad {
            assert!(with(&[("APP_BASE_URL", url)]).is_err(), "{url}");
        }
    }

    #[test]
    fn the_help_names_every_variable() {
        let names = GOOD.iter().map(|(name, _)| *name);
        let others = [
            "APP_ADDRESS",
            "LOGIN_RATE_PER_MINUTE",
            "MAX_IN_FLIGHT",
            "OPS_ADDRESS",
            "SESSIONS_TABLE",
            "SHUTDOWN_PAUSE_SECONDS",
            "TRUSTED_PROXY_HOPS",
        ];
        for name in names.chain(others) {
            assert!(VARIABLES.contains(&format!("\n  {name} ")), "{name}");
        }
    }
}
