//! Makes the queue and its dead-letter queue. What somebody has tuned on them stays; it knows
//! nothing of messages but how large they may be.

use std::{collections::HashMap, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_sqs::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::QueueAttributeName,
};
use serde_json::{Value, json};

use crate::making::{ProvisionError, until};

/// How long a received message is hidden from other workers; far more than storing a batch takes.
const VISIBILITY_SECONDS: &str = "60";
/// After so many receipts without a deletion, a message goes to the dead-letter queue.
const MAX_RECEIPTS: u32 = 5;
/// The longest that SQS keeps a message: 14 days.
const RETENTION_SECONDS: &str = "1209600";
/// The most that SQS takes, 1 MiB. Older queues were made with 256 KiB, and an event may be a
/// little larger.
pub(super) const MAX_MESSAGE_BYTES: u32 = 1_048_576;
/// What the name of a dead-letter queue ends in, after that of its queue.
const DEAD_LETTERS: &str = "-dlq";
/// How long a new queue may be unknown to SQS itself, which says "at least one second".
/// Source: "`CreateQueue`" in the Amazon SQS API Reference.
const NEW_QUEUE_PATIENCE: Duration = Duration::from_secs(20);

type Attributes = HashMap<QueueAttributeName, String>;

/// Makes a queue and its dead-letter queue unless they exist, and answers with the queue's URL.
///
/// # Errors
/// When SQS refuses a call or does not answer.
pub(crate) async fn provision(sdk: &SdkConfig, name: &str) -> Result<String, ProvisionError> {
    let client = Client::new(sdk);
    let mut attributes = Attributes::from([
        (QueueAttributeName::MessageRetentionPeriod, RETENTION_SECONDS.to_owned()),
        (QueueAttributeName::MaximumMessageSize, MAX_MESSAGE_BYTES.to_string()),
        (QueueAttributeName::SqsManagedSseEnabled, true.to_string()),
    ]);
    let dead_letters = format!("{name}{DEAD_LETTERS}");
    let (_, dead_letters_arn) = ensure(&client, &dead_letters, &attributes, |arn| {
        let source = arn.strip_suffix(DEAD_LETTERS).unwrap_or(arn);
        let redrive = json!({ "redrivePermission": "byQueue", "sourceQueueArns": [source] });
        Attributes::from([
            (QueueAttributeName::RedriveAllowPolicy, redrive.to_string()),
            (QueueAttributeName::Policy, tls_only(arn)),
        ])
    })
    .await?;
    let redrive =
        json!({ "deadLetterTargetArn": dead_letters_arn, "maxReceiveCount": MAX_RECEIPTS });
    attributes.insert(QueueAttributeName::VisibilityTimeout, VISIBILITY_SECONDS.to_owned());
    attributes.insert(QueueAttributeName::RedrivePolicy, redrive.to_string());
    let policy = |arn: &str| Attributes::from([(QueueAttributeName::Policy, tls_only(arn))]);
    let (url, _) = ensure(&client, name, &attributes, policy).await?;
    Ok(url)
}

/// A policy of a queue under which nobody speaks to it in the clear.
fn tls_only(arn: &str) -> String {
    let statement = json!({
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": arn,
        "Condition": { "Bool": { "aws:SecureTransport": "false" } },
    });
    json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
}

/// Makes the queue with these attributes unless it exists, and sets what is missing, including what
/// depends on its ARN. Answers with its URL and ARN.
async fn ensure(
    client: &Client,
    name: &str,
    attributes: &Attributes,
    by_arn: impl FnOnce(&str) -> Attributes,
) -> Result<(String, String), ProvisionError> {
    let found = client.get_queue_url().queue_name(name).send().await;
    let existing = match found {
        Ok(answer) => answer.queue_url,
        Err(SdkError::ServiceError(e)) if e.err().is_queue_does_not_exist() => None,
        Err(error) => return Err(ProvisionError::of("GetQueueUrl", name)(error)),
    };
    let made = existing.is_none();
    let url = match existing {
        Some(url) => url,
        None => create(client, name, attributes).await?,
    };
    let found = read(client, name, &url).await?;
    let arn = found.get(&QueueAttributeName::QueueArn).cloned().unwrap_or_default();
    let mut wanted = attributes.clone();
    wanted.extend(by_arn(&arn));
    let changes = changes(name, &found, &wanted);
    if !changes.is_empty() {
        tracing::info!(queue = name, attributes = ?changes.keys(), "setting attributes of the queue");
        let set = client.set_queue_attributes().queue_url(&url).set_attributes(Some(changes));
        set.send().await.map_err(ProvisionError::of("SetQueueAttributes", name))?;
    }
    tracing::info!(queue = name, url, made, "queue is ready");
    Ok((url, arn))
}

async fn create(
    client: &Client,
    name: &str,
    wanted: &Attributes,
) -> Result<String, ProvisionError> {
    let made = until(NEW_QUEUE_PATIENCE, async || {
        let create = client.create_queue().queue_name(name).set_attributes(Some(wanted.clone()));
        match create.send().await {
            Ok(answer) => Ok(answer.queue_url),
            // Its dead-letter queue is as new, and not known everywhere.
            Err(error) if error.message().is_some_and(|m| m.contains("target does not exist")) => {
                Ok(None)
            }
            Err(error) => Err(ProvisionError::of("CreateQueue", name)(error)),
        }
    });
    made.await?.ok_or_else(|| {
        ProvisionError::NotYet(format!(
            "CreateQueue for {name} does not find the new dead-letter queue"
        ))
    })
}

async fn read(client: &Client, name: &str, url: &str) -> Result<Attributes, ProvisionError> {
    let found = until(NEW_QUEUE_PATIENCE, async || {
        let get = client.get_queue_attributes().queue_url(url);
        match get.attribute_names(QueueAttributeName::All).send().await {
            Ok(answer) => Ok(Some(answer.attributes.unwrap_or_default())),
            Err(SdkError::ServiceError(e)) if e.err().is_queue_does_not_exist() => Ok(None),
            Err(error) => Err(ProvisionError::of("GetQueueAttributes", name)(error)),
        }
    });
    found.await?.ok_or_else(|| {
        ProvisionError::NotYet(format!("GetQueueAttributes does not find the new queue {name}"))
    })
}

/// What has to be set: an attribute that is missing, or a size that our events may exceed. Anything
/// else that differs was somebody's decision.
fn changes(name: &str, found: &Attributes, wanted: &Attributes) -> Attributes {
    let mut changes = Attributes::new();
    for (attribute, ours) in wanted {
        let Some(theirs) = found.get(attribute) else {
            changes.insert(attribute.clone(), ours.clone());
            continue;
        };
        let too_small = *attribute == QueueAttributeName::MaximumMessageSize
            && theirs.parse().is_ok_and(|bytes: u32| bytes < MAX_MESSAGE_BYTES);
        if too_small {
            changes.insert(attribute.clone(), ours.clone());
        } else if parsed(theirs) != parsed(ours) {
            tracing::info!(
                queue = name,
                attribute = attribute.as_str(),
                kept = theirs,
                default = ours,
                "an attribute of the queue was tuned and stays"
            );
        }
    }
    changes
}

/// All attributes here are JSON, and SQS may space them as it likes.
fn parsed(attribute: &str) -> Option<Value> {
    serde_json::from_str(attribute).ok()
}
