//! Believable records for the sample organizations, so that the first page somebody sees is not
//! blank. They come in by the front door, over gRPC.

use std::collections::BTreeMap;

use records_proto::v1::{
    CreateRecordRequest, Record, Value, records_service_client::RecordsServiceClient, value::Kind,
};
use tonic::{Request, transport::Channel};

use crate::{Auth0, Error, Storage, samples, storage};

/// Title, category, status, amount, due date, urgent, notes.
type Row =
    (&'static str, &'static str, &'static str, &'static str, &'static str, bool, &'static str);

const ACME: &[Row] = &[
    (
        "Forklift 3 leaks hydraulic oil",
        "Incident",
        "In progress",
        "",
        "2026-12-04",
        true,
        "Bay 2 is closed off. Parts ordered, the technician comes on Friday.",
    ),
    (
        "Laptop for the new site manager",
        "Request",
        "Open",
        "1450.00",
        "2026-12-14",
        false,
        "14 inch, 32 GB, German keyboard.",
    ),
    (
        "Cleaning contract, hall A",
        "Contract",
        "Done",
        "18250.75",
        "2027-12-31",
        false,
        "Renewed for twelve months at last year's price.",
    ),
    (
        "Label printer, goods inwards",
        "Asset",
        "Done",
        "389.90",
        "",
        false,
        "Serial number LP-20441, warranty until March 2028.",
    ),
    (
        "VPN drops every afternoon",
        "Incident",
        "Waiting",
        "",
        "2026-12-02",
        true,
        "Only in Building C. Provider has the traces and answers by Wednesday.",
    ),
    ("Access card for the auditor", "Request", "Done", "0", "", false, "Returned on the last day."),
    ("Safety shoes, size 43", "Request", "Waiting", "79.5", "2026-12-18", false, ""),
    (
        "Rooftop solar inverter",
        "Asset",
        "Open",
        "6420.00",
        "2027-04-01",
        false,
        "String 4 delivers 8 % less than the others 🌤 — measure again in spring.",
    ),
];

const GLOBEX: &[Row] = &[
    (
        "Cold room alarm at 03:12",
        "Incident",
        "Done",
        "",
        "2026-11-18",
        true,
        "Door seal replaced; the temperature never left the range.",
    ),
    (
        "Microscope service",
        "Contract",
        "Open",
        "2100.00",
        "2027-03-15",
        false,
        "Two visits a year, spare lamp included.",
    ),
    (
        "Second monitor for the lab office",
        "Request",
        "In progress",
        "219.00",
        "2026-12-09",
        false,
        "",
    ),
    ("Centrifuge C-12", "Asset", "Open", "15800.00", "", false, "Moved from room 2.14 to 2.09."),
    (
        "Visitors from Osaka",
        "Other",
        "Waiting",
        "",
        "2027-02-02",
        false,
        "Six people; lunch and two translators.",
    ),
];

/// Creates the records unless this folder has been through it. Repeating an interrupted start
/// creates none twice, because their request ids are fixed.
pub(crate) async fn create_once(
    storage: &Storage,
    auth0: &Auth0,
    grpc_url: &str,
) -> Result<(), Error> {
    let marker = storage.file("samples-created")?;
    if let Some(marker) = &marker
        && storage::read(marker)?.is_some()
    {
        return Ok(());
    }
    let mut client = RecordsServiceClient::connect(grpc_url.to_owned())
        .await
        .map_err(|error| Error::Seed(error.to_string()))?;
    let acme = [
        auth0.user_token("acme-editor", samples::ACME)?,
        auth0.user_token("acme-admin", samples::ACME)?,
        auth0.user_token("consultant", samples::ACME)?,
        auth0.machine_token(samples::ACME_MACHINE, samples::ACME)?,
    ];
    let globex = [
        auth0.user_token("globex-admin", samples::GLOBEX)?,
        auth0.user_token("consultant", samples::GLOBEX)?,
    ];
    for (organization, rows, authors) in [(0xAC3E, ACME, &acme[..]), (0x610B, GLOBEX, &globex)] {
        // The same author each time, for a request id stands for one request of one caller.
        for ((number, row), author) in rows.iter().enumerate().zip(authors.iter().cycle()) {
            create(&mut client, author, row, &request_id(organization, number)).await?;
        }
    }
    match marker {
        Some(marker) => storage::write(&marker, b"delete this file to have them created again\n"),
        None => Ok(()),
    }
}

async fn create(
    client: &mut RecordsServiceClient<Channel>,
    token: &str,
    row: &Row,
    request_id: &str,
) -> Result<(), Error> {
    let record = Record { fields: fields(row), ..Record::default() };
    let message = CreateRecordRequest { record: Some(record), request_id: request_id.to_owned() };
    let mut request = Request::new(message);
    let header = format!("Bearer {token}").parse().expect("a token of ours is visible ASCII");
    request.metadata_mut().insert("authorization", header);
    let answer = client.create_record(request).await;
    answer.map(drop).map_err(|status| {
        Error::Seed(format!("{:?}: {} ({})", status.code(), status.message(), row.0))
    })
}

/// The values of a row in the fields of the default form; what is empty is left out.
fn fields(row: &Row) -> BTreeMap<String, Value> {
    let (title, category, status, amount, due_date, urgent, notes) = *row;
    let text = |text: &str| Kind::StringValue(text.to_owned());
    let mut fields = vec![
        ("title", text(title)),
        ("category", text(category)),
        ("status", text(status)),
        ("urgent", Kind::BoolValue(urgent)),
    ];
    if !amount.is_empty() {
        fields.push(("amount", Kind::NumberValue(amount.to_owned())));
    }
    for (name, value) in [("due_date", due_date), ("notes", notes)] {
        if !value.is_empty() {
            fields.push((name, text(value)));
        }
    }
    fields.into_iter().map(|(name, kind)| (name.to_owned(), Value { kind: Some(kind) })).collect()
}

fn request_id(organization: u16, number: usize) -> String {
    format!("5a3b1e00-0000-4000-8000-{organization:04x}{number:08x}")
}
