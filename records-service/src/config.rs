//! The configuration of each subcommand, parsed before anything binds. After this only the AWS SDK
//! reads the environment.

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroU64},
    path::PathBuf,
    time::Duration,
};

use service_kit::{
    config::{Environment, Mistakes},
    identity::VerifierSettings,
    pem,
    sealing::Secrets,
};
use url::Url;

const SERVE_OPS_ADDRESS: &str = "0.0.0.0:9091";
const AUDIT_OPS_ADDRESS: &str = "0.0.0.0:9092";

/// The names of the tables.
#[derive(Debug, Clone)]
pub struct Tables {
    /// `RECORDS_TABLE`
    pub records: String,
    /// `OUTBOX_TABLE`
    pub outbox: String,
    /// `AUDIT_TABLE`
    pub audit: String,
}

impl Tables {
    fn read(env: &mut Environment) -> Option<Self> {
        let records = env.or("RECORDS_TABLE", "records");
        let outbox = env.or("OUTBOX_TABLE", "records-outbox");
        let audit = env.or("AUDIT_TABLE", "audit-trail");
        Some(Self { records: records?, outbox: outbox?, audit: audit? })
    }
}

/// How the gRPC port is spoken to.
#[derive(Debug, Clone)]
pub enum Transport {
    /// `GRPC_PLAINTEXT`: without TLS, where the network itself protects what goes over it.
    Plaintext,
    /// With TLS, and nothing else.
    Tls(TlsFiles),
}

/// The files, all of them PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// `GRPC_TLS_CERT`: the certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// `GRPC_TLS_KEY`: its key.
    pub key: PathBuf,
    /// `GRPC_TLS_CLIENT_CA`: who issues the certificates of clients; without it they need none.
    pub client_ca: Option<PathBuf>,
    /// `GRPC_TLS_RELOAD_SECONDS`: how often the files are looked at.
    pub reload_every: Duration,
}

impl Transport {
    fn read(env: &mut Environment) -> Option<Self> {
        let is_plaintext = env.or("GRPC_PLAINTEXT", "false");
        let reload_every = env
            .or::<NonZeroU64>("GRPC_TLS_RELOAD_SECONDS", "60")
            .map(|seconds| Duration::from_secs(seconds.get()));
        let is_set = |variable| env.optional(variable).is_some();
        let has_files =
            ["GRPC_TLS_CERT", "GRPC_TLS_KEY", "GRPC_TLS_CLIENT_CA"].into_iter().any(is_set);
        let checks_clients = is_set("GRPC_TLS_CLIENT_CA");
        match (is_plaintext?, has_files) {
            (true, false) => Some(Self::Plaintext),
            (true, true) => {
                let problem = "is true, and GRPC_TLS_… are set as well: choose one of them";
                env.mistake("GRPC_PLAINTEXT", problem);
                None
            }
            (false, false) => {
                let problem = "is not set: set it and GRPC_TLS_KEY to the files of a certificate \
                               and its key, or GRPC_PLAINTEXT=true where the network itself \
                               protects what goes over it";
                env.mistake("GRPC_TLS_CERT", problem);
                None
            }
            (false, true) => {
                let certificate = env.file("GRPC_TLS_CERT", pem::certificates);
                let key = env.file("GRPC_TLS_KEY", pem::key);
                let client_ca =
                    checks_clients.then(|| env.file("GRPC_TLS_CLIENT_CA", pem::authorities));
                Some(Self::Tls(TlsFiles {
                    certificate: certificate?,
                    key: key?,
                    client_ca: match client_ca {
                        Some(path) => Some(path?),
                        None => None,
                    },
                    reload_every: reload_every?,
                }))
            }
        }
    }
}

/// How often something may happen.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// So many times a second, for as long as one likes.
    pub per_second: NonZeroU32,
    /// So many times at once, after a pause.
    pub burst: NonZeroU32,
}

impl Rate {
    fn read(env: &mut Environment, whose: &str, per_second: &str, burst: &str) -> Option<Self> {
        let per_second = env.or(&format!("{whose}_RATE_PER_SECOND"), per_second);
        let burst = env.or(&format!("{whose}_BURST"), burst);
        Some(Self { per_second: per_second?, burst: burst? })
    }
}

/// What `serve` needs.
pub struct ServeConfig {
    /// `RECORDS_ADDRESS`: where gRPC is served.
    pub address: SocketAddr,
    /// How it is spoken to there.
    pub transport: Transport,
    /// `OPS_ADDRESS`: the private port with the probes.
    pub ops_address: SocketAddr,
    /// Which access tokens are good.
    pub verifier: VerifierSettings,
    /// Where everything is stored.
    pub tables: Tables,
    /// `AUDIT_QUEUE_URL`: where events are published.
    pub queue_url: Url,
    /// `PAGE_TOKEN_SECRET`: what page tokens are sealed with.
    pub page_token_secrets: Secrets,
    /// `GRPC_REFLECTION`: whether the contract can be asked for.
    pub reflection: bool,
    /// `MAX_IN_FLIGHT`: how many calls are let in at a time.
    pub max_in_flight: NonZeroU32,
    /// `CALLER_RATE_PER_SECOND`, `CALLER_BURST`: how often one caller may call.
    pub caller_rate: Rate,
    /// `ORGANIZATION_RATE_PER_SECOND`, `ORGANIZATION_BURST`: how often all callers of one
    /// organization may.
    pub organization_rate: Rate,
    /// `MAX_CONNECTIONS`: how many connections may be open.
    pub max_connections: NonZeroU32,
    /// `MAX_CONNECTION_AGE_SECONDS`: when a connection is closed at the latest, and its client
    /// opens another.
    pub max_connection_age: Duration,
    /// `SHUTDOWN_PAUSE_SECONDS`: how long to go on accepting after SIGTERM, until balancers know.
    pub shutdown_pause: Duration,
}

impl ServeConfig {
    /// # Errors
    /// Every mistake, by variable.
    pub fn read(mut env: Environment) -> Result<Self, Mistakes> {
        let address = env.or("RECORDS_ADDRESS", "0.0.0.0:50051");
        let transport = Transport::read(&mut env);
        let ops_address = env.or("OPS_ADDRESS", SERVE_OPS_ADDRESS);
        let verifier = VerifierSettings::from_environment(&mut env);
        let tables = Tables::read(&mut env);
        let queue_url = env.url("AUDIT_QUEUE_URL");
        let page_token_secrets = Secrets::from_environment(&mut env, "PAGE_TOKEN_SECRET");
        let reflection = env.or("GRPC_REFLECTION", "true");
        let max_in_flight = env.or("MAX_IN_FLIGHT", "256");
        let caller_rate = Rate::read(&mut env, "CALLER", "500", "1000");
        let organization_rate = Rate::read(&mut env, "ORGANIZATION", "1000", "2000");
        let max_connections = env.or("MAX_CONNECTIONS", "512");
        let max_connection_age = env
            .or::<NonZeroU64>("MAX_CONNECTION_AGE_SECONDS", "300")
            .map(|seconds| Duration::from_secs(seconds.get()));
        let shutdown_pause = env.or("SHUTDOWN_PAUSE_SECONDS", "0").map(Duration::from_secs);
        let config = || {
            Some(Self {
                address: address?,
                transport: transport?,
                ops_address: ops_address?,
                verifier: verifier?,
                tables: tables?,
                queue_url: queue_url?,
                page_token_secrets: page_token_secrets?,
                reflection: reflection?,
                max_in_flight: max_in_flight?,
                caller_rate: caller_rate?,
                organization_rate: organization_rate?,
                max_connections: max_connections?,
                max_connection_age: max_connection_age?,
                shutdown_pause: shutdown_pause?,
            })
        };
        let config = config();
        env.finish(config)
    }
}

/// What `audit` needs.
pub struct AuditConfig {
    /// `OPS_ADDRESS`: the private port with the probes.
    pub ops_address: SocketAddr,
    /// Where the trail is stored.
    pub tables: Tables,
    /// `AUDIT_QUEUE_URL`: where events come from.
    pub queue_url: Url,
}

impl AuditConfig {
    /// # Errors
    /// Every mistake, by variable.
    pub fn read(mut env: Environment) -> Result<Self, Mistakes> {
        let ops_address = env.or("OPS_ADDRESS", AUDIT_OPS_ADDRESS);
        let tables = Tables::read(&mut env);
        let queue_url = env.url("AUDIT_QUEUE_URL");
        let config =
            || Some(Self { ops_address: ops_address?, tables: tables?, queue_url: queue_url? });
        let config = config();
        env.finish(config)
    }
}

/// Where `healthcheck` asks: `OPS_ADDRESS`; where it is not set, the port of `serve`, and if nobody
/// listens there, that of `audit`, which runs in a container of the same image.
///
/// # Errors
/// When it is no address.
pub fn ops_addresses(mut env: Environment) -> Result<(SocketAddr, Option<SocketAddr>), Mistakes> {
    let otherwise = match env.optional("OPS_ADDRESS") {
        Some(_) => None,
        None => env.or("OPS_ADDRESS", AUDIT_OPS_ADDRESS),
    };
    let address = env.or("OPS_ADDRESS", SERVE_OPS_ADDRESS).map(|address| (address, otherwise));
    env.finish(address)
}

/// What `provision` needs.
pub struct ProvisionConfig {
    /// The tables of this service.
    pub tables: Tables,
    /// `SESSIONS_TABLE`: the table of the frontend, which has no power to make one.
    pub sessions_table: String,
    /// `AUDIT_QUEUE_NAME`: its dead-letter queue has the suffix `-dlq`.
    pub queue_name: String,
    /// `TABLE_PROTECTION`: whether tables get point-in-time recovery and deletion protection.
    /// A local DynamoDB has neither.
    pub protection: bool,
}

impl ProvisionConfig {
    /// # Errors
    /// Every mistake, by variable.
    pub fn read(mut env: Environment) -> Result<Self, Mistakes> {
        let tables = Tables::read(&mut env);
        let sessions_table = env.or("SESSIONS_TABLE", "sessions");
        let queue_name = env.or::<String>("AUDIT_QUEUE_NAME", "audit-events");
        if queue_name.as_deref().is_some_and(has_fifo_suffix) {
            env.mistake("AUDIT_QUEUE_NAME", "must name a standard queue, without .fifo");
        }
        let protection = env.or("TABLE_PROTECTION", "true");
        let config = || {
            Some(Self {
                tables: tables?,
                sessions_table: sessions_table?,
                queue_name: queue_name?,
                protection: protection?,
            })
        };
        let config = config();
        env.finish(config)
    }
}

/// Whether this is the name, or the path, of a FIFO queue.
pub(crate) fn has_fifo_suffix(name: &str) -> bool {
    name.strip_suffix(".fifo").is_some()
}
