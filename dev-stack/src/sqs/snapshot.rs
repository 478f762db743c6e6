//! The file in which queues and their messages outlive the process. It is written whole, a moment
//! after a change, so a process that is killed forgets at most that moment.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use awsim_sqs::state::SqsRegionSnapshot;
use tokio::{sync::Mutex, task::AbortHandle};

use super::standard::StandardSqs;
use crate::{Error, storage};

/// The shortest time between two writes.
const PAUSE: Duration = Duration::from_millis(50);

/// Of the time, writing takes at most one part in this many, however full the queues are.
const SHARE: u32 = 10;

/// The file, kept up to date until this is dropped.
pub(super) struct SnapshotFile {
    path: PathBuf,
    /// Held while writing, so that an older state never replaces a newer one.
    writing: Arc<Mutex<()>>,
    follower: AbortHandle,
}

impl SnapshotFile {
    /// Fills the queues from the file, if it exists, and follows their changes from now on.
    pub(super) async fn open(path: PathBuf, queues: &Arc<StandardSqs>) -> Result<Self, Error> {
        if let Some(content) = storage::read(&path)? {
            let damaged = |problem| Error::Damaged { path: path.clone(), problem };
            let content = with_overdue_visible(&content).map_err(|e| damaged(e.to_string()))?;
            queues.set_all(&content).await.map_err(damaged)?;
        }
        let writing = Arc::new(Mutex::new(()));
        let follower = tokio::spawn(follow(path.clone(), queues.clone(), writing.clone()));
        Ok(Self { path, writing, follower: follower.abort_handle() })
    }

    /// Writes the present state now.
    pub(super) async fn save(&self, queues: &StandardSqs) {
        save(&self.path, queues, &self.writing).await;
    }
}

impl Drop for SnapshotFile {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

async fn follow(path: PathBuf, queues: Arc<StandardSqs>, writing: Arc<Mutex<()>>) {
    loop {
        queues.changed().await;
        let started = Instant::now();
        save(&path, &queues, &writing).await;
        tokio::time::sleep(PAUSE.max(started.elapsed() * SHARE)).await;
    }
}

async fn save(path: &std::path::Path, queues: &StandardSqs, writing: &Mutex<()>) {
    let _writing = writing.lock().await;
    let Some(content) = queues.all().await else { return };
    let path = path.to_owned();
    let written = tokio::task::spawn_blocking(move || storage::write(&path, &content)).await;
    if let Ok(Err(error)) = written {
        tracing::error!(error = %error.chain(), "queues not written to disk");
    }
}

/// The same snapshot, with the messages visible whose time ran out while nobody served them;
/// awsim would count that as one more receive.
fn with_overdue_visible(content: &[u8]) -> serde_json::Result<Vec<u8>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut regions: Vec<SqsRegionSnapshot> = serde_json::from_slice(content)?;
    for queue in regions.iter_mut().flat_map(|region| &mut region.queues) {
        let (held, over): (Vec<_>, Vec<_>) = std::mem::take(&mut queue.inflight)
            .into_iter()
            .partition(|held| held.visible_at_secs > now);
        queue.inflight = held;
        for held in over {
            queue.messages.push_front(held.message);
        }
    }
    serde_json::to_vec(&regions)
}
