//! The configuration of the frontend, read once before anything binds. It does not know what the
//! values are used for.

use std::{
    net::SocketAddr,
    num::{NonZeroU16, NonZeroU32},
    path::PathBuf,
    time::Duration,
};

use secrecy::SecretString;
use service_kit::{
    config::{Environment, Mistakes, is_loopback},
    identity::VerifierSettings,
    pem,
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
  RECORDS_SERVICE_URL   * records-service, such as https://localhost:50051. Several
                          are separated by commas; every address of a host name is a replica
  RECORDS_SERVICE_CA      PEM file of the authority of its certificates [the machine's]
  RECORDS_SERVICE_CLIENT_CERT, RECORDS_SERVICE_CLIENT_KEY
                          PEM files of the certificate, and its key, that we show it [none]
  RECORDS_SERVICE_PLAINTEXT
                          whether it may be called by http, without TLS [false]
  MAX_IN_FLIGHT           requests worked on at once; what is beyond is answered 503 [256]
  LOGIN_RATE_PER_MINUTE   requests of logins that one address may send in a minute; what is
                          beyond is answered 429 [600]
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
    /// What of TLS is in files, for those of the URLs that are https.
    pub records_tls: RecordsTls,
    /// How many requests are worked on at once.
    pub max_in_flight: NonZeroU16,
    /// How many requests of logins one address may send in a minute.
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

/// The certificates on the way to records-service: PEM files, which may change while we run.
#[derive(Debug, Clone, Default)]
pub struct RecordsTls {
    /// `RECORDS_SERVICE_CA`: who issues its certificates; without it, anybody whom the machine trusts.
    pub authority: Option<PathBuf>,
    /// `RECORDS_SERVICE_CLIENT_CERT` and `RECORDS_SERVICE_CLIENT_KEY`: what we show.
    pub certificate: Option<(PathBuf, PathBuf)>,
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
        let (records_urls, records_tls) = records_service(&mut env);
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
                records_tls: records_tls?,
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

/// Where records-service is, and what of TLS is needed for that.
fn records_service(env: &mut Environment) -> (Option<Vec<Url>>, Option<RecordsTls>) {
    let urls = env.urls("RECORDS_SERVICE_URL");
    let may_be_plain = env.or("RECORDS_SERVICE_PLAINTEXT", "false");
    let is_plain = |url: &Url| url.scheme() == "http";
    if urls.iter().flatten().any(is_plain) && may_be_plain == Some(false) {
        let problem = "http is without TLS: use https, or RECORDS_SERVICE_PLAINTEXT=true where the \
                       network itself protects what goes over it";
        env.mistake("RECORDS_SERVICE_URL", problem);
    }
    let files = ["RECORDS_SERVICE_CA", "RECORDS_SERVICE_CLIENT_CERT", "RECORDS_SERVICE_CLIENT_KEY"];
    let [ca, certificate, key] = files.map(|variable| env.optional(variable).is_some());
    if urls.as_ref().is_some_and(|urls| urls.iter().all(is_plain)) {
        for (variable, _) in files.into_iter().zip([ca, certificate, key]).filter(|(_, set)| *set) {
            env.mistake(variable, "is for https, and RECORDS_SERVICE_URL is http");
        }
    }
    let authority = ca.then(|| env.file("RECORDS_SERVICE_CA", pem::authorities));
    let ours = (certificate || key).then(|| {
        let certificate = env.file("RECORDS_SERVICE_CLIENT_CERT", pem::certificates);
        let key = env.file("RECORDS_SERVICE_CLIENT_KEY", pem::key);
        certificate.zip(key)
    });
    let tls = match (authority, ours) {
        (Some(None), _) | (_, Some(None)) => None,
        (authority, ours) => {
            Some(RecordsTls { authority: authority.flatten(), certificate: ours.flatten() })
        }
    };
    (urls, tls)
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
        ("RECORDS_SERVICE_URL", "https://localhost:50051"),
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
        let with =
            |urls| with(&[("RECORDS_SERVICE_URL", urls), ("RECORDS_SERVICE_PLAINTEXT", "true")]);
        let config = with("http://a:50051, https://b").unwrap();

        let urls: Vec<_> = config.records_urls.iter().map(Url::as_str).collect();
        assert_eq!(urls, ["http://a:50051/", "https://b/"]);
        assert!(with("http://a:50051,").is_err());
        assert!(with("http://a:50051,b").is_err());
    }

    #[test]
    fn records_service_is_called_without_tls_only_where_that_is_configured() {
        let http = ("RECORDS_SERVICE_URL", "https://a,http://b:50051");
        let problem = with(&[http]).err().unwrap().to_string();

        assert!(problem.contains("\n  RECORDS_SERVICE_URL: http is without TLS"), "{problem}");
        assert!(with(&[http, ("RECORDS_SERVICE_PLAINTEXT", "false")]).is_err());
        assert!(with(&[http, ("RECORDS_SERVICE_PLAINTEXT", "true")]).is_ok());
    }

    #[test]
    fn certificates_are_read_at_the_start_and_belong_to_https() {
        let mistakes = |changes: &[(&str, &str)]| with(changes).err().unwrap().to_string();

        let missing = mistakes(&[
            ("RECORDS_SERVICE_CA", "/does/not/exist"),
            ("RECORDS_SERVICE_CLIENT_CERT", "/dev/null"),
        ]);
        let needless = mistakes(&[
            ("RECORDS_SERVICE_URL", "http://a:50051"),
            ("RECORDS_SERVICE_PLAINTEXT", "true"),
            ("RECORDS_SERVICE_CA", "/dev/null"),
        ]);

        for line in [
            "RECORDS_SERVICE_CA: cannot read",
            "RECORDS_SERVICE_CLIENT_CERT: \"/dev/null\": there is no certificate in it",
            "RECORDS_SERVICE_CLIENT_KEY: is not set",
        ] {
            assert!(missing.contains(&format!("\n  {line}")), "{missing}");
        }
        assert!(needless.contains("\n  RECORDS_SERVICE_CA: is for https"), "{needless}");
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
            "RECORDS_SERVICE_CA",
            "SESSIONS_TABLE",
            "SHUTDOWN_PAUSE_SECONDS",
            "TRUSTED_PROXY_HOPS",
        ];
        for name in names.chain(others) {
            assert!(VARIABLES.contains(&format!("\n  {name} ")), "{name}");
        }
    }
}
