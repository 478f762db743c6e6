//! What a process says: every line kept for a while, and passed on to whoever listens.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    sync::mpsc::UnboundedSender,
};

/// The most lines of one process that are kept.
const MOST_LINES: usize = 10_000;

/// One line of the log of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The name of the process.
    pub process: &'static str,
    /// Its line, without the end.
    pub text: String,
}

/// The lines of one process, the newest at the end.
#[derive(Clone)]
pub(crate) struct Log {
    process: &'static str,
    lines: Arc<Mutex<VecDeque<String>>>,
    listener: Option<UnboundedSender<LogLine>>,
}

impl Log {
    pub(crate) fn new(process: &'static str, listener: Option<UnboundedSender<LogLine>>) -> Self {
        Self { process, lines: Arc::default(), listener }
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The last lines, indented.
    pub(crate) fn end(&self, count: usize) -> String {
        let lines = self.all();
        let last = lines.iter().skip(lines.len().saturating_sub(count));
        let indented: Vec<_> = last.map(|line| format!("  {line}")).collect();
        if indented.is_empty() { "  (none)".to_owned() } else { indented.join("\n") }
    }

    /// Takes in everything a process writes, until it closes the pipe.
    pub(crate) async fn follow(self, pipe: impl AsyncRead + Unpin) {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        // A pipe that cannot be read is closed, as far as we care.
        while pipe.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
            self.add(String::from_utf8_lossy(&line).trim_end().to_owned());
            line.clear();
        }
    }

    fn add(&self, text: String) {
        if let Some(listener) = &self.listener {
            // Nobody listening is no reason to stop.
            let _ = listener.send(LogLine { process: self.process, text: text.clone() });
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == MOST_LINES {
            lines.pop_front();
        }
        lines.push_back(text);
    }
}
