//! Waiting for a time that is not everybody's.

use std::time::Duration;

use uuid::Uuid;

/// Between half of `time` and the whole of it.
pub(crate) fn jittered(time: Duration) -> Duration {
    let random = Uuid::new_v4().as_bytes()[0];
    time / 2 + time.mul_f64(f64::from(random) / 512.0)
}
