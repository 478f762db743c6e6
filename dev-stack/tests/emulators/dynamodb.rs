//! DynamoDB as records-service uses it: conditions, transactions, indexes, expiry.

use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    error::ProvideErrorMetadata as _,
    types::{
        AttributeDefinition, AttributeValue, BillingMode, ConditionCheck, GlobalSecondaryIndex,
        KeySchemaElement, KeyType, Projection, ProjectionType, Put,
        ReturnValuesOnConditionCheckFailure, ScalarAttributeType, TimeToLiveSpecification,
        TransactWriteItem,
    },
};
use dev_stack::{DynamoDb, Storage};

pub(crate) fn client(url: &str) -> Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "test"))
        .endpoint_url(url)
        .build();
    Client::from_conf(config)
}

/// A table with the shape of `sessions` and of `records` in one.
pub(crate) async fn create_table(client: &Client) {
    let text = |name: &str| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .unwrap()
    };
    let key = |name: &str, kind: KeyType| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
    };
    let index = GlobalSecondaryIndex::builder()
        .index_name("by-sid")
        .key_schema(key("Sid", KeyType::Hash))
        .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build())
        .build()
        .unwrap();
    client
        .create_table()
        .table_name("records")
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(text("Organization_ID"))
        .attribute_definitions(text("Record_ID"))
        .attribute_definitions(text("Sid"))
        .key_schema(key("Organization_ID", KeyType::Hash))
        .key_schema(key("Record_ID", KeyType::Range))
        .global_secondary_indexes(index)
        .send()
        .await
        .unwrap();
}

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn put(record: &str, value: &str) -> Put {
    Put::builder()
        .table_name("records")
        .item("Organization_ID", s("org_acme"))
        .item("Record_ID", s(record))
        .item("Value", AttributeValue::N(value.to_owned()))
        .condition_expression("attribute_not_exists(#r)")
        .expression_attribute_names("#r", "Record_ID")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build()
        .unwrap()
}

fn putting(record: &str, value: &str) -> TransactWriteItem {
    TransactWriteItem::builder().put(put(record, value)).build()
}

async fn value_of(client: &Client, record: &str) -> Option<String> {
    let output = client
        .get_item()
        .table_name("records")
        .key("Organization_ID", s("org_acme"))
        .key("Record_ID", s(record))
        .consistent_read(true)
        .send()
        .await
        .unwrap();
    Some(output.item?.get("Value")?.as_n().unwrap().clone())
}

async fn fresh() -> (DynamoDb, Client) {
    let dynamodb = DynamoDb::start(Storage::Memory, 0).await.unwrap();
    let client = client(&dynamodb.url());
    create_table(&client).await;
    (dynamodb, client)
}

#[tokio::test]
async fn a_conditional_put_happens_once_and_shows_what_was_there() {
    let (_dynamodb, client) = fresh().await;
    let put = || {
        client
            .put_item()
            .table_name("records")
            .item("Organization_ID", s("org_acme"))
            .item("Record_ID", s("rec#1"))
            .item("Value", AttributeValue::N("12345678901234567890123456789012345678".to_owned()))
            .condition_expression("attribute_not_exists(#r)")
            .expression_attribute_names("#r", "Record_ID")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
    };

    put().await.unwrap();
    let refused = put().await.unwrap_err().into_service_error();

    assert!(refused.is_conditional_check_failed_exception());
    let value = value_of(&client, "rec#1").await;
    assert_eq!(value.as_deref(), Some("12345678901234567890123456789012345678"));
}

#[tokio::test]
async fn a_transaction_with_the_same_token_happens_once() {
    let (_dynamodb, client) = fresh().await;
    let transact = |item: TransactWriteItem| {
        client.transact_write_items().client_request_token("token-1").transact_items(item).send()
    };

    transact(putting("rec#1", "1")).await.unwrap();
    // Without the token the condition would refuse it.
    transact(putting("rec#1", "1")).await.unwrap();
    let other = transact(putting("rec#2", "1")).await.unwrap_err().into_service_error();

    assert!(other.is_idempotent_parameter_mismatch_exception(), "{other:?}");
    assert_eq!(value_of(&client, "rec#2").await, None);
}

#[tokio::test]
async fn a_cancelled_transaction_changes_nothing_and_says_which_item_and_why() {
    let (_dynamodb, client) = fresh().await;
    client.transact_write_items().transact_items(putting("rec#1", "1")).send().await.unwrap();
    let check = ConditionCheck::builder()
        .table_name("records")
        .key("Organization_ID", s("org_acme"))
        .key("Record_ID", s("rec#1"))
        .condition_expression("#v = :v")
        .expression_attribute_names("#v", "Value")
        .expression_attribute_values(":v", AttributeValue::N("2".to_owned()))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build()
        .unwrap();

    let error = client
        .transact_write_items()
        .transact_items(putting("rec#2", "2"))
        .transact_items(TransactWriteItem::builder().condition_check(check).build())
        .send()
        .await
        .unwrap_err()
        .into_service_error();

    assert_eq!(error.code(), Some("TransactionCanceledException"));
    let aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError::TransactionCanceledException(cancelled) = error
    else {
        panic!("not cancelled: {error:?}");
    };
    let reasons = cancelled.cancellation_reasons();
    let codes: Vec<_> = reasons.iter().map(|reason| reason.code()).collect();
    assert_eq!(codes, [Some("None"), Some("ConditionalCheckFailed")]);
    assert_eq!(reasons[1].item().unwrap()["Value"], AttributeValue::N("1".to_owned()));
    assert_eq!(value_of(&client, "rec#2").await, None);
}

#[tokio::test]
async fn an_index_finds_items_by_another_attribute() {
    let (_dynamodb, client) = fresh().await;
    for (record, sid) in [("rec#1", "a"), ("rec#2", "b"), ("rec#3", "a")] {
        client
            .put_item()
            .table_name("records")
            .item("Organization_ID", s("org_acme"))
            .item("Record_ID", s(record))
            .item("Sid", s(sid))
            .item("Secret", s("not projected"))
            .send()
            .await
            .unwrap();
    }

    let found = client
        .query()
        .table_name("records")
        .index_name("by-sid")
        .key_condition_expression("#s = :s")
        .expression_attribute_names("#s", "Sid")
        .expression_attribute_values(":s", s("a"))
        .send()
        .await
        .unwrap();

    let mut records: Vec<_> =
        found.items().iter().map(|item| item["Record_ID"].as_s().unwrap().as_str()).collect();
    records.sort_unstable();
    assert_eq!(records, ["rec#1", "rec#3"]);
    assert!(found.items().iter().all(|item| !item.contains_key("Secret")));
}

#[tokio::test]
async fn expiry_settings_are_kept() {
    let (_dynamodb, client) = fresh().await;
    let setting =
        TimeToLiveSpecification::builder().attribute_name("Expires_At").enabled(true).build();

    client
        .update_time_to_live()
        .table_name("records")
        .time_to_live_specification(setting.unwrap())
        .send()
        .await
        .unwrap();

    let described = client.describe_time_to_live().table_name("records").send().await.unwrap();
    let description = described.time_to_live_description.unwrap();
    assert_eq!(description.attribute_name(), Some("Expires_At"));
    assert_eq!(description.time_to_live_status.unwrap().as_str(), "ENABLED");
}
