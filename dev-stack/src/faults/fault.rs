//! What can go wrong, and how AWS words its errors.

use std::time::Duration;

use serde_json::json;

/// What happens to a request; where the connection does not speak HTTP/1, to any bytes that its
/// client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It arrives this much later, even if its sender has given up by then.
    Latency(Duration),
    /// Its connection is reset (RST). Injected for everything, it resets open connections at once
    /// and new ones as they are made.
    Reset,
    /// Nothing passes any more, in either direction, and nobody is told: a cut network. The
    /// connection stays silent after the fault has ended. Injected for everything, it befalls open
    /// connections at once; new ones are accepted and hear nothing.
    Silence,
    /// The request takes effect, and its answer breaks off.
    CutAnswer {
        /// How many bytes of the answer still arrive.
        after: usize,
        /// Whether the connection is reset then, or closed as if that were all.
        reset: bool,
    },
    /// It is answered with bytes that are no protocol, and the connection is closed.
    Garbage,
    /// It is answered in place of the server, which never hears of it. For HTTP/1 only.
    Answer(Answer),
}

/// An answer in place of the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    code: Option<String>,
    body: String,
}

impl Fault {
    /// Too many reads or writes, as DynamoDB says it.
    #[must_use]
    pub fn dynamodb_throttle() -> Self {
        Self::aws_error(400, "ProvisionedThroughputExceededException")
    }

    /// Too many requests, as SQS says it.
    #[must_use]
    pub fn sqs_throttle() -> Self {
        Self::aws_error(400, "RequestThrottled")
    }

    /// The caller's IAM policies do not allow it.
    #[must_use]
    pub fn access_denied() -> Self {
        Self::aws_error(400, "AccessDeniedException")
    }

    /// An error of an AWS service with its JSON protocol, such as 500 and `InternalServerError`.
    #[must_use]
    pub fn aws_error(status: u16, code: &str) -> Self {
        let body = json!({ "__type": format!("com.amazonaws#{code}"), "message": "On demand." });
        Self::Answer(Answer { status, code: Some(code.to_owned()), body: body.to_string() })
    }

    /// DynamoDB gives a transaction up, for these reasons: a code for each of its parts, such as
    /// `None` or `TransactionConflict`.
    #[must_use]
    pub fn transaction_canceled(reasons: &[&str]) -> Self {
        let code = "TransactionCanceledException";
        let reasons: Vec<_> = reasons.iter().map(|code| json!({ "Code": code })).collect();
        let body = json!({
            "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"),
            "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
            "CancellationReasons": reasons,
        });
        Self::Answer(Answer { status: 400, code: Some(code.to_owned()), body: body.to_string() })
    }

    /// An answer of something on the way that is not the server, such as a load balancer's 503, or
    /// a 200 that is not what was asked for.
    #[must_use]
    pub fn page(status: u16) -> Self {
        let body = "<html><body>A page of something in between.</body></html>".to_owned();
        Self::Answer(Answer { status, code: None, body })
    }
}

impl Answer {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let Self { status, code, body } = self;
        let kind = match code {
            Some(code) => format!(
                "content-type: application/x-amz-json-1.0\r\nx-amzn-requestid: on-demand\r\n\
                 x-amzn-errortype: {code}\r\n"
            ),
            None => "content-type: text/html\r\n".to_owned(),
        };
        let length = body.len();
        format!("HTTP/1.1 {status} On Demand\r\n{kind}content-length: {length}\r\n\r\n{body}")
            .into_bytes()
    }
}
