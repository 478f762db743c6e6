//! An account of AWS with its identity provider, all local and empty at first.

use std::{collections::HashMap, process::Command};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    TableDescription, TimeToLiveSpecification,
};
use aws_sdk_sqs::types::QueueAttributeName::{self, LastModifiedTimestamp, RedrivePolicy};
use dev_stack::{Auth0, Auth0Options, DynamoDb, Sqs, Storage};
use serde_json::Value;

use crate::{app::command, backstage::sdk};

pub(super) const TABLES: [&str; 4] = ["records", "records-outbox", "audit-trail", "sessions"];

/// An account of AWS, empty at first.
pub(super) struct Account {
    pub(super) auth0: Auth0,
    pub(super) dynamodb: DynamoDb,
    pub(super) sqs: Sqs,
    pub(super) tables: aws_sdk_dynamodb::Client,
    pub(super) queues: aws_sdk_sqs::Client,
}

impl Account {
    pub(super) async fn open() -> Self {
        let auth0 = Auth0::start(Auth0Options::sample("http://localhost:3000")).await.unwrap();
        let dynamodb = DynamoDb::start(Storage::Memory, 0).await.unwrap();
        let sqs = Sqs::start(Storage::Memory, 0).await.unwrap();
        let tables = aws_sdk_dynamodb::Client::new(&sdk(dynamodb.url()).await);
        let queues = aws_sdk_sqs::Client::new(&sdk(sqs.url()).await);
        Self { auth0, dynamodb, sqs, tables, queues }
    }

    pub(super) fn provision(&self) -> Command {
        command("provision", &self.dynamodb, &self.sqs, &self.auth0)
    }

    pub(super) async fn table(&self, name: &str) -> TableDescription {
        let found = self.tables.describe_table().table_name(name).send().await;
        found.unwrap().table.unwrap()
    }

    pub(super) async fn create_queue(&self, name: &str, attributes: &[(QueueAttributeName, &str)]) {
        let mut create = self.queues.create_queue().queue_name(name);
        for (attribute, value) in attributes {
            create = create.attributes(attribute.clone(), *value);
        }
        create.send().await.unwrap();
    }

    pub(super) async fn queue(&self, name: &str) -> HashMap<QueueAttributeName, String> {
        let get = self.queues.get_queue_attributes().queue_url(self.sqs.queue_url(name));
        let found = get.attribute_names(QueueAttributeName::All).send().await.unwrap();
        let mut attributes = found.attributes.unwrap();
        attributes.remove(&LastModifiedTimestamp);
        attributes
    }

    /// Where the messages of a queue go that nobody can deal with, and after how many receipts.
    pub(super) async fn redrive(&self, name: &str) -> Value {
        serde_json::from_str(&self.queue(name).await[&RedrivePolicy]).unwrap()
    }

    pub(super) async fn create_table(
        &self,
        name: &str,
        key: &[(&str, KeyType, ScalarAttributeType)],
    ) {
        let mut create = self.tables.create_table().table_name(name);
        for (attribute, place, kind) in key {
            let element = KeySchemaElement::builder().attribute_name(*attribute);
            let definition = AttributeDefinition::builder().attribute_name(*attribute);
            create = create
                .key_schema(element.key_type(place.clone()).build().unwrap())
                .attribute_definitions(definition.attribute_type(kind.clone()).build().unwrap());
        }
        create.billing_mode(BillingMode::PayPerRequest).send().await.unwrap();
    }

    pub(super) async fn set_expiry(&self, table: &str, attribute: &str, enabled: bool) {
        let specification =
            TimeToLiveSpecification::builder().attribute_name(attribute).enabled(enabled);
        let update = self.tables.update_time_to_live().table_name(table);
        let update = update.time_to_live_specification(specification.build().unwrap());
        update.send().await.unwrap();
    }
}

/// Runs to the end, and answers with what was printed if that is a success.
pub(super) fn success(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{printed}");
    printed
}
