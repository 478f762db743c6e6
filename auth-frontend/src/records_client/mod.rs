//! The calls to records-service, the only place that speaks gRPC. Each carries the person's own
//! access token, the trace and a deadline, and goes to whichever replica has time for it. It does not
//! know pages.

mod call;
mod credentials;
mod error;
mod replica;
mod replicas;

use prometheus_client::registry::Registry;
use records_proto::v1::{
    CreateRecordRequest, Form, GetFormRequest, GetRecordRequest, ListAuditEventsRequest,
    ListAuditEventsResponse, ListRecordsRequest, ListRecordsResponse, Record,
    audit_service_client::AuditServiceClient, forms_service_client::FormsServiceClient,
    records_service_client::RecordsServiceClient,
};
use service_kit::trace::TraceContext;
use tonic::transport::Channel;
use url::Url;
use uuid::Uuid;

use crate::{config::RecordsTls, deadline::Deadline};
use call::Calls;
pub(crate) use credentials::Credentials;
pub(crate) use error::{RecordsError, Violation};
pub(crate) use replicas::ClientError;
use replicas::Replicas;

/// A page of 100 records of 128 KiB would not fit; records-service sends fewer of those.
const ANSWER_LIMIT: usize = 8 * 1024 * 1024;

/// In whose name, in the course of what, and until when a call is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnBehalfOf<'a> {
    /// The person's access token.
    pub access_token: &'a str,
    /// The id of the organization that the token is for.
    pub organization_id: &'a str,
    /// The request that the call is part of.
    pub trace: TraceContext,
    /// When the page that it is for must have all it needs.
    pub deadline: Deadline,
}

/// records-service.
#[derive(Debug, Clone)]
pub(crate) struct RecordsClient(Calls);

impl RecordsClient {
    /// A client of all replicas at `urls`, which connects when the first call is made, and where a
    /// URL is https, with TLS by these files. `max_in_flight` is how many pages are worked on at once.
    ///
    /// # Errors
    /// When a URL cannot be used, or the certificates cannot be loaded.
    pub(crate) fn new(
        urls: &[Url],
        tls: &RecordsTls,
        max_in_flight: u16,
        registry: &mut Registry,
    ) -> Result<Self, ClientError> {
        // A page makes two calls at once at most.
        Ok(Self(Calls::new(Replicas::of(urls, tls)?, 2 * u32::from(max_in_flight), registry)))
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
        let request = ListRecordsRequest { page_size, page_token };
        let send = |channel, request| async { records(channel).list_records(request).await };
        self.0.call("records.v1.RecordsService/ListRecords", caller, request, send).await
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
        let request = GetRecordRequest { name: format!("records/{id}") };
        let send = |channel, request| async { records(channel).get_record(request).await };
        self.0.call("records.v1.RecordsService/GetRecord", caller, request, send).await
    }

    /// Makes a record; repeating it with the same `request_id` makes no second one.
    ///
    /// # Errors
    /// See [`RecordsError`].
    pub(crate) async fn create_record(
        &self,
        caller: OnBehalfOf<'_>,
        record: Record,
        request_id: Uuid,
    ) -> Result<Record, RecordsError> {
        let request =
            CreateRecordRequest { record: Some(record), request_id: request_id.to_string() };
        let send = |channel, request| async { records(channel).create_record(request).await };
        self.0.call("records.v1.RecordsService/CreateRecord", caller, request, send).await
    }

    /// The organization's form.
    ///
    /// # Errors
    /// See [`RecordsError`].
    pub(crate) async fn get_form(&self, caller: OnBehalfOf<'_>) -> Result<Form, RecordsError> {
        let request = GetFormRequest { name: "form".to_owned() };
        let send = |channel, request| async { forms(channel).get_form(request).await };
        self.0.call("records.v1.FormsService/GetForm", caller, request, send).await
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
        let request = ListAuditEventsRequest { page_size, page_token };
        let send = |channel, request| async { audit(channel).list_audit_events(request).await };
        self.0.call("records.v1.AuditService/ListAuditEvents", caller, request, send).await
    }
}

fn records(channel: Channel) -> RecordsServiceClient<Channel> {
    RecordsServiceClient::new(channel).max_decoding_message_size(ANSWER_LIMIT)
}

fn forms(channel: Channel) -> FormsServiceClient<Channel> {
    FormsServiceClient::new(channel).max_decoding_message_size(ANSWER_LIMIT)
}

fn audit(channel: Channel) -> AuditServiceClient<Channel> {
    AuditServiceClient::new(channel).max_decoding_message_size(ANSWER_LIMIT)
}

#[cfg(test)]
mod tests;
