//! Serves HTTP/1.1 to many clients, of whom some are slow, some hold on to connections, and none is
//! trusted; and stops without losing a request. It does not know what is asked.
//!
//! `axum::serve` has none of these limits, so the accept loop is ours and hyper does the rest.
//! HTTP/2 in plain text is not spoken: browsers have none, and proxies do well without.

mod turn;

use std::{
    convert::Infallible,
    future::pending,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderValue, Request, header},
};
use hyper::{body::Incoming, server::conn::http1, service::Service, service::service_fn};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use prometheus_client::metrics::gauge::Gauge;
use service_kit::{metrics::Tally, shutdown::CancellationToken};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep, timeout},
};

use crate::random;
use turn::{Given, Sent, Turn};

/// The most that is read of the head of a request, in bytes: beyond it hyper answers 431, without a
/// page. It is more than is taken (`visit`), so that people mostly see one.
const HEAD_BYTES: usize = 64 * 1024;
/// How long connections may go on being accepted at the end, so that none is lost that the kernel
/// had accepted already.
const LAST_ACCEPTS: Duration = Duration::from_millis(50);
/// How long to wait when no connection can be accepted, mostly for want of file descriptors, which
/// only come back as connections end.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What a client may take for itself.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Open connections. Beyond them the next one waits until another ends, which an answer then does,
    /// and the others wait in the kernel's backlog.
    connections: u16,
    /// For the head of a first request, from its connection on.
    first_head: Duration,
    /// For any other turn of a client: a body, taking an answer (or a part of it, where it comes in
    /// several) and sending the next head.
    turn: Duration,
    /// For a turn of a client while somebody waits for a connection: after this, whoever's has
    /// lasted longest makes room.
    turn_in_a_crowd: Duration,
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
        first_head: Duration::from_secs(10),
        // Longer than proxies keep an idle connection (nginx and AWS's ALB 60 s): the side that
        // closes first must not be the one that does not know whether a request is on its way. And
        // half a megabyte, which hardly any page has, at the pace of a bad mobile connection.
        turn: Duration::from_secs(75),
        // Several round trips to anywhere. Who wants to keep everybody out has to make all
        // connections anew each second.
        turn_in_a_crowd: Duration::from_secs(1),
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
        let crowd = Arc::new(Crowd::default());
        let connection = Connection {
            router,
            limits,
            crowd: Arc::clone(&crowd),
            stopping,
            closing: closing.clone(),
        };
        let free = Arc::clone(&slots);
        let mut accepting = Box::pin(async move {
            loop {
                let (tcp, peer) = accept(&listener).await;
                if free.available_permits() == 0 {
                    crowd.somebody_waits();
                }
                let Ok(slot) = Arc::clone(&free).acquire_owned().await else {
                    unreachable!("the semaphore is never closed")
                };
                crowd.nobody_waits();
                let open = Open { _counted: Tally::of(&open), _slot: slot };
                tokio::spawn(connection.clone().serve(tcp, peer, open));
            }
        });
        closing.run_until_cancelled(&mut accepting).await;
        // It ends only by this, and the port with it.
        let _: Result<(), _> = timeout(LAST_ACCEPTS, accepting).await;
        // All slots are free when all connections have ended.
        let _ = slots.acquire_many(limits.connections.into()).await;
    }
}

/// The next connection, and who is at its other end.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};

    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
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
    _counted: Tally,
    _slot: OwnedSemaphorePermit,
}

/// Whether somebody waits for a connection while all are taken.
#[derive(Default)]
struct Crowd {
    waits: AtomicBool,
    came: Notify,
}

impl Crowd {
    fn somebody_waits(&self) {
        self.waits.store(true, Ordering::Relaxed);
        self.came.notify_one();
    }

    fn nobody_waits(&self) {
        self.waits.store(false, Ordering::Relaxed);
    }
}

/// How each connection is served.
#[derive(Clone)]
struct Connection {
    router: Router,
    limits: Limits,
    /// While somebody waits for a connection, every answer is the last of its own, and whoever has
    /// kept us waiting longest makes room.
    crowd: Arc<Crowd>,
    stopping: CancellationToken,
    closing: CancellationToken,
}

impl Connection {
    async fn serve(self, tcp: TcpStream, peer: SocketAddr, open: Open) {
        let Self { router, limits, crowd, stopping, closing } = self;
        // Answers are written whole, so waiting for more to send only delays them.
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let turn = watch::Sender::new(Turn::Newcomers);
        let out_of_patience = out_of_patience(turn.clone(), limits, Arc::clone(&crowd));
        // All begin at once when a replica is new, and must not end at once.
        let retires = Instant::now() + limits.age + random::up_to(limits.age / 10);
        let router = TowerToHyperService::new(router);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            let sent = |body| Body::new(Sent::new(body, turn.clone()));
            let answer = router.call(request.map(sent));
            let (turn, stopping) = (turn.clone(), stopping.clone());
            let crowd = Arc::clone(&crowd);
            async move {
                let mut answer = answer.await?;
                // Clients that are never idle would keep all others out.
                let is_crowded = crowd.waits.load(Ordering::Relaxed);
                if is_crowded || stopping.is_cancelled() || Instant::now() > retires {
                    let close = HeaderValue::from_static("close");
                    answer.headers_mut().insert(header::CONNECTION, close);
                }
                Ok::<_, Infallible>(answer.map(|body| Given::new(body, turn)))
            }
        });
        let connection = http1::Builder::new()
            // To hyper this would be the time between requests as well.
            .header_read_timeout(None)
            .max_header_size(HEAD_BYTES)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(tcp), service);
        let last_call = async {
            closing.cancelled().await;
            sleep(limits.last_call).await;
        };
        tokio::pin!(connection, out_of_patience, last_call);
        let mut is_over = false;
        loop {
            tokio::select! {
                biased;
                ended = &mut connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection broke off");
                    }
                    break;
                }
                () = &mut out_of_patience => break,
                () = &mut last_call, if !is_over => {
                    is_over = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
        drop(open);
    }
}

/// Ends when the client has kept us waiting for too long, or for too long where others wait as well.
async fn out_of_patience(turn: watch::Sender<Turn>, limits: Limits, crowd: Arc<Crowd>) {
    let mut whose = turn.subscribe();
    loop {
        let patience = match *whose.borrow_and_update() {
            Turn::Ours => None,
            Turn::Newcomers => Some(limits.first_head),
            Turn::Clients => Some(limits.turn),
        };
        let kept_waiting = async {
            let Some(patience) = patience else { return pending().await };
            let in_a_crowd = async {
                sleep(limits.turn_in_a_crowd).await;
                crowd.came.notified().await;
            };
            tokio::select! {
                () = sleep(patience) => {}
                () = in_a_crowd => {}
            }
        };
        tokio::select! {
            // Where this process is late itself, what has come meanwhile counts.
            biased;
            // It fails only without a sender, and there is one here.
            _ = whose.changed() => {}
            () = kept_waiting => return,
        }
    }
}

#[cfg(test)]
mod tests;
