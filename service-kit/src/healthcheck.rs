//! Asks a process of ours on the same machine whether it is ready, for a container image without a
//! shell. It starts no runtime: it runs every few seconds.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// How long each step may take: connecting, asking, and each piece of the answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Why the process does not count as ready.
#[derive(Debug, thiserror::Error)]
pub enum Unready {
    /// Nobody answers on the ops port.
    #[error("the ops port {0} does not answer")]
    NoAnswer(SocketAddr, #[source] io::Error),
    /// It answers something other than 200.
    #[error("the ops port {0} answers {1:?}")]
    NotReady(SocketAddr, String),
}

/// Asks `/readyz` on the ops port that listens at `ops_address`, and where nobody listens there, at
/// `otherwise`. An address for all interfaces is asked on the loopback.
///
/// # Errors
/// See [`Unready`]; that of the first address where nobody listens at either.
pub fn run(ops_address: SocketAddr, otherwise: Option<SocketAddr>) -> Result<(), Unready> {
    match (check(ops_address), otherwise) {
        (Err(Unready::NoAnswer(address, error)), Some(otherwise))
            if error.kind() == io::ErrorKind::ConnectionRefused =>
        {
            match check(otherwise) {
                Err(Unready::NoAnswer(..)) => Err(Unready::NoAnswer(address, error)),
                outcome => outcome,
            }
        }
        (outcome, _) => outcome,
    }
}

fn check(mut address: SocketAddr) -> Result<(), Unready> {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let status = ask(address).map_err(|error| Unready::NoAnswer(address, error))?;
    if status.starts_with("HTTP/1.1 200 ") {
        Ok(())
    } else {
        Err(Unready::NotReady(address, status))
    }
}

/// The status line of the answer.
fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0; 64];
    let read = stream.read(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer[..read]);
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::net::TcpSocket;

    use crate::{
        metrics,
        ops::{OpsPort, Readiness},
        shutdown::CancellationToken,
    };

    use super::*;

    #[tokio::test]
    async fn a_process_is_healthy_when_it_says_that_it_is_ready() {
        let readiness = Readiness::default();
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let ops = OpsPort::bind(any, readiness.clone(), metrics::registry("test")).unwrap();
        let address = ops.address().unwrap();
        let stopped = CancellationToken::new();
        let served = tokio::spawn(ops.run(stopped.clone()));
        // It keeps the port from others, and never listens.
        let mute = TcpSocket::new_v4().unwrap();
        mute.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let nobody = mute.local_addr().unwrap();
        let ask = |first: SocketAddr, otherwise: Option<SocketAddr>| async move {
            tokio::task::spawn_blocking(move || run(first, otherwise)).await.unwrap()
        };

        let before = ask(address, None).await;
        readiness.set(true);
        let after = ask(address, None).await;
        let at_the_other = ask(nobody, Some(address)).await;
        stopped.cancel();
        served.await.unwrap();
        let gone = ask(address, Some(nobody)).await;

        assert!(matches!(before, Err(Unready::NotReady(_, status)) if status.contains("503")));
        assert!(after.is_ok() && at_the_other.is_ok());
        assert!(matches!(gone, Err(Unready::NoAnswer(first, _)) if first.port() == address.port()));
    }

    #[test]
    fn a_process_that_accepts_and_says_nothing_is_not_healthy() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();

        let outcome = run(listener.local_addr().unwrap(), None);

        assert!(matches!(outcome, Err(Unready::NoAnswer(..))));
    }
}
