//! What every call of the contract goes through before anything reads its message: the limit of
//! calls in flight, its trace, its caller, how much and how often that one may call, and its deadline;
//! and afterwards its line in the log and its place among the metrics. It knows headers and statuses,
//! not what a call is about.

use std::{
    any::Any,
    error::Error as StdError,
    num::NonZeroU32,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use futures_util::FutureExt;
use http::{HeaderMap, header::AUTHORIZATION};
use prometheus_client::registry::Registry;
use records_proto::code_name;
use service_kit::{
    identity::{Caller, Verifier, VerifyError},
    metrics::Tally,
    shares::Shares,
    telemetry::{Chain, Lines},
    trace::{CURRENT, Span, TraceContext},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Code, Status};
use tracing::Instrument;

use super::{
    answer::{HangUp, Patience, keep},
    arrival::within_limit,
    call::Visitor,
    deadline::timeout_of,
    method::{Method, Methods},
    metrics::{CallLabels, LimitedLabels, Metrics},
    rates::{Counted, Rates},
    turns::Held,
    undecodable::name_undecodable,
};
use crate::{
    error::{Error, LimitedBy},
    store::Duty,
};

/// How many failures are logged in a second, and how many refusals. In an outage, or under attack,
/// there are thousands, each line says the same, and to write them all would take what is left of
/// the process.
const LOG_LINES: u32 = 50;

/// The one way in to the contract.
pub(crate) struct Door {
    verifier: Verifier,
    room: Arc<Semaphore>,
    shares: Arc<Shares<Counted>>,
    rates: Rates,
    methods: Methods,
    metrics: Metrics,
    failure_lines: Lines,
    refusal_lines: Lines,
}

impl Door {
    /// A door for callers with tokens that this verifier accepts, for so many calls at a time, of
    /// which no organization has more than half, and for callers and organizations that call no more
    /// often than this.
    #[must_use]
    pub(crate) fn new(
        verifier: Verifier,
        limit: NonZeroU32,
        rates: Rates,
        registry: &mut Registry,
    ) -> Arc<Self> {
        let places = limit.get() as usize;
        let room = Arc::new(Semaphore::new(places));
        let shares = Shares::of_at_most((places / 2).max(1));
        let metrics = Metrics::register(registry, limit);
        let methods = Methods::of_contract();
        let lines = || Lines::new(LOG_LINES, Duration::from_secs(1));
        let (failure_lines, refusal_lines) = (lines(), lines());
        Arc::new(Self {
            verifier,
            room,
            shares,
            rates,
            methods,
            metrics,
            failure_lines,
            refusal_lines,
        })
    }

    async fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Caller>, Error> {
        let token = bearer_token(headers).ok_or(Error::Unauthenticated(None))?;
        self.verifier.verify(token).await.map_err(|error| match error {
            VerifyError::Unavailable => Error::Unavailable(Some(error.into())),
            error => Error::Unauthenticated(Some(error.into())),
        })
    }
}

/// The place of a call among those in flight. Whoever sees fewer in flight finds it free: fields are
/// dropped in their order.
struct Place {
    _permit: OwnedSemaphorePermit,
    _counted: Tally,
}

impl Place {
    fn take(door: &Door) -> Option<Self> {
        let permit = Arc::clone(&door.room).try_acquire_owned().ok()?;
        Some(Self { _permit: permit, _counted: Tally::of(&door.metrics.in_flight) })
    }
}

/// Lets a call in and makes its answer, before its deadline. A call that is let in has its place
/// until its caller has taken the answer, or goes away; the answers that wait for their callers take
/// memory. Who does not take one in time loses the connection, or could keep the others out.
///
/// Until its caller is known, a call waits for nothing that a caller can hold back. From then on its
/// place is one of its organization's, which has at most half of them.
///
/// Dropping what is behind the door loses nothing, at any await.
pub(super) async fn admit(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let mut request = within_limit(request);
    // Nobody queues here: those who are let in would wait behind those who have given up.
    let Some(place) = Place::take(&door) else {
        door.metrics.shed.inc();
        return Error::Full.into_status().into_http();
    };
    let method = door.methods.at(request.uri().path());
    let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let span = Span::server(method.path, traceparent.and_then(TraceContext::parse));
    let trace = span.context();
    let mut underway = Underway::begin(&door, method, span);

    let connection = request.extensions_mut().remove::<HangUp>();
    let timeout = timeout_of(request.headers());
    let mut share = None;
    let handled = async {
        let caller = door.authenticate(request.headers()).await?;
        tracing::Span::current().record("org.id", caller.organization().id());
        // First, because it can be given back: who is turned away here has not called more often.
        let organization = Counted::organization_of(&caller);
        let taken = door.shares.take(&organization, 1);
        share = Some(taken.ok_or(Error::Limited(LimitedBy::Places))?);
        door.rates.admit(&caller)?;
        let duty = Duty::of_caller(&caller);
        request.extensions_mut().insert(Visitor { caller, trace });
        let answer = duty.during(next.run(request)).await;
        Ok(name_undecodable(answer))
    };
    let answered = async {
        let handled = AssertUnwindSafe(handled).catch_unwind();
        let result = match tokio::time::timeout(timeout, handled).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(after_panic(panic.as_ref())),
            Err(_) => Err(Error::DeadlineExceeded),
        };
        let response = result.unwrap_or_else(|error| error.into_status().into_http());
        underway.answered_with(&response);
        response
    };
    let lines = tracing::info_span!(
        "call",
        method = method.name,
        trace_id = trace.trace_id(),
        org.id = tracing::field::Empty
    );
    let mut answer = CURRENT.scope(trace, answered.instrument(lines)).await;
    let large = answer.extensions_mut().remove::<Arc<Held>>();
    // Whoever sees the place free finds the share and that of a large answer free as well.
    keep(answer, (share, large, place, connection.map(Patience::of)))
}

/// A call that was let in. What came of it is measured when it is dropped, so that a call whose
/// caller went away counts as well.
struct Underway<'a> {
    door: &'a Door,
    method: Method,
    started: Instant,
    code: Code,
    /// Whether it was turned away because its caller or organization asks too much, or there is no room
    /// for its answer. Then it is counted apart.
    is_apart: bool,
    span: Span,
}

impl<'a> Underway<'a> {
    fn begin(door: &'a Door, method: Method, span: Span) -> Self {
        Self { door, method, started: Instant::now(), code: Code::Cancelled, is_apart: false, span }
    }

    /// Notes the answer, and writes the one line about the call, with the whole chain of causes
    /// where it failed.
    fn answered_with(&mut self, response: &Response) {
        let duration_ms = self.started.elapsed().as_secs_f64() * 1000.0;
        // An error leaves itself with the answer that it becomes; tonic's answer to a method that
        // it does not know has the headers of one only.
        let status = response.extensions().get::<Status>().cloned();
        let status = status.or_else(|| Status::from_header_map(response.headers()));
        let Some(status) = status else {
            self.code = Code::Ok;
            tracing::debug!(code = "Ok", duration_ms, "answered");
            return;
        };
        let code = status.code();
        self.code = code;
        self.is_apart = self.count_apart(&status);
        let error = Chain(status.source().unwrap_or(&status));
        let (lines, is_failure) = match code {
            _ if self.is_apart => (&self.door.refusal_lines, false),
            Code::Internal
            | Code::Unavailable
            | Code::ResourceExhausted
            | Code::DeadlineExceeded => (&self.door.failure_lines, true),
            _ => (&self.door.refusal_lines, false),
        };
        let Some(unlogged) = lines.next() else { return };
        match (code, is_failure) {
            (Code::Internal, _) => tracing::error!(?code, duration_ms, unlogged, %error, "failed"),
            (_, true) => tracing::warn!(?code, duration_ms, unlogged, %error, "failed"),
            (_, false) => tracing::info!(?code, duration_ms, unlogged, %error, "refused"),
        }
    }

    /// Counts what is counted apart, and answers whether this was.
    fn count_apart(&self, status: &Status) -> bool {
        let error = status.source().and_then(|source| source.downcast_ref::<Error>());
        let metrics = &self.door.metrics;
        if let Some(by) = error.and_then(Error::limited_by) {
            metrics.limited.get_or_create_owned(&LimitedLabels { by: by.as_str() }).inc();
        } else if matches!(error, Some(Error::Full)) {
            metrics.shed.inc();
        } else {
            return false;
        }
        true
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        let Method { service, name, .. } = self.method;
        let code = code_name(self.code);
        if !self.is_apart {
            let labels = CallLabels { service, method: name, code };
            let duration = self.door.metrics.durations.get_or_create_owned(&labels);
            duration.observe(self.started.elapsed().as_secs_f64());
        }
        self.span.set("rpc.system", "grpc");
        self.span.set("rpc.service", service);
        self.span.set("rpc.method", name);
        self.span.set("rpc.grpc.status_code", i64::from(i32::from(self.code)));
        // Source: OpenTelemetry, "Semantic Conventions for gRPC": the rest is the caller's doing.
        if let Code::Unknown
        | Code::DeadlineExceeded
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss = self.code
        {
            self.span.fail(code);
        }
    }
}

/// What becomes of a panic: a fault of the service like any other.
fn after_panic(panic: &(dyn Any + Send)) -> Error {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    Error::internal(format!("a handler panicked: {message}"))
}

/// The one bearer token of a call. Two are as bad as none: it is not ours to choose.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else { return None };
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_single_bearer_token_counts() {
        let with = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            bearer_token(&headers).map(ToOwned::to_owned)
        };

        assert_eq!(with(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(with(&["bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(with(&[]), None);
        assert_eq!(with(&["abc"]), None);
        assert_eq!(with(&["Basic abc"]), None);
        assert_eq!(with(&["Bearer abc", "Bearer def"]), None);
    }
}
