//! The only place that speaks to DynamoDB. Each method on somebody's data asks for the caller or
//! the organization, which only the verifier of tokens can make, and puts it into every key. The
//! guard looks once more at every request before it is sent.

mod attributes;
mod guard;
pub(crate) mod outbox;
mod pages;
pub(crate) mod records;
pub(crate) mod tables;
pub(crate) mod trail;

use std::{collections::HashMap, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{Client, config::Builder, types::AttributeValue};
use fail::fail_point;
use prometheus_client::registry::Registry;
use service_kit::{aws::CallMetrics, identity::Organization, telemetry::Chain};

use crate::config::Tables;

use guard::Guard;

pub(crate) use guard::Duty;
pub(crate) use pages::Page;

/// The partition key of every table that holds an organization's data.
const ORGANIZATION_ID: &str = "Organization_ID";

type Item = HashMap<String, AttributeValue>;

/// The tables. A clone shares the client and its connections.
#[derive(Clone)]
pub(crate) struct Store {
    client: Client,
    tables: Tables,
}

impl Store {
    /// A store on the tables of this name. It can be asked in the course of a [`Duty`] only.
    #[must_use]
    pub(crate) fn new(
        sdk: &SdkConfig,
        tables: Tables,
        calls: &CallMetrics,
        registry: &mut Registry,
    ) -> Self {
        let guard = Guard::register(tables.clone(), registry);
        let config = Builder::from(sdk).interceptor(calls.clone()).interceptor(guard).build();
        Self { client: Client::from_conf(config), tables }
    }

    /// Opens a connection ahead of the first call, so that it does not wait for one. A table that
    /// does not answer is no reason not to start.
    pub(crate) async fn warm_up(&self) {
        let described = self.client.describe_table().table_name(&self.tables.records).send();
        if let Ok(Err(error)) = tokio::time::timeout(Duration::from_secs(2), described).await {
            tracing::warn!(
                error = %Chain(&error),
                "the records table does not answer"
            );
        }
    }
}

fn key_of(organization: &Organization, range_name: &str, range: String) -> Item {
    Item::from([
        (ORGANIZATION_ID.to_owned(), partition(organization.id())),
        (range_name.to_owned(), AttributeValue::S(range)),
    ])
}

/// The partition key of an organization's rows. A test makes a mistake of it.
fn partition(organization_id: &str) -> AttributeValue {
    fail_point!("store-partition", |other| text(other.unwrap_or_default()));
    text(organization_id)
}

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn number(value: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}
