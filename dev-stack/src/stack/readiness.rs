//! Waiting until a process answers on its private port.

use std::{net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

use super::process::{Condition, Process};
use crate::Error;

const LOOK_AGAIN: Duration = Duration::from_millis(25);
const ONE_LOOK: Duration = Duration::from_secs(2);
const LAST_LINES: usize = 15;

/// Waits until `/readyz` on the port of loopback answers 200, the process ends, or time is up.
pub(crate) async fn wait(
    name: &str,
    process: &Process,
    port: u16,
    patience: Duration,
) -> Result<(), Error> {
    let deadline = Instant::now() + patience;
    loop {
        let seen = match tokio::time::timeout(ONE_LOOK, look(port)).await {
            Ok(Ok(status)) if status.contains(" 200 ") => return Ok(()),
            Ok(Ok(status)) => format!("http://localhost:{port}/readyz answers {status:?}"),
            Ok(Err(error)) => {
                format!("Nothing answers at http://localhost:{port}/readyz ({error})")
            }
            Err(_) => format!("http://localhost:{port}/readyz takes too long"),
        };
        if let Condition::Died(status) = process.condition() {
            let last_lines = process.log.end(LAST_LINES);
            return Err(Error::Ended { name: name.to_owned(), status, last_lines });
        }
        if Instant::now() >= deadline {
            return Err(Error::NotReady {
                name: name.to_owned(),
                seconds: patience.as_secs(),
                seen,
                last_lines: process.log.end(LAST_LINES),
            });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The status line of the answer.
async fn look(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let request =
        format!("GET /readyz HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // Only the beginning counts, and a peer may answer without end.
    stream.take(4096).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    Ok(answer.lines().next().unwrap_or_default().to_owned() + " ")
}
