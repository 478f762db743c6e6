//! What a test looks up or changes past the service, straight in the tables and the queue.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::{config::Credentials, primitives::Blob, types::AttributeValue};
use aws_sdk_sqs::types::QueueAttributeName;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::app::TestApp;

impl TestApp {
    async fn tables(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&sdk(self.dynamodb.url()).await)
    }

    /// Overwrites the fields of a record with these, in DynamoDB's JSON.
    pub(crate) async fn replace_fields(&self, organization: &str, name: &str, fields: &Value) {
        let id = name.strip_prefix("records/").unwrap();
        let updated = self
            .tables()
            .await
            .update_item()
            .table_name("records")
            .key("Organization_ID", AttributeValue::S(organization.to_owned()))
            .key("Record_ID", AttributeValue::S(format!("rec#{id}")))
            .update_expression("SET #fields = :fields")
            .expression_attribute_names("#fields", "Fields")
            .expression_attribute_values(":fields", AttributeValue::M(attributes(fields)))
            .send()
            .await;
        updated.unwrap();
    }

    /// Gives the right to sweep the outbox to somebody who will not, for so long.
    pub(crate) async fn lend_the_sweep_lease(&self, term: Duration) {
        let until = (SystemTime::now() + term).duration_since(UNIX_EPOCH).unwrap();
        let put = self.tables().await.put_item().table_name("records-outbox");
        let put = put.item("Shard", AttributeValue::S("lease".to_owned()));
        let put = put.item("Event_ID", AttributeValue::S("sweep".to_owned()));
        let put = put.item("Owner", AttributeValue::S("nobody".to_owned()));
        let put = put.item("Until", AttributeValue::N(until.as_millis().to_string()));
        put.send().await.unwrap();
    }

    /// Puts a row of texts into a table, as nobody but a mistake would.
    pub(crate) async fn put_odd_row(&self, table: &str, row: &[(&str, &str)]) {
        let attribute = |(name, text): &(&str, &str)| {
            ((*name).to_owned(), AttributeValue::S((*text).to_owned()))
        };
        let put = self.tables().await.put_item().table_name(table);
        put.set_item(Some(row.iter().map(attribute).collect())).send().await.unwrap();
    }

    /// How many events are not yet on the queue.
    pub(crate) async fn outbox_rows(&self) -> usize {
        let tables = self.tables().await;
        let mut rows = 0;
        for shard in 0..16 {
            let answer = tables
                .query()
                .table_name("records-outbox")
                .key_condition_expression("#shard = :shard")
                .expression_attribute_names("#shard", "Shard")
                .expression_attribute_values(":shard", AttributeValue::S(format!("{shard:02}")))
                .send()
                .await;
            rows += answer.unwrap().items.unwrap_or_default().len();
        }
        rows
    }

    pub(crate) async fn wait_until_the_outbox_is_empty(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.outbox_rows().await > 0 {
            assert!(Instant::now() < deadline, "the outbox is still not empty");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until somebody has received a message and not deleted it.
    pub(crate) async fn wait_until_a_message_is_in_flight(&self) {
        let queue = aws_sdk_sqs::Client::new(&sdk(self.sqs.url()).await);
        let hidden = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let ask = queue.get_queue_attributes().queue_url(self.sqs.queue_url("audit-events"));
            let answer = ask.attribute_names(hidden.clone()).send().await.unwrap();
            if answer.attributes.unwrap()[&hidden] != "0" {
                return;
            }
            assert!(Instant::now() < deadline, "nobody receives the message");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The stored JSON of the one event in an organization's trail.
    pub(crate) async fn trail_payload(&self, organization: &str) -> String {
        let answer = self
            .tables()
            .await
            .query()
            .table_name("audit-trail")
            .key_condition_expression("Organization_ID = :organization")
            .expression_attribute_values(
                ":organization",
                AttributeValue::S(organization.to_owned()),
            )
            .send()
            .await;
        let [row]: [_; 1] = answer.unwrap().items.unwrap().try_into().unwrap();
        row["Payload"].as_s().unwrap().clone()
    }

    /// Puts anything on the audit queue.
    pub(crate) async fn enqueue(&self, body: &str) {
        let queue = aws_sdk_sqs::Client::new(&sdk(self.sqs.url()).await);
        let message = queue.send_message().queue_url(self.sqs.queue_url("audit-events"));
        message.message_body(body).send().await.unwrap();
    }
}

/// What an SDK needs to speak to an emulator.
pub(crate) async fn sdk(endpoint: String) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "tests"))
        .endpoint_url(endpoint)
        .load()
        .await
}

/// DynamoDB's JSON as the SDK has it.
fn attributes(json: &Value) -> HashMap<String, AttributeValue> {
    let entries = json.as_object().unwrap().iter();
    entries.map(|(name, value)| (name.clone(), attribute(value))).collect()
}

fn attribute(json: &Value) -> AttributeValue {
    let (kind, value) = json.as_object().unwrap().iter().next().unwrap();
    let text = || value.as_str().unwrap().to_owned();
    let texts = || -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
    let blob = |text: &str| Blob::new(STANDARD.decode(text).unwrap());
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "B" => AttributeValue::B(blob(&text())),
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap()),
        "NULL" => AttributeValue::Null(true),
        "SS" => AttributeValue::Ss(texts()),
        "NS" => AttributeValue::Ns(texts()),
        "BS" => AttributeValue::Bs(texts().iter().map(|text| blob(text)).collect()),
        "L" => AttributeValue::L(value.as_array().unwrap().iter().map(attribute).collect()),
        "M" => AttributeValue::M(attributes(value)),
        other => panic!("{other} is no type of DynamoDB"),
    }
}
