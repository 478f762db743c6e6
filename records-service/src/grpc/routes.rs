//! Everything that the gRPC port answers, and what of it is behind the door.

use std::sync::Arc;

use axum::{Router, middleware};
use records_proto::v1::{
    audit_service_server::AuditServiceServer, forms_service_server::FormsServiceServer,
    records_service_server::RecordsServiceServer,
};
use tonic::service::Routes;
use tonic_health::pb::health_server::{Health, HealthServer};

use super::{
    audit::Audit,
    beside,
    door::{Door, admit},
    forms::Forms,
    records::Records,
};

/// The largest request: a record of 128 KiB in any encoding, with room for an answer that says that
/// one is too large.
const MAX_REQUEST_BYTES: usize = 512 * 1024;
/// The largest answer: a page of about 1 MB from DynamoDB, in protobuf.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// All paths. Whatever is not in the contract goes through the door as well, except health and
/// reflection: they read no table and give nothing away, and a service that is full must still be
/// able to say that it is well.
pub(crate) fn routes(
    records: Records,
    audit: Audit,
    door: Arc<Door>,
    health: HealthServer<impl Health>,
    with_reflection: bool,
) -> Router {
    let records = RecordsServiceServer::new(records)
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .max_encoding_message_size(MAX_ANSWER_BYTES);
    let forms = FormsServiceServer::new(Forms).max_decoding_message_size(MAX_REQUEST_BYTES);
    let audit = AuditServiceServer::new(audit)
        .max_decoding_message_size(MAX_REQUEST_BYTES)
        .max_encoding_message_size(MAX_ANSWER_BYTES);
    let contract = Routes::new(records).add_service(forms).add_service(audit);
    let guarded = contract.into_axum_router().layer(middleware::from_fn_with_state(door, admit));
    guarded.merge(beside::routes(health, with_reflection)).with_state(())
}
