//! What the programs that measure have in common: a system with something to show, somebody who is
//! logged in, and how much memory a process holds.

use std::{collections::BTreeMap, error::Error, fs};

use dev_stack::{Service, Stack, StackOptions};
use records_proto::v1::{
    CreateRecordRequest, Record, Value, records_service_client::RecordsServiceClient, value::Kind,
};
use reqwest::Client;
use tonic::Request;

/// How many records there are to be listed: a page of them.
pub(crate) const RECORDS: usize = 25;

/// Who asks: an administrator of each organization, by name and organization.
pub(crate) const ADMINISTRATORS: [(&str, &str); 2] =
    [("acme-admin", "acme"), ("globex-admin", "globex")];

/// What is noted in the usual one of them.
pub(crate) const NOTES: &str = "To be replaced after three years of use.";

/// What comes of something that may fail in any way.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A system that takes as much as it can carry from one person.
pub(crate) fn options() -> Outcome<StackOptions> {
    let mut options = StackOptions::for_test()?;
    for limit in [
        "CALLER_RATE_PER_SECOND",
        "CALLER_BURST",
        "ORGANIZATION_RATE_PER_SECOND",
        "ORGANIZATION_BURST",
    ] {
        options.variables.push((Service::Records, limit.to_owned(), "1000000".to_owned()));
    }
    Ok(options)
}

/// Fills this person's organization with a page of records that have these notes.
pub(crate) async fn create_records(
    stack: &Stack,
    (username, organization): (&str, &str),
    notes: &str,
) -> Outcome<()> {
    let token = stack.auth0().user_token(username, organization)?;
    let mut client = RecordsServiceClient::connect(stack.grpc_url()).await?;
    let text = |text: String| Value { kind: Some(Kind::StringValue(text)) };
    for number in 1..=RECORDS {
        let fields = BTreeMap::from([
            ("title".to_owned(), text(format!("Laptop of employee {number}"))),
            ("category".to_owned(), text("Asset".to_owned())),
            ("status".to_owned(), text("In progress".to_owned())),
            (
                "amount".to_owned(),
                Value { kind: Some(Kind::NumberValue(format!("1{number:03}.50"))) },
            ),
            ("due_date".to_owned(), text("2027-01-31".to_owned())),
            ("urgent".to_owned(), Value { kind: Some(Kind::BoolValue(number % 3 == 0)) }),
            ("notes".to_owned(), text(notes.to_owned())),
        ]);
        let mut request = Request::new(CreateRecordRequest {
            record: Some(Record { fields, ..Record::default() }),
            request_id: String::new(),
        });
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
        client.create_record(request).await?;
    }
    Ok(())
}

/// A client with the cookies of this person's login.
pub(crate) async fn logged_in_browser(
    stack: &Stack,
    (username, organization): (&str, &str),
) -> Outcome<Client> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let browser = Client::builder().cookie_store(true).build()?;
    let login = format!("{}/auth/login?organization={organization}", stack.app_url());
    let page = browser.get(login).send().await?.error_for_status()?;
    let address = page.url().clone();
    let html = page.text().await?;
    let state = html
        .split_once("name=\"state\" value=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(state, _)| state)
        .ok_or("the login page has no state")?;
    let action = html
        .split_once("action=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(action, _)| action.replace("&amp;", "&"))
        .ok_or("the login page has no form")?;
    let form = [("state", state), ("username", username), ("password", "correct-horse")];
    let home = browser.post(address.join(&action)?).form(&form).send().await?.error_for_status()?;
    if home.url().path() == "/home" { Ok(browser) } else { Err("the login failed".into()) }
}

/// What a service holds in memory now.
pub(crate) fn resident_mib(stack: &Stack, service: Service) -> Outcome<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid(stack, service)?))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: usize = line.trim().trim_end_matches(" kB").parse()?;
    Ok(to_f64(kib) / 1024.0)
}

/// The process id of a service.
pub(crate) fn pid(stack: &Stack, service: Service) -> Outcome<u32> {
    stack.pid(service).ok_or_else(|| format!("{} does not run", service.name()).into())
}

/// Exact for all counts that occur here.
pub(crate) fn to_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
