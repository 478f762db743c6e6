//! Makes the queue and its dead-letter queue. It knows nothing of messages.

use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_sdk_sqs::{Client, error::SdkError, types::QueueAttributeName};

use super::failed;
use crate::error::Error;

/// How long a received message is hidden from other workers; far more than storing a batch takes.
const VISIBILITY_SECONDS: &str = "60";
/// After so many receipts without a deletion, a message goes to the dead-letter queue.
const MAX_RECEIPTS: u32 = 5;
/// The longest that SQS keeps a message: 14 days.
const RETENTION_SECONDS: &str = "1209600";

/// Makes a queue and its dead-letter queue unless they exist, and answers with the queue's URL.
///
/// # Errors
/// When SQS does not answer.
pub(crate) async fn provision(sdk: &SdkConfig, name: &str) -> Result<String, Error> {
    let client = Client::new(sdk);
    let dead_letters = format!("{name}-dlq");
    let retention = (QueueAttributeName::MessageRetentionPeriod, RETENTION_SECONDS.to_owned());
    let dead_letter_url =
        ensure(&client, &dead_letters, HashMap::from([retention.clone()])).await?;
    let arn = client
        .get_queue_attributes()
        .queue_url(&dead_letter_url)
        .attribute_names(QueueAttributeName::QueueArn)
        .send()
        .await
        .map_err(failed)?
        .attributes
        .and_then(|mut attributes| attributes.remove(&QueueAttributeName::QueueArn))
        .ok_or_else(|| Error::internal("the dead-letter queue has no ARN"))?;
    let redrive = serde_json::json!({
        "deadLetterTargetArn": arn,
        "maxReceiveCount": MAX_RECEIPTS.to_string(),
    });
    let attributes = HashMap::from([
        retention,
        (QueueAttributeName::VisibilityTimeout, VISIBILITY_SECONDS.to_owned()),
        (QueueAttributeName::RedrivePolicy, redrive.to_string()),
    ]);
    ensure(&client, name, attributes).await
}

async fn ensure(
    client: &Client,
    name: &str,
    attributes: HashMap<QueueAttributeName, String>,
) -> Result<String, Error> {
    let found = client.get_queue_url().queue_name(name).send().await;
    let url = match found {
        Ok(answer) => answer.queue_url,
        Err(SdkError::ServiceError(e)) if e.err().is_queue_does_not_exist() => None,
        Err(error) => return Err(failed(error)),
    };
    let made = url.is_none();
    let url = if let Some(url) = url {
        let set = client.set_queue_attributes().queue_url(&url);
        set.set_attributes(Some(attributes)).send().await.map_err(failed)?;
        url
    } else {
        let create = client.create_queue().queue_name(name).set_attributes(Some(attributes));
        let url = create.send().await.map_err(failed)?.queue_url;
        url.ok_or_else(|| Error::internal("the new queue has no URL"))?
    };
    tracing::info!(queue = name, url, made, "queue is ready");
    Ok(url)
}
