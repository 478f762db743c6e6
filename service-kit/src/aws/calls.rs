//! Measures the calls to AWS and traces them: an interceptor for the SDK's clients. It does not know
//! what is asked for, and never looks at it.

use std::time::Instant;

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{
                BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
                FinalizerInterceptorContextRef,
            },
        },
        orchestrator::{HttpResponse, Metadata},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use serde::Deserialize;

use crate::{
    metrics::durations,
    trace::{self, CURRENT, Span},
};

/// Measures every call of the clients that it is given to. A clone measures with it.
#[derive(Debug, Clone)]
pub struct CallMetrics {
    durations: Family<OutcomeLabels, Histogram, fn() -> Histogram>,
    retries: Family<CallLabels, Counter>,
}

/// Two short texts are allocated for each call, which the SDK does hundreds of times.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    service: String,
    operation: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    #[prometheus(flatten)]
    call: CallLabels,
    outcome: &'static str,
}

impl CallMetrics {
    /// Shows `aws_call_duration_seconds` and `aws_call_retries_total`.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let durations = Family::new_with_constructor(durations as fn() -> Histogram);
        let help = "Calls to AWS with all their attempts";
        registry.register("aws_call_duration_seconds", help, durations.clone());
        let retries = Family::default();
        let help = "Attempts at calls to AWS after the first";
        registry.register("aws_call_retries", help, retries.clone());
        Self { durations, retries }
    }
}

/// How a call ended, as far as it matters to whom to call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    Refused,
    Throttled,
    Timeout,
    Failed,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
        }
    }

    fn of(context: &FinalizerInterceptorContextRef<'_>) -> Self {
        match context.output_or_error() {
            Some(Ok(_)) => Self::Ok,
            Some(Err(error)) if error.is_operation_error() => {
                context.response().map_or(Self::Failed, Self::of_answer)
            }
            Some(Err(error))
                if error.is_timeout_error()
                    || error.as_connector_error().is_some_and(ConnectorError::is_timeout) =>
            {
                Self::Timeout
            }
            Some(Err(_)) | None => Self::Failed,
        }
    }

    fn of_answer(response: &HttpResponse) -> Self {
        let status = response.status();
        if status.as_u16() == 429 || response.body().bytes().is_some_and(says_too_fast) {
            Self::Throttled
        } else if status.is_client_error() {
            Self::Refused
        } else {
            Self::Failed
        }
    }
}

/// What both services write into the body of an error.
#[derive(Deserialize)]
struct ErrorBody {
    #[serde(rename = "__type")]
    code: Option<String>,
    /// Of a cancelled transaction.
    #[serde(rename = "CancellationReasons", default)]
    reasons: Vec<CancellationReason>,
}

#[derive(Deserialize)]
struct CancellationReason {
    #[serde(rename = "Code")]
    code: Option<String>,
}

fn says_too_fast(body: &[u8]) -> bool {
    let Ok(error) = serde_json::from_slice::<ErrorBody>(body) else { return false };
    let reasons = error.reasons.iter().filter_map(|reason| reason.code.as_deref());
    // The code comes after the name of its service's model, "com.amazonaws.dynamodb.v20120810#".
    let code = error.code.as_deref().map(|code| code.rsplit('#').next().unwrap_or(code));
    reasons.chain(code).any(is_throttle)
}

/// Whether a code, of an error or of a transaction's cancellation reason, says "too fast".
#[must_use]
pub fn is_throttle(code: &str) -> bool {
    matches!(
        code,
        "ThrottlingException"
            | "ThrottlingError"
            | "ProvisionedThroughputExceededException"
            | "ProvisionedThroughputExceeded"
            | "RequestLimitExceeded"
            | "RequestThrottled"
    )
}

/// A call under way. It is measured when it is dropped, so that a call whose caller did not wait for
/// its end counts as well: as a timeout, for deadlines are kept by dropping.
#[derive(Debug)]
struct Call {
    metrics: CallMetrics,
    labels: CallLabels,
    started: Instant,
    attempts: u64,
    outcome: Outcome,
    span: Option<Span>,
}

impl Storable for Call {
    type Storer = StoreReplace<Self>;
}

impl Drop for Call {
    fn drop(&mut self) {
        let outcome = self.outcome.as_str();
        self.metrics.retries.get_or_create(&self.labels).inc_by(self.attempts.saturating_sub(1));
        let labels = OutcomeLabels { call: self.labels.clone(), outcome };
        self.metrics.durations.get_or_create(&labels).observe(self.started.elapsed().as_secs_f64());
        if let Some(span) = &mut self.span {
            span.set("aws.attempts", i64::try_from(self.attempts).unwrap_or(i64::MAX));
            if self.outcome != Outcome::Ok {
                span.fail(outcome);
            }
        }
    }
}

impl Intercept for CallMetrics {
    fn name(&self) -> &'static str {
        "CallMetrics"
    }

    /// The first step at which the SDK tells what is called.
    fn read_before_serialization(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        state: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(metadata) = state.load::<Metadata>() else { return Ok(()) };
        let labels = CallLabels {
            service: metadata.service().to_owned(),
            operation: metadata.name().to_owned(),
        };
        // Calls outside a request, such as those of a sweep, would each be a trace of their own.
        let parent =
            if trace::exported() { CURRENT.try_with(|current| *current).ok() } else { None };
        let span = parent.map(|parent| {
            let mut span = Span::client(format!("{}.{}", labels.service, labels.operation), parent);
            span.set("rpc.system", "aws-api");
            span.set("rpc.service", labels.service.clone());
            span.set("rpc.method", labels.operation.clone());
            span
        });
        state.interceptor_state().store_put(Call {
            metrics: self.clone(),
            labels,
            started: Instant::now(),
            attempts: 0,
            outcome: Outcome::Timeout,
            span,
        });
        Ok(())
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        state: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(call) = state.get_mut_from_interceptor_state::<Call>() {
            call.attempts += 1;
        }
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        state: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(call) = state.get_mut_from_interceptor_state::<Call>() {
            call.outcome = Outcome::of(context);
        }
        Ok(())
    }
}
