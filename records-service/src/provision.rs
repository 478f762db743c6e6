//! `provision`: makes the tables, the queue and its dead-letter queue. Running it again changes
//! nothing. It knows how long AWS may take, not what a table or a queue looks like.

use std::{error::Error as StdError, time::Duration};

use aws_config::{SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use service_kit::aws;

use crate::{
    audit::queue,
    config::ProvisionConfig,
    error::Cause,
    store::tables::{self, Provisioner},
};

/// The longest pause between two looks at something that AWS is still making.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why `provision` stopped. Each names the table or the queue, for the person who runs it.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// AWS cannot be used.
    #[error(transparent)]
    Aws(#[from] aws::NoRegion),
    /// AWS refused a call, or did not answer; the cause has what it said.
    #[error("{operation} failed for {name}")]
    Call {
        /// The call's name in the API reference, which is also that of the right it needs.
        operation: &'static str,
        /// The table or queue.
        name: String,
        /// What AWS, or the way to it, said.
        #[source]
        cause: Cause,
    },
    /// Something exists, but not as it is needed. It was left as it is: somebody has to decide.
    #[error("{0}")]
    OtherShape(String),
    /// AWS needs longer than we wait. Running `provision` again goes on from there.
    #[error("{0}; run provision again in a few minutes")]
    NotYet(String),
}

impl ProvisionError {
    /// What a failed call means, for `map_err`.
    pub(crate) fn of<E>(operation: &'static str, name: &str) -> impl FnOnce(E) -> Self
    where
        E: StdError + Send + Sync + 'static,
    {
        let name = name.to_owned();
        move |error| Self::Call { operation, name, cause: error.into() }
    }
}

/// Makes whatever is missing and answers with the queue's URL, for `AUDIT_QUEUE_URL`.
///
/// # Errors
/// When something exists in another shape, or AWS does not answer.
pub async fn provision(config: &ProvisionConfig) -> Result<String, ProvisionError> {
    let sdk = unhurried(&aws::load().await?);
    let provisioner = Provisioner::new(&sdk, config.protection);
    let shapes = [
        tables::records(&config.tables.records),
        tables::outbox(&config.tables.outbox),
        tables::trail(&config.tables.audit),
        service_kit::tables::sessions(&config.sessions_table),
    ];
    for shape in shapes {
        provisioner.ensure(&shape).await?;
    }
    queue::provision(&sdk, &config.queue_name).await
}

/// The same settings with the time that calls take which make and change things. Nobody waits for
/// a page here, and a call that is given up too early may have been carried out.
fn unhurried(sdk: &SdkConfig) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(10))
        .operation_timeout(Duration::from_mins(1))
        .build();
    let retries = RetryConfig::standard().with_max_attempts(5);
    sdk.to_builder().timeout_config(timeouts).retry_config(retries).build()
}

/// Looks again and again, less and less often, until there is an answer other than "not yet",
/// which is `None`; that is the answer as well when there was no other for so long.
pub(crate) async fn until<T>(
    patience: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>, ProvisionError>,
) -> Result<Option<T>, ProvisionError> {
    let deadline = tokio::time::Instant::now() + patience;
    let mut pause = Duration::from_millis(100);
    loop {
        let answer = look().await?;
        if answer.is_some() || tokio::time::Instant::now() >= deadline {
            return Ok(answer);
        }
        tokio::time::sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}
