//! One HTTP server that can be cut off: when it stops, its port is free and every connection to it
//! is gone, as if the provider behind it had disappeared. It does not know what it serves.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{JoinHandle, JoinSet},
};
use tower::ServiceExt as _;

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running server. Dropping it stops it too, a moment later.
pub(crate) struct Server {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves on the listener until stopped. Handlers find the peer's address as [`ConnectInfo`].
    pub(crate) fn start(listener: TcpListener, app: Router) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self { stop, task: tokio::spawn(serve(listener, app, stopped)) }
    }

    /// Closes the port and every connection; both have happened when it returns.
    pub(crate) async fn stop(self) {
        // A server whose task is gone already has nothing left to be told.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

async fn serve(listener: TcpListener, app: Router, mut stopped: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // Also when the sender was dropped.
            _ = &mut stopped => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(converse(stream, peer, app.clone()));
                }
                Err(error) => {
                    // Most often too many open files, which others must close first.
                    tracing::warn!(%error, "connection not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn converse(stream: TcpStream, peer: SocketAddr, app: Router) {
    let service = service_fn(move |request: Request<Incoming>| {
        let app = app.clone();
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            Ok::<_, Infallible>(app.oneshot(request).await.unwrap_or_else(|never| match never {}))
        }
    });
    // Small answers over loopback must not wait for Nagle's algorithm.
    let _ = stream.set_nodelay(true);
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
    {
        tracing::debug!(%peer, %error, "connection ended early");
    }
}
