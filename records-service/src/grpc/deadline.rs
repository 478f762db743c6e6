//! How long a call may take.

use std::time::Duration;

use http::HeaderMap;

/// How long a call without a `grpc-timeout` may take.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// No call may take longer, whatever it asks for.
pub(super) const LONGEST_TIMEOUT: Duration = Duration::from_mins(1);
/// Our answer must reach the caller before its own timer ends: we stop a twentieth of the time
/// earlier, but no more than this.
const TIMEOUT_MARGIN: Duration = Duration::from_millis(100);

/// How long a call with these headers may take from now on. Source: "grpc-timeout" in "gRPC over
/// HTTP2".
pub(super) fn timeout_of(headers: &HeaderMap) -> Duration {
    let asked = headers.get("grpc-timeout").and_then(|value| parse_timeout(value.to_str().ok()?));
    match asked {
        Some(timeout) => {
            let timeout = timeout.min(LONGEST_TIMEOUT);
            timeout.saturating_sub((timeout / 20).min(TIMEOUT_MARGIN))
        }
        None => DEFAULT_TIMEOUT,
    }
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (unit_at, unit) = text.char_indices().last()?;
    let digits = &text[..unit_at];
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let amount = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(amount * 3600)),
        'M' => Some(Duration::from_secs(amount * 60)),
        'S' => Some(Duration::from_secs(amount)),
        'm' => Some(Duration::from_millis(amount)),
        'u' => Some(Duration::from_micros(amount)),
        'n' => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_have_eight_digits_and_a_unit() {
        assert_eq!(parse_timeout("2S"), Some(Duration::from_secs(2)));
        assert_eq!(parse_timeout("99999999H"), Some(Duration::from_hours(99_999_999)));
        assert_eq!(parse_timeout("1500m"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_timeout("7u"), Some(Duration::from_micros(7)));
        for malformed in ["", "S", "5", "123456789S", "-1S", "1.5S", "1s", "5é"] {
            assert_eq!(parse_timeout(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn no_call_takes_longer_than_a_minute_and_ours_ends_before_the_callers() {
        let of = |timeout: &'static str| {
            timeout_of(&HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-timeout"),
                http::HeaderValue::from_static(timeout),
            )]))
        };

        assert_eq!(of("1H"), Duration::from_millis(59_900));
        assert_eq!(of("1S"), Duration::from_millis(950));
        assert_eq!(of("soon"), DEFAULT_TIMEOUT);
        assert_eq!(timeout_of(&HeaderMap::new()), DEFAULT_TIMEOUT);
    }
}
