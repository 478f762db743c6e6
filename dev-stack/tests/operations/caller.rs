//! An internal service as far as these tests need one: a machine token and a plain gRPC client. And
//! what it knows of the records that it made, to be compared with what there is.

use std::{
    collections::BTreeMap,
    error::Error as StdError,
    time::{Duration, Instant},
};

use dev_stack::{Stack, samples};
use records_proto::v1::{
    AuditEvent, CreateRecordRequest, ListAuditEventsRequest, ListRecordsRequest, Record, Value,
    audit_service_client::AuditServiceClient, records_service_client::RecordsServiceClient,
    value::Kind,
};
use tonic::{
    Request, Response, Status, TimeoutExpired,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

/// What these tests ask for where they ask for a deadline.
pub(crate) const DEADLINE: Duration = Duration::from_secs(2);
/// What they give a call that must be answered, however busy the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
const PAGE: i32 = 100;

/// A client of one organization.
#[derive(Clone)]
pub(crate) struct Caller {
    records: RecordsServiceClient<Channel>,
    audit: AuditServiceClient<Channel>,
    authorization: MetadataValue<Ascii>,
    deadline: Duration,
    repeats: bool,
}

/// The outcome of a call, and how long it took.
#[derive(Debug)]
pub(crate) struct Outcome<T> {
    pub(crate) result: Result<T, Status>,
    pub(crate) took: Duration,
}

impl Caller {
    /// Somebody who may read and create records and read the trail of `acme`, over one connection
    /// at a time to this address.
    ///
    /// Once the server has told a connection to end (GOAWAY), tonic fails what is handed to it next;
    /// it is for the caller to send that again.
    pub(crate) fn of_acme(stack: &Stack, grpc_url: String) -> Self {
        let channel = Endpoint::new(grpc_url).unwrap().connect_lazy();
        Self { repeats: true, ..Self::over(stack, channel) }
    }

    /// The same over any channel, and nothing is ever sent again.
    pub(crate) fn over(stack: &Stack, channel: Channel) -> Self {
        Self {
            records: RecordsServiceClient::new(channel.clone()),
            audit: AuditServiceClient::new(channel).max_decoding_message_size(8 * 1024 * 1024),
            authorization: authorization(stack, "acme-admin", samples::ACME),
            deadline: DEADLINE,
            repeats: false,
        }
    }

    /// The same with another deadline.
    pub(crate) fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Somebody of `globex` who may do the same, over the same connection.
    pub(crate) fn and_of_globex(&self, stack: &Stack) -> Self {
        let authorization = authorization(stack, "globex-admin", samples::GLOBEX);
        Self { authorization, ..self.clone() }
    }

    /// Makes a record with this title.
    pub(crate) async fn create(&self, title: &str, request_id: &str) -> Outcome<Record> {
        let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
        let fields = [("title", text(title)), ("category", text("Asset"))];
        let fields = fields.map(|(name, value)| (name.to_owned(), value)).into();
        let request = CreateRecordRequest {
            record: Some(Record { fields, ..Record::default() }),
            request_id: request_id.to_owned(),
        };
        let create = |request| {
            let mut records = self.records.clone();
            async move { records.create_record(request).await }
        };
        self.send(create, request).await
    }

    /// The first page of records.
    pub(crate) async fn list(&self) -> Outcome<Vec<Record>> {
        let request = ListRecordsRequest { page_size: PAGE, page_token: String::new() };
        let list = |request| {
            let mut records = self.records.clone();
            async move { records.list_records(request).await }
        };
        let Outcome { result, took } = self.send(list, request).await;
        Outcome { result: result.map(|answer| answer.records), took }
    }

    /// How many records there are of each title.
    pub(crate) async fn titles(&self) -> BTreeMap<String, usize> {
        let (mut titles, mut page_token) = (BTreeMap::new(), String::new());
        loop {
            let request = ListRecordsRequest { page_size: PAGE, page_token };
            let request = self.request(request, PATIENCE);
            let answer = self.records.clone().list_records(request).await.unwrap().into_inner();
            for record in answer.records {
                *titles.entry(title_of(&record)).or_default() += 1;
            }
            page_token = answer.next_page_token;
            if page_token.is_empty() {
                return titles;
            }
        }
    }

    /// How many events of creations there are in the trail for each title.
    async fn trail(&self) -> BTreeMap<String, usize> {
        let (mut titles, mut page_token) = (BTreeMap::new(), String::new());
        loop {
            let request = ListAuditEventsRequest { page_size: PAGE, page_token };
            let request = self.request(request, PATIENCE);
            let answer = self.audit.clone().list_audit_events(request).await.unwrap().into_inner();
            for event in answer.events {
                *titles.entry(title_in(&event)).or_default() += 1;
            }
            page_token = answer.next_page_token;
            if page_token.is_empty() {
                return titles;
            }
        }
    }

    /// Asserts that there is exactly one record and one event of each title, and no other, within
    /// `patience`, for events take their way.
    pub(crate) async fn assert_each_once(&self, titles: &[String], patience: Duration) {
        let expected: BTreeMap<String, usize> =
            titles.iter().map(|title| (title.clone(), 1)).collect();
        assert_eq!(self.titles().await, expected, "the records");
        let deadline = Instant::now() + patience;
        loop {
            let trail = self.trail().await;
            if trail == expected {
                return;
            }
            assert!(Instant::now() < deadline, "the trail: {trail:#?}\nexpected: {expected:#?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn send<M: Clone, T, F>(&self, call: impl Fn(Request<M>) -> F, message: M) -> Outcome<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let started = Instant::now();
        let mut result = call(self.request(message.clone(), self.deadline)).await;
        if self.repeats && result.as_ref().is_err_and(is_of_the_connection) {
            result = call(self.request(message, self.deadline)).await;
        }
        Outcome { result: result.map(Response::into_inner), took: started.elapsed() }
    }

    fn request<M>(&self, message: M, deadline: Duration) -> Request<M> {
        let mut request = Request::new(message);
        request.set_timeout(deadline);
        request.metadata_mut().insert("authorization", self.authorization.clone());
        request
    }
}

fn authorization(stack: &Stack, username: &str, organization: &str) -> MetadataValue<Ascii> {
    let token = stack.auth0().user_token(username, organization).unwrap();
    format!("Bearer {token}").parse().unwrap()
}

/// Whether a call failed with its connection, so that the status is tonic's own: one of a server has
/// no source.
fn is_of_the_connection(status: &Status) -> bool {
    status.source().is_some() && !is_of_the_timer(status)
}

/// Whether tonic's own timer was sooner than the service, which on a busy machine happens.
pub(crate) fn is_of_the_timer(status: &Status) -> bool {
    let mut sources = std::iter::successors(status.source(), |source| (*source).source());
    sources.any(<dyn StdError>::is::<TimeoutExpired>)
}

/// The title of a record, which must have come through with its other value.
pub(crate) fn title_of(record: &Record) -> String {
    let text = |name: &str| match record.fields.get(name).and_then(|value| value.kind.as_ref()) {
        Some(Kind::StringValue(text)) => text.clone(),
        other => panic!("{name} is {other:?}"),
    };
    assert_eq!((record.version, text("category").as_str()), (1, "Asset"), "{record:?}");
    text("title")
}

fn title_in(event: &AuditEvent) -> String {
    match event.changes["title"].new.as_ref().and_then(|value| value.kind.as_ref()) {
        Some(Kind::StringValue(text)) => text.clone(),
        other => panic!("the title is {other:?}"),
    }
}
