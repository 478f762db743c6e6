//! The private ops port of a process: `/livez`, `/readyz` and `/metrics`. It is not reachable from
//! outside and asks for no login. It knows whether the process is ready, and what is measured, only
//! from what it is given.

use std::{
    collections::VecDeque,
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::gauge::ConstGauge,
    registry::Registry,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

use crate::{
    listening,
    shutdown::{self, CancellationToken},
};

/// How long one request may take, from its connection to the end of its answer: scrapers wait no
/// longer either. Each has a connection of its own, so that none is left behind by who goes away
/// without a word.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// How many connections there may be. For one more the oldest is closed: a probe, which is answered at
/// once, is never the one that waits longest.
const CONNECTIONS: usize = 128;
/// How long nothing is accepted after the operating system refused, for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a probe may take to read its answer at the end.
const DRAIN: Duration = Duration::from_secs(1);
/// The content type of the text format, by version 1.0 of its specification.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the process takes work. It begins as not ready.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Says from now on whether the process takes work.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Collector for Readiness {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let ready = ConstGauge::new(i64::from(self.get()));
        let help = "1 while the process takes work";
        ready.encode(encoder.encode_descriptor(
            "org_records_ready",
            help,
            None,
            ready.metric_type(),
        )?)
    }
}

/// The ops port, bound and not yet served.
pub struct OpsPort {
    listener: TcpListener,
    readiness: Readiness,
    registry: Registry,
}

impl OpsPort {
    /// Takes the port. Port 0 takes any free one. What is registered is shown, and
    /// `org_records_ready` with it.
    ///
    /// # Errors
    /// When the address cannot be bound; the error names it.
    pub fn bind(
        address: SocketAddr,
        readiness: Readiness,
        mut registry: Registry,
    ) -> io::Result<Self> {
        let listener = listening::bind(address)?;
        registry.register_collector(Box::new(readiness.clone()));
        Ok(Self { listener, readiness, registry })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stopped`, which should be the last thing to stop: a probe that gets no
    /// answer looks like a crash.
    pub async fn run(self, stopped: CancellationToken) {
        let router = Router::new()
            .route("/livez", get(|| async { "live\n" }))
            .route("/readyz", get(readyz))
            .with_state(self.readiness)
            .route("/metrics", get(metrics))
            .with_state(Arc::new(self.registry));
        let mut connections = Connections::default();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => connections.begin(stream, router.clone()),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection of the ops port");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                () = stopped.cancelled() => break,
            }
        }
        // Who has sent half a request could otherwise keep the process from ending.
        shutdown::drain(connections.end(), &stopped, DRAIN).await;
    }
}

/// The connections of the port, which end when they are dropped.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    oldest_first: VecDeque<AbortHandle>,
}

impl Connections {
    fn begin(&mut self, stream: TcpStream, router: Router) {
        while self.tasks.try_join_next().is_some() {}
        self.oldest_first.retain(|task| !task.is_finished());
        if self.oldest_first.len() == CONNECTIONS
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            oldest.abort();
        }
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        let task = self.tasks.spawn(async {
            // Whatever becomes of it: whoever asked sees it as well.
            let _ = timeout(REQUEST_LIMIT, connection).await;
        });
        self.oldest_first.push_back(task);
    }

    async fn end(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn readyz(State(readiness): State<Readiness>) -> (StatusCode, &'static str) {
    if readiness.get() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match text::encode(&mut text, &registry) {
        Ok(()) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot encode metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        time::timeout,
    };

    use super::*;

    #[tokio::test]
    async fn half_a_request_does_not_keep_the_port_open_for_ever() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let ops = OpsPort::bind(any, Readiness::default(), Registry::default()).unwrap();
        let address = ops.address().unwrap();
        let stopped = CancellationToken::new();
        let run = tokio::spawn(ops.run(stopped.clone()));
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET /livez HTTP/1.1\r\nHost: x").await.unwrap();
        // Connections are accepted in turn, so an answer to a second one shows that the first was.
        let mut whole = TcpStream::connect(address).await.unwrap();
        whole.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        whole.read_exact(&mut [0; 12]).await.unwrap();

        stopped.cancel();

        assert!(timeout(Duration::from_secs(5), run).await.is_ok());
    }
}
