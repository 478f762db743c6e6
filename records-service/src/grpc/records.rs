//! RecordsService.

use std::sync::Arc;

use records_proto::v1::{
    self as pb, CreateRecordRequest, GetRecordRequest, ListRecordsRequest, ListRecordsResponse,
    records_service_server::RecordsService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    call::{Call, Permission},
    convert::{fields_from_proto, record_to_proto},
    page_size, page_start,
    turns::Turns,
};
use crate::{
    audit::relay::Outgoing,
    domain::{
        form::Form,
        record::{RecordId, check_limits},
    },
    error::Error,
    page_token::{List, PageTokens},
    request_hash::RequestHash,
    store::{
        Store,
        records::{Created, Idempotency},
    },
};

/// Answers RecordsService.
pub(crate) struct Records {
    store: Store,
    outgoing: Outgoing,
    page_tokens: Arc<PageTokens>,
    turns: Arc<Turns>,
}

impl Records {
    /// RecordsService on this store. Events that are committed go to `outgoing`.
    #[must_use]
    pub(crate) fn new(
        store: Store,
        outgoing: Outgoing,
        page_tokens: Arc<PageTokens>,
        turns: Arc<Turns>,
    ) -> Self {
        Self { store, outgoing, page_tokens, turns }
    }
}

#[tonic::async_trait]
impl RecordsService for Records {
    async fn create_record(
        &self,
        request: Request<CreateRecordRequest>,
    ) -> Result<Response<pb::Record>, Status> {
        let (call, request) = Call::authorize(request, &[Permission::RecordsCreate])?;
        let fields = request.record.unwrap_or_default().fields;
        let (fields, mut violations) = fields_from_proto(fields);
        let malformed: Vec<_> = violations.iter().map(|v| v.path.clone()).collect();
        violations.extend(check_limits(&fields));
        let unfit = Form::default().check(&fields);
        // A malformed value is there, so it is not called missing as well.
        violations.extend(unfit.into_iter().filter(|v| !malformed.contains(&v.path)));
        if !violations.is_empty() {
            return Err(Error::Invalid(violations).into());
        }
        let idempotency = match request.request_id.as_str() {
            "" => None,
            text => Some(Idempotency {
                request_id: parse_request_id(text)?,
                hash: RequestHash::of_create(call.caller(), &fields),
            }),
        };
        let created =
            self.store.create_record(call.caller(), fields, idempotency, call.trace()).await?;
        let record = match created {
            Created::New(record, unsent) => {
                self.outgoing.offer(unsent);
                record
            }
            Created::Before(record) => record,
        };
        Ok(Response::new(record_to_proto(*record)))
    }

    async fn get_record(
        &self,
        request: Request<GetRecordRequest>,
    ) -> Result<Response<pb::Record>, Status> {
        let (call, request) = Call::authorize(request, &[Permission::RecordsRead])?;
        let id = RecordId::from_resource_name(&request.name)
            .map_err(|error| Error::invalid("name", "MALFORMED", format!("The name {error}.")))?;
        let record = self.store.get_record(call.caller().organization(), id).await?;
        Ok(Response::new(record_to_proto(record.ok_or(Error::NotFound)?)))
    }

    async fn list_records(
        &self,
        request: Request<ListRecordsRequest>,
    ) -> Result<Response<ListRecordsResponse>, Status> {
        let (call, request) = Call::authorize(request, &[Permission::RecordsRead])?;
        let organization = call.caller().organization();
        let size = page_size(request.page_size)?;
        let after = page_start(&request.page_token, |token| {
            self.page_tokens.open(organization, List::Records, token)
        })?;
        let turn = self.turns.next(organization.id()).await;
        let page = self.store.list_records(organization, after, size).await?;
        let list = ListRecordsResponse {
            next_page_token: page.next.map_or_else(String::new, |next| {
                self.page_tokens.seal(organization, List::Records, &next)
            }),
            records: page.items.into_iter().map(record_to_proto).collect(),
        };
        Ok(turn.answer(list).await?)
    }
}

fn parse_request_id(text: &str) -> Result<Uuid, Error> {
    // A client that forgot to set it would send zeros each time (AIP-155).
    Uuid::try_parse(text).ok().filter(|id| !id.is_nil()).ok_or_else(|| {
        Error::invalid("request_id", "MALFORMED", "A request id is a UUID other than zero.")
    })
}
