//! Checks the audit queue: that it is there and as it must be, and that this process may do with it
//! what it does. No message is sent, received or deleted.

use std::collections::HashMap;

use aws_sdk_sqs::{
    Client,
    config::Builder,
    types::{
        ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
        QueueAttributeName::{
            self, FifoQueue, MaximumMessageSize, MessageRetentionPeriod, RedrivePolicy,
            VisibilityTimeout,
        },
        SendMessageBatchRequestEntry,
    },
};
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::Value;
use service_kit::preflight::{
    Finding, Mend, State,
    aws::{Account, Obstacle, judge},
};
use url::Url;

use super::provision::MAX_MESSAGE_BYTES;
use crate::config::has_fifo_suffix;

/// What makes queues that are missing, and sets what is missing on them.
const PROVISION: &str = "records-service provision";
/// Storing a batch takes some seconds; a message that shows again meanwhile is stored twice, and its
/// receipts count towards the dead letters.
const LEAST_VISIBILITY_SECONDS: u64 = 30;
/// With fewer, some short trouble of the trail sends good events to the dead letters.
const LEAST_RECEIPTS: u64 = 3;
/// A character that SQS carries in no message. Source: "`SendMessage`" in the Amazon SQS API
/// Reference.
const REFUSED_BODY: &str = "\u{FFFE}";
/// A receipt that SQS never gave out.
const NO_RECEIPT: &str = "preflight";
/// More seconds than SQS lets anybody wait, and fewer messages than it lets anybody ask for.
const REFUSED_WAIT: i32 = 21;
const REFUSED_COUNT: i32 = 0;
/// How SQS refuses what must be refused, where it does not do so inside of an answer that is OK.
const INTENDED: &[&str] =
    &["InvalidMessageContents", "InvalidParameterValue", "ReceiptHandleIsInvalid"];

type Attributes = HashMap<QueueAttributeName, String>;

/// What a process does with the messages of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueueRight {
    /// Sends them.
    SendMessage,
    /// Receives them.
    ReceiveMessage,
    /// Deletes those that it has received.
    DeleteMessage,
    /// Keeps those hidden that it has received.
    ChangeMessageVisibility,
}

/// Where the messages go that nobody can deal with.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Redrive {
    dead_letter_target_arn: String,
    /// A number, which some tools write as a text.
    max_receive_count: Value,
}

/// A look at one queue.
struct Look<'a> {
    account: &'a Account,
    client: Client,
    url: Url,
    arn: String,
    what: String,
}

/// Checks the queue, its dead-letter queue, and the rights to its messages.
pub(crate) async fn check(account: &Account, url: &Url, rights: &[QueueRight]) -> Vec<Finding> {
    let client =
        Client::from_conf(Builder::from(&account.sdk).interceptor(account.clock.clone()).build());
    let (number, name) = number_and_name(url);
    let what = format!("queue {name}");
    let ours = account.sdk.region().map_or("", |region| region.as_ref());
    if let Some(theirs) = region_of(url).filter(|theirs| *theirs != ours) {
        let advice =
            format!("AUDIT_QUEUE_URL is in {theirs}, AWS_REGION is {ours}: set one of them");
        return vec![Finding::new(what, State::Wrong, advice)];
    }
    let arn = account.arn("sqs", number, name);
    // Its future holds one for each call, which would be carried about.
    Box::pin(Look { account, client, url: url.clone(), arn, what }.look(rights)).await
}

impl Look<'_> {
    async fn look(self, rights: &[QueueRight]) -> Vec<Finding> {
        let attributes = self.attributes(&self.url).await;
        if let Err(obstacle @ (Obstacle::NotFound | Obstacle::Unreachable(_))) = attributes {
            return vec![self.obstructed("sqs:GetQueueAttributes", "", obstacle)];
        }
        let (queue, rights) = tokio::join!(
            self.findings(attributes),
            join_all(rights.iter().map(|right| self.try_right(*right)))
        );
        [queue, rights].concat()
    }

    async fn attributes(&self, url: &Url) -> Result<Attributes, Obstacle> {
        let get = self.client.get_queue_attributes().queue_url(url.as_str());
        let answer = judge(get.attribute_names(QueueAttributeName::All).send().await, &[])?;
        Ok(answer.and_then(|answer| answer.attributes).unwrap_or_default())
    }

    /// A finding about the queue as a whole, or with a suffix about an aspect of it.
    fn obstructed(&self, action: &str, suffix: &str, obstacle: Obstacle) -> Finding {
        let what = format!("{}{suffix}", self.what);
        let missing = "make it by the command below, or set AUDIT_QUEUE_URL to yours";
        let finding = obstacle.finding(what, action, &self.arn, missing);
        if finding.state() == State::Missing { self.provisioned(finding) } else { finding }
    }

    /// The finding with the command that mends it; for a FIFO queue there is none.
    fn provisioned(&self, finding: Finding) -> Finding {
        if has_fifo_suffix(self.url.path()) {
            finding
        } else {
            finding.mended_by(Mend::Command(PROVISION.to_owned()))
        }
    }

    async fn findings(&self, attributes: Result<Attributes, Obstacle>) -> Vec<Finding> {
        let attributes = match attributes {
            Ok(attributes) => attributes,
            Err(obstacle) => {
                let suffix = ": sqs:GetQueueAttributes";
                return vec![self.obstructed("sqs:GetQueueAttributes", suffix, obstacle)];
            }
        };
        let mut findings = vec![self.size(&attributes), self.visibility(&attributes)];
        let redrive = attributes.get(&RedrivePolicy);
        let redrive = redrive.and_then(|text| serde_json::from_str::<Redrive>(text).ok());
        if let Some(redrive) = redrive {
            findings.push(self.receipts(&redrive));
            findings.push(self.dead_letters(&redrive.dead_letter_target_arn, &attributes).await);
        } else {
            let advice = "add one, or a message that nobody can store comes back for ever";
            let what = format!("{}: dead-letter queue", self.what);
            findings.push(self.provisioned(Finding::new(what, State::Missing, advice)));
        }
        findings
    }

    fn size(&self, attributes: &Attributes) -> Finding {
        let what = format!("{}: message size", self.what);
        let bytes = seconds_or_bytes(attributes, &MaximumMessageSize);
        if bytes >= u64::from(MAX_MESSAGE_BYTES) {
            return Finding::ok(what);
        }
        let advice =
            format!("raise {bytes} bytes to {MAX_MESSAGE_BYTES}: large events would stay behind");
        self.set(Finding::new(what, State::Wrong, advice), &MaximumMessageSize, MAX_MESSAGE_BYTES)
    }

    fn visibility(&self, attributes: &Attributes) -> Finding {
        let what = format!("{}: visibility timeout", self.what);
        let seconds = seconds_or_bytes(attributes, &VisibilityTimeout);
        if seconds >= LEAST_VISIBILITY_SECONDS {
            return Finding::ok(what);
        }
        let advice = format!("raise {seconds} s to 60: messages show again while they are stored");
        self.set(Finding::new(what, State::Warning, advice), &VisibilityTimeout, 60)
    }

    /// The finding with the command that sets an attribute.
    fn set(&self, finding: Finding, attribute: &QueueAttributeName, value: u32) -> Finding {
        finding.mended_by(self.account.mend_by_aws(&format!(
            "sqs set-queue-attributes --queue-url {} --attributes {attribute}={value}",
            self.url
        )))
    }

    fn receipts(&self, redrive: &Redrive) -> Finding {
        let what = format!("{}: receipts before the dead letters", self.what);
        let count = &redrive.max_receive_count;
        let count = count.as_u64().or_else(|| count.as_str()?.parse().ok()).unwrap_or_default();
        if count >= LEAST_RECEIPTS {
            return Finding::ok(what);
        }
        let advice = format!("{count} are few: after a short trouble good events end there");
        Finding::new(what, State::Warning, advice)
    }

    /// The queue for what nobody can store is beside this one, in the same account and region.
    async fn dead_letters(&self, arn: &str, source: &Attributes) -> Finding {
        let what = format!("{}: dead-letter queue", self.what);
        let mut parts = arn.rsplit(':');
        let (name, number) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let mut url = self.url.clone();
        url.set_path(&format!("/{number}/{name}"));
        let attributes = match self.attributes(&url).await {
            Ok(attributes) => attributes,
            Err(Obstacle::NotFound) => {
                let advice = format!("{arn} is not there: make it");
                let finding = Finding::new(what, State::Missing, advice);
                return self.provisioned(finding);
            }
            Err(Obstacle::Denied(_)) => {
                let advice = "this role may not look: statement below";
                let action = "sqs:GetQueueAttributes".to_owned();
                let allow = Mend::Allow { action, resource: arn.to_owned() };
                return Finding::new(what, State::Unchecked, advice).mended_by(allow);
            }
            Err(obstacle) => return obstacle.finding(what, "sqs:GetQueueAttributes", arn, ""),
        };
        let [ours, theirs] =
            [source, &attributes].map(|all| seconds_or_bytes(all, &MessageRetentionPeriod));
        if source.get(&FifoQueue) != attributes.get(&FifoQueue) {
            let advice = "it must be FIFO as the queue is, or standard as it is: replace it";
            return Finding::new(what, State::Wrong, advice);
        }
        if theirs < ours {
            let advice =
                format!("it keeps messages {theirs} s, the queue {ours} s: keep them longer");
            return Finding::new(what, State::Warning, advice);
        }
        Finding::ok(what)
    }

    async fn try_right(&self, right: QueueRight) -> Finding {
        let action = format!("sqs:{right:?}");
        let suffix = format!(": {action}");
        match self.call(right).await {
            Ok(()) => Finding::ok(format!("{}{suffix}", self.what)),
            Err(obstacle) => self.obstructed(&action, &suffix, obstacle),
        }
    }

    /// The call that shows a right. SQS looks at rights once for a call, and at the entries of a batch
    /// after that: each of these batches has one entry, which it must refuse. For receiving there is
    /// no such batch, so its parameters are out of range. That a role without the right hears of that
    /// first is possible, though nobody has seen it.
    async fn call(&self, right: QueueRight) -> Result<(), Obstacle> {
        let url = self.url.as_str();
        let entry = "the entry has what it needs";
        match right {
            QueueRight::SendMessage => {
                let message = SendMessageBatchRequestEntry::builder()
                    .id("0")
                    .message_body(REFUSED_BODY)
                    .message_group_id("preflight");
                let is_fifo = has_fifo_suffix(self.url.path());
                let message = message
                    .set_message_deduplication_id(is_fifo.then(|| "preflight".to_owned()))
                    .build();
                let call = self.client.send_message_batch().queue_url(url);
                let answer = judge(call.entries(message.expect(entry)).send().await, INTENDED)?;
                match answer {
                    Some(answer) if !answer.successful.is_empty() => {
                        Err(Obstacle::Odd("yes to a message that it must refuse".to_owned()))
                    }
                    _ => Ok(()),
                }
            }
            QueueRight::ReceiveMessage => {
                let call = self.client.receive_message().queue_url(url);
                let call =
                    call.max_number_of_messages(REFUSED_COUNT).wait_time_seconds(REFUSED_WAIT);
                judge(call.send().await, INTENDED).map(|_| ())
            }
            QueueRight::DeleteMessage => {
                let message = DeleteMessageBatchRequestEntry::builder()
                    .id("0")
                    .receipt_handle(NO_RECEIPT)
                    .build();
                let call = self.client.delete_message_batch().queue_url(url);
                judge(call.entries(message.expect(entry)).send().await, INTENDED).map(|_| ())
            }
            QueueRight::ChangeMessageVisibility => {
                let message = ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id("0")
                    .receipt_handle(NO_RECEIPT)
                    .visibility_timeout(0)
                    .build();
                let call = self.client.change_message_visibility_batch().queue_url(url);
                judge(call.entries(message.expect(entry)).send().await, INTENDED).map(|_| ())
            }
        }
    }
}

/// The number of the account and the name of the queue, with which every queue's URL ends.
fn number_and_name(url: &Url) -> (Option<&str>, &str) {
    let mut parts = url.path().rsplit('/');
    let name = parts.next().unwrap_or_default();
    (parts.next().filter(|number| !number.is_empty()), name)
}

/// The region that AWS's own queue URLs name, as in `https://sqs.eu-central-1.amazonaws.com/…`.
fn region_of(url: &Url) -> Option<&str> {
    url.host_str()?.strip_prefix("sqs.")?.split_once(".amazonaws.com").map(|(region, _)| region)
}

/// An attribute that is a number; 0 where it is not there.
fn seconds_or_bytes(attributes: &Attributes, name: &QueueAttributeName) -> u64 {
    attributes.get(name).and_then(|value| value.parse().ok()).unwrap_or_default()
}
