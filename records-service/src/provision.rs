//! `provision`: makes the tables, the queue and its dead-letter queue. Running it again changes
//! nothing. It knows what is to be there and how long a call may take, not what a table or a queue
//! looks like.

use std::time::Duration;

use aws_config::{SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use service_kit::aws;

use crate::{
    audit::queue,
    config::ProvisionConfig,
    making::ProvisionError,
    store::tables::{self, Provisioner},
};

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
