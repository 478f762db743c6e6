//! The identity of one request across processes (W3C Trace Context, level 1), and the steps of its
//! work. The trace id is the reference that a person reads on an error page and an engineer looks up
//! in the logs. It does not know where traces are sent.

use std::{borrow::Cow, fmt, sync::OnceLock};

use opentelemetry::{
    Context, KeyValue, Value,
    trace::{
        Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _,
        TraceFlags, TraceId, TraceState, Tracer as _,
    },
};
use opentelemetry_sdk::trace::{
    IdGenerator as _, RandomIdGenerator, SdkTracer, Span as RecordedSpan,
};

tokio::task_local! {
    /// The step of work that this task is in, for what is called from it and is given no context.
    pub static CURRENT: TraceContext;
}

/// What spans are recorded with, once traces are exported.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Records spans from now on. A second call changes nothing.
pub(crate) fn record_with(tracer: SdkTracer) {
    let _ = TRACER.set(tracer);
}

/// Whether traces are exported.
pub(crate) fn exported() -> bool {
    TRACER.get().is_some()
}

/// One step of work. It ends when it is dropped.
///
/// While traces are not exported, or this one is not sampled, it is its context and nothing else.
#[derive(Debug)]
pub struct Span {
    context: TraceContext,
    recorded: Option<Box<RecordedSpan>>,
}

impl Span {
    /// Answering a request, of the caller whose context is `parent`.
    pub fn server(
        name: impl Into<Cow<'static, str>>,
        parent: impl Into<Option<TraceContext>>,
    ) -> Self {
        Self::begin(SpanKind::Server, name.into(), parent.into())
    }

    /// Asking another process.
    pub fn client(
        name: impl Into<Cow<'static, str>>,
        parent: impl Into<Option<TraceContext>>,
    ) -> Self {
        Self::begin(SpanKind::Client, name.into(), parent.into())
    }

    /// Sending a message that nobody waits for.
    pub fn producer(
        name: impl Into<Cow<'static, str>>,
        parent: impl Into<Option<TraceContext>>,
    ) -> Self {
        Self::begin(SpanKind::Producer, name.into(), parent.into())
    }

    /// Working on such a message, whose sender's context is `parent`.
    pub fn consumer(
        name: impl Into<Cow<'static, str>>,
        parent: impl Into<Option<TraceContext>>,
    ) -> Self {
        Self::begin(SpanKind::Consumer, name.into(), parent.into())
    }

    fn begin(kind: SpanKind, name: Cow<'static, str>, parent: Option<TraceContext>) -> Self {
        let unrecorded = || {
            let context = parent.map_or_else(TraceContext::random, TraceContext::child);
            Self { context, recorded: None }
        };
        let Some(tracer) = TRACER.get() else { return unrecorded() };
        let remote = matches!(kind, SpanKind::Server | SpanKind::Consumer);
        let outer = parent.map_or_else(Context::new, |parent| {
            Context::new().with_remote_span_context(parent.to_span_context(remote))
        });
        let builder = SpanBuilder::from_name(name).with_kind(kind);
        let span = tracer.build_with_context(builder, &outer);
        // After the export was shut down there are no ids either.
        let Some(context) = TraceContext::of_span_context(span.span_context()) else {
            return unrecorded();
        };
        let recorded = span.is_recording().then(|| Box::new(span));
        Self { context, recorded }
    }

    /// What to hand on to whom this step asks.
    #[must_use]
    pub fn context(&self) -> TraceContext {
        self.context
    }

    /// Notes a fact about this step. Nothing secret or personal belongs here.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.recorded {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// Notes that this step did not do what it was for.
    pub fn fail(&mut self, reason: impl Into<Cow<'static, str>>) {
        if let Some(span) = &mut self.recorded {
            span.set_status(Status::error(reason));
        }
    }
}

/// Which request this is, and which part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: TraceId,
    span_id: SpanId,
    sampled: bool,
}

impl TraceContext {
    /// A new trace with random ids.
    #[must_use]
    pub fn random() -> Self {
        let ids = RandomIdGenerator::default();
        Self { trace_id: ids.new_trace_id(), span_id: ids.new_span_id(), sampled: true }
    }

    /// A further step of the same trace.
    fn child(self) -> Self {
        Self { span_id: RandomIdGenerator::default().new_span_id(), ..self }
    }

    /// What a `traceparent` header says, where it is well-formed (Trace Context §3.2).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace_id, span_id, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let well_formed = version.len() == 2
            && trace_id.len() == 32
            && span_id.len() == 16
            && flags.len() == 2
            && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'))
            && version != "ff"
            && (version != "00" || parts.next().is_none());
        if !well_formed {
            return None;
        }
        let context = Self {
            trace_id: TraceId::from_hex(trace_id).ok()?,
            span_id: SpanId::from_hex(span_id).ok()?,
            sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        let is_zero = context.trace_id == TraceId::INVALID || context.span_id == SpanId::INVALID;
        (!is_zero).then_some(context)
    }

    fn of_span_context(context: &SpanContext) -> Option<Self> {
        context.is_valid().then(|| Self {
            trace_id: context.trace_id(),
            span_id: context.span_id(),
            sampled: context.is_sampled(),
        })
    }

    fn to_span_context(self, remote: bool) -> SpanContext {
        SpanContext::new(
            self.trace_id,
            self.span_id,
            TraceFlags::default().with_sampled(self.sampled),
            remote,
            TraceState::default(),
        )
    }

    /// 32 hexadecimal digits: the reference id that people are given.
    #[must_use]
    pub fn trace_id(&self) -> String {
        self.trace_id.to_string()
    }
}

/// The value of the `traceparent` header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_keeps_the_trace_and_the_wish_to_record_it_and_takes_an_id_of_its_own() {
        for flags in ["00", "01"] {
            let header = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
            let parent = TraceContext::parse(&header).unwrap();

            let step = Span::client("a step", parent).context();

            assert_eq!(parent.to_string(), header);
            assert_eq!(step.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
            assert!(step.to_string().ends_with(&format!("-{flags}")), "{step}");
            assert_ne!(step, parent);
        }
    }

    #[test]
    fn a_malformed_header_says_nothing() {
        let malformed = [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ];
        for header in malformed {
            assert_eq!(TraceContext::parse(header), None, "{header}");
        }
    }

    #[test]
    fn every_trace_that_begins_here_is_another() {
        let (one, other) = (Span::server("one", None), Span::server("other", None));
        assert_ne!(one.context().trace_id(), other.context().trace_id());
    }
}
