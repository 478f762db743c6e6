//! How a connection opens: with TLS, where it is configured, and the words by which a client of HTTP/2
//! begins. Both must come soon, or strangers who say nothing would take all places. It does not know
//! what follows.

use std::{
    io::{self, Cursor},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use prometheus_client::{metrics::counter::Counter, registry::Registry};
use service_kit::telemetry::Lines;
use tokio::{
    io::{AsyncReadExt, Chain, Join, ReadHalf, WriteHalf, join, split},
    net::TcpStream,
    time::sleep,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::tls::Current;

/// What a client begins with. Source: RFC 9113 §3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PREFACE_BYTES: usize = PREFACE.len();
/// How long to wait for the rest of it.
const PREFACE_PAUSE: Duration = Duration::from_millis(50);
/// What a client of TLS begins with instead: a record of the type "handshake". Source: RFC 8446 §5.1.
const HANDSHAKE: u8 = 22;
/// How often it is logged that clients are refused. There may be very many.
const LOG_LINES: u32 = 20;
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// How the connections of the port open.
#[derive(Clone)]
pub(super) struct Opening {
    tls: Option<Current>,
    refused: Counter,
    lines: Arc<Lines>,
}

/// A connection whose client speaks HTTP/2.
pub(super) enum Opened {
    Plaintext(TcpStream),
    Tls(Box<TlsIo>),
}

/// The preface, which has been read, and then whatever else comes.
pub(super) type TlsIo = Join<
    Chain<Cursor<[u8; PREFACE_BYTES]>, ReadHalf<TlsStream<TcpStream>>>,
    WriteHalf<TlsStream<TcpStream>>,
>;

impl Opening {
    /// With TLS where there is any. Refused clients are counted in `registry`.
    pub(super) fn new(tls: Option<Current>, registry: &mut Registry) -> Self {
        let refused = Counter::default();
        let help = "Connections refused for want of TLS, or of a client certificate that is good";
        registry.register("grpc_server_connections_refused", help, refused.clone());
        Self { tls, refused, lines: Arc::new(Lines::new(LOG_LINES, LOG_INTERVAL)) }
    }

    /// The connection, once its client has said that it speaks HTTP/2; `None` if it does not.
    pub(super) async fn open(&self, stream: TcpStream) -> Option<Opened> {
        let Some(tls) = &self.tls else {
            return self.is_plaintext(&stream).await.then_some(Opened::Plaintext(stream));
        };
        let config = Arc::clone(&tls.borrow());
        let peer = stream.peer_addr();
        let mut stream = match TlsAcceptor::from(config).accept(stream).await {
            Ok(stream) => stream,
            Err(error) => {
                // Who leaves without a word, as probes of a port do, is not worth one.
                if let Some(reason) = reason_of(&error) {
                    self.refuse(peer, &reason);
                }
                return None;
            }
        };
        let mut preface = [0; PREFACE_BYTES];
        // A client that does not speak HTTP/2 is refused by what reads this.
        stream.read_exact(&mut preface).await.ok()?;
        let (rest, writer) = split(stream);
        Some(Opened::Tls(Box::new(join(Cursor::new(preface).chain(rest), writer))))
    }

    /// Whether the client begins as one of HTTP/2 does, which it must do at once. The library would
    /// wait for that for ever.
    async fn is_plaintext(&self, stream: &TcpStream) -> bool {
        let mut begin = [0; PREFACE_BYTES];
        loop {
            match stream.peek(&mut begin).await {
                Ok(0) | Err(_) => return false,
                Ok(_) if begin[0] == HANDSHAKE => {
                    let reason = "it speaks TLS, and GRPC_PLAINTEXT is configured";
                    self.refuse(stream.peer_addr(), reason);
                    return false;
                }
                Ok(PREFACE_BYTES) => return true,
                // What is there already is there at once the next time.
                Ok(_) => sleep(PREFACE_PAUSE).await,
            }
        }
    }

    fn refuse(&self, peer: io::Result<SocketAddr>, reason: &str) {
        self.refused.inc();
        if let Some(unlogged) = self.lines.next() {
            let peer = peer.map_or_else(|_| String::new(), |peer| peer.to_string());
            tracing::warn!(peer, unlogged, reason, "refused a connection");
        }
    }
}

/// Why TLS did not come about, where the client said anything.
fn reason_of(error: &io::Error) -> Option<String> {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>())?;
    Some(match cause {
        rustls::Error::InvalidMessage(_) => "it does not speak TLS".to_owned(),
        cause => cause.to_string(),
    })
}
