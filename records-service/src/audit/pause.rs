//! Waiting that ends early when the process stops.

use std::time::Duration;

use service_kit::shutdown::CancellationToken;

/// A pause that doubles with each failure in a row.
pub(super) struct Pause {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Pause {
    /// Begins with `first` and grows up to `longest`.
    pub(super) fn between(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// Begins anew after a success.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }

    /// Waits, longer than the last time, or until `stopping`.
    pub(super) async fn wait(&mut self, stopping: &CancellationToken) {
        wait(self.next, stopping).await;
        self.next = (self.next * 2).min(self.longest);
    }
}

/// Waits so long, or until `stopping`.
pub(super) async fn wait(pause: Duration, stopping: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = stopping.cancelled() => {}
    }
}
