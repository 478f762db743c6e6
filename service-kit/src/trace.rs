//! The identity of one request across processes: W3C Trace Context, level 1. The trace id is the
//! reference that a person reads on an error page and an engineer looks up in the logs.

use std::fmt;

use aws_lc_rs::rand;

/// Which request this is, and which part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    sampled: bool,
}

impl TraceContext {
    /// A new trace with random ids.
    #[must_use]
    pub fn random() -> Self {
        Self { trace_id: random_u128(), span_id: random_span_id(), sampled: true }
    }

    /// The next step of the trace in a `traceparent` header, or a new trace where the header is
    /// absent or malformed (Trace Context §4.3).
    #[must_use]
    pub fn continued_from(traceparent: Option<&str>) -> Self {
        match traceparent.and_then(Self::parse) {
            Some(parent) => parent.child(),
            None => Self::random(),
        }
    }

    /// A further step of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span_id: random_span_id(), ..self }
    }

    fn parse(text: &str) -> Option<Self> {
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
            trace_id: u128::from_str_radix(trace_id, 16).ok()?,
            span_id: u64::from_str_radix(span_id, 16).ok()?,
            sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        (context.trace_id != 0 && context.span_id != 0).then_some(context)
    }

    /// 32 hexadecimal digits: the reference id that people are given.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

/// The value of the `traceparent` header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

fn random_u128() -> u128 {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("the operating system gives random bytes");
    u128::from_be_bytes(bytes).max(1)
}

fn random_span_id() -> u64 {
    u64::try_from(random_u128() >> 64).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_keeps_the_trace_and_takes_a_new_span() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

        let child = TraceContext::continued_from(Some(header));

        assert_eq!(child.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(child.to_string().starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
        assert_ne!(child.to_string(), header);
    }

    #[test]
    fn a_malformed_header_starts_a_new_trace() {
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
            let context = TraceContext::continued_from(Some(header));
            assert_ne!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736", "{header}");
        }
    }
}
