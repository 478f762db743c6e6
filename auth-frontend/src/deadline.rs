//! Until when something must have come about. It does not know what.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, error::Elapsed, timeout_at};

/// A moment that everything done for one page is measured against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    #[must_use]
    pub(crate) fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// This one, or so long from now where that is sooner.
    #[must_use]
    pub(crate) fn or_after(self, time: Duration) -> Self {
        Self(self.0.min(Instant::now() + time))
    }

    /// How long it is until then; nothing once it has passed.
    #[must_use]
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Does `work`, but gives it up at this moment.
    ///
    /// # Errors
    /// Those of `work`, and that it took too long.
    pub(crate) async fn bound<T, E: From<Elapsed>>(
        self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        // Futures of AWS calls are large, and would otherwise be in the page's twice.
        match timeout_at(self.0, Box::pin(work)).await {
            Ok(done) => done,
            Err(late) => Err(late.into()),
        }
    }
}
