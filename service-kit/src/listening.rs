//! Takes TCP ports, and says how much the operating system may hold of each connection. It does not
//! know what is spoken there.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// How many connections the operating system may hold for us until we take them, if it allows as
/// many: all clients of a replica that went away come to the others at once, and whoever finds no
/// place here waits for a second or more.
const BACKLOG: u32 = 1024;

/// Takes a TCP port.
///
/// # Errors
/// When it cannot be taken; the error names the address.
///
/// # Panics
/// Outside of a Tokio runtime.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    named(address, listen(address, None))
}

/// Takes a TCP port for many clients, none of whom is trusted: the operating system keeps at most
/// about 100 KiB of what a client does not take, where it would keep megabytes, and about 80 KiB of
/// what we do not read. Linux charges a container for both.
///
/// # Errors
/// When it cannot be taken; the error names the address.
///
/// # Panics
/// Outside of a Tokio runtime.
pub fn bind_for_many(address: SocketAddr) -> io::Result<TcpListener> {
    named(address, listen(address, Some(Buffers::OF_MANY)))
}

fn named(address: SocketAddr, listener: io::Result<TcpListener>) -> io::Result<TcpListener> {
    listener.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

/// What the operating system keeps of a connection, in bytes. Linux takes twice as many for what it
/// writes down about them (socket(7)).
#[derive(Clone, Copy)]
struct Buffers {
    send: u32,
    receive: u32,
}

impl Buffers {
    /// No page waits long for them: with a round trip of 100 ms they let 600 KB a second out. Less
    /// than a segment of the loopback interface, 64 KiB, makes each wait for a timer.
    const OF_MANY: Self = Self { send: 64 * 1024, receive: 32 * 1024 };
}

fn listen(address: SocketAddr, buffers: Option<Buffers>) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Or the port could not be taken again while connections of the process before are remembered.
    socket.set_reuseaddr(true)?;
    if let Some(Buffers { send, receive }) = buffers {
        // A connection has those of its listener.
        socket.set_send_buffer_size(send)?;
        socket.set_recv_buffer_size(receive)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{io::AsyncWriteExt, time::timeout};

    use super::*;

    #[tokio::test]
    async fn of_what_a_client_does_not_take_a_port_for_many_holds_little() {
        let listener = bind_for_many(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let client = TcpSocket::new_v4().unwrap();
        client.set_recv_buffer_size(4096).unwrap();
        let _client = client.connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut accepted, _) = listener.accept().await.unwrap();
        let mut held = 0;

        let write = async {
            loop {
                held += accepted.write(&[0; 16 * 1024]).await.unwrap();
            }
        };
        let _: Result<(), _> = timeout(Duration::from_secs(1), write).await;

        assert!((64 * 1024..192 * 1024).contains(&held), "{held}");
    }
}
