//! What becomes of every answer that records-service can give, by a stand-in that gives the one it
//! is asked for.

use std::{collections::HashMap, time::Duration};

use dev_stack::Service;
use records_proto::v1::{
    CreateRecordRequest, Form, GetFormRequest, GetRecordRequest, ListRecordsRequest,
    ListRecordsResponse, Record,
    forms_service_server::{FormsService, FormsServiceServer},
    records_service_server::{RecordsService, RecordsServiceServer},
};
use tokio::net::TcpListener;
use tonic::{
    Code, Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{app::TestApp, headers::assert_protected};

/// Lists answer with the status whose number is the page token, and that this is the person's own
/// doing where the number has an exclamation mark.
struct StandIn;

#[tonic::async_trait]
impl RecordsService for StandIn {
    async fn create_record(
        &self,
        _: Request<CreateRecordRequest>,
    ) -> Result<Response<Record>, Status> {
        Err(Status::aborted("private words of the service"))
    }

    async fn get_record(&self, _: Request<GetRecordRequest>) -> Result<Response<Record>, Status> {
        Err(Status::invalid_argument("private words of the service"))
    }

    async fn list_records(
        &self,
        request: Request<ListRecordsRequest>,
    ) -> Result<Response<ListRecordsResponse>, Status> {
        let token = request.into_inner().page_token;
        let code = Code::from(token.trim_end_matches('!').parse::<i32>().unwrap());
        let mut details = ErrorDetails::with_retry_info(Some(Duration::from_millis(6500)));
        if token.ends_with('!') {
            details.set_error_info("RATE_LIMITED", "org-records", HashMap::new());
        }
        Err(Status::with_error_details(code, "private words of the service", details))
    }
}

#[tonic::async_trait]
impl FormsService for StandIn {
    async fn get_form(&self, _: Request<GetFormRequest>) -> Result<Response<Form>, Status> {
        Ok(Response::new(Form::default()))
    }
}

#[tokio::test]
async fn each_answer_of_the_service_has_its_page_and_no_private_word_on_it() {
    let app = TestApp::start().await;
    let incoming = TcpIncoming::from(TcpListener::bind("127.0.0.1:0").await.unwrap());
    let url = format!("http://{}", incoming.local_addr().unwrap());
    let server = Server::builder()
        .add_service(RecordsServiceServer::new(StandIn))
        .add_service(FormsServiceServer::new(StandIn))
        .serve_with_incoming(incoming);
    tokio::spawn(server);
    app.stack.restart(Service::Frontend, &[("RECORDS_SERVICE_URL", &url)]).await.unwrap();
    let issuer = app.stack.auth0().issuer().trim_end_matches('/').to_owned();
    let mut browser = app.logged_in("acme-admin", "acme").await;
    let cases = [
        (Code::InvalidArgument, 400),
        (Code::PermissionDenied, 403),
        (Code::NotFound, 404),
        (Code::ResourceExhausted, 503),
        (Code::Internal, 500),
        (Code::Unknown, 500),
        (Code::DataLoss, 500),
        (Code::Unimplemented, 500),
        (Code::Unavailable, 503),
        (Code::Aborted, 503),
        (Code::DeadlineExceeded, 504),
    ];

    for (code, status) in cases {
        let page = browser.get(&format!("/records?page_token={}", code as i32)).await;
        assert_eq!(page.status, status, "{code:?}");
        assert_protected(&page, &issuer);
        page.assert_lacks("private words");
        page.assert_shows("Ada Admin");
        assert!(app.log().iter().any(|line| line.contains(&page.reference())));
        if code == Code::ResourceExhausted {
            assert_eq!(page.headers["retry-after"], "7");
            page.assert_shows("Wait 7 seconds");
        }
    }
    let page =
        browser.get(&format!("/records?page_token={}!", Code::ResourceExhausted as i32)).await;
    assert_eq!((page.status, &page.headers["retry-after"]), (429, &"7".parse().unwrap()));
    page.assert_shows("Too many requests in a short time");
    page.assert_shows("Wait 7 seconds");
    page.assert_lacks("private words");
    page.assert_shows("Ada Admin");
    assert!(app.log().iter().any(|line| line.contains(&page.reference())));
    let record = browser.get("/records/0198c0de-0000-7000-8000-000000000000").await;
    assert_eq!(record.status, 404);
    let form = browser.record_form(&[]).await;
    assert_eq!(browser.post_form("/records", &form).await.status, 503);
}

#[tokio::test]
async fn a_service_that_never_answers_is_given_up_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let app = TestApp::start_with(&[("RECORDS_SERVICE_URL", &url)]).await;
    // Home shows itself without records.
    let mut browser = app.logged_in("acme-admin", "acme").await;

    let began = std::time::Instant::now();
    let page = browser.get("/records").await;

    assert_eq!(page.status, 504, "{}", page.html);
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    page.assert_shows("That took too long");
}
