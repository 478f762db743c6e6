//! Brings committed events from the outbox to the queue. An event goes the fast way, straight from
//! the call that committed it; whatever that way loses (a full channel, a failure, a crash), the
//! sweeper finds in the outbox. An event may be sent twice and is never lost.

use std::{sync::Arc, time::Duration};

use fail::fail_point;
use futures_util::{StreamExt, stream};
use service_kit::{shutdown::CancellationToken, telemetry::Chain};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use uuid::Uuid;

use super::{
    pause::{Pause, wait},
    queue::Queue,
};
use crate::{
    error::Error,
    store::{
        Store,
        outbox::{SHARDS, Unsent},
    },
};

/// The most events that the fast way holds.
const FAST_EVENTS: usize = 1024;
/// The most bytes of payload that the fast way holds; what does not fit goes by the sweeper.
const FAST_BYTES: usize = 8 * 1024 * 1024;
/// How many events the fast way takes at once; they make several batches.
const FAST_GULP: usize = 100;
/// How old an unsent event is when the sweeper takes it: younger ones are on the fast way.
pub(crate) const SWEEP_AGE: Duration = Duration::from_secs(2);
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// How long after a failure nothing is sent; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a sweeper that has died keeps the others waiting.
const LEASE: Duration = Duration::from_secs(8);
const SHARDS_AT_ONCE: usize = 4;
const BATCHES_AT_ONCE: usize = 4;

/// Where calls leave the events that they have committed.
#[derive(Clone)]
pub(crate) struct Outgoing {
    sender: mpsc::Sender<(Unsent, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

impl Outgoing {
    /// Leaves an event for the fast way, if it has room. It never waits: the event is safe in the
    /// outbox.
    pub(crate) fn offer(&self, event: Unsent) {
        let bytes = u32::try_from(event.payload.len()).unwrap_or(u32::MAX);
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_many_owned(bytes) {
            let _ = self.sender.try_send((event, permit));
        }
    }
}

/// Sends what is in the outbox.
pub(crate) struct Relay {
    store: Store,
    queue: Queue,
    offered: mpsc::Receiver<(Unsent, OwnedSemaphorePermit)>,
    sweeper: Sweeper,
}

/// Sends what the fast way has left behind.
struct Sweeper {
    store: Store,
    queue: Queue,
    /// Tells this process from others that sweep.
    name: String,
}

impl Relay {
    /// A relay, and where to leave events for it.
    #[must_use]
    pub(crate) fn new(store: Store, queue: Queue) -> (Self, Outgoing) {
        let (sender, offered) = mpsc::channel(FAST_EVENTS);
        let room = Arc::new(Semaphore::new(FAST_BYTES));
        let sweeper = Sweeper {
            store: store.clone(),
            queue: queue.clone(),
            name: Uuid::new_v4().to_string(),
        };
        (Self { store, queue, offered, sweeper }, Outgoing { sender, room })
    }

    /// Sends until `stopping`, and then what has been offered until then: whoever stops it must
    /// have stopped the calls before.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        let Self { store, queue, offered, sweeper } = self;
        tokio::join!(
            run_fast_way(&store, &queue, offered, stopping.clone()),
            sweeper.run(stopping)
        );
    }
}

async fn run_fast_way(
    store: &Store,
    queue: &Queue,
    mut offered: mpsc::Receiver<(Unsent, OwnedSemaphorePermit)>,
    stopping: CancellationToken,
) {
    let mut gulp = Vec::with_capacity(FAST_GULP);
    let mut pause = Pause::between(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let received = tokio::select! {
            biased;
            received = offered.recv_many(&mut gulp, FAST_GULP) => received,
            () = stopping.cancelled() => {
                offered.close();
                offered.recv_many(&mut gulp, FAST_GULP).await
            }
        };
        if received == 0 {
            return;
        }
        let (events, permits): (Vec<_>, Vec<_>) = gulp.drain(..).unzip();
        fail_point!("relay-before-send");
        let sent = send(store, queue, &events).await;
        drop(permits);
        match sent {
            Ok(_) => pause.reset(),
            Err(error) => {
                tracing::warn!(
                    error = %Chain(&error),
                    events = events.len(),
                    "cannot send events; they stay in the outbox"
                );
                // What is offered meanwhile waits in the channel, or in the outbox.
                pause.wait(&stopping).await;
            }
        }
    }
}

impl Sweeper {
    async fn run(self, stopping: CancellationToken) {
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
        if let Err(error) = self.store.release_sweep_lease(&self.name).await {
            tracing::debug!(error = %Chain(&error), "cannot release the sweep lease; it ends by itself");
        }
    }

    /// Sends the oldest events of every shard, if no other process does.
    async fn sweep(&self, stopping: &CancellationToken) -> Result<(), Error> {
        if !self.store.hold_sweep_lease(&self.name, LEASE).await? {
            return Ok(());
        }
        let sweeps: Vec<_> = (0..SHARDS).map(|shard| self.sweep_shard(shard)).collect();
        let mut shards = stream::iter(sweeps).buffer_unordered(SHARDS_AT_ONCE);
        // One shard that fails does not keep the others waiting.
        let mut outcome = Ok(());
        while let Some(swept) = shards.next().await {
            outcome = outcome.and(swept);
            if stopping.is_cancelled() {
                break;
            }
        }
        outcome
    }

    /// Sends the oldest events of a shard. Rows that stay, because the queue refuses them or nobody
    /// can read them, do not hide those behind them.
    async fn sweep_shard(&self, shard: u8) -> Result<(), Error> {
        let mut after = None;
        loop {
            let rows = self.store.unsent_events(shard, SWEEP_AGE, after).await?;
            if rows.found > 0 {
                tracing::info!(shard, events = rows.found, "sending events that were left behind");
            }
            let sent = send(&self.store, &self.queue, &rows.events).await?;
            let some_stay = sent < rows.found;
            after = match rows.next {
                Some(next) if some_stay => Some(next),
                _ => return Ok(()),
            };
        }
    }
}

/// Sends events, removes from the outbox those that are on the queue, and answers with their number.
/// Tries every batch before it answers with the first failure.
async fn send(store: &Store, queue: &Queue, events: &[Unsent]) -> Result<usize, Error> {
    let batches = Queue::batches(events);
    let sends: Vec<_> = batches.iter().map(|batch| send_batch(store, queue, batch)).collect();
    let mut outcomes = stream::iter(sends).buffer_unordered(BATCHES_AT_ONCE);
    let mut outcome = Ok(0);
    while let Some(sent) = outcomes.next().await {
        outcome = match (outcome, sent) {
            (Ok(before), Ok(now)) => Ok(before + now),
            (Err(first), _) | (_, Err(first)) => Err(first),
        };
    }
    outcome
}

async fn send_batch(store: &Store, queue: &Queue, batch: &[&Unsent]) -> Result<usize, Error> {
    let sent = queue.send(batch).await?;
    store.forget_sent(&sent).await?;
    Ok(sent.len())
}
