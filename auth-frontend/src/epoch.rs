//! Times as numbers, as tokens, rows and cookies have them: counted from 1970, and nothing for what was
//! before it.

use std::time::{Duration, SystemTime};

/// In whole seconds.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    since_1970(time).as_secs()
}

/// In whole milliseconds.
pub(crate) fn milliseconds(time: SystemTime) -> u64 {
    u64::try_from(since_1970(time).as_millis()).unwrap_or(u64::MAX)
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
