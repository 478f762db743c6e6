//! How far our clock is from that of a server, by the `Date` header of its answers.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use aws_sdk_dynamodb::{
    config::{ConfigBag, Intercept, RuntimeComponents},
    error::BoxError,
    primitives::{DateTime, DateTimeFormat},
};
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;

use super::{Finding, State};

/// The most that clocks may differ: what the verifier of tokens grants. AWS grants five minutes.
const SKEW_SECONDS: i64 = 30;

/// By how many seconds our clock is ahead of what a `Date` header said just now. The header has whole
/// seconds, and was written some moments ago.
pub(super) fn seconds_ahead(date: &str) -> Option<i64> {
    let theirs = DateTime::from_str(date, DateTimeFormat::HttpDate).ok()?;
    Some(DateTime::from(SystemTime::now()).secs() - theirs.secs())
}

pub(super) fn finding(server: &str, seconds_ahead: i64) -> Finding {
    let what = format!("clock, by that of {server}");
    if seconds_ahead.abs() <= SKEW_SECONDS {
        return Finding::ok(what);
    }
    let direction = if seconds_ahead > 0 { "ahead" } else { "behind" };
    let seconds = seconds_ahead.abs();
    let advice = format!(
        "ours is {seconds} s {direction}, {SKEW_SECONDS} s are granted: set it by NTP (chrony)"
    );
    Finding::new(what, State::Wrong, advice)
}

/// Listens to the answers of AWS, errors included.
#[derive(Debug, Clone, Default)]
pub struct AwsClock(Arc<Mutex<Option<i64>>>);

impl AwsClock {
    /// What was heard, if AWS has answered at all.
    pub(super) fn finding(&self) -> Option<Finding> {
        let heard = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.map(|seconds| finding("AWS", seconds))
    }
}

impl Intercept for AwsClock {
    fn name(&self) -> &'static str {
        "AwsClock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let heard = context.response().headers().get("date").and_then(seconds_ahead);
        if heard.is_some() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = heard;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_may_differ_by_half_a_minute() {
        let at = |seconds: u64| {
            let time = DateTime::from(SystemTime::now() - Duration::from_secs(seconds));
            seconds_ahead(&time.fmt(DateTimeFormat::HttpDate).unwrap()).unwrap()
        };

        assert_eq!(finding("AWS", at(25)).state, State::Ok);
        assert_eq!(finding("AWS", at(60)).state, State::Wrong);
        assert_eq!(finding("AWS", -60).state, State::Wrong);
        assert_eq!(seconds_ahead("yesterday"), None);
    }
}
