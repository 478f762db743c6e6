//! Brings committed events from the outbox to the queue. An event goes the fast way, straight from
//! the call that committed it; whatever that way loses (a full channel, a failure, a crash), the
//! sweeper finds in the outbox. An event may be sent twice and is never lost.

use std::{sync::Arc, time::Duration};

use fail::fail_point;
use service_kit::{shutdown::CancellationToken, telemetry::Chain};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{metrics::RelayMetrics, pause::Pause, queue::Queue, sender::Sender, sweeper::Sweeper};
use crate::store::{Duty, Store, outbox::Unsent};

/// The most events that the fast way holds.
const FAST_EVENTS: usize = 1024;
/// The most bytes of payload that the fast way holds; what does not fit goes by the sweeper.
const FAST_BYTES: usize = 8 * 1024 * 1024;
/// How many events the fast way takes at once; they make several batches.
const FAST_GULP: usize = 100;
/// How long after a failure nothing is sent; it doubles up to the longest.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(250);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

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
    sender: Sender,
    offered: mpsc::Receiver<(Unsent, OwnedSemaphorePermit)>,
}

impl Relay {
    /// A relay, and where to leave events for it.
    #[must_use]
    pub(crate) fn new(store: Store, queue: Queue, metrics: RelayMetrics) -> (Self, Outgoing) {
        let (sender, offered) = mpsc::channel(FAST_EVENTS);
        let room = Arc::new(Semaphore::new(FAST_BYTES));
        let relay = Self { sender: Sender { store, queue, metrics }, offered };
        (relay, Outgoing { sender, room })
    }

    /// Sends until `stopping`, and then what has been offered until then: whoever stops it must
    /// have stopped the calls before.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        let sweeper = Sweeper::new(self.sender.clone());
        let sending = async {
            tokio::join!(
                run_fast_way(&self.sender, self.offered, stopping.clone()),
                sweeper.run(stopping.clone())
            )
        };
        Duty::of_relay().during(sending).await;
    }
}

async fn run_fast_way(
    sender: &Sender,
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
        let sent = sender.send(&events, &sender.metrics.fast).await;
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
