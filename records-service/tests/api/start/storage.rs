//! `provision` and `aws/storage.yaml` make the same tables and queues.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{GlobalSecondaryIndexDescription, KeySchemaElement, ProjectionType};
use aws_sdk_sqs::types::QueueAttributeName::{self, QueueArn};
use serde_json::{Map, Value, json};

use super::{
    account::{Account, TABLES, success},
    backups::Backups,
    template::resources,
};
use crate::backstage::sdk;

/// What is said about a queue, either way.
const COMPARED: [QueueAttributeName; 7] = [
    QueueAttributeName::MessageRetentionPeriod,
    QueueAttributeName::MaximumMessageSize,
    QueueAttributeName::VisibilityTimeout,
    QueueAttributeName::SqsManagedSseEnabled,
    QueueAttributeName::RedrivePolicy,
    QueueAttributeName::RedriveAllowPolicy,
    QueueAttributeName::Policy,
];

fn of_type<'a>(
    template: &'a Map<String, Value>,
    kind: &'a str,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let is_kind = move |resource: &&Value| resource["Type"] == kind;
    template.iter().filter(move |(_, resource)| is_kind(resource))
}

fn key(schema: &[KeySchemaElement]) -> Value {
    let element = |e: &KeySchemaElement| json!({ "AttributeName": e.attribute_name, "KeyType": e.key_type.as_str() });
    schema.iter().map(element).collect()
}

fn index(index: &GlobalSecondaryIndexDescription) -> Value {
    let projection = index.projection().and_then(|projection| projection.projection_type());
    json!({
        "IndexName": index.index_name(),
        "KeySchema": key(index.key_schema()),
        "Projection": { "ProjectionType": projection.map(ProjectionType::as_str) },
    })
}

fn sorted(mut values: Vec<Value>) -> Value {
    values.sort_by_key(ToString::to_string);
    values.into()
}

/// A table that was made, as the template would describe it.
async fn described(account: &Account, backups: &Backups, name: &str) -> Value {
    let client = aws_sdk_dynamodb::Client::new(&sdk(backups.url.clone()).await);
    let table = account.table(name).await;
    let attributes = table.attribute_definitions().iter().map(|attribute| {
        json!({
            "AttributeName": attribute.attribute_name,
            "AttributeType": attribute.attribute_type.as_str(),
        })
    });
    let recovery = client.describe_continuous_backups().table_name(name).send().await.unwrap();
    let recovery = recovery.continuous_backups_description.unwrap();
    let recovery = recovery.point_in_time_recovery_description.unwrap();
    let expiry = client.describe_time_to_live().table_name(name).send().await.unwrap();
    let mut described = json!({
        "TableName": name,
        "BillingMode": table.billing_mode_summary().unwrap().billing_mode().unwrap().as_str(),
        "DeletionProtectionEnabled": table.deletion_protection_enabled(),
        "PointInTimeRecoverySpecification": {
            "PointInTimeRecoveryEnabled":
                recovery.point_in_time_recovery_status.unwrap().as_str() == "ENABLED",
        },
        "AttributeDefinitions": sorted(attributes.collect()),
        "KeySchema": key(table.key_schema()),
        // The key that is DynamoDB's own.
        "SSESpecification": { "SSEEnabled": table.sse_description().is_some() },
    });
    if let Some(attribute) = expiry.time_to_live_description.unwrap().attribute_name() {
        described["TimeToLiveSpecification"] =
            json!({ "AttributeName": attribute, "Enabled": true });
    }
    if !table.global_secondary_indexes().is_empty() {
        described["GlobalSecondaryIndexes"] =
            table.global_secondary_indexes().iter().map(index).collect();
    }
    described
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_the_same_by_provision_and_by_cloudformation() {
    let account = Account::open().await;
    let backups = Backups::start(account.dynamodb.url()).await;
    let mut provision = account.provision();
    provision.env("AWS_ENDPOINT_URL_DYNAMODB", &backups.url).env("TABLE_PROTECTION", "true");
    success(&mut provision);

    let template = resources("storage.yaml");
    let mut names = Vec::new();
    for (_, resource) in of_type(&template, "AWS::DynamoDB::Table") {
        let mut expected = resource["Properties"].clone();
        let attributes = expected["AttributeDefinitions"].as_array().unwrap().clone();
        expected["AttributeDefinitions"] = sorted(attributes);
        let encryption = expected["SSESpecification"].as_object_mut().unwrap();
        encryption.retain(|_, value| !value.is_null());
        let name = expected["TableName"].as_str().unwrap().to_owned();

        assert_eq!(described(&account, &backups, &name).await, expected);
        assert_eq!(resource["DeletionPolicy"], "Retain");
        names.push(name);
    }
    names.sort_unstable();
    let mut made = TABLES;
    made.sort_unstable();
    assert_eq!(names, made);
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_the_same_by_provision_and_by_cloudformation() {
    let account = Account::open().await;
    success(&mut account.provision());

    let template = resources("storage.yaml");
    let mut count = 0;
    for (logical, resource) in of_type(&template, "AWS::SQS::Queue") {
        let properties = resource["Properties"].as_object().unwrap();
        let name = properties["QueueName"].as_str().unwrap();
        let mut expected: BTreeMap<_, _> = properties
            .iter()
            .filter(|(name, value)| *name != "QueueName" && !value.is_null())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        // What SQS does where nothing else is said.
        expected.entry("VisibilityTimeout".to_owned()).or_insert(json!(30));
        let policies = of_type(&template, "AWS::SQS::QueuePolicy");
        for (_, policy) in policies {
            if policy["Properties"]["Queues"] == json!([logical]) {
                let document = &policy["Properties"]["PolicyDocument"];
                expected.insert("Policy".to_owned(), document.clone());
            }
        }

        let mut made = account.queue(name).await;
        let arn = made[&QueueArn].clone();
        made.retain(|attribute, _| COMPARED.contains(attribute));
        // Numbers, booleans and documents are all JSON.
        let made: BTreeMap<_, Value> = made
            .iter()
            .map(|(name, text)| (name.to_string(), serde_json::from_str(text).unwrap()))
            .collect();

        assert_eq!(made, expected, "{arn}");
        assert_eq!(resource["DeletionPolicy"], "Retain");
        count += 1;
    }
    assert_eq!(count, 2);
}
