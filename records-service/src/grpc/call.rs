//! What every call goes through: its trace, its caller, its permission, its deadline and its line
//! in the log. It does not know what a call is about.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use service_kit::{
    identity::{Caller, Verifier, VerifyError},
    telemetry::Chain,
    trace::TraceContext,
};
use tonic::{Code, Request, Response, Status, metadata::MetadataMap};
use tracing::Instrument;

use crate::error::Error;

/// How long a call without a `grpc-timeout` may take.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// No call may take longer, whatever it asks for.
const LONGEST_TIMEOUT: Duration = Duration::from_mins(1);
/// Our answer must come before tonic's own timer, which says CANCELLED, and reach the caller before
/// its own: we stop a twentieth of the time earlier, but no more than this.
const TIMEOUT_MARGIN: Duration = Duration::from_millis(100);

/// What a caller may be allowed to do: the permissions of the API at Auth0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permission {
    RecordsRead,
    RecordsCreate,
    AuditRead,
}

impl Permission {
    fn as_str(self) -> &'static str {
        match self {
            Self::RecordsRead => "records:read",
            Self::RecordsCreate => "records:create",
            Self::AuditRead => "audit:read",
        }
    }
}

/// An authorized call.
pub(super) struct Call {
    pub(super) caller: Arc<Caller>,
    pub(super) trace: TraceContext,
}

/// Lets callers in. A clone shares the verifier.
#[derive(Clone)]
pub(crate) struct Gate {
    verifier: Arc<Verifier>,
}

impl Gate {
    /// A gate for callers with tokens that this verifier accepts.
    #[must_use]
    pub(crate) fn new(verifier: Verifier) -> Self {
        Self { verifier: Arc::new(verifier) }
    }

    /// Answers a request through `respond`, if its caller has one of these permissions, before its
    /// deadline. Dropping `respond` at any await loses nothing.
    pub(super) async fn admit<Q, A, F>(
        &self,
        method: &'static str,
        request: Request<Q>,
        any_of: &[Permission],
        respond: impl FnOnce(Call, Q) -> F,
    ) -> Result<Response<A>, Status>
    where
        F: Future<Output = Result<A, Error>>,
    {
        let started = Instant::now();
        let (metadata, _, message) = request.into_parts();
        let traceparent = metadata.get("traceparent").and_then(|value| value.to_str().ok());
        let trace = TraceContext::continued_from(traceparent);
        let span = tracing::info_span!(
            "call",
            method,
            trace_id = trace.trace_id(),
            org.id = tracing::field::Empty
        );
        let answer = async {
            let timeout = timeout_of(&metadata);
            let response = async {
                let caller = self.authorize(&metadata, any_of).await?;
                tracing::Span::current().record("org.id", caller.organization().id());
                respond(Call { caller, trace }, message).await
            };
            let result = match tokio::time::timeout(timeout, response).await {
                Ok(result) => result,
                Err(_) => Err(Error::DeadlineExceeded),
            };
            log(&result, started.elapsed());
            result
        };
        match answer.instrument(span).await {
            Ok(answer) => Ok(Response::new(answer)),
            Err(error) => Err(error.to_status()),
        }
    }

    async fn authorize(
        &self,
        metadata: &MetadataMap,
        any_of: &[Permission],
    ) -> Result<Arc<Caller>, Error> {
        let token = bearer_token(metadata).ok_or(Error::Unauthenticated(None))?;
        let caller = self.verifier.verify(token).await.map_err(|error| match error {
            VerifyError::Unavailable => Error::Unavailable(Some(error.into())),
            error => Error::Unauthenticated(Some(error.into())),
        })?;
        if any_of.iter().any(|permission| caller.has(permission.as_str())) {
            Ok(caller)
        } else {
            Err(Error::Forbidden(any_of.first().map_or("", |permission| permission.as_str())))
        }
    }
}

/// The one bearer token of a call. Two are as bad as none: it is not ours to choose.
fn bearer_token(metadata: &MetadataMap) -> Option<&str> {
    let mut values = metadata.get_all("authorization").iter();
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else { return None };
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// How long a call may take from now on. Source: "grpc-timeout" in "gRPC over HTTP2".
fn timeout_of(metadata: &MetadataMap) -> Duration {
    let asked = metadata.get("grpc-timeout").and_then(|value| parse_timeout(value.to_str().ok()?));
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

/// One line a call, with the whole chain of causes where it failed.
fn log<A>(result: &Result<A, Error>, took: Duration) {
    let duration_ms = took.as_secs_f64() * 1000.0;
    let Err(error) = result else {
        tracing::debug!(code = "Ok", duration_ms, "answered");
        return;
    };
    let code = error.code();
    let error = Chain(error);
    match code {
        Code::Internal => tracing::error!(?code, duration_ms, %error, "failed"),
        Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => {
            tracing::warn!(?code, duration_ms, %error, "failed");
        }
        _ => tracing::info!(?code, duration_ms, %error, "refused"),
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
    fn only_a_single_bearer_token_counts() {
        let with = |values: &[&str]| {
            let mut metadata = MetadataMap::new();
            for value in values {
                metadata.append("authorization", value.parse().unwrap());
            }
            bearer_token(&metadata).map(ToOwned::to_owned)
        };

        assert_eq!(with(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(with(&["bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(with(&[]), None);
        assert_eq!(with(&["abc"]), None);
        assert_eq!(with(&["Basic abc"]), None);
        assert_eq!(with(&["Bearer abc", "Bearer def"]), None);
    }
}
