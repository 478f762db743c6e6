//! Finds in the outbox what the fast way has left behind, and sends it. One process sweeps, by a
//! lease; it knows how much there is.

use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, stream};
use service_kit::{shutdown::CancellationToken, telemetry::Chain};
use uuid::Uuid;

use super::{
    metrics::Backlog,
    pause::{Pause, wait},
    relay::{FIRST_PAUSE, LONGEST_PAUSE},
    sender::Sender,
};
use crate::{error::Error, store::outbox::SHARDS};

/// How old an unsent event is when the sweeper takes it: younger ones are on the fast way.
const SWEEP_AGE: Duration = Duration::from_secs(2);
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// How long a sweeper that has died keeps the others waiting.
const LEASE: Duration = Duration::from_secs(8);
const SHARDS_AT_ONCE: usize = 4;
/// How often what is left is counted. It costs a read for each event.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);
/// How far it is counted in each shard.
const COUNT_LIMIT: u32 = 1000;

/// Sends what the fast way has left behind.
pub(super) struct Sweeper {
    sender: Sender,
    /// Tells this process from others that sweep.
    name: String,
}

impl Sweeper {
    pub(super) fn new(sender: Sender) -> Self {
        Self { sender, name: Uuid::new_v4().to_string() }
    }

    /// Sweeps until `stopping`, whenever no other process does.
    pub(super) async fn run(self, stopping: CancellationToken) {
        let mut pause = Pause::between(FIRST_PAUSE, LONGEST_PAUSE);
        while !stopping.is_cancelled() {
            match self.sweep(&stopping).await {
                Ok(()) => {
                    pause.reset();
                    wait(SWEEP_INTERVAL, &stopping).await;
                }
                Err(error) => {
                    tracing::warn!(
                        error = %Chain(&error),
                        "cannot sweep the outbox; trying again"
                    );
                    pause.wait(&stopping).await;
                }
            }
        }
        self.sender.metrics.outbox().take();
        if let Err(error) = self.sender.store.release_sweep_lease(&self.name).await {
            tracing::debug!(error = %Chain(&error), "cannot release the sweep lease; it ends by itself");
        }
    }

    /// Sends the oldest events of every shard, if no other process does.
    async fn sweep(&self, stopping: &CancellationToken) -> Result<(), Error> {
        let held = self.sender.store.hold_sweep_lease(&self.name, LEASE).await;
        if !matches!(held, Ok(true)) {
            // Somebody else may sweep now, and what this process counted would grow old in its place.
            self.sender.metrics.outbox().take();
            return held.map(drop);
        }
        let sweeps: Vec<_> = (0..SHARDS).map(|shard| self.sweep_shard(shard)).collect();
        let mut shards = stream::iter(sweeps).buffer_unordered(SHARDS_AT_ONCE);
        // One shard that fails does not keep the others waiting.
        let mut outcome = Ok(());
        while let Some(swept) = shards.next().await {
            outcome = outcome.and(swept);
            if stopping.is_cancelled() {
                return outcome;
            }
        }
        // Whatever could not be sent is counted all the same.
        outcome.and(self.count_what_is_left().await)
    }

    /// Sends the oldest events of a shard. Rows that stay, because the queue refuses them or nobody
    /// can read them, do not hide those behind them.
    async fn sweep_shard(&self, shard: u8) -> Result<(), Error> {
        let mut after = None;
        loop {
            let rows = self.sender.store.unsent_events(shard, SWEEP_AGE, after).await?;
            if rows.found > 0 {
                tracing::info!(shard, events = rows.found, "sending events that were left behind");
            }
            let sent = self.sender.send(&rows.events, &self.sender.metrics.swept).await?;
            let some_stay = sent < rows.found;
            after = match rows.next {
                Some(next) if some_stay => Some(next),
                _ => return Ok(()),
            };
        }
    }

    async fn count_what_is_left(&self) -> Result<(), Error> {
        let counted = self.sender.metrics.outbox().map(|backlog| backlog.at);
        let age = counted.and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age < COUNT_INTERVAL) {
            return Ok(());
        }
        let counts: Vec<_> = (0..SHARDS)
            .map(|shard| self.sender.store.count_unsent_events(shard, SWEEP_AGE, COUNT_LIMIT))
            .collect();
        let mut shards = stream::iter(counts).buffer_unordered(SHARDS_AT_ONCE);
        let mut backlog = Backlog { at: SystemTime::now(), late_events: 0, oldest: None };
        while let Some(unsent) = shards.next().await.transpose()? {
            backlog.late_events += unsent.count;
            backlog.oldest = [backlog.oldest, unsent.oldest].into_iter().flatten().min();
        }
        *self.sender.metrics.outbox() = Some(backlog);
        Ok(())
    }
}
