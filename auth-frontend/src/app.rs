//! The running frontend: takes its ports, answers on them, and drains when it is told to stop.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, middleware};
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use service_kit::{
    aws, listening, metrics,
    ops::{OpsPort, Readiness},
    shutdown::{self, CancellationToken},
};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    config::Config,
    error::Error,
    routes::table,
    server::Server,
    site::{Site, SiteError},
    visit,
};

/// How long requests under way may take after the pause: a little longer than any request may.
const DRAIN_LIMIT: Duration = Duration::from_secs(22);

/// The frontend with its ports taken, not yet answering.
pub struct App {
    server: Server,
    ops: OpsPort,
    readiness: Readiness,
    shutdown_pause: Duration,
}

/// Why the frontend does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// AWS cannot be used.
    #[error(transparent)]
    Aws(#[from] aws::NoRegion),
    /// What it works with cannot be made.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// A port cannot be taken.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Every route, and what is answered where there is none.
fn routes(site: Arc<Site>) -> Router {
    let routes = table::router(&site)
        .fallback(async || Error::PageNotFound)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed);
    observed(routes, site)
}

/// The routes with all that every request goes through.
fn observed(routes: Router<Arc<Site>>, site: Arc<Site>) -> Router {
    routes
        .layer(CatchPanicLayer::custom(visit::after_panic))
        .layer(middleware::from_fn_with_state(Arc::clone(&site), visit::observe))
        .with_state(site)
}

/// Makes everything and takes the ports. Neither the provider nor AWS nor records-service need to
/// be up.
///
/// # Errors
/// See [`StartError`].
pub async fn bind(config: Config) -> Result<App, StartError> {
    let (address, ops_address) = (config.address, config.ops_address);
    let shutdown_pause = config.shutdown_pause;
    let mut registry = metrics::registry("frontend");
    let site = Site::new(config, &aws::load().await?, &mut registry)?;
    let open = connections(&mut registry);
    let readiness = Readiness::default();
    Ok(App {
        server: Server::new(listening::bind_for_many(address)?, routes(site), open),
        ops: OpsPort::bind(ops_address, readiness.clone(), registry)?,
        readiness,
        shutdown_pause,
    })
}

/// `http_server_connections`
fn connections(registry: &mut Registry) -> Gauge {
    let open = Gauge::default();
    registry.register("http_server_connections", "Open connections", open.clone());
    open
}

impl App {
    /// The address of the pages.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.server.address()
    }

    /// The address of the ops port.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn ops_address(&self) -> io::Result<SocketAddr> {
        self.ops.address()
    }

    /// Answers until `stopping`, then says that it is not ready, goes on for the configured pause
    /// while clients leave, takes no new connections, and finishes what is under way. The ops port
    /// is the last to go.
    ///
    /// # Errors
    /// When the operating system does not tell the addresses.
    pub async fn run(self, stopping: CancellationToken) -> io::Result<()> {
        tracing::info!(address = %self.address()?, "listening");
        tracing::info!(address = %self.ops_address()?, port = "ops", "listening");
        let Self { server, ops, readiness, shutdown_pause } = self;
        let ops_stopping = CancellationToken::new();
        let ops = tokio::spawn(ops.run(ops_stopping.clone()));
        let closing = CancellationToken::new();
        let server = server.run(stopping.clone(), closing.clone());
        readiness.set(true);

        let leave = async {
            stopping.cancelled().await;
            readiness.set(false);
            tokio::time::sleep(shutdown_pause).await;
            closing.cancel();
        };
        let end = async {
            tokio::join!(server, leave);
        };
        shutdown::drain(end, &closing, DRAIN_LIMIT).await;

        ops_stopping.cancel();
        // The ops port has nothing to lose, and its task can only have panicked.
        let _ = ops.await;
        tracing::info!("stopped");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aws_config::{BehaviorVersion, Region, SdkConfig};
    use axum::{body::Body, extract::Request, http::StatusCode, routing::get};
    use service_kit::config::Environment;
    use tower::ServiceExt;

    use super::*;

    fn site() -> Arc<Site> {
        let environment = Environment::from_pairs([
            ("APP_BASE_URL", "https://records.example"),
            ("AUTH0_DOMAIN", "tenant.eu.auth0.com"),
            ("AUTH0_AUDIENCE", "https://records.example/api"),
            ("AUTH0_CLIENT_ID", "client"),
            ("AUTH0_CLIENT_SECRET", "secret"),
            ("AUTH0_SECRET", "0123456789abcdef0123456789abcdef"),
            ("RECORDS_SERVICE_URL", "https://records-service.example"),
        ]);
        let config = Config::from_environment(environment).unwrap();
        let aws = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-central-1"))
            .build();
        Site::new(config, &aws, &mut metrics::registry("frontend")).unwrap()
    }

    #[tokio::test]
    async fn a_panic_becomes_a_page_like_any_other_fault() {
        let panicking = Router::new().route("/", get(async || -> &'static str { panic!("oh") }));
        let router = observed(panicking, site());

        let answer = router.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();

        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(answer.headers().contains_key("content-security-policy"));
        assert!(answer.headers().contains_key("strict-transport-security"));
        let html = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        let html = String::from_utf8(html.to_vec()).unwrap();
        assert!(html.contains("Something went wrong on our side") && !html.contains("oh<"));
    }
}
