//! awsim's SQS handler, corrected where it differs from AWS.
//!
//! - `MessageGroupId` is accepted on standard queues, where it makes them fair.
//! - Messages and batches may have 1 MiB, and only XML's characters are carried (`limits`).
//! - A message whose visibility ends is counted as received once, not twice, so a redrive policy
//!   moves it after as many receives as it says.
//! - Queue URLs are those of this endpoint, whatever name a request came by.
//! - A waiting receiver hears of a message at once.
//! - What is acknowledged outlives the process where there is a folder (`kept`).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use awsim_core::{AwsError, Protocol, RequestContext, ServiceHandler};
use awsim_sqs::{SqsService, state::SqsState};
use serde_json::{Value, json};
use tokio::sync::{Mutex, Notify};

use super::{
    ACCOUNT, REGION,
    kept::{Kept, Sent},
    limits::{self, LARGEST_MESSAGE},
};
use crate::{Error, Storage};

/// How often a waiting receiver looks again for messages that became visible by time alone.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The longest wait that AWS permits.
const LONGEST_WAIT: u64 = 20;

/// The URL of a queue of this account at an endpoint.
pub(super) fn queue_url(endpoint: &str, name: &str) -> String {
    format!("{endpoint}/{ACCOUNT}/{name}")
}

/// All queues of the one account and region.
pub(super) struct StandardSqs {
    awsim: SqsService,
    endpoint: String,
    kept: Option<Arc<Kept>>,
    /// Held while an operation changes the queues, so that each is seen whole by the next.
    turn: Mutex<()>,
    /// Held while a snapshot is written, so that an older one never replaces a newer one.
    saving: Mutex<()>,
    arrived: Notify,
    changed: Notify,
}

impl StandardSqs {
    /// The queues that the folder holds, or none.
    pub(super) fn open(endpoint: String, storage: &Storage) -> Result<Self, Error> {
        let awsim = SqsService::new();
        let kept = Kept::open(storage)?;
        if let Some(kept) = &kept
            && let Some(snapshot) = kept.snapshot()?
        {
            let refused = |problem| Error::Emulator { name: "SQS", problem };
            awsim.restore(&snapshot).map_err(refused)?;
        }
        for mut queue in awsim.store().get(ACCOUNT, REGION).queues.iter_mut() {
            let url = queue_url(&endpoint, queue.key());
            queue.url = url;
        }
        Ok(Self {
            awsim,
            endpoint,
            kept: kept.map(Arc::new),
            turn: Mutex::new(()),
            saving: Mutex::new(()),
            arrived: Notify::new(),
            changed: Notify::new(),
        })
    }

    /// Writes everything down, where there is a folder.
    pub(super) async fn save(&self) -> Result<(), Error> {
        let Some(kept) = self.kept.clone() else { return Ok(()) };
        let _saving = self.saving.lock().await;
        let (snapshot, number) = {
            let _turn = self.turn.lock().await;
            let snapshot = self.awsim.snapshot().expect("queues have a form in JSON");
            (snapshot, kept.begin_journal()?)
        };
        let written = move || kept.replace_snapshot(&snapshot, number);
        // The runtime is going away where it does not finish.
        tokio::task::spawn_blocking(written).await.unwrap_or(Ok(()))
    }

    /// Returns when something changed after the last time it returned.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn state(&self) -> Arc<SqsState> {
        self.awsim.store().get(ACCOUNT, REGION)
    }

    async fn create(&self, input: Value, context: &RequestContext) -> Result<Value, AwsError> {
        let _turn = self.turn.lock().await;
        let name = input["QueueName"].as_str().unwrap_or_default().to_owned();
        let states_size = input["Attributes"].get("MaximumMessageSize").is_some();
        let is_new = !self.state().queues.contains_key(&name);
        self.awsim.handle("CreateQueue", input, context).await?;
        let url = queue_url(&self.endpoint, &name);
        if is_new && let Some(mut queue) = self.state().queues.get_mut(&name) {
            queue.url.clone_from(&url);
            if !states_size {
                let size = LARGEST_MESSAGE.to_string();
                queue.attributes.insert("MaximumMessageSize".to_owned(), size);
            }
        }
        Ok(json!({ "QueueUrl": url }))
    }

    async fn send(&self, message: Value, context: &RequestContext) -> Result<Value, AwsError> {
        let _turn = self.turn.lock().await;
        let (answer, sent) = self.enqueue(message, context).await?;
        self.keep(sent.as_slice())?;
        self.arrived.notify_waiters();
        Ok(answer)
    }

    async fn send_batch(&self, input: &Value, context: &RequestContext) -> Result<Value, AwsError> {
        let entries = input["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
        limits::check_batch(entries)?;
        let _turn = self.turn.lock().await;
        self.known(&input["QueueUrl"])?;
        let (mut successful, mut failed, mut all_sent) = (Vec::new(), Vec::new(), Vec::new());
        for entry in entries {
            let mut message = entry.clone();
            message["QueueUrl"] = input["QueueUrl"].clone();
            match self.enqueue(message, context).await {
                Ok((mut answer, sent)) => {
                    answer["Id"] = entry["Id"].clone();
                    successful.push(answer);
                    all_sent.extend(sent);
                }
                Err(error) => failed.push(json!({
                    "Id": entry["Id"],
                    "SenderFault": true,
                    "Code": error.code,
                    "Message": error.message,
                })),
            }
        }
        self.keep(&all_sent)?;
        self.arrived.notify_waiters();
        Ok(json!({ "Successful": successful, "Failed": failed }))
    }

    /// Puts one message into its queue; the caller has the turn. Answers what is in the queue now,
    /// which is nothing where a FIFO queue has seen the message before.
    async fn enqueue(
        &self,
        mut message: Value,
        context: &RequestContext,
    ) -> Result<(Value, Option<Sent>), AwsError> {
        let (name, is_fifo, largest) = self.known(&message["QueueUrl"])?;
        limits::check_message(&message, largest)?;
        let group = match message.as_object_mut() {
            Some(fields) if !is_fifo => fields.remove("MessageGroupId"),
            _ => None,
        };
        let answer = self.awsim.handle("SendMessage", message, context).await?;
        let state = self.state();
        let mut queue = state.queues.get_mut(&name);
        let stored = queue.as_mut().and_then(|queue| queue.messages.back_mut());
        let stored = stored.filter(|stored| answer["MessageId"] == stored.message_id.as_str());
        let sent = stored.map(|stored| {
            if let Some(Value::String(group)) = group {
                stored.attributes.insert("MessageGroupId".to_owned(), group.clone());
                stored.group_id = Some(group);
            }
            Sent { queue: name.clone(), message: stored.clone() }
        });
        Ok((answer, sent))
    }

    /// Writes down what was sent, before it is acknowledged. This goes to the operating system's
    /// memory, which takes microseconds.
    fn keep(&self, sent: &[Sent]) -> Result<(), AwsError> {
        match &self.kept {
            Some(kept) => kept.append(sent).map_err(|error| not_kept(&error)),
            None => Ok(()),
        }
    }

    /// The name, kind and largest message of the queue that a URL names.
    fn known(&self, url: &Value) -> Result<(String, bool, usize), AwsError> {
        let name = queue_name(url);
        let state = self.state();
        let queue = state.queues.get(name).ok_or_else(|| {
            AwsError::bad_request(
                "AWS.SimpleQueueService.NonExistentQueue",
                "The specified queue does not exist.",
            )
        })?;
        let largest = queue.attributes.get("MaximumMessageSize").and_then(|size| size.parse().ok());
        Ok((name.to_owned(), queue.is_fifo, largest.unwrap_or(LARGEST_MESSAGE)))
    }

    async fn receive(&self, mut input: Value, context: &RequestContext) -> Result<Value, AwsError> {
        let wait = match input.get("WaitTimeSeconds") {
            None | Some(Value::Null) => self.default_wait(&input["QueueUrl"]),
            Some(seconds) => match seconds.as_u64() {
                Some(seconds) if seconds <= LONGEST_WAIT => seconds,
                // awsim words the refusal.
                _ => return self.awsim.handle("ReceiveMessage", input, context).await,
            },
        };
        input["WaitTimeSeconds"] = json!(0);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(wait);
        loop {
            let arrival = self.arrived.notified();
            tokio::pin!(arrival);
            // From here on a message that arrives is noticed, also while we look.
            arrival.as_mut().enable();
            let answer = self.look(&input, context).await?;
            let found = answer["Messages"].as_array().is_some_and(|found| !found.is_empty());
            if found || tokio::time::Instant::now() >= deadline {
                return Ok(answer);
            }
            let until = deadline.min(tokio::time::Instant::now() + LOOK_AGAIN);
            tokio::select! {
                () = arrival => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    /// Receives what is visible now.
    async fn look(&self, input: &Value, context: &RequestContext) -> Result<Value, AwsError> {
        let _turn = self.turn.lock().await;
        self.settle(&input["QueueUrl"]);
        let answer = self.awsim.handle("ReceiveMessage", input.clone(), context).await?;
        if answer["Messages"].as_array().is_some_and(|found| !found.is_empty()) {
            self.changed.notify_one();
        }
        Ok(answer)
    }

    fn default_wait(&self, url: &Value) -> u64 {
        let state = self.state();
        let queue = state.queues.get(queue_name(url));
        let seconds = queue.and_then(|queue| {
            queue.attributes.get("ReceiveMessageWaitTimeSeconds")?.parse::<u64>().ok()
        });
        seconds.unwrap_or_default().min(LONGEST_WAIT)
    }

    /// Makes messages visible again whose time is over, before awsim does and counts them twice.
    fn settle(&self, url: &Value) {
        // A little ahead, so that none is left for awsim's own look a moment later.
        let now = Instant::now() + Duration::from_millis(5);
        let state = self.state();
        let Some(mut queue) = state.queues.get_mut(queue_name(url)) else { return };
        let over: Vec<String> = queue
            .inflight
            .values()
            .filter(|held| held.visible_at.is_none_or(|at| at <= now))
            .map(|held| held.receipt_handle.clone())
            .collect();
        for receipt in over {
            if let Some(held) = queue.inflight.remove(&receipt) {
                queue.messages.push_front(held.message);
            }
        }
    }
}

/// The answer where the disk is full, and the like.
fn not_kept(error: &Error) -> AwsError {
    tracing::error!(error = %error.chain(), "queues not written to disk");
    AwsError::internal("The request could not be written to disk.")
}

fn queue_name(url: &Value) -> &str {
    url.as_str().and_then(|url| url.rsplit('/').next()).unwrap_or_default()
}

#[async_trait::async_trait]
impl ServiceHandler for StandardSqs {
    fn service_name(&self) -> &str {
        self.awsim.service_name()
    }

    fn protocol(&self) -> Protocol {
        self.awsim.protocol()
    }

    async fn handle(
        &self,
        operation: &str,
        input: Value,
        context: &RequestContext,
    ) -> Result<Value, AwsError> {
        let mut context = context.clone();
        // An endpoint is one account and one region, whatever the client signed for.
        ACCOUNT.clone_into(&mut context.account_id);
        REGION.clone_into(&mut context.region);
        let answer = match operation {
            "ReceiveMessage" => return self.receive(input, &context).await,
            "CreateQueue" => self.create(input, &context).await,
            "SendMessage" => self.send(input, &context).await,
            "SendMessageBatch" => self.send_batch(&input, &context).await,
            _ => {
                let _turn = self.turn.lock().await;
                self.settle(&input["QueueUrl"]);
                self.awsim.handle(operation, input, &context).await
            }
        };
        match operation {
            _ if answer.is_err()
                || operation.starts_with("Get")
                || operation.starts_with("List") => {}
            "SendMessage"
            | "SendMessageBatch"
            | "DeleteMessage"
            | "DeleteMessageBatch"
            | "ChangeMessageVisibility"
            | "ChangeMessageVisibilityBatch" => self.changed.notify_one(),
            // What changes a queue itself is rare, and written down before it is acknowledged.
            _ => self.save().await.map_err(|error| not_kept(&error))?,
        }
        answer
    }
}
