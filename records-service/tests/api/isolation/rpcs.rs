//! What is tried of each method. A new one needs an entry: with every id, name and token that its
//! request can hold, taken from the other organization.

use axum::body::Bytes;
use prost::Message;
use records_proto::v1 as pb;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_request::MessageRequest,
};

use super::side::{Side, id_of};
use crate::wire::framed;

pub(super) struct Rpc {
    pub(super) path: &'static str,
    /// Whoever has one of these may; nothing where everybody may, without a token.
    pub(super) needs: &'static [&'static str],
    /// Whether its answer goes on for ever.
    pub(super) endless: bool,
    /// A good request of a side, for itself.
    pub(super) own: fn(&Side) -> Bytes,
    /// What the first side tries with things of the second.
    pub(super) attempts: fn(&Side, &Side) -> Vec<Attempt>,
    /// Requests with a thing of a side, and the same with one that nobody has.
    pub(super) alike: fn(&Side) -> Vec<(Bytes, Bytes)>,
}

pub(super) struct Attempt {
    pub(super) what: &'static str,
    pub(super) request: Bytes,
    /// `Ok` where the thing of the other is rightly ignored.
    pub(super) code: Code,
}

fn attempt(what: &'static str, code: Code, request: &impl Message) -> Attempt {
    Attempt { what, request: framed(request), code }
}

fn get(name: &str) -> pb::GetRecordRequest {
    pb::GetRecordRequest { name: name.to_owned() }
}

fn list(page_token: &str) -> pb::ListRecordsRequest {
    pb::ListRecordsRequest { page_size: 100, page_token: page_token.to_owned() }
}

fn events(page_token: &str) -> pb::ListAuditEventsRequest {
    pb::ListAuditEventsRequest { page_size: 100, page_token: page_token.to_owned() }
}

fn form(name: &str) -> pb::GetFormRequest {
    pb::GetFormRequest { name: name.to_owned() }
}

/// A page token of a side that nobody has made: with one character changed.
fn forged(token: &str) -> String {
    let middle = token.len() / 2;
    let other = if token[middle..].starts_with('A') { "B" } else { "A" };
    format!("{}{other}{}", &token[..middle], &token[middle + 1..])
}

const NOBODY: &str = "records/01980000-0000-7000-8000-000000000000";

pub(super) const RPCS: &[Rpc] = &[
    Rpc {
        path: "/records.v1.RecordsService/CreateRecord",
        needs: &["records:create"],
        endless: false,
        own: |us| {
            framed(&pb::CreateRecordRequest { request_id: String::new(), ..us.creation.clone() })
        },
        attempts: |_, them| {
            let replayed = them.creation.clone();
            let mut named =
                pb::CreateRecordRequest { request_id: String::new(), ..them.creation.clone() };
            if let Some(record) = &mut named.record {
                record.name.clone_from(&them.records[0].name);
                record.creator.clone_from(&them.records[0].creator);
                record.version = 7;
            }
            vec![
                attempt("the other's request, again", Code::Ok, &replayed),
                attempt("the name of the other's record", Code::Ok, &named),
            ]
        },
        alike: |_| Vec::new(),
    },
    Rpc {
        path: "/records.v1.RecordsService/GetRecord",
        needs: &["records:read"],
        endless: false,
        own: |us| framed(&get(&us.records[0].name)),
        attempts: |us, them| {
            let (theirs, ours) = (&them.records[0].name, &us.records[0].name);
            let id = id_of(theirs);
            let malformed = Code::InvalidArgument;
            vec![
                attempt("the other's record", Code::NotFound, &get(theirs)),
                attempt("one made by who is in both", Code::NotFound, &get(&them.records[3].name)),
                attempt("the id alone", malformed, &get(&id)),
                attempt("a row's key", malformed, &get(&format!("records/rec#{id}"))),
                attempt("a request's key", malformed, &get(&format!("records/req#{id}"))),
                attempt(
                    "the organization before it",
                    malformed,
                    &get(&format!("organizations/{}/{theirs}", them.id)),
                ),
                attempt(
                    "the organization in it",
                    malformed,
                    &get(&format!("records/{}/{id}", them.id)),
                ),
                attempt("a way up", malformed, &get(&format!("{ours}/../{id}"))),
                attempt("upper case", malformed, &get(&theirs.to_uppercase())),
                attempt("two names", malformed, &get(&format!("{ours},{theirs}"))),
            ]
        },
        alike: |them| {
            let theirs = them.records.iter().map(|record| framed(&get(&record.name)));
            theirs.map(|theirs| (theirs, framed(&get(NOBODY)))).collect()
        },
    },
    Rpc {
        path: "/records.v1.RecordsService/ListRecords",
        needs: &["records:read"],
        endless: false,
        own: |_| framed(&list("")),
        attempts: |us, them| {
            let malformed = Code::InvalidArgument;
            vec![
                attempt("the other's page", malformed, &list(&them.records_page)),
                attempt("the other's page of events", malformed, &list(&them.events_page)),
                attempt("one's own page of events", malformed, &list(&us.events_page)),
                attempt("the key of a row", malformed, &list(&id_of(&them.records[0].name))),
            ]
        },
        alike: |them| {
            vec![(framed(&list(&them.records_page)), framed(&list(&forged(&them.records_page))))]
        },
    },
    Rpc {
        path: "/records.v1.FormsService/GetForm",
        needs: &["records:read", "records:create"],
        endless: false,
        own: |_| framed(&form("form")),
        attempts: |_, them| {
            let other = format!("organizations/{}/form", them.id);
            let malformed = Code::InvalidArgument;
            vec![
                attempt("the other's organization", malformed, &form(them.id)),
                attempt("the other's form", malformed, &form(&other)),
            ]
        },
        alike: |them| {
            let theirs = framed(&form(&format!("organizations/{}/form", them.id)));
            vec![(theirs, framed(&form("organizations/org_nobody/form")))]
        },
    },
    Rpc {
        path: "/records.v1.AuditService/ListAuditEvents",
        needs: &["audit:read"],
        endless: false,
        own: |_| framed(&events("")),
        attempts: |us, them| {
            let malformed = Code::InvalidArgument;
            vec![
                attempt("the other's page", malformed, &events(&them.events_page)),
                attempt("the other's page of records", malformed, &events(&them.records_page)),
                attempt("one's own page of records", malformed, &events(&us.records_page)),
            ]
        },
        alike: |them| {
            vec![(framed(&events(&them.events_page)), framed(&events(&forged(&them.events_page))))]
        },
    },
    open("/grpc.health.v1.Health/Check", false, health),
    open("/grpc.health.v1.Health/Watch", true, health),
    open("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", false, |_| {
        framed(&ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        })
    }),
];

/// What everybody may ask: it reads no table, so all that can be wrong is what it says of itself.
const fn open(path: &'static str, endless: bool, own: fn(&Side) -> Bytes) -> Rpc {
    Rpc { path, needs: &[], endless, own, attempts: |_, _| Vec::new(), alike: |_| Vec::new() }
}

fn health(_: &Side) -> Bytes {
    framed(&HealthCheckRequest { service: String::new() })
}
