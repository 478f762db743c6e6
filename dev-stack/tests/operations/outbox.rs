//! What is left in the outbox, looked up past the services.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
    types::AttributeValue,
};
use dev_stack::Stack;

/// As many partitions as the outbox has, without that of the lease.
const SHARDS: u8 = 16;

/// Waits until every event has left the outbox.
pub(crate) async fn assert_empties(stack: &Stack, patience: Duration) {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "tests"))
        .endpoint_url(stack.dynamodb().url())
        .build();
    let client = Client::from_conf(config);
    let deadline = Instant::now() + patience;
    for shard in 0..SHARDS {
        loop {
            let query = client.query().table_name("records-outbox").consistent_read(true);
            let answer = query
                .key_condition_expression("#shard = :shard")
                .expression_attribute_names("#shard", "Shard")
                .expression_attribute_values(":shard", AttributeValue::S(format!("{shard:02}")))
                .send()
                .await;
            let left = answer.unwrap().items.unwrap_or_default();
            if left.is_empty() {
                break;
            }
            assert!(Instant::now() < deadline, "left in the outbox: {left:#?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
