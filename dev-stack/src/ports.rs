//! Ports: free ones for tests, and a plain message for one that is taken.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher as _,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener},
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
};

use tokio::net::TcpListener;

use crate::Error;

/// Ports that the kernels of Linux and macOS do not give to outgoing connections by default, so
/// that a port freed by a stopped emulator is still free when it starts again.
const FIRST: u16 = 15_000;
const COUNT: u16 = 15_000;

/// A port on which nobody listens now. It is not reserved; two calls give different ones.
///
/// # Errors
/// [`Error::NoFreePort`] when a long search finds none.
pub fn free_port() -> Result<u16, Error> {
    candidates()
        .find(|port| StdListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or(Error::NoFreePort)
}

/// Listens on the address, where port 0 means any free one, and says which it became.
pub(crate) async fn listen(
    address: SocketAddr,
    purpose: &str,
) -> Result<(TcpListener, SocketAddr), Error> {
    if address.port() != 0 {
        return Ok((bind(address, purpose).await?, address));
    }
    for port in candidates() {
        let address = SocketAddr::new(address.ip(), port);
        match bind(address, purpose).await {
            Err(Error::PortTaken { .. }) => {}
            Err(other) => return Err(other),
            Ok(listener) => return Ok((listener, address)),
        }
    }
    Err(Error::NoFreePort)
}

/// Fails where somebody already listens on the port at this address, or at the IPv6 side of
/// `localhost`, which browsers try first and where they would meet a stranger.
pub(crate) fn check(address: SocketAddr, purpose: &str, remedy: &str) -> Result<(), Error> {
    let taken = |ip: IpAddr| match StdListener::bind(SocketAddr::new(ip, address.port())) {
        Err(error) => error.kind() == io::ErrorKind::AddrInUse,
        Ok(_) => false,
    };
    if address.port() != 0 && (taken(address.ip()) || taken(Ipv6Addr::LOCALHOST.into())) {
        return Err(Error::PortTaken {
            port: address.port(),
            purpose: purpose.to_owned(),
            remedy: remedy.to_owned(),
        });
    }
    Ok(())
}

async fn bind(address: SocketAddr, purpose: &str) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => Error::PortTaken {
            port: address.port(),
            purpose: purpose.to_owned(),
            remedy: "Stop what listens there, or choose another port.".to_owned(),
        },
        _ => Error::Bind { address: address.to_string(), purpose: purpose.to_owned(), source },
    })
}

/// Every port of the range once, beginning after those that this process was given before, so that
/// a port that is chosen but not yet used is not chosen again. Processes begin at random, so that
/// those that run at the same time rarely meet.
fn candidates() -> impl Iterator<Item = u16> {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
        let random = RandomState::new().hash_one(std::process::id());
        AtomicU16::new(u16::try_from(random % u64::from(COUNT)).unwrap_or_default())
    });
    (0..COUNT).map(|_| FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| (0..100).map(|_| free_port().unwrap()).collect()))
            .collect();

        let ports: Vec<Vec<u16>> = threads.into_iter().map(|one| one.join().unwrap()).collect();

        let distinct: HashSet<u16> = ports.concat().into_iter().collect();
        assert_eq!(distinct.len(), 400);
    }
}
