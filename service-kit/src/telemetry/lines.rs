//! How many lines something may write to the log that can happen any number of times. It does not
//! know what they say.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// So many lines in each interval, and the number of those that were left out.
#[derive(Debug)]
pub struct Lines {
    limit: u32,
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    began: Instant,
    written: u32,
    unlogged: u64,
}

impl Lines {
    /// At most `limit` lines in each `interval`.
    #[must_use]
    pub fn new(limit: u32, interval: Duration) -> Self {
        let state = State { began: Instant::now(), written: 0, unlogged: 0 };
        Self { limit, interval, state: Mutex::new(state) }
    }

    /// Whether the next line may be written: if so, how many were left out since the last one.
    pub fn next(&self) -> Option<u64> {
        self.next_at(Instant::now())
    }

    fn next_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(state.began) >= self.interval {
            (state.began, state.written) = (now, 0);
        }
        if state.written == self.limit {
            state.unlogged += 1;
            return None;
        }
        state.written += 1;
        Some(std::mem::take(&mut state.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_of_an_interval_are_written_and_the_others_counted() {
        let lines = Lines::new(2, Duration::from_secs(1));
        let now = Instant::now();

        let first: Vec<_> = (0..5).map(|_| lines.next_at(now)).collect();
        let later = lines.next_at(now + Duration::from_secs(1));
        let last = lines.next_at(now + Duration::from_secs(1));

        assert_eq!(first, [Some(0), Some(0), None, None, None]);
        assert_eq!((later, last), (Some(3), Some(0)));
    }
}
