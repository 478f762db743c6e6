//! `provision`: makes the tables, the queue and its dead-letter queue. Running it again changes
//! nothing.

use service_kit::aws;

use crate::{
    audit::queue,
    config::ProvisionConfig,
    error::Error,
    store::tables::{Provisioner, shapes},
};

/// Makes whatever is missing and answers with the queue's URL, for `AUDIT_QUEUE_URL`.
///
/// # Errors
/// When something exists in another shape, or AWS does not answer.
pub async fn provision(config: &ProvisionConfig) -> Result<String, Error> {
    let sdk = aws::load().await;
    let provisioner = Provisioner::new(&sdk, config.protection);
    for shape in shapes(&config.tables, &config.sessions_table) {
        provisioner.ensure(&shape).await?;
    }
    queue::provision(&sdk, &config.queue_name).await
}
