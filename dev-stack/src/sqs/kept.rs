//! The files in which queues and their messages outlive the process: a snapshot of everything, and
//! journals of the messages that were sent since. It knows the form of both and no operation.
//!
//! A message is in a journal before it is acknowledged. A process that is killed forgets at most
//! that a message was received or deleted a moment ago, and then it is delivered once more, as
//! queues do.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use awsim_sqs::state::{Message, SqsRegionSnapshot};
use serde::{Deserialize, Serialize};

use crate::{Error, Storage, storage};

const SNAPSHOT: &str = "queues.json";

/// The folder of the files, and the journal that is being written.
pub(super) struct Kept {
    folder: PathBuf,
    journal: Mutex<Journal>,
}

struct Journal {
    number: u64,
    file: File,
}

/// A message, and the name of the queue that it was sent to.
#[derive(Serialize, Deserialize)]
pub(super) struct Sent {
    pub(super) queue: String,
    pub(super) message: Message,
}

impl Kept {
    /// The files in the folder, where there is one.
    pub(super) fn open(storage: &Storage) -> Result<Option<Self>, Error> {
        let Storage::Folder(folder) = storage else { return Ok(None) };
        storage::make_private_folder(folder)?;
        let number = journals(folder)?.last().map_or(0, |last| last + 1);
        let journal = Mutex::new(Journal { number, file: create_journal(folder, number)? });
        Ok(Some(Self { folder: folder.clone(), journal }))
    }

    /// The snapshot that all files amount to, or `None` where nothing was ever kept.
    pub(super) fn snapshot(&self) -> Result<Option<Vec<u8>>, Error> {
        let path = self.folder.join(SNAPSHOT);
        // A queue is in a snapshot before a message can be sent to it.
        let Some(content) = storage::read(&path)? else { return Ok(None) };
        let mut sent = Vec::new();
        for number in journals(&self.folder)? {
            sent.extend(read_journal(&journal_path(&self.folder, number))?);
        }
        whole(&content, sent).map(Some).map_err(|error| damaged(&path, &error))
    }

    /// Writes down what was sent; after this it outlives the process.
    pub(super) fn append(&self, sent: &[Sent]) -> Result<(), Error> {
        let mut lines = Vec::new();
        for one in sent {
            serde_json::to_writer(&mut lines, one).expect("a message has a form in JSON");
            lines.push(b'\n');
        }
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let written = journal.file.write_all(&lines);
        let path = || journal_path(&self.folder, journal.number);
        written.map_err(|source| Error::Storage { path: path(), source })
    }

    /// Goes on in a new journal, and tells the number of the one before. A snapshot taken between
    /// two messages, together with this, holds everything up to that journal.
    pub(super) fn begin_journal(&self) -> Result<u64, Error> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let number = journal.number;
        *journal = Journal { number: number + 1, file: create_journal(&self.folder, number + 1)? };
        Ok(number)
    }

    /// Replaces the snapshot, and removes the journals up to this number, which it holds.
    pub(super) fn replace_snapshot(&self, content: &[u8], number: u64) -> Result<(), Error> {
        storage::write(&self.folder.join(SNAPSHOT), content)?;
        for old in journals(&self.folder)?.into_iter().filter(|journal| *journal <= number) {
            let path = journal_path(&self.folder, old);
            fs::remove_file(&path).map_err(|source| Error::Storage { path, source })?;
        }
        Ok(())
    }
}

fn journal_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("sent-{number}.jsonl"))
}

fn create_journal(folder: &Path, number: u64) -> Result<File, Error> {
    let path = journal_path(folder, number);
    storage::create(&path).map_err(|source| Error::Storage { path, source })
}

/// The numbers of the journals in the folder, in their order.
fn journals(folder: &Path) -> Result<Vec<u64>, Error> {
    let failed = |source| Error::Storage { path: folder.to_owned(), source };
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("sent-"));
        let number = number.and_then(|name| name.strip_suffix(".jsonl")?.parse::<u64>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What a journal holds; half a line at its end was never acknowledged.
fn read_journal(path: &Path) -> Result<Vec<Sent>, Error> {
    let content = storage::read(path)?.unwrap_or_default();
    let lines = content.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let sent = lines.map(serde_json::from_slice).collect::<serde_json::Result<_>>();
    sent.map_err(|error| damaged(path, &error))
}

fn damaged(path: &Path, error: &serde_json::Error) -> Error {
    Error::Damaged { path: path.to_owned(), problem: error.to_string() }
}

/// The snapshot with what was sent after it, and with the messages visible whose time ran out while
/// nobody served them; awsim would count that as one more receive.
fn whole(content: &[u8], sent: Vec<Sent>) -> serde_json::Result<Vec<u8>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut regions: Vec<SqsRegionSnapshot> = serde_json::from_slice(content)?;
    // A journal that the snapshot holds already is there if the process was killed between the two.
    let mut known = HashSet::new();
    for queue in regions.iter_mut().flat_map(|region| &mut region.queues) {
        let (held, over): (Vec<_>, Vec<_>) = std::mem::take(&mut queue.inflight)
            .into_iter()
            .partition(|held| held.visible_at_secs > now);
        queue.inflight = held;
        for held in over {
            queue.messages.push_front(held.message);
        }
        let messages = queue.messages.iter();
        let messages = messages.chain(queue.inflight.iter().map(|held| &held.message));
        known.extend(messages.map(|message| message.message_id.clone()));
    }
    for Sent { queue, message } in sent {
        let mut queues = regions.iter_mut().flat_map(|region| &mut region.queues);
        let queue = queues.find(|found| found.name == queue);
        if let Some(queue) = queue
            && known.insert(message.message_id.clone())
        {
            queue.messages.push_back(message);
        }
    }
    serde_json::to_vec(&regions)
}
