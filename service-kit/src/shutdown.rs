//! When a process should stop. It does not know what has to be stopped.

use std::{future::Future, io, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
pub use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first SIGTERM or SIGINT. A second one ends the process at
/// once, for an operator who will not wait.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn on_signal() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stopping = CancellationToken::new();
    let stop = stopping.clone();
    tokio::spawn(async move {
        for first in [true, false] {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if first {
                tracing::info!(signal = name, "stopping");
                stop.cancel();
            } else {
                tracing::warn!(signal = name, "stopping at once");
                std::process::exit(130);
            }
        }
    });
    Ok(stopping)
}

/// Waits for `work` to end by itself after `stopping`, but no longer than `limit` from then on.
/// Answers whether it ended in time.
pub async fn drain(
    work: impl Future<Output = ()>,
    stopping: &CancellationToken,
    limit: Duration,
) -> bool {
    tokio::select! {
        () = work => true,
        () = async {
            stopping.cancelled().await;
            tokio::time::sleep(limit).await;
        } => {
            tracing::warn!(limit_ms = limit.as_millis(), "work was still under way at the end of the drain");
            false
        }
    }
}
