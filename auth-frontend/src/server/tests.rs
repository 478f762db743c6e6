//! Clients that are slow, greedy or in the middle of something, on raw sockets.

use std::net::SocketAddr;

use axum::{
    body::Bytes,
    routing::{get, post},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    task::JoinHandle,
};

use super::*;

const PATIENT: Limits = Limits {
    connections: 100,
    first_head: Duration::from_mins(1),
    turn: Duration::from_mins(1),
    turn_in_a_crowd: Duration::from_mins(1),
    age: Duration::from_hours(1),
    last_call: Duration::from_secs(3),
};
/// Long enough for a client on a busy machine to send what it has ready, short enough to wait for.
const SHORT: Duration = Duration::from_secs(1);
const BOUND: Duration = Duration::from_secs(20);
const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const HALF_A_BODY: &str = "POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc";
/// More than fits into the buffers of any socket.
const LARGE: usize = 64 * 1024 * 1024;

struct Running {
    address: SocketAddr,
    open: Gauge,
    stopping: CancellationToken,
    closing: CancellationToken,
    /// Lets requests for `/wait` go on.
    go_on: Arc<Notify>,
    run: JoinHandle<()>,
}

impl Running {
    async fn start(limits: Limits) -> Self {
        let go_on = Arc::new(Notify::new());
        let waiting = Arc::clone(&go_on);
        let router = Router::new()
            .route("/", get(async || "hello"))
            .route("/length", post(async |body: Bytes| body.len().to_string()))
            .route("/large", get(async || vec![b'x'; LARGE]))
            .route(
                "/wait",
                get(async move || {
                    waiting.notified().await;
                    "waited"
                }),
            );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = Gauge::default();
        let server = Server { limits, ..Server::new(listener, router, open.clone()) };
        let address = server.address().unwrap();
        let (stopping, closing) = (CancellationToken::new(), CancellationToken::new());
        let run = tokio::spawn(server.run(stopping.clone(), closing.clone()));
        Self { address, open, stopping, closing, go_on, run }
    }

    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// A client that has its request in the handler of `/wait`.
    async fn waiting(&self) -> Client {
        let mut client = self.connect().await;
        client.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
        // Another connection that comes later and is answered shows that this one was accepted.
        let mut later = self.connect().await;
        later.send(GET).await;
        later.answer().await;
        client
    }

    async fn has_open(&self, connections: i64) {
        let opened = timeout(BOUND, async {
            while self.open.get() != connections {
                sleep(Duration::from_millis(20)).await;
            }
        });
        opened.await.expect("that many connections");
    }

    async fn ends(self) {
        timeout(BOUND, self.run).await.expect("the server ends").unwrap();
    }
}

struct Client(TcpStream);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// The head and body of the next answer.
    async fn answer(&mut self) -> String {
        let mut answer = Vec::new();
        let read = async {
            while !is_whole(&answer) {
                assert_ne!(self.0.read_buf(&mut answer).await.unwrap(), 0, "{answer:?}");
            }
        };
        timeout(BOUND, read).await.expect("an answer");
        String::from_utf8(answer).unwrap()
    }

    /// Waits until the server has closed the connection; gives what it still said.
    async fn closed(&mut self) -> String {
        let mut rest = Vec::new();
        // Being reset is being closed, too.
        let _ = timeout(BOUND, self.0.read_to_end(&mut rest)).await.expect("the end");
        String::from_utf8_lossy(&rest).into_owned()
    }

    async fn is_open_for(&mut self, time: Duration) -> bool {
        timeout(time, self.0.readable()).await.is_err()
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .split("content-length: ")
        .nth(1)
        .map(|rest| rest.lines().next().unwrap_or_default().parse::<usize>().unwrap());
    body.len() >= length.unwrap_or(0)
}

#[tokio::test]
async fn a_first_request_that_does_not_come_is_given_up() {
    let server = Running::start(Limits { first_head: SHORT, ..PATIENT }).await;
    let mut silent = server.connect().await;
    let mut half = server.connect().await;
    half.send("GET / HTTP/1.1\r\nHost: x\r\nCook").await;

    for client in [&mut silent, &mut half] {
        assert_eq!(client.closed().await, "");
    }
}

#[tokio::test]
async fn a_connection_between_requests_has_more_time_than_a_first_head() {
    let server = Running::start(Limits { first_head: SHORT, ..PATIENT }).await;
    let mut client = server.connect().await;
    client.send(GET).await;
    client.answer().await;

    let stayed = client.is_open_for(SHORT + SHORT / 2).await;
    client.send(GET).await;

    assert!(stayed && client.answer().await.ends_with("hello"));
}

#[tokio::test]
async fn a_connection_whose_client_keeps_us_waiting_is_closed_in_the_end() {
    let server = Running::start(Limits { turn: SHORT, ..PATIENT }).await;
    let mut idle = server.connect().await;
    idle.send(GET).await;
    idle.answer().await;
    let mut half_a_head = server.connect().await;
    half_a_head.send(GET).await;
    half_a_head.answer().await;
    half_a_head.send("GET / HT").await;
    let mut half_a_body = server.connect().await;
    half_a_body.send(HALF_A_BODY).await;

    for client in [&mut idle, &mut half_a_head, &mut half_a_body] {
        assert_eq!(client.closed().await, "");
    }
}

#[tokio::test]
async fn a_client_that_waits_for_us_is_not_sent_away() {
    let brief = Limits { turn: SHORT, turn_in_a_crowd: Duration::ZERO, connections: 1, ..PATIENT };
    let server = Running::start(brief).await;
    let mut client = server.connect().await;
    client.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut second = server.connect().await;
    second.send(GET).await;

    let waited = client.is_open_for(SHORT + SHORT / 2).await;
    server.go_on.notify_one();

    assert!(waited && client.answer().await.ends_with("waited"));
    assert!(second.answer().await.ends_with("hello"));
}

#[tokio::test]
async fn whoever_keeps_us_waiting_longest_makes_room_for_who_waits_for_a_connection() {
    let crowded = Limits { connections: 5, turn_in_a_crowd: Duration::ZERO, ..PATIENT };
    let server = Running::start(crowded).await;
    let mut idle = server.connect().await;
    idle.send(GET).await;
    idle.answer().await;
    let mut waiting = server.connect().await;
    waiting.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut silent = server.connect().await;
    server.has_open(3).await;
    let mut half_a_body = server.connect().await;
    half_a_body.send(HALF_A_BODY).await;
    server.has_open(4).await;
    let mut untaken = server.connect().await;
    untaken.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    untaken.0.readable().await.unwrap();

    let mut newcomers = Vec::new();
    for _ in 0..5 {
        let mut newcomer = server.connect().await;
        newcomer.send(GET).await;
        assert!(newcomer.answer().await.ends_with("hello"));
        newcomers.push(newcomer);
    }

    for client in [&mut idle, &mut silent, &mut half_a_body, &mut newcomers[0]] {
        assert_eq!(client.closed().await, "");
    }
    let length = untaken.closed().await.len();
    assert!(length < LARGE, "{length}");
    server.go_on.notify_one();
    assert!(waiting.answer().await.ends_with("waited"));
}

#[tokio::test]
async fn a_slow_body_is_not_a_slow_head() {
    let server = Running::start(Limits { first_head: SHORT, ..PATIENT }).await;
    let mut client = server.connect().await;
    client.send(HALF_A_BODY).await;

    let stayed = client.is_open_for(SHORT / 2).await;
    client.send("d").await;
    let stayed = stayed && client.is_open_for(SHORT).await;
    client.send("ef").await;

    assert!(stayed && client.answer().await.ends_with("\r\n\r\n6"));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_with_431() {
    let server = Running::start(PATIENT).await;
    let fits = format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n", "c".repeat(60 * 1024));
    let large = format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n", "c".repeat(70 * 1024));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(200));

    for (head, status) in [(&fits, "200"), (&large, "431"), (&many, "431")] {
        let mut client = server.connect().await;
        client.send(head).await;
        let answer = client.answer().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[tokio::test]
async fn a_request_whose_end_could_be_read_in_two_ways_is_refused() {
    let server = Running::start(PATIENT).await;
    let odd = [
        "Content-Length: 6\r\nContent-Length: 7\r\n",
        "Content-Length: 6, 7\r\n",
        "Content-Length: +6\r\n",
        "Content-Length: -6\r\n",
        "Content-Length: 0x6\r\n",
        "Content-Length : 6\r\n",
        "Content-Length: 6\r\n Content-Length: 7\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
    ];

    for lines in odd {
        let mut client = server.connect().await;
        client.send(&format!("POST /length HTTP/1.1\r\nHost: x\r\n{lines}\r\nabcdef")).await;
        let answer = client.closed().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{lines}: {answer}");
    }
    // With both, the body ends where its chunks do, and nothing of it is taken for another request.
    let mut client = server.connect().await;
    let both = "POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\
                Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    client.send(both).await;
    assert!(client.answer().await.ends_with("\r\n\r\n3"));
}

#[tokio::test]
async fn an_answer_that_is_not_taken_is_given_up() {
    let server = Running::start(Limits { turn: SHORT, ..PATIENT }).await;
    let mut client = server.connect().await;
    client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    client.0.readable().await.unwrap();

    server.has_open(0).await;
}

#[tokio::test]
async fn beyond_the_limit_of_connections_a_client_waits_until_another_leaves() {
    let server = Running::start(Limits { connections: 1, ..PATIENT }).await;
    let mut first = server.connect().await;
    first.send(GET).await;
    first.answer().await;
    let mut second = server.connect().await;
    second.send(GET).await;

    let waited = second.is_open_for(SHORT / 5).await;
    drop(first);

    assert!(waited && second.answer().await.ends_with("hello"));
    assert_eq!(server.open.get(), 1);
}

#[tokio::test]
async fn a_client_that_is_never_idle_does_not_keep_the_others_out() {
    let server = Running::start(Limits { connections: 1, ..PATIENT }).await;
    let mut busy = server.connect().await;
    busy.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
    server.has_open(1).await;
    let mut second = server.connect().await;
    second.send(GET).await;
    assert!(second.is_open_for(SHORT / 5).await);

    server.go_on.notify_one();

    let answer = busy.answer().await;
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("waited"), "{answer}");
    busy.closed().await;
    let answer = second.answer().await;
    assert!(!answer.contains("connection: close\r\n") && answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn an_old_connection_is_closed_after_an_answer() {
    let server = Running::start(Limits { age: Duration::ZERO, ..PATIENT }).await;
    let mut client = server.connect().await;
    client.send(GET).await;

    let answer = client.answer().await;

    assert!(answer.contains("connection: close\r\n") && answer.ends_with("hello"), "{answer}");
    client.closed().await;
}

#[tokio::test]
async fn from_the_signal_on_every_answer_is_the_last_of_its_connection() {
    let server = Running::start(PATIENT).await;
    let mut client = server.connect().await;
    client.send(GET).await;
    let before = client.answer().await;
    server.stopping.cancel();

    client.send(GET).await;
    let after = client.answer().await;
    client.closed().await;
    let mut newcomer = server.connect().await;
    newcomer.send(GET).await;
    let welcome = newcomer.answer().await;

    assert!(!before.contains("connection: close"), "{before}");
    assert!(after.contains("connection: close\r\n") && after.ends_with("hello"), "{after}");
    assert!(welcome.contains("connection: close\r\n") && welcome.ends_with("hello"), "{welcome}");
}

#[tokio::test]
async fn at_the_end_what_is_under_way_or_on_its_way_is_answered_and_idle_connections_end() {
    let server = Running::start(PATIENT).await;
    let mut idle = server.connect().await;
    idle.send(GET).await;
    idle.answer().await;
    let mut fresh = server.connect().await;
    let mut under_way = server.waiting().await;
    server.stopping.cancel();
    server.closing.cancel();

    fresh.send(GET).await;
    let on_its_way = fresh.answer().await;
    let left_idle = idle.closed().await;
    let still_waits = under_way.is_open_for(Duration::from_millis(50)).await;
    server.go_on.notify_one();
    let finished = under_way.answer().await;

    assert!(on_its_way.ends_with("hello"), "{on_its_way}");
    assert_eq!(left_idle, "");
    assert!(still_waits && finished.ends_with("waited"), "{finished}");
    let address = server.address;
    server.ends().await;
    assert!(TcpStream::connect(address).await.is_err());
}
