//! One call with its attempts: to which replica, for how long, whether once more, and what is measured
//! of it. It does not know what is asked; all that is asked here may be asked again.

use std::{
    error::Error,
    iter,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use records_proto::code_name;
use service_kit::{
    metrics::durations,
    telemetry::Chain,
    trace::{Span, TraceContext},
};
use tokio::time::{Instant, error::Elapsed, sleep, timeout};
use tonic::{
    Code, Request, Response, Status, TimeoutExpired,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use tonic_types::StatusExt;

use super::{
    OnBehalfOf, RecordsError,
    error::{OVER_SHARE, has_reason},
    replica::Asked,
    replicas::Replicas,
};
use crate::random;

/// How long a page waits for one call at most, with all its attempts.
const CALL: Duration = Duration::from_secs(3);
/// How long one replica is waited for while there are others. It leaves records-service the time
/// for a second attempt of its own at AWS.
const ATTEMPT: Duration = Duration::from_millis(1250);
/// The most attempts at one call.
const ATTEMPTS: u32 = 3;
/// A replica that says nothing for less than this may only have been given too little time.
const LONG_SILENCE: Duration = Duration::from_millis(500);
/// With less time than this left there is no further attempt.
const WORTHWHILE: Duration = Duration::from_millis(50);
/// The longest pause before the second attempt, doubled before the third.
const PAUSE: Duration = Duration::from_millis(20);
/// For how long a replica that failed or was full is asked after the others, unless it says …
const REST: Duration = Duration::from_secs(1);
/// … and at most, whatever it says.
const LONGEST_REST: Duration = Duration::from_secs(10);
/// The reason by which a replica says that it is full. Where it says `OVER_SHARE`, it is so for this
/// organization, which has a share of every other replica as well. The others of `RESOURCE_EXHAUSTED`
/// are about how often somebody calls, which another replica must not be the way round, or about the
/// table, which is behind all of them.
const FULL: &str = "FULL";

/// Makes calls.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    replicas: Replicas,
    budget: Arc<Budget>,
    durations: Family<OutcomeLabels, Histogram, fn() -> Histogram>,
    retries: Family<MethodLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    method: &'static str,
    code: &'static str,
}

/// What further attempts cost: each takes what ten successes bring. While hardly any call succeeds
/// there are hardly any retries, so that an outage is not made worse by several times the load.
#[derive(Debug)]
struct Budget {
    tenths: AtomicU32,
    most: u32,
}

impl Budget {
    /// With `most` to begin with, and never more.
    fn new(most: u32) -> Self {
        Self { tenths: AtomicU32::new(most * 10), most: most * 10 }
    }

    fn earn(&self) {
        let more = |tenths| (tenths < self.most).then_some(tenths + 1);
        // There is no more to earn where it fails.
        let _ = self.tenths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    fn spend(&self) -> bool {
        let less = |tenths: u32| tenths.checked_sub(10);
        self.tenths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

/// Why an attempt failed.
enum Failure {
    /// The replica cannot be reached, or went away.
    Unreachable(Status),
    /// The replica said nothing at all. One that only works slowly says so before we give up.
    Silent,
    /// The replica's word.
    Answered(Status),
}

impl Failure {
    fn code(&self) -> Code {
        match self {
            Self::Unreachable(_) => Code::Unavailable,
            Self::Silent => Code::DeadlineExceeded,
            Self::Answered(status) => status.code(),
        }
    }

    /// Whether a replica has refused this for that reason.
    fn is_refusal(&self, reason: &str) -> bool {
        matches!(self, Self::Answered(status) if has_reason(status, reason))
    }
}

impl From<Failure> for RecordsError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable(status) => Self::Unavailable(Box::new(status)),
            Failure::Silent => Status::deadline_exceeded("no answer in time").into(),
            Failure::Answered(status) => status.into(),
        }
    }
}

impl Calls {
    /// Calls to `replicas`, shown in `registry`. `retries` is how many may follow each other while
    /// no call succeeds: a replica that dies takes all its calls with it at once.
    pub(super) fn new(replicas: Replicas, retries: u32, registry: &mut Registry) -> Self {
        registry.register_collector(Box::new(replicas.clone()));
        let calls = Self {
            replicas,
            budget: Arc::new(Budget::new(retries)),
            durations: Family::new_with_constructor(durations as fn() -> Histogram),
            retries: Family::default(),
        };
        let help = "Calls to records-service with all their attempts";
        registry.register("records_call_duration_seconds", help, calls.durations.clone());
        let help = "Attempts at calls to records-service after the first";
        registry.register("records_call_retries", help, calls.retries.clone());
        calls
    }

    /// Calls the method at `path`, such as `records.v1.RecordsService/GetRecord`, by `send`.
    ///
    /// # Errors
    /// See [`RecordsError`].
    pub(super) async fn call<Q, A, F>(
        &self,
        path: &'static str,
        caller: OnBehalfOf<'_>,
        message: Q,
        send: impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<A, RecordsError>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let began = Instant::now();
        let method = path.split_once('/').map_or(path, |(_, method)| method);
        // A counter that came with the first retry would hide it from whoever looks for a rise.
        drop(self.retries.get_or_create(&MethodLabels { method }));
        let mut span = Span::client(path, caller.trace);
        let headers = Headers::new(caller.access_token, span.context())?;
        let attempt = |channel, limit: Duration| {
            let mut request = Request::new(message.clone());
            headers.add_to(&mut request);
            request.set_timeout(limit);
            // tonic's own timer begins only once there is a connection.
            let answered = timeout(limit, send(channel, request));
            async { outcome_of(answered.await) }
        };

        let result = self.attempts(method, caller, attempt).await;

        let code = code_name(result.as_ref().map_or_else(Failure::code, |_| Code::Ok));
        let labels = OutcomeLabels { method, code };
        self.durations.get_or_create(&labels).observe(began.elapsed().as_secs_f64());
        span.set("rpc.system", "grpc");
        span.set("rpc.response.status_code", code);
        if result.is_err() {
            span.fail(code);
        }
        Ok(result?)
    }

    async fn attempts<A, F>(
        &self,
        method: &'static str,
        caller: OnBehalfOf<'_>,
        attempt: impl Fn(Channel, Duration) -> F,
    ) -> Result<A, Failure>
    where
        F: Future<Output = Result<A, Failure>>,
    {
        let deadline = caller.deadline.or_after(CALL);
        let mut tried = Vec::new();
        let mut number = 1;
        loop {
            let choice = self.replicas.choose(&tried, number == ATTEMPTS);
            let replica = match timeout(deadline.left(), choice).await {
                Ok(Some(replica)) => replica,
                Ok(None) => {
                    let status = Status::unavailable("no address of records-service is known");
                    return Err(Failure::Answered(status));
                }
                Err(_) => return Err(Failure::Silent),
            };
            let left = deadline.left();
            let is_last = number == ATTEMPTS || !self.replicas.are_several();
            let limit = if is_last { left } else { ATTEMPT.min(left / 2) };
            let result = attempt(replica.channel(), limit).await;
            let failure = match result {
                Ok(answer) => {
                    replica.served();
                    self.budget.earn();
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            match &failure {
                Failure::Answered(status) => note(&replica, status),
                Failure::Silent if limit < LONG_SILENCE => {}
                Failure::Silent => replica.not_reached(&"it says nothing"),
                Failure::Unreachable(status) => replica.not_reached(&Chain(status)),
            }
            tried.push(replica.address());
            let pause = self.pause_before_another(&failure, number, &tried);
            let Some(pause) = pause.filter(|pause| *pause + WORTHWHILE < deadline.left()) else {
                return Err(failure);
            };
            // What an organization has too much of must not spend what the others have for outages.
            let is_free = failure.is_refusal(OVER_SHARE);
            if number == ATTEMPTS || !(is_free || self.budget.spend()) {
                return Err(failure);
            }
            drop(replica);
            self.retries.get_or_create(&MethodLabels { method }).inc();
            sleep(pause).await;
            number += 1;
        }
    }

    /// How long to wait before the next attempt, where another one may help.
    fn pause_before_another(
        &self,
        failure: &Failure,
        number: u32,
        tried: &[SocketAddr],
    ) -> Option<Duration> {
        match failure {
            // Where all are full, to ask them all would only make more of it.
            _ if failure.is_refusal(FULL) || failure.is_refusal(OVER_SHARE) => {
                return self.replicas.have_room(tried).then_some(Duration::ZERO);
            }
            Failure::Answered(status) => match status.code() {
                Code::Unavailable | Code::DeadlineExceeded => {}
                _ => return None,
            },
            Failure::Unreachable(_) | Failure::Silent => {}
        }
        Some(random::up_to(PAUSE * number))
    }
}

/// Notes what the answer of a replica says about itself. One that answers in no time, whatever it
/// says, looks idle.
fn note(replica: &Asked, status: &Status) {
    let asked_for = || status.get_details_retry_info().and_then(|info| info.retry_delay);
    let pause = || asked_for().unwrap_or(REST).min(LONGEST_REST);
    match status.code() {
        Code::Unavailable | Code::Internal | Code::Unknown => replica.failed(pause()),
        _ if has_reason(status, FULL) => replica.turned_away(pause()),
        _ => replica.reached(),
    }
}

fn outcome_of<A>(answered: Result<Result<Response<A>, Status>, Elapsed>) -> Result<A, Failure> {
    match answered {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        // tonic's timer may come first by a hair.
        Ok(Err(status)) if is_late(&status) => Err(Failure::Silent),
        // Only a status that was made on this side has a source.
        Ok(Err(status)) if status.source().is_some() => Err(Failure::Unreachable(status)),
        Ok(Err(status)) => Err(Failure::Answered(status)),
        Err(_) => Err(Failure::Silent),
    }
}

fn is_late(status: &Status) -> bool {
    iter::successors(status.source(), |&cause| cause.source())
        .any(<dyn Error>::is::<TimeoutExpired>)
}

/// What every attempt carries.
struct Headers {
    authorization: MetadataValue<Ascii>,
    traceparent: MetadataValue<Ascii>,
}

impl Headers {
    fn new(access_token: &str, trace: TraceContext) -> Result<Self, RecordsError> {
        let unusable = |_| Status::unauthenticated("the access token cannot be sent");
        let authorization = format!("Bearer {access_token}").parse().map_err(unusable)?;
        let traceparent = trace.to_string().parse().expect("a traceparent is plain ASCII");
        Ok(Self { authorization, traceparent })
    }

    fn add_to<Q>(&self, request: &mut Request<Q>) {
        request.metadata_mut().insert("authorization", self.authorization.clone());
        request.metadata_mut().insert("traceparent", self.traceparent.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_nothing_is_silent_whichever_timer_says_so_first() {
        let of = |cause: Box<dyn Error + Send + Sync>| {
            outcome_of::<()>(Ok(Err(Status::from_error(cause))))
        };

        assert!(matches!(of(Box::new(TimeoutExpired(()))), Err(Failure::Silent)));
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(matches!(of(Box::new(reset)), Err(Failure::Unreachable(_))));
    }
}
