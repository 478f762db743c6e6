//! Creating, reading and listing records.

use records_proto::v1::{self as pb, value::Kind};
use tonic::Code;
use uuid::Uuid;

use crate::app::{TestApp, creation, number, reason, text, violations};

const DIGITS: &str = "12345678901234567890123456789012345678";

#[tokio::test(flavor = "multi_thread")]
async fn a_created_record_reads_as_it_was_written() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");

    let created = ada.create(&[("amount", number(DIGITS)), ("notes", text("🎉"))]).await.unwrap();
    let read = ada.get(&created.name).await.unwrap();

    assert_eq!(read, created);
    assert_eq!(read.version, 1);
    assert_eq!(read.fields["amount"], number(DIGITS));
    assert_eq!(read.fields["notes"], text("🎉"));
    let creator = read.creator.unwrap();
    assert_eq!(creator.display_name, "Ada Admin");
    assert_eq!(creator.kind(), pb::ActorKind::User);
    assert!(creator.id.starts_with("auth0|"));
    assert_eq!(read.create_time, read.update_time);
    assert_eq!(ada.list(0, "").await.unwrap().records, [created]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organizations_record_reads_as_not_found() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    let gloria = app.user("globex-admin", "globex");
    let record = ada.create(&[]).await.unwrap();

    let status = gloria.get(&record.name).await.unwrap_err();
    let unknown = gloria.get(&format!("records/{}", Uuid::now_v7())).await.unwrap_err();

    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "NOT_FOUND"));
    assert_eq!((status.message(), status.details()), (unknown.message(), unknown.details()));
    assert_eq!(gloria.list(0, "").await.unwrap(), pb::ListRecordsResponse::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consultant_of_two_organizations_sees_the_one_that_the_token_names() {
    let app = TestApp::start().await;
    let at_acme = app.user("consultant", "acme");
    let at_globex = app.user("consultant", "globex");
    let record = at_acme.create(&[]).await.unwrap();

    assert!(at_acme.get(&record.name).await.is_ok());
    assert_eq!(at_globex.get(&record.name).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_of_the_form_is_named_at_once() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");

    let changes = [
        ("title", text(" ")),
        ("category", text("Furniture")),
        ("amount", text("twelve")),
        ("color", text("red")),
        ("notes", text(&"x".repeat(129 * 1024))),
    ];
    let status = ada.create(&changes).await.unwrap_err();

    let mut found = violations(&status);
    found.sort();
    let expected = [
        ("record.fields", "TOO_LARGE"),
        ("record.fields[amount]", "WRONG_TYPE"),
        ("record.fields[category]", "NOT_A_CHOICE"),
        ("record.fields[color]", "UNKNOWN_FIELD"),
        ("record.fields[notes]", "TOO_LONG"),
        ("record.fields[title]", "REQUIRED"),
    ];
    assert_eq!(found, expected.map(|(path, reason)| (path.to_owned(), reason.to_owned())));
    assert_eq!(reason(&status), "INVALID");
    assert!(ada.list(0, "").await.unwrap().records.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_no_fields_or_malformed_values_is_refused() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");

    let empty = ada.send(pb::CreateRecordRequest::default()).await.unwrap_err();
    assert_eq!(violations(&empty).len(), 2);
    let malformed =
        [("amount", number("1 000")), ("status", pb::Value { kind: None }), ("title", text(""))];
    let status = ada.create(&malformed).await.unwrap_err();
    let expected = [
        ("record.fields[amount]", "MALFORMED"),
        ("record.fields[status]", "NO_KIND"),
        ("record.fields[title]", "REQUIRED"),
    ];
    assert_eq!(violations(&status), expected.map(|(p, r)| (p.to_owned(), r.to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_far_too_large_is_refused_and_the_service_goes_on() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");

    let status = ada.create(&[("notes", text(&"x".repeat(2 << 20)))]).await.unwrap_err();

    assert_eq!(violations(&status), [(String::new(), "TOO_LARGE".to_owned())]);
    assert!(ada.create(&[]).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_id_makes_one_record() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    let mut request = creation(&[]);
    request.request_id = Uuid::new_v4().to_string();

    // At the same time, as a double click does.
    let (first, second) = tokio::join!(ada.send(request.clone()), ada.send(request.clone()));
    let third = ada.send(request.clone()).await.unwrap();

    assert_eq!(first.unwrap(), third);
    assert_eq!(second.unwrap(), third);
    assert_eq!(ada.list(0, "").await.unwrap().records, [third]);
    assert_eq!(ada.trail_of(1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_stands_for_one_request_of_one_caller_of_one_organization() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    let mut request = creation(&[]);
    request.request_id = Uuid::new_v4().to_string();
    let record = ada.send(request.clone()).await.unwrap();

    let reused = vec![("request_id".to_owned(), "REUSED".to_owned())];
    let mut other = creation(&[("notes", text("other"))]);
    other.request_id.clone_from(&request.request_id);
    assert_eq!(violations(&ada.send(other).await.unwrap_err()), reused);
    let editor = app.user("acme-editor", "acme").send(request.clone()).await;
    assert_eq!(violations(&editor.unwrap_err()), reused);

    let elsewhere = app.user("globex-admin", "globex").send(request).await.unwrap();
    assert_ne!(elsewhere.name, record.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_request_id_or_name_is_refused() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    let mut request = creation(&[]);
    for request_id in ["again", "00000000-0000-0000-0000-000000000000"] {
        request.request_id = request_id.to_owned();
        let status = ada.send(request.clone()).await.unwrap_err();
        assert_eq!(violations(&status), [("request_id".to_owned(), "MALFORMED".to_owned())]);
    }
    for name in ["", "records/", "records/1", "rec#1", "../../etc", "records/\u{0}"] {
        let status = ada.get(name).await.unwrap_err();
        assert_eq!(violations(&status), [("name".to_owned(), "MALFORMED".to_owned())], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_every_record_once_newest_first() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    let mut names = Vec::new();
    for i in 0..7 {
        names.push(ada.create(&[("title", text(&format!("No. {i}")))]).await.unwrap().name);
    }
    names.reverse();

    let mut seen = Vec::new();
    let mut pages = Vec::new();
    let mut token = String::new();
    loop {
        let page = ada.list(3, &token).await.unwrap();
        pages.push(page.records.len());
        seen.extend(page.records.into_iter().map(|record| record.name));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }

    assert_eq!(seen, names);
    assert_eq!(pages, [3, 3, 1]);
    // A page that ends with the last record says so, instead of leading to an empty one.
    assert_eq!(ada.list(7, "").await.unwrap().next_page_token, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_records_make_short_pages_and_none_is_lost() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    for _ in 0..30 {
        ada.create(&[("notes", text(&"x".repeat(100_000)))]).await.unwrap();
    }

    let mut pages = Vec::new();
    let mut token = String::new();
    loop {
        let page = ada.list(30, &token).await.unwrap();
        pages.push(page.records.len());
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }

    assert_eq!(pages.iter().sum::<usize>(), 30);
    assert!(pages.iter().all(|records| (1..15).contains(records)), "{pages:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_serves_nobody_else_and_nothing_else() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    let gloria = app.user("globex-admin", "globex");
    for _ in 0..2 {
        ada.create(&[]).await.unwrap();
        gloria.create(&[]).await.unwrap();
    }
    let token = ada.list(1, "").await.unwrap().next_page_token;
    let malformed = vec![("page_token".to_owned(), "MALFORMED".to_owned())];

    assert_eq!(violations(&gloria.list(1, &token).await.unwrap_err()), malformed);
    assert_eq!(violations(&ada.events(1, &token).await.unwrap_err()), malformed);
    for nonsense in ["x", "AAAA", &token[1..], "🎉", &"A".repeat(10_000)] {
        assert_eq!(violations(&ada.list(1, nonsense).await.unwrap_err()), malformed);
    }
    let status = ada.list(-1, "").await.unwrap_err();
    assert_eq!(violations(&status), [("page_size".to_owned(), "NEGATIVE".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_that_every_organization_starts_with_is_given() {
    let app = TestApp::start().await;
    let viewer = app.user("acme-viewer", "acme");

    let request = pb::GetFormRequest { name: "form".to_owned() };
    let form = viewer.forms.clone().get_form(request).await.unwrap().into_inner();

    let names: Vec<_> = form.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["title", "category", "status", "amount", "due_date", "urgent", "notes"]);
    assert!(form.fields[0].required);
    assert_eq!(form.fields[0].max_length, 120);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_that_dynamodb_has_reads_unchanged() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    let name = ada.create(&[]).await.unwrap().name;

    // What the form cannot take is put there as another tool would, past the service.
    let fields = serde_json::json!({
        "binary": {"B": "AAECAw=="},
        "binaries": {"BS": ["AA==", "AQ=="]},
        "list": {"L": [{"N": "-0.10"}, {"NULL": true}]},
        "map": {"M": {"deep": {"BOOL": true}}},
        "numbers": {"NS": ["1E+40", "2"]},
        "texts": {"SS": ["a", "b"]},
        "empty": {"S": ""},
    });
    app.replace_fields("org_acme00000000000", &name, &fields).await;
    let read = ada.get(&name).await.unwrap().fields;

    let kind = |name: &str| read[name].kind.clone().unwrap();
    let list = vec![number("-0.1"), pb::Value { kind: Some(Kind::NullValue(0)) }];
    let yes = pb::Value { kind: Some(Kind::BoolValue(true)) };
    assert_eq!(kind("binary"), Kind::BinaryValue(vec![0, 1, 2, 3]));
    assert_eq!(kind("binaries"), Kind::BinarySet(pb::BinarySet { values: vec![vec![0], vec![1]] }));
    assert_eq!(kind("list"), Kind::ListValue(pb::ListValue { values: list }));
    assert_eq!(
        kind("map"),
        Kind::MapValue(pb::MapValue { entries: [("deep".into(), yes)].into() })
    );
    let numbers = vec!["1E+40".to_owned(), "2".to_owned()];
    assert_eq!(kind("numbers"), Kind::NumberSet(pb::NumberSet { values: numbers }));
    let texts = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(kind("texts"), Kind::StringSet(pb::StringSet { values: texts }));
    assert_eq!(read["empty"], text(""));
    assert_eq!(ada.list(0, "").await.unwrap().records[0].fields, read);
}

/// `GetRecordRequest` with a name that need not be UTF-8.
#[derive(Clone, PartialEq, prost::Message)]
struct RawGetRecordRequest {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_is_not_utf8_is_refused_as_malformed() {
    let app = TestApp::start().await;
    let token = app.auth0.user_token("acme-admin", "acme").unwrap();
    let mut request = tonic::Request::new(RawGetRecordRequest { name: vec![b'r', 0xff] });
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let mut client = tonic::client::Grpc::new(app.channel.clone());
    client.ready().await.unwrap();

    let path = http::uri::PathAndQuery::from_static("/records.v1.RecordsService/GetRecord");
    let codec = tonic_prost::ProstCodec::<RawGetRecordRequest, pb::Record>::default();
    let status = client.unary(request, path, codec).await.unwrap_err();

    assert_eq!(violations(&status), [(String::new(), "MALFORMED".to_owned())]);
    assert!(!status.message().contains("GetRecordRequest"), "{}", status.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn very_many_violations_still_reach_the_caller() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    let names: Vec<_> = (0..3000).map(|i| format!("unknown_field_number_{i}")).collect();
    let changes: Vec<_> = names.iter().map(|name| (name.as_str(), text("x"))).collect();

    let found = violations(&ada.create(&changes).await.unwrap_err());

    assert_eq!(found[0], ("record.fields".to_owned(), "TOO_MANY".to_owned()));
    assert!((10..100).contains(&found.len()), "{} violations", found.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_no_record_does_not_hide_the_others() {
    let app = TestApp::start().await;
    let ada = app.user("acme-admin", "acme");
    let first = ada.create(&[]).await.unwrap();
    let organization = ("Organization_ID", "org_acme00000000000");
    app.put_odd_row("records", &[organization, ("Record_ID", "rec#zzz")]).await;
    let second = ada.create(&[]).await.unwrap();

    let page = ada.list(1, "").await.unwrap();
    let rest = ada.list(2, &page.next_page_token).await.unwrap();

    assert!(page.records.is_empty());
    assert_eq!(rest.records, [second, first]);
}
