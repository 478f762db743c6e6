//! Makes the tables, as `provision` does. What exists is checked and left as it is.

use std::{collections::HashMap, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
        PointInTimeRecoverySpecification, Projection, ProjectionType, ScalarAttributeType,
        TableDescription, TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
    },
};

use super::failure;
use crate::error::Error;

/// How a table must look. All keys are texts.
pub(crate) struct TableShape<'a> {
    /// Its name.
    pub name: &'a str,
    /// The partition key.
    pub hash: &'static str,
    /// The sort key, if it has one.
    pub range: Option<&'static str>,
    /// Its one index, if it has one.
    pub index: Option<IndexShape>,
    /// The attribute with the time at which DynamoDB deletes a row, if rows end.
    pub expiry: Option<&'static str>,
}

/// How an index must look.
pub(crate) struct IndexShape {
    /// Its name.
    pub name: &'static str,
    /// The partition key.
    pub hash: &'static str,
    /// The sort key, if it has one.
    pub range: Option<&'static str>,
    /// Whether it holds whole rows, or keys only.
    pub whole_rows: bool,
}

/// The tables in the order of the architecture's table of them.
#[must_use]
pub(crate) fn shapes<'a>(
    tables: &'a crate::config::Tables,
    sessions: &'a str,
) -> [TableShape<'a>; 4] {
    [
        TableShape {
            name: &tables.records,
            hash: "Organization_ID",
            range: Some("Record_ID"),
            index: None,
            expiry: Some("Expires_At"),
        },
        TableShape {
            name: &tables.outbox,
            hash: "Shard",
            range: Some("Event_ID"),
            index: None,
            expiry: None,
        },
        TableShape {
            name: &tables.audit,
            hash: "Organization_ID",
            range: Some("Event_ID"),
            index: Some(IndexShape {
                name: "by-record",
                hash: "Organization_ID",
                range: Some("Record_Version"),
                whole_rows: true,
            }),
            expiry: None,
        },
        TableShape {
            name: sessions,
            hash: "Session_Hash",
            range: None,
            index: Some(IndexShape { name: "by-sid", hash: "Sid", range: None, whole_rows: false }),
            expiry: Some("Expires_At"),
        },
    ]
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
    /// When it exists with other keys, or DynamoDB does not answer.
    pub(crate) async fn ensure(&self, shape: &TableShape<'_>) -> Result<(), Error> {
        let made = match self.describe(shape.name).await? {
            Some(_) => false,
            None => self.create(shape).await?,
        };
        let table = self.wait_until_active(shape.name).await?;
        check_shape(shape, &table)?;
        if let Some(attribute) = shape.expiry {
            self.ensure_expiry(shape.name, attribute).await?;
        }
        if self.protection {
            self.protect(shape.name).await?;
        }
        tracing::info!(table = shape.name, made, "table is ready");
        Ok(())
    }

    async fn describe(&self, name: &str) -> Result<Option<TableDescription>, Error> {
        match self.client.describe_table().table_name(name).send().await {
            Ok(answer) => Ok(answer.table),
            Err(SdkError::ServiceError(e)) if e.err().is_resource_not_found_exception() => Ok(None),
            Err(error) => Err(failure::of(error)),
        }
    }

    /// Answers whether this call made it: another `provision` may run at the same time.
    async fn create(&self, shape: &TableShape<'_>) -> Result<bool, Error> {
        let index = shape.index.as_ref();
        let mut attributes: Vec<&str> = [Some(shape.hash), shape.range]
            .into_iter()
            .chain(index.into_iter().flat_map(|index| [Some(index.hash), index.range]))
            .flatten()
            .collect();
        attributes.sort_unstable();
        attributes.dedup();

        let mut create = self
            .client
            .create_table()
            .table_name(shape.name)
            .billing_mode(BillingMode::PayPerRequest)
            .set_key_schema(Some(key_schema(shape.hash, shape.range)?));
        for attribute in attributes {
            let definition = AttributeDefinition::builder()
                .attribute_name(attribute)
                .attribute_type(ScalarAttributeType::S)
                .build()
                .map_err(Error::internal)?;
            create = create.attribute_definitions(definition);
        }
        if let Some(index) = index {
            let projection =
                if index.whole_rows { ProjectionType::All } else { ProjectionType::KeysOnly };
            let index = GlobalSecondaryIndex::builder()
                .index_name(index.name)
                .set_key_schema(Some(key_schema(index.hash, index.range)?))
                .projection(Projection::builder().projection_type(projection).build())
                .build()
                .map_err(Error::internal)?;
            create = create.global_secondary_indexes(index);
        }
        match create.send().await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(e)) if e.err().is_resource_in_use_exception() => Ok(false),
            Err(error) => Err(failure::of(error)),
        }
    }

    async fn wait_until_active(&self, name: &str) -> Result<TableDescription, Error> {
        for _ in 0..120 {
            if let Some(table) = self.describe(name).await?
                && table.table_status() == Some(&TableStatus::Active)
            {
                return Ok(table);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Err(Error::internal(format!("the table {name} did not become active within a minute")))
    }

    async fn ensure_expiry(&self, name: &str, attribute: &str) -> Result<(), Error> {
        let found = self.client.describe_time_to_live().table_name(name).send().await;
        let found = found.map_err(failure::of)?.time_to_live_description;
        let on = [TimeToLiveStatus::Enabled, TimeToLiveStatus::Enabling];
        if found.and_then(|ttl| ttl.time_to_live_status).is_some_and(|status| on.contains(&status))
        {
            return Ok(());
        }
        let specification = TimeToLiveSpecification::builder()
            .enabled(true)
            .attribute_name(attribute)
            .build()
            .map_err(Error::internal)?;
        let update = self.client.update_time_to_live().table_name(name);
        update.time_to_live_specification(specification).send().await.map_err(failure::of)?;
        Ok(())
    }

    async fn protect(&self, name: &str) -> Result<(), Error> {
        let update = self.client.update_table().table_name(name).deletion_protection_enabled(true);
        update.send().await.map_err(failure::of)?;
        let recovery = PointInTimeRecoverySpecification::builder()
            .point_in_time_recovery_enabled(true)
            .build()
            .map_err(Error::internal)?;
        self.client
            .update_continuous_backups()
            .table_name(name)
            .point_in_time_recovery_specification(recovery)
            .send()
            .await
            .map_err(failure::of)?;
        Ok(())
    }
}

fn key_schema(hash: &str, range: Option<&str>) -> Result<Vec<KeySchemaElement>, Error> {
    let element =
        |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
    let hash = std::iter::once(element(hash, KeyType::Hash));
    hash.chain(range.map(|range| element(range, KeyType::Range)))
        .collect::<Result<_, _>>()
        .map_err(Error::internal)
}

fn check_shape(shape: &TableShape<'_>, table: &TableDescription) -> Result<(), Error> {
    let key = |elements: &[KeySchemaElement]| -> HashMap<KeyType, String> {
        elements.iter().map(|e| (e.key_type.clone(), e.attribute_name.clone())).collect()
    };
    let wrong = |what: &str| {
        Err(Error::internal(format!("the table {} exists with another {what}", shape.name)))
    };
    if key(table.key_schema()) != key(&key_schema(shape.hash, shape.range)?) {
        return wrong("key");
    }
    if let Some(index) = &shape.index {
        let found = table
            .global_secondary_indexes()
            .iter()
            .find(|found| found.index_name() == Some(index.name));
        let expected = key(&key_schema(index.hash, index.range)?);
        if found.is_none_or(|found| key(found.key_schema()) != expected) {
            return wrong(&format!("index {}", index.name));
        }
    }
    Ok(())
}
