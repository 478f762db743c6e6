//! Asks the emulators of a running command whether they answer, as the health check of a container.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use dev_stack::{EmulatorOptions, Error};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const PATIENCE: Duration = Duration::from_secs(2);

/// Any HTTP answer is good: an endpoint of Auth0 may have been told to fail.
pub(crate) async fn run(options: &EmulatorOptions) -> Result<(), Error> {
    let bind = options.bind;
    let host = if bind.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { bind };
    let ports = options.ports;
    for (name, port) in [("Auth0", ports.auth0), ("DynamoDB", ports.dynamodb), ("SQS", ports.sqs)] {
        let address = SocketAddr::new(host, port);
        let asked = tokio::time::timeout(PATIENCE, ask(address)).await;
        let asked = asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        asked.map_err(|source| Error::NoAnswer { name, address: address.to_string(), source })?;
    }
    Ok(())
}

async fn ask(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut beginning = [0; 7];
    stream.read_exact(&mut beginning).await?;
    if &beginning == b"HTTP/1." { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}
