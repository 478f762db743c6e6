//! Serves HTTP/1.1 to many clients, of whom some are slow, some hold on to connections, and none is
//! trusted; and stops without losing a request. It does not know what is asked.
//!
//! `axum::serve` has none of these limits, so the accept loop is ours and hyper does the rest.
//! HTTP/2 in plain text is not spoken: browsers have none, and proxies do well without.

mod stream;

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, header},
};
use hyper::{body::Incoming, server::conn::http1, service::Service, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use prometheus_client::metrics::gauge::Gauge;
use service_kit::shutdown::CancellationToken;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};

use crate::random;
use stream::{PatientStream, Turns};

/// The most that the head of a request may take, in bytes: hyper answers 431 beyond it. Cookies of
/// one session and five logins under way take about 4 KiB of it.
const HEAD_BYTES: usize = 32 * 1024;
/// How long connections may go on being accepted at the end, so that none is lost that the kernel
/// had accepted already.
const LAST_ACCEPTS: Duration = Duration::from_millis(50);
/// How long to wait when no connection can be accepted, mostly for want of file descriptors, which
/// only come back as connections end.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What a client may take for itself.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Open connections. Beyond them none is accepted, and the kernel's backlog waits.
    connections: u16,
    /// For the head of a request, from its first byte on; for a first request, from its connection.
    head_within: Duration,
    /// For an answer, from when the socket's buffer is full.
    taken_within: Duration,
    /// Between two requests.
    idle: Duration,
    /// For a connection: the answer after this is its last. A random tenth is added.
    age: Duration,
    /// For a request to come on an idle connection after the pause at the end, which its client sent
    /// before it heard that it is over.
    last_call: Duration,
}

impl Limits {
    const OF_BROWSERS_AND_PROXIES: Self = Self {
        // Below the 1,024 open files that a process has by default, with room for ours to the
        // outside. An idle one holds some KiB, so memory is not what bounds them.
        connections: 900,
        head_within: Duration::from_secs(10),
        // Half a megabyte, more than any page has, at the pace of a bad mobile connection.
        taken_within: Duration::from_mins(1),
        // Longer than proxies keep theirs (nginx and AWS's ALB 60 s): the side that closes first
        // must not be the one that does not know whether a request is on its way.
        idle: Duration::from_secs(75),
        // New replicas get their share from balancers of connections within minutes.
        age: Duration::from_mins(5),
        last_call: Duration::from_secs(1),
    };
}

/// A port, and what answers on it.
pub(crate) struct Server {
    listener: TcpListener,
    router: Router,
    open: Gauge,
    limits: Limits,
}

impl Server {
    /// A server on `listener` that keeps count of its connections in `open`.
    pub(crate) fn new(listener: TcpListener, router: Router, open: Gauge) -> Self {
        Self { listener, router, open, limits: Limits::OF_BROWSERS_AND_PROXIES }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `closing`. From `stopping` on every answer is the last of its connection, so
    /// that clients and proxies leave by themselves before that. Ends when every request that
    /// reached us is answered, which is for the caller to bound.
    pub(crate) async fn run(self, stopping: CancellationToken, closing: CancellationToken) {
        let Self { listener, router, open, limits } = self;
        let slots = Arc::new(Semaphore::new(limits.connections.into()));
        let connection = Connection { router, limits, stopping, closing: closing.clone() };
        let free = Arc::clone(&slots);
        let mut accepting = Box::pin(async move {
            // The semaphore is never closed.
            while let Ok(slot) = Arc::clone(&free).acquire_owned().await {
                let tcp = accept(&listener).await;
                let open = Open::new(slot, open.clone());
                tokio::spawn(connection.clone().serve(tcp, open));
            }
        });
        tokio::select! {
            () = &mut accepting => {}
            () = closing.cancelled() => {
                // It ends only by this, and the port with it.
                let _ = timeout(LAST_ACCEPTS, accepting).await;
            }
        }
        // All slots are free when all connections have ended.
        let _ = slots.acquire_many(limits.connections.into()).await;
    }
}

/// The next connection.
async fn accept(listener: &TcpListener) -> TcpStream {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};

    loop {
        match listener.accept().await {
            Ok((tcp, _)) => return tcp,
            // The client is gone already, which is its own affair.
            Err(error)
                if matches!(
                    error.kind(),
                    ConnectionAborted | ConnectionRefused | ConnectionReset
                ) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Counts as an open connection while it is there.
struct Open {
    _slot: OwnedSemaphorePermit,
    open: Gauge,
}

impl Open {
    fn new(slot: OwnedSemaphorePermit, open: Gauge) -> Self {
        open.inc();
        Self { _slot: slot, open }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.open.dec();
    }
}

/// How each connection is served.
#[derive(Clone)]
struct Connection {
    router: Router,
    limits: Limits,
    stopping: CancellationToken,
    closing: CancellationToken,
}

impl Connection {
    async fn serve(self, tcp: TcpStream, open: Open) {
        let Self { router, limits, stopping, closing } = self;
        // Answers are written whole, so waiting for more to send only delays them.
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let turns = Turns::default();
        let stream =
            PatientStream::new(tcp, turns.clone(), limits.head_within, limits.taken_within);
        // All begin at once when a replica is new, and must not end at once.
        let retires = Instant::now() + limits.age + random::up_to(limits.age / 10);
        let router = TowerToHyperService::new(router);
        let service = service_fn(move |request: Request<Incoming>| {
            turns.next();
            let answer = router.call(request.map(Body::new));
            let (turns, stopping) = (turns.clone(), stopping.clone());
            async move {
                let mut answer = answer.await?;
                turns.next();
                if stopping.is_cancelled() || Instant::now() > retires {
                    let close = HeaderValue::from_static("close");
                    answer.headers_mut().insert(header::CONNECTION, close);
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // hyper begins to count when it begins to wait, so to it this is the time between
            // requests; the stream looks after heads.
            .header_read_timeout(limits.idle)
            .max_header_size(HEAD_BYTES)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let last_call = async {
            closing.cancelled().await;
            sleep(limits.last_call).await;
        };
        let ended = tokio::select! {
            biased;
            ended = &mut connection => ended,
            () = last_call => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke off");
        }
        drop(open);
    }
}

#[cfg(test)]
mod tests;
