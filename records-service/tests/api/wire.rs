//! gRPC without a gRPC client: a call whose message arrives when the test wants, and a connection
//! whose end the test sees. Nothing here retries, and nothing has a deadline of its own.

use std::{
    future::poll_fn,
    net::Shutdown,
    pin::Pin,
    time::{Duration, Instant},
};

use axum::body::{Body, Bytes};
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use hyper::{
    body::{Body as _, Incoming},
    client::conn::http2::{Builder, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{net::TcpStream, sync::oneshot, task::JoinHandle};
use tonic::{Code, Status};

const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const LIST_RECORDS: &str = "/records.v1.RecordsService/ListRecords";

/// One HTTP/2 connection.
pub(crate) struct Wire {
    sender: SendRequest<Body>,
    socket: std::net::TcpStream,
    address: String,
}

/// A call that was begun.
pub(crate) type Answer = JoinHandle<Result<(), Status>>;

impl Wire {
    pub(crate) async fn connect(address: &str) -> Self {
        Self::connect_taking(address, 1 << 16).await
    }

    /// A connection of whose answers so many bytes are taken while nobody reads them.
    pub(crate) async fn connect_taking(address: &str, bytes: u32) -> Self {
        let socket = TcpStream::connect(address).await.unwrap().into_std().unwrap();
        let io = TokioIo::new(TcpStream::from_std(socket.try_clone().unwrap()).unwrap());
        let mut http = Builder::new(TokioExecutor::new());
        let (sender, connection) =
            http.initial_stream_window_size(bytes).handshake(io).await.unwrap();
        tokio::spawn(connection);
        Self { sender, socket, address: address.to_owned() }
    }

    /// Sends the headers of a call, and the message as `body` has it. The answer is its status.
    pub(crate) fn call(&self, path: &str, headers: &[(&str, &str)], body: Body) -> Answer {
        let answer = self.unread_call(path, headers, body);
        tokio::spawn(async move { status_of(answer.await?.headers()) })
    }

    /// The same, with the answer as soon as its headers are there. Nobody reads the rest of it.
    pub(crate) fn unread_call(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> impl Future<Output = Result<Response<Incoming>, Status>> + Send + 'static {
        let mut request = Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).unwrap();
        let mut sender = self.sender.clone();
        async move {
            let broken = |error: hyper::Error| Status::unknown(format!("connection: {error}"));
            sender.ready().await.map_err(broken)?;
            sender.send_request(request).await.map_err(broken)
        }
    }

    /// A call as this token's owner, whose message arrives when the sender is used.
    /// It has the longest deadline that there is.
    pub(crate) fn slow_call(&self, token: &str, path: &str) -> (oneshot::Sender<()>, Answer) {
        let (sender, go) = oneshot::channel();
        let body = async {
            match go.await {
                Ok(()) => Ok(framed(&())),
                Err(error) => Err(error),
            }
        };
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str()), ("grpc-timeout", "60S")];
        (sender, self.call(path, &headers, Body::from_stream(stream::once(body))))
    }

    /// Ends the connection from this side, without a word.
    pub(crate) fn cut(self) {
        self.socket.shutdown(Shutdown::Both).unwrap();
    }

    /// Waits until the server has said that it takes no more calls on this connection (GOAWAY).
    pub(crate) async fn told(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.call(LIST_RECORDS, &[], Body::empty()).await.unwrap();
            if answer.is_err_and(|status| status.code() == Code::Unknown) {
                return;
            }
            assert!(Instant::now() < deadline, "the server says nothing");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A message as it is on the wire, uncompressed. Source: "Length-Prefixed-Message" in "gRPC over
/// HTTP2".
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap();
    [&[0], &length.to_be_bytes()[..], &message].concat().into()
}

/// All that a caller can see of an answer.
pub(crate) struct Whole {
    pub(crate) status: Result<(), Status>,
    /// Headers, messages, trailers and the decoded texts of a status; without the time of day.
    pub(crate) seen: String,
}

impl Whole {
    /// Reads an answer to its end, or of one that goes on for ever the first piece.
    pub(crate) async fn of(answer: Response<Incoming>, endless: bool) -> Self {
        let (head, mut incoming) = answer.into_parts();
        let mut headers = head.headers;
        let mut body = Vec::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await {
            match frame.unwrap().into_data() {
                Ok(data) => body.extend(data),
                Err(frame) => headers.extend(frame.into_trailers().unwrap()),
            }
            if endless {
                break;
            }
        }
        headers.remove("date");
        let status = status_of(&headers);
        let mut seen = format!("{headers:?}\n{}", String::from_utf8_lossy(&body));
        if let Err(status) = &status {
            let details = String::from_utf8_lossy(status.details());
            seen = [seen.as_str(), status.message(), &details].join("\n");
        }
        Self { status, seen }
    }

    pub(crate) fn code(&self) -> Code {
        self.status.as_ref().map_or_else(Status::code, |()| Code::Ok)
    }
}

/// An error without an answer is all in the headers; what has no status there has an answer.
fn status_of(headers: &HeaderMap) -> Result<(), Status> {
    Status::from_header_map(headers).map_or(Ok(()), Err)
}
