//! What our tables look like, and making them, as `provision` does. What exists is checked and left
//! as it is, but for protection that is missing.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, PointInTimeRecoverySpecification,
        PointInTimeRecoveryStatus, Projection, ProjectionType, ScalarAttributeType,
        TableDescription, TableStatus, TimeToLiveDescription, TimeToLiveSpecification,
        TimeToLiveStatus,
    },
};
use service_kit::tables::{IndexShape, TableShape, key_schema};

use crate::making::{ProvisionError, until};

/// How long a new or changed table may take. One with an index takes longest.
const TABLE_PATIENCE: Duration = Duration::from_mins(5);
/// How long DynamoDB may take to be able to back up a new table. Until then it answers a wish for
/// point-in-time recovery with `ContinuousBackupsUnavailableException`.
const BACKUPS_PATIENCE: Duration = Duration::from_mins(5);

/// The table of records, and of what requests have made.
pub(crate) fn records(name: &str) -> TableShape<'_> {
    TableShape {
        name,
        hash: "Organization_ID",
        range: Some("Record_ID"),
        indexes: &[],
        expiry: Some("Expires_At"),
    }
}

/// The table of events that are committed and not yet on the queue.
pub(crate) fn outbox(name: &str) -> TableShape<'_> {
    TableShape { name, hash: "Shard", range: Some("Event_ID"), indexes: &[], expiry: None }
}

/// The table of the audit trail.
pub(crate) fn trail(name: &str) -> TableShape<'_> {
    TableShape {
        name,
        hash: "Organization_ID",
        range: Some("Event_ID"),
        indexes: &[IndexShape {
            name: "by-record",
            hash: "Organization_ID",
            range: Some("Record_Version"),
            whole_rows: true,
        }],
        expiry: None,
    }
}

/// Makes tables. It needs rights that no running service has.
pub(crate) struct Provisioner {
    client: Client,
    protection: bool,
}

impl Provisioner {
    /// With `protection`, tables get point-in-time recovery and deletion protection.
    #[must_use]
    pub(crate) fn new(sdk: &SdkConfig, protection: bool) -> Self {
        Self { client: Client::new(sdk), protection }
    }

    /// Makes the table unless it exists, and waits until it can be used.
    ///
    /// # Errors
    /// When it exists in another shape, or DynamoDB refuses a call or does not answer.
    pub(crate) async fn ensure(&self, shape: &TableShape<'_>) -> Result<(), ProvisionError> {
        let made = match self.describe(shape.name).await? {
            Some(_) => false,
            None => self.create(shape).await?,
        };
        let table = self.active(shape.name, |_| true).await?;
        check_shape(shape, &table)?;
        self.ensure_expiry(shape.name, shape.expiry).await?;
        if self.protection {
            if !is_protected(&table) {
                self.protect_from_deletion(shape.name).await?;
            }
            self.ensure_recovery(shape.name).await?;
        }
        tracing::info!(table = shape.name, made, "table is ready");
        Ok(())
    }

    async fn describe(&self, name: &str) -> Result<Option<TableDescription>, ProvisionError> {
        match self.client.describe_table().table_name(name).send().await {
            Ok(answer) => Ok(answer.table),
            Err(SdkError::ServiceError(e)) if e.err().is_resource_not_found_exception() => Ok(None),
            Err(error) => Err(ProvisionError::of("DescribeTable", name)(error)),
        }
    }

    /// Answers whether this call made it: another `provision` may run at the same time.
    async fn create(&self, shape: &TableShape<'_>) -> Result<bool, ProvisionError> {
        let mut create = self
            .client
            .create_table()
            .table_name(shape.name)
            .billing_mode(BillingMode::PayPerRequest)
            .set_deletion_protection_enabled(self.protection.then_some(true))
            .set_key_schema(Some(key_schema(shape.hash, shape.range)));
        for attribute in key_attributes(shape) {
            let definition = AttributeDefinition::builder()
                .attribute_name(attribute)
                .attribute_type(ScalarAttributeType::S)
                .build();
            create = create.attribute_definitions(definition.expect("it has a name and a type"));
        }
        for index in shape.indexes {
            let projection =
                if index.whole_rows { ProjectionType::All } else { ProjectionType::KeysOnly };
            let index = GlobalSecondaryIndex::builder()
                .index_name(index.name)
                .set_key_schema(Some(key_schema(index.hash, index.range)))
                .projection(Projection::builder().projection_type(projection).build())
                .build();
            create = create.global_secondary_indexes(index.expect("it has a name and a key"));
        }
        match create.send().await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(e)) if e.err().is_resource_in_use_exception() => Ok(false),
            Err(error) => Err(ProvisionError::of("CreateTable", shape.name)(error)),
        }
    }

    /// Waits until the table is active and as expected. A description may be some moments old, and
    /// there is none at first.
    async fn active(
        &self,
        name: &str,
        expected: impl Fn(&TableDescription) -> bool,
    ) -> Result<TableDescription, ProvisionError> {
        let table = until(TABLE_PATIENCE, async || {
            let table = self.describe(name).await?;
            Ok(table.filter(|table| {
                table.table_status() == Some(&TableStatus::Active) && expected(table)
            }))
        });
        table.await?.ok_or_else(|| {
            ProvisionError::NotYet(format!("the table {name} did not become active in time"))
        })
    }

    async fn ensure_expiry(
        &self,
        name: &str,
        attribute: Option<&str>,
    ) -> Result<(), ProvisionError> {
        let found = self.client.describe_time_to_live().table_name(name).send().await;
        let found = found
            .map_err(ProvisionError::of("DescribeTimeToLive", name))?
            .time_to_live_description
            .unwrap_or_else(|| TimeToLiveDescription::builder().build());
        let other = |how: String| {
            Err(ProvisionError::OtherShape(format!("the table {name} exists, but {how}")))
        };
        let theirs = found.attribute_name().unwrap_or_default();
        let is_on = matches!(
            found.time_to_live_status(),
            Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
        );
        let Some(attribute) = attribute else {
            return if is_on {
                other(format!("its rows end by {theirs}, and those of this table must stay"))
            } else {
                Ok(())
            };
        };
        if is_on {
            return if theirs == attribute {
                Ok(())
            } else {
                other(format!("its rows end by {theirs} instead of {attribute}"))
            };
        }
        if found.time_to_live_status() == Some(&TimeToLiveStatus::Disabling) {
            return other(format!(
                "its time to live is just being disabled, which takes up to an hour; after that, \
                 provision can enable it by {attribute}"
            ));
        }
        let specification =
            TimeToLiveSpecification::builder().enabled(true).attribute_name(attribute).build();
        self.client
            .update_time_to_live()
            .table_name(name)
            .time_to_live_specification(specification.expect("it has a name and a switch"))
            .send()
            .await
            .map_err(ProvisionError::of("UpdateTimeToLive", name))?;
        Ok(())
    }

    async fn protect_from_deletion(&self, name: &str) -> Result<(), ProvisionError> {
        let update = self.client.update_table().table_name(name).deletion_protection_enabled(true);
        update.send().await.map_err(ProvisionError::of("UpdateTable", name))?;
        self.active(name, is_protected).await?;
        Ok(())
    }

    async fn ensure_recovery(&self, name: &str) -> Result<(), ProvisionError> {
        let found = self.client.describe_continuous_backups().table_name(name).send().await;
        let found = found
            .map_err(ProvisionError::of("DescribeContinuousBackups", name))?
            .continuous_backups_description
            .and_then(|backups| backups.point_in_time_recovery_description)
            .and_then(|recovery| recovery.point_in_time_recovery_status);
        if found == Some(PointInTimeRecoveryStatus::Enabled) {
            return Ok(());
        }
        let specification = PointInTimeRecoverySpecification::builder()
            .point_in_time_recovery_enabled(true)
            .build()
            .expect("it has its switch");
        let enabled = until(BACKUPS_PATIENCE, async || {
            let update = self.client.update_continuous_backups().table_name(name);
            match update.point_in_time_recovery_specification(specification.clone()).send().await {
                Ok(_) => Ok(Some(())),
                Err(SdkError::ServiceError(e))
                    if e.err().is_continuous_backups_unavailable_exception() =>
                {
                    tracing::info!(table = name, "waiting until the table can be backed up");
                    Ok(None)
                }
                Err(error) => Err(ProvisionError::of("UpdateContinuousBackups", name)(error)),
            }
        });
        enabled.await?.ok_or_else(|| {
            ProvisionError::NotYet(format!(
                "UpdateContinuousBackups cannot enable point-in-time recovery of {name} yet"
            ))
        })
    }
}

fn is_protected(table: &TableDescription) -> bool {
    table.deletion_protection_enabled() == Some(true)
}

/// The attributes of all keys, each once.
fn key_attributes(shape: &TableShape<'_>) -> Vec<&'static str> {
    let index = shape.indexes.iter().flat_map(|index| [Some(index.hash), index.range]);
    let mut attributes: Vec<_> =
        [Some(shape.hash), shape.range].into_iter().chain(index).flatten().collect();
    attributes.sort_unstable();
    attributes.dedup();
    attributes
}

fn check_shape(shape: &TableShape<'_>, table: &TableDescription) -> Result<(), ProvisionError> {
    let differences: Vec<_> = shape.differences(table).iter().map(ToString::to_string).collect();
    if differences.is_empty() {
        return Ok(());
    }
    Err(ProvisionError::OtherShape(format!(
        "the table {} exists, but {}",
        shape.name,
        differences.join(", and ")
    )))
}
