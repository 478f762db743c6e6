//! The last look at what is asked of DynamoDB. Whatever the code above got wrong, a request that
//! touches rows of another organization than that of the call, or rows in nobody's name, is never
//! sent: it fails here, before the SDK writes it. The guard knows the tables and their partition
//! keys, not why a row is asked for.

#[cfg(test)]
mod tests;
mod touched;

use aws_sdk_dynamodb::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::BeforeSerializationInterceptorContextRef,
    },
    error::BoxError,
    types::AttributeValue,
};
use aws_smithy_runtime_api::client::interceptors::context::Input;
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use service_kit::identity::Caller;
use tokio::task::futures::TaskLocalFuture;

use super::{Item, ORGANIZATION_ID};
use crate::{config::Tables, domain::event::Event};
use touched::{Asked, Rows, Touched};

tokio::task_local! {
    static DUTY: Duty;
}

/// In whose name the store is asked. It is made of what somebody has verified, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Duty(Whose);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Whose {
    /// Rows of the organization with this id, and its own new rows in the outbox.
    Organization(String),
    /// The outbox, where rows of all organizations wait to be sent, and nothing else.
    Relay,
}

impl Duty {
    /// To answer a call.
    pub(crate) fn of_caller(caller: &Caller) -> Self {
        Self(Whose::Organization(caller.organization().id().to_owned()))
    }

    /// To store an event that has come from the queue.
    pub(crate) fn of_event(event: &Event) -> Self {
        Self(Whose::Organization(event.data.organization_id.clone()))
    }

    /// To send what is committed.
    pub(crate) fn of_relay() -> Self {
        Self(Whose::Relay)
    }

    /// Does work in the course of which the store may be asked. What the work spawns is not in the
    /// course of it, and is stopped.
    pub(crate) fn during<F: Future>(self, work: F) -> TaskLocalFuture<Self, F> {
        DUTY.scope(self, work)
    }
}

/// Why a request was stopped. It names nobody, for it is logged in somebody else's call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Stop {
    #[error("the store has no such operation")]
    Operation,
    #[error("it names no rows whose partition can be told")]
    Untold,
    #[error("it is about a table that is none of ours")]
    Table,
    #[error("it is made in nobody's name")]
    Nobody,
    #[error("it is about rows of another organization than that of the call")]
    Other,
    #[error("it is about rows of organizations, and made by the relay")]
    Relay,
    #[error("it is about rows of the outbox other than a new one of the call's own organization")]
    Outbox,
}

/// Stops what must not be sent by the client that it is given to.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    tables: Tables,
    stopped: Counter,
}

impl Guard {
    /// Shows `store_calls_stopped_total`.
    pub(super) fn register(tables: Tables, registry: &mut Registry) -> Self {
        let stopped = Counter::default();
        let help = "Requests to DynamoDB that were stopped for being about rows of somebody else";
        registry.register("store_calls_stopped", help, stopped.clone());
        Self { tables, stopped }
    }

    fn check(&self, input: &Input, duty: Option<&Duty>) -> Result<(), Stop> {
        match Asked::of(input).ok_or(Stop::Operation)? {
            Asked::Description { table } => self.kind_of(table).map(|_| ()),
            Asked::Rows(touched) if touched.is_empty() => Err(Stop::Untold),
            Asked::Rows(touched) => touched.iter().try_for_each(|it| self.judge(it, duty)),
        }
    }

    fn kind_of(&self, table: &str) -> Result<Kind, Stop> {
        let Tables { records, outbox, audit } = &self.tables;
        if table == outbox {
            Ok(Kind::Outbox)
        } else if table == records || table == audit {
            Ok(Kind::OfOrganizations)
        } else {
            Err(Stop::Table)
        }
    }

    fn judge(&self, touched: &Touched<'_>, duty: Option<&Duty>) -> Result<(), Stop> {
        let kind = self.kind_of(touched.table)?;
        match (kind, &duty.ok_or(Stop::Nobody)?.0) {
            (Kind::OfOrganizations, Whose::Relay) => Err(Stop::Relay),
            (Kind::OfOrganizations, Whose::Organization(id)) => match touched.rows {
                Rows::At(row) | Rows::New(row) => is_text(row.get(ORGANIZATION_ID), id),
                Rows::Partition(Some((ORGANIZATION_ID, value))) => is_text(Some(value), id),
                Rows::Partition(_) => Err(Stop::Untold),
            },
            (Kind::Outbox, Whose::Organization(id)) => match touched.rows {
                Rows::New(row) if is_event_of(row, id) => Ok(()),
                _ => Err(Stop::Outbox),
            },
            // What the relay did not read there is no business of its own.
            (Kind::Outbox, Whose::Relay) => match touched.rows {
                Rows::New(_) => Err(Stop::Outbox),
                Rows::At(_) | Rows::Partition(_) => Ok(()),
            },
        }
    }
}

/// What a table's partitions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    OfOrganizations,
    Outbox,
}

fn is_text(value: Option<&AttributeValue>, expected: &str) -> Result<(), Stop> {
    match value {
        Some(AttributeValue::S(text)) if text == expected => Ok(()),
        Some(_) => Err(Stop::Other),
        None => Err(Stop::Untold),
    }
}

/// Whether a row of the outbox is of this organization, by its attribute and by the event in it,
/// which is what the audit worker goes by.
fn is_event_of(row: &Item, id: &str) -> bool {
    let payload = row.get("Payload").and_then(|payload| payload.as_s().ok());
    is_text(row.get(ORGANIZATION_ID), id).is_ok()
        && payload.and_then(|json| Event::organization_of(json)).as_deref() == Some(id)
}

impl Intercept for Guard {
    fn name(&self) -> &'static str {
        "Guard"
    }

    fn read_before_serialization(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let checked = DUTY
            .try_with(|duty| self.check(context.input(), Some(duty)))
            .unwrap_or_else(|_| self.check(context.input(), None));
        checked.map_err(|stop| {
            self.stopped.inc();
            tracing::error!(reason = %stop, "a request to DynamoDB was stopped: this is a defect");
            stop.into()
        })
    }
}
