//! What Kubernetes does for those who call one of several replicas: it looks every moment which of
//! them say that they are ready, and leads new requests and new connections to these, in turn. It
//! retries nothing.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{Response, StatusCode, header},
};
use dev_stack::{Replica, Stack};
use reqwest::Client;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tonic::transport::{Channel, Endpoint, channel::Change};

use crate::browser::http;

/// How often the probes are asked, as an eager kubelet does.
const PERIOD: Duration = Duration::from_millis(150);
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
const BODY_LIMIT: usize = 1024 * 1024;

/// The addresses of the replicas that are ready, as of the last look.
#[derive(Clone)]
pub(crate) struct Ready(watch::Receiver<Vec<String>>);

/// Everything that goes on in the background; it ends when this is dropped.
#[derive(Default)]
pub(crate) struct Background(JoinSet<()>);

impl Background {
    /// Looks after these replicas. Who only takes too long to answer stays what they were: this is
    /// to tell who leaves, not who is slow.
    pub(crate) fn probe(&mut self, stack: &Stack, replicas: &[Replica]) -> Ready {
        let known: Vec<_> = replicas
            .iter()
            .map(|replica| (format!("{}/readyz", stack.ops_url(*replica)), stack.url(*replica)))
            .collect();
        let all: Vec<_> = known.iter().map(|(_, url)| url.clone()).collect();
        let (announce, ready) = watch::channel(all);
        let http = http().timeout(PROBE_TIMEOUT).build().unwrap();
        self.0.spawn(async move {
            loop {
                let mut ready = Vec::new();
                for (probe, url) in &known {
                    let is_ready = match http.get(probe).send().await {
                        Ok(answer) => answer.status().is_success(),
                        Err(error) => error.is_timeout() && announce.borrow().contains(url),
                    };
                    if is_ready {
                        ready.push(url.clone());
                    }
                }
                announce.send_if_modified(|known| {
                    let changed = *known != ready;
                    *known = ready;
                    changed
                });
                tokio::time::sleep(PERIOD).await;
            }
        });
        Ready(ready)
    }

    /// An ingress for HTTP at this listener: each request goes to the next replica that is ready.
    pub(crate) fn balance_requests(&mut self, listener: TcpListener, ready: Ready) {
        let http = http().build().unwrap();
        let state = Arc::new(Ingress { http, ready, next: AtomicUsize::default() });
        let app = Router::new().fallback(forward).with_state(state);
        self.0.spawn(async move { axum::serve(listener, app).await.unwrap() });
    }

    /// A Service of Kubernetes: each connection goes to the next replica that is ready, and stays
    /// there. Answers with its address.
    pub(crate) async fn balance_connections(&mut self, ready: Ready) -> String {
        let (listener, url) = listen().await;
        self.0.spawn(async move {
            let (mut connections, mut next) = (JoinSet::new(), 0);
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let Some(url) = ready.next(next) else { continue };
                next += 1;
                connections.spawn(async move {
                    let address = url.trim_start_matches("http://").to_owned();
                    // A replica that is gone resets whoever was led to it.
                    let Ok(mut server) = tokio::net::TcpStream::connect(address).await else {
                        return;
                    };
                    let _ = (client.set_nodelay(true), server.set_nodelay(true));
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        url
    }

    /// A gRPC channel over all replicas that are ready, as a client has it that watches them.
    pub(crate) fn balanced_channel(&mut self, ready: Ready) -> Channel {
        let (channel, changes) = Channel::balance_channel(16);
        let mut ready = ready.0;
        self.0.spawn(async move {
            let mut known: Vec<String> = Vec::new();
            loop {
                let now = ready.borrow_and_update().clone();
                for gone in known.iter().filter(|url| !now.contains(url)) {
                    let _ = changes.send(Change::Remove(gone.clone())).await;
                }
                for new in now.iter().filter(|url| !known.contains(url)) {
                    let endpoint = Endpoint::new(new.clone()).unwrap();
                    let _ = changes.send(Change::Insert(new.clone(), endpoint)).await;
                }
                known = now;
                if ready.changed().await.is_err() {
                    return;
                }
            }
        });
        channel
    }
}

impl Ready {
    /// Waits until so many replicas are seen to be ready.
    pub(crate) async fn until(&self, count: usize) {
        self.0.clone().wait_for(|ready| ready.len() == count).await.unwrap();
    }

    fn next(&self, turn: usize) -> Option<String> {
        let ready = self.0.borrow();
        (!ready.is_empty()).then(|| ready[turn % ready.len()].clone())
    }
}

/// A free port of loopback, and its URL.
pub(crate) async fn listen() -> (TcpListener, String) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, dev_stack::free_port().unwrap()));
    let listener = TcpListener::bind(address).await.unwrap();
    (listener, format!("http://localhost:{}", address.port()))
}

struct Ingress {
    http: Client,
    ready: Ready,
    next: AtomicUsize,
}

async fn forward(State(ingress): State<Arc<Ingress>>, request: Request) -> Response<Body> {
    let failed = |status: StatusCode, why: String| {
        Response::builder().status(status).body(Body::from(why)).unwrap()
    };
    let Some(instance) = ingress.ready.next(ingress.next.fetch_add(1, Ordering::Relaxed)) else {
        return failed(StatusCode::SERVICE_UNAVAILABLE, "no instance is ready".to_owned());
    };
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_LIMIT).await.unwrap();
    let url = format!("{instance}{}", parts.uri);
    let request = ingress.http.request(parts.method, url).headers(parts.headers).body(body);
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => return failed(StatusCode::BAD_GATEWAY, format!("{instance}: {error:?}")),
    };
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        // How the answer travels is between each two.
        if ![header::CONNECTION, header::TRANSFER_ENCODING].contains(name) {
            response = response.header(name, value);
        }
    }
    match answer.bytes().await {
        Ok(body) => response.body(Body::from(body)).unwrap(),
        Err(error) => failed(StatusCode::BAD_GATEWAY, format!("{instance}: {error:?}")),
    }
}
