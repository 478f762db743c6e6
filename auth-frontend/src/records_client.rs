//! The calls to records-service, the only place that speaks gRPC. Each carries the person's own
//! access token, the trace and a deadline. It does not know pages.

use std::time::Duration;

use records_proto::v1::{
    CreateRecordRequest, Form, GetFormRequest, GetRecordRequest, ListAuditEventsRequest,
    ListAuditEventsResponse, ListRecordsRequest, ListRecordsResponse, Record,
    audit_service_client::AuditServiceClient, forms_service_client::FormsServiceClient,
    records_service_client::RecordsServiceClient,
};
use service_kit::trace::TraceContext;
use tonic::{
    Code, Request, Status,
    transport::{Channel, ClientTlsConfig, Endpoint},
};
use tonic_types::StatusExt;
use url::Url;

/// How long a person waits for one call at most.
const DEADLINE: Duration = Duration::from_secs(3);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection that does not answer a ping within this is given up, so that a replica that went
/// away without a word holds nobody up for longer.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// A page of 100 records of 128 KiB would not fit; records-service sends fewer of those.
const ANSWER_LIMIT: usize = 8 * 1024 * 1024;

/// In whose name, and in the course of what, a call is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnBehalfOf<'a> {
    /// The person's access token.
    pub access_token: &'a str,
    /// The request that the call is part of.
    pub trace: TraceContext,
}

/// One thing that is wrong with what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The path of the field in the request, such as `record.fields[title]`.
    pub path: String,
    /// What is wrong, as a sentence.
    pub message: String,
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordsError {
    /// The access token is not accepted.
    #[error("records-service does not accept the access token")]
    Unauthenticated(#[source] Box<Status>),
    /// The access token lacks a permission.
    #[error("records-service denies the permission")]
    Forbidden(#[source] Box<Status>),
    /// There is no such thing in the person's organization.
    #[error("records-service does not find it")]
    NotFound(#[source] Box<Status>),
    /// What was sent is not valid. The status is no source, lest it bring what people typed into
    /// the log.
    #[error("records-service does not take what was sent")]
    Invalid {
        /// All that is wrong.
        violations: Vec<Violation>,
    },
    /// Somebody changed the same thing at the same time.
    #[error("records-service reports a conflict")]
    Conflict(#[source] Box<Status>),
    /// There is too much to do.
    #[error("records-service is throttling")]
    Throttled {
        /// How long to wait before the next attempt.
        retry_after: Option<Duration>,
        /// What it said.
        #[source]
        status: Box<Status>,
    },
    /// It cannot be reached, or cannot reach what it needs.
    #[error("records-service is unavailable")]
    Unavailable(#[source] Box<Status>),
    /// The deadline has passed.
    #[error("records-service did not answer in time")]
    TimedOut(#[source] Box<Status>),
    /// A fault of either side.
    #[error("records-service failed")]
    Internal(#[source] Box<Status>),
}

impl From<Status> for RecordsError {
    fn from(status: Status) -> Self {
        let status = Box::new(status);
        match status.code() {
            Code::Unauthenticated => Self::Unauthenticated(status),
            Code::PermissionDenied => Self::Forbidden(status),
            Code::NotFound => Self::NotFound(status),
            Code::InvalidArgument => Self::Invalid { violations: violations(&status) },
            Code::Aborted => Self::Conflict(status),
            Code::ResourceExhausted => {
                let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
                Self::Throttled { retry_after, status }
            }
            Code::Unavailable => Self::Unavailable(status),
            // The client cancels only what it has waited too long for.
            Code::DeadlineExceeded | Code::Cancelled => Self::TimedOut(status),
            _ => Self::Internal(status),
        }
    }
}

fn violations(status: &Status) -> Vec<Violation> {
    let found = status.get_details_bad_request().map(|details| details.field_violations);
    found
        .unwrap_or_default()
        .into_iter()
        .map(|violation| Violation { path: violation.field, message: violation.description })
        .collect()
}

/// The URL of records-service cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the URL of records-service")]
pub struct ClientError(#[from] tonic::transport::Error);

/// records-service.
#[derive(Debug, Clone)]
pub(crate) struct RecordsClient {
    records: RecordsServiceClient<Channel>,
    forms: FormsServiceClient<Channel>,
    audit: AuditServiceClient<Channel>,
}

impl RecordsClient {
    /// A client that connects when the first call is made, and again when a connection is lost.
    ///
    /// # Errors
    /// When the URL cannot be used, or the machine's certificates cannot be loaded.
    pub(crate) fn new(url: &Url) -> Result<Self, ClientError> {
        let mut endpoint = Endpoint::new(url.to_string())?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true);
        if url.scheme() == "https" {
            endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?;
        }
        let channel = endpoint.connect_lazy();
        Ok(Self {
            records: RecordsServiceClient::new(channel.clone())
                .max_decoding_message_size(ANSWER_LIMIT),
            forms: FormsServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_LIMIT),
            audit: AuditServiceClient::new(channel).max_decoding_message_size(ANSWER_LIMIT),
        })
    }

    /// One page of the organization's records, newest first.
    ///
    /// # Errors
    /// See [`RecordsError`].
    pub(crate) async fn list_records(
        &self,
        caller: OnBehalfOf<'_>,
        page_size: i32,
        page_token: String,
    ) -> Result<ListRecordsResponse, RecordsError> {
        let request = request(caller, ListRecordsRequest { page_size, page_token })?;
        Ok(self.records.clone().list_records(request).await?.into_inner())
    }

    /// One record by its id.
    ///
    /// # Errors
    /// See [`RecordsError`].
    pub(crate) async fn get_record(
        &self,
        caller: OnBehalfOf<'_>,
        id: &str,
    ) -> Result<Record, RecordsError> {
        let request = request(caller, GetRecordRequest { name: format!("records/{id}") })?;
        Ok(self.records.clone().get_record(request).await?.into_inner())
    }

    /// Makes a record; repeating it with the same `request_id` makes no second one.
    ///
    /// # Errors
    /// See [`RecordsError`].
    pub(crate) async fn create_record(
        &self,
        caller: OnBehalfOf<'_>,
        record: Record,
        request_id: String,
    ) -> Result<Record, RecordsError> {
        let request = request(caller, CreateRecordRequest { record: Some(record), request_id })?;
        Ok(self.records.clone().create_record(request).await?.into_inner())
    }

    /// The organization's form.
    ///
    /// # Errors
    /// See [`RecordsError`].
    pub(crate) async fn get_form(&self, caller: OnBehalfOf<'_>) -> Result<Form, RecordsError> {
        let request = request(caller, GetFormRequest { name: "form".to_owned() })?;
        Ok(self.forms.clone().get_form(request).await?.into_inner())
    }

    /// One page of the organization's audit trail, newest first.
    ///
    /// # Errors
    /// See [`RecordsError`].
    pub(crate) async fn list_audit_events(
        &self,
        caller: OnBehalfOf<'_>,
        page_size: i32,
        page_token: String,
    ) -> Result<ListAuditEventsResponse, RecordsError> {
        let request = request(caller, ListAuditEventsRequest { page_size, page_token })?;
        Ok(self.audit.clone().list_audit_events(request).await?.into_inner())
    }
}

fn request<M>(caller: OnBehalfOf<'_>, message: M) -> Result<Request<M>, RecordsError> {
    let unusable = |_| Status::unauthenticated("the access token cannot be sent");
    let authorization = format!("Bearer {}", caller.access_token).parse().map_err(unusable)?;
    let traceparent =
        caller.trace.child().to_string().parse().expect("a traceparent is plain ASCII");
    let mut request = Request::new(message);
    request.set_timeout(DEADLINE);
    request.metadata_mut().insert("authorization", authorization);
    request.metadata_mut().insert("traceparent", traceparent);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn violations_come_with_their_paths() {
        let details =
            ErrorDetails::with_bad_request_violation("record.fields[title]", "Title is required.");
        let status = Status::with_error_details(Code::InvalidArgument, "not valid", details);

        let RecordsError::Invalid { violations } = RecordsError::from(status) else {
            panic!("expected violations");
        };

        assert_eq!(
            violations,
            [Violation {
                path: "record.fields[title]".to_owned(),
                message: "Title is required.".to_owned()
            }]
        );
    }

    #[test]
    fn throttling_says_how_long_to_wait() {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(1500)));
        let status = Status::with_error_details(Code::ResourceExhausted, "later", details);

        let error = crate::error::Error::from(RecordsError::from(status));

        assert!(matches!(error, crate::error::Error::Throttled(Some(2), _)));
    }
}
