//! One connection through the proxy: requests one way, answers the other, and what befalls them.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Mutex as SyncMutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{Mutex, watch},
};

use super::{
    Passed, Plan,
    fault::Fault,
    request::{self, Request},
};

/// How long a server may work for a client that has gone, as it would behind a real network.
const GRACE: Duration = Duration::from_secs(2);
const GARBAGE: &[u8] = b"\x00\x13\x37 this is no protocol \xff\xfe\r\n\r\n";

/// How a connection ends.
enum End {
    /// In order.
    Closed,
    /// By RST.
    Reset,
    /// Not at all: nothing is passed on any more.
    Silent,
}

/// What both directions share.
struct Shared<'a> {
    to_client: Mutex<WriteHalf<'a>>,
    /// How many bytes of the answer still go through, and whether a reset follows.
    cut: SyncMutex<Option<(usize, bool)>>,
    /// Whether the server owes an answer.
    owed: AtomicBool,
    passed: &'a Passed,
}

pub(super) async fn serve(
    mut client: TcpStream,
    upstream: SocketAddr,
    mut plan: watch::Receiver<Plan>,
    passed: Passed,
) {
    let outage = outage(&plan.borrow_and_update());
    let mut server = None;
    let end = match outage {
        Some(end) => end,
        None => match TcpStream::connect(upstream).await {
            Ok(connected) => converse(&mut client, server.insert(connected), plan, &passed).await,
            Err(_) => End::Reset,
        },
    };
    match end {
        End::Closed => {}
        End::Reset => {
            // A socket that cannot be told so is closed in order, which is as bad for its client.
            let _ = client.set_zero_linger();
        }
        // Both sockets stay open until the client closes its own.
        End::Silent => {
            let _ = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
        }
    }
}

async fn converse(
    client: &mut TcpStream,
    server: &mut TcpStream,
    mut plan: watch::Receiver<Plan>,
    passed: &Passed,
) -> End {
    // Small pieces must not wait for Nagle's algorithm.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let shared = Shared {
        to_client: Mutex::new(to_client),
        cut: SyncMutex::default(),
        owed: AtomicBool::default(),
        passed,
    };
    let requests = requests(from_client, to_server, &shared, plan.clone());
    let answers = answers(from_server, &shared);
    let broken = async {
        loop {
            if let Some(end) = outage(&plan.borrow_and_update()) {
                return end;
            }
            if plan.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        // An outage befalls what is on its way, too.
        biased;
        end = broken => end,
        end = requests => end.unwrap_or(End::Reset),
        end = answers => end.unwrap_or(End::Reset),
    }
}

/// What befalls open connections and those just made.
fn outage(plan: &Plan) -> Option<End> {
    match plan.everything {
        Some(Fault::Reset) => Some(End::Reset),
        Some(Fault::Silence) => Some(End::Silent),
        _ => None,
    }
}

async fn requests(
    mut from_client: ReadHalf<'_>,
    mut to_server: WriteHalf<'_>,
    shared: &Shared<'_>,
    plan: watch::Receiver<Plan>,
) -> io::Result<End> {
    let mut sent = Vec::new();
    let mut is_http1 = None;
    loop {
        if from_client.read_buf(&mut sent).await? == 0 {
            if shared.owed.load(Ordering::Relaxed) {
                tokio::time::sleep(GRACE).await;
            }
            return Ok(End::Closed);
        }
        let is_http1 = *is_http1.get_or_insert_with(|| request::is_http1(&sent));
        while !sent.is_empty() {
            let request = if is_http1 {
                request::first(&sent)
            } else {
                Some(Request { length: sent.len(), operation: None })
            };
            let Some(Request { length, operation }) = request else { break };
            let bytes: Vec<u8> = sent.drain(..length).collect();
            let fault = plan.borrow().fault(operation.as_deref()).cloned();
            let mut cut = None;
            match fault {
                None => {}
                Some(Fault::Latency(latency)) => tokio::time::sleep(latency).await,
                Some(Fault::CutAnswer { after, reset }) => cut = Some((after, reset)),
                Some(Fault::Reset) => return Ok(End::Reset),
                Some(Fault::Silence) => return Ok(End::Silent),
                Some(Fault::Garbage) => {
                    shared.to_client.lock().await.write_all(GARBAGE).await?;
                    return Ok(End::Closed);
                }
                Some(Fault::Answer(answer)) => {
                    shared.to_client.lock().await.write_all(&answer.to_bytes()).await?;
                    continue;
                }
            }
            *shared.cut.lock().unwrap_or_else(PoisonError::into_inner) = cut;
            shared.owed.store(true, Ordering::Relaxed);
            to_server.write_all(&bytes).await?;
            if let Some(operation) = operation {
                shared.passed.add(operation);
            }
        }
    }
}

async fn answers(mut from_server: ReadHalf<'_>, shared: &Shared<'_>) -> io::Result<End> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let length = from_server.read(&mut bytes).await?;
        if length == 0 {
            return Ok(End::Closed);
        }
        shared.owed.store(false, Ordering::Relaxed);
        let (passing, end) = {
            let mut cut = shared.cut.lock().unwrap_or_else(PoisonError::into_inner);
            match cut.as_mut() {
                Some((left, reset)) if *left <= length => {
                    (*left, Some(if *reset { End::Reset } else { End::Closed }))
                }
                Some((left, _)) => {
                    *left -= length;
                    (length, None)
                }
                None => (length, None),
            }
        };
        shared.to_client.lock().await.write_all(&bytes[..passing]).await?;
        if let Some(end) = end {
            return Ok(end);
        }
    }
}
