//! How long a session lasts. It does not know where sessions are kept.

use std::time::{Duration, SystemTime};

use super::Expiry;
use crate::epoch::seconds;

/// A session that is not used for so long is over.
const IDLE: Duration = Duration::from_mins(30);
/// A session is over after this, however much it is used.
pub(super) const ABSOLUTE: Duration = Duration::from_hours(8);
/// How often the use of a session is written down, and the provider's word looked for. A session may
/// end this much earlier than [`IDLE`] after its last use, and serve this much longer than that word
/// where it could not be deleted.
const USE_IS_NOTED_EVERY: Duration = Duration::from_mins(1);

/// When a session began, was last used, and ends; in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetime {
    pub(super) created_at: u64,
    pub(super) last_seen: u64,
    pub(super) expires_at: u64,
}

impl Lifetime {
    /// Of a session that begins now with an access token that ends at `token_end`.
    pub(super) fn new(now: SystemTime, token_end: u64) -> Self {
        let now = seconds(now);
        Self { created_at: now, last_seen: now, expires_at: end(now, now, token_end) }
    }

    /// Whether the session is over. The table's own expiry is no help: it deletes rows within
    /// days, not seconds.
    /// Source: "Using time to live (TTL) in DynamoDB".
    pub(super) fn is_over(self, now: SystemTime) -> bool {
        seconds(now) >= self.expires_at
    }

    /// The lifetime after a use now, or `None` where the last use was so recent that it need not
    /// be noted.
    pub(super) fn extended(self, now: SystemTime, token_end: u64) -> Option<Self> {
        let now = seconds(now);
        if now < self.last_seen.saturating_add(USE_IS_NOTED_EVERY.as_secs()) {
            return None;
        }
        Some(Self { last_seen: now, expires_at: end(self.created_at, now, token_end), ..self })
    }

    /// When the session ends however much it is used.
    pub(super) fn final_end(self, token_end: u64) -> u64 {
        (self.created_at + ABSOLUTE.as_secs()).min(token_end)
    }

    /// When the session ends, as seen by now.
    pub(super) fn expiry(self, now: SystemTime, token_end: u64) -> Expiry {
        let at = self.expires_at;
        let seconds_left = at.saturating_sub(seconds(now));
        Expiry { at, is_final: at >= self.final_end(token_end), seconds_left }
    }

    /// When a session that is not over by now can have begun at the earliest.
    pub(super) fn earliest_begin(now: SystemTime) -> u64 {
        seconds(now).saturating_sub(ABSOLUTE.as_secs())
    }
}

fn end(created_at: u64, now: u64, token_end: u64) -> u64 {
    (created_at + ABSOLUTE.as_secs()).min(now + IDLE.as_secs()).min(token_end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 1_800_000_000;
    const HOUR: u64 = 3600;

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    #[test]
    fn a_session_ends_when_it_is_not_used() {
        let lifetime = Lifetime::new(at(START), u64::MAX);

        assert!(!lifetime.is_over(at(START + 30 * 60 - 1)));
        assert!(lifetime.is_over(at(START + 30 * 60)));
    }

    #[test]
    fn a_session_never_outlives_its_access_token() {
        let lifetime = Lifetime::new(at(START), START + 60);

        assert!(lifetime.is_over(at(START + 60)));
        assert_eq!(lifetime.extended(at(START + 59), START + 60), None);
    }

    #[test]
    fn it_is_said_whether_use_puts_the_end_off() {
        let lifetime = Lifetime::new(at(START), START + 10 * HOUR);
        let expiry = lifetime.expiry(at(START + 60), START + 10 * HOUR);
        assert_eq!(expiry, Expiry { at: START + 1800, is_final: false, seconds_left: 1740 });

        let lifetime = Lifetime::new(at(START), START + 600);
        let expiry = lifetime.expiry(at(START + 60), START + 600);
        assert_eq!(expiry, Expiry { at: START + 600, is_final: true, seconds_left: 540 });
    }

    #[test]
    fn use_is_noted_once_a_minute() {
        let lifetime = Lifetime::new(at(START), u64::MAX);

        assert_eq!(lifetime.extended(at(START + 59), u64::MAX), None);
        let longer = lifetime.extended(at(START + 60), u64::MAX).unwrap();
        assert_eq!(longer.expires_at, START + 60 + 30 * 60);
        assert_eq!(longer.created_at, START);
    }

    proptest! {
        #[test]
        fn however_it_is_used_it_ends_in_time(
            uses in proptest::collection::vec(0..20 * 60_u64, 0..100),
            token in START..START + 10 * HOUR,
        ) {
            let mut lifetime = Lifetime::new(at(START), token);
            let mut now = START;
            for pause in uses {
                now += pause;
                if lifetime.is_over(at(now)) {
                    break;
                }
                lifetime = lifetime.extended(at(now), token).unwrap_or(lifetime);
            }

            prop_assert!(lifetime.expires_at <= token);
            prop_assert!(lifetime.expires_at <= START + 8 * HOUR);
            prop_assert!(lifetime.expires_at <= now + 30 * 60);
        }
    }
}
