//! The table of sessions: the only place that talks to DynamoDB. It does not know what is sealed in
//! a row.
//!
//! Every write is conditional, so that a logout wins every race: a session is created only where
//! none is, and extended only where it is as it was read.

use std::{collections::HashMap, error::Error as StdError, fmt};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    config::Builder,
    error::SdkError,
    operation::{
        delete_item::DeleteItemError, put_item::PutItemError, query::builders::QueryFluentBuilder,
        update_item::UpdateItemError,
    },
    types::{AttributeValue, ReturnValue},
};
use jiff::Timestamp;
use service_kit::{
    aws::CallMetrics,
    tables::{SESSIONS_BY_PERSON, SESSIONS_BY_SID},
};
use tokio::time::error::Elapsed;

use super::{
    Lifetime, PersonKey, SessionKey,
    provider::{EndedKey, TokenKey},
};

const KEY: &str = "Session_Hash";
const SEALED: &str = "Sealed";
const SID: &str = "Sid";
const PERSON: &str = "Person_Hash";
const BEGAN: &str = "Began";
const CREATED_AT: &str = "Created_At";
const LAST_SEEN: &str = "Last_Seen";
const EXPIRES_AT: &str = "Expires_At";
const HEARD_AT: &str = "Heard_At";

/// The table did not answer, or not in time.
#[derive(Debug, thiserror::Error)]
#[error("the table of sessions does not answer")]
pub(crate) struct StoreError(#[source] Box<dyn StdError + Send + Sync>);

impl From<Elapsed> for StoreError {
    fn from(late: Elapsed) -> Self {
        Self(Box::new(late))
    }
}

impl<E, R> From<SdkError<E, R>> for StoreError
where
    E: StdError + Send + Sync + 'static,
    R: fmt::Debug + Send + Sync + 'static,
{
    fn from(error: SdkError<E, R>) -> Self {
        Self(Box::new(error))
    }
}

/// One session as it is kept.
pub(super) struct Row {
    pub(super) lifetime: Lifetime,
    pub(super) sealed: String,
}

/// The table of sessions.
#[derive(Debug, Clone)]
pub(crate) struct SessionStore {
    client: Client,
    table: String,
}

impl SessionStore {
    /// The table with this name.
    #[must_use]
    pub(crate) fn new(aws: &SdkConfig, table: String, calls: CallMetrics) -> Self {
        let config = Builder::from(aws).interceptor(calls).build();
        Self { client: Client::from_conf(config), table }
    }

    pub(super) async fn create(
        &self,
        key: &SessionKey,
        lifetime: Lifetime,
        person: &PersonKey,
        sid: Option<&str>,
        sealed: String,
    ) -> Result<(), StoreError> {
        let mut item = HashMap::from([
            (KEY.to_owned(), text(&key.0)),
            (SEALED.to_owned(), AttributeValue::S(sealed)),
            (CREATED_AT.to_owned(), number(lifetime.created_at)),
            (LAST_SEEN.to_owned(), number(lifetime.last_seen)),
            (EXPIRES_AT.to_owned(), number(lifetime.expires_at)),
            (PERSON.to_owned(), text(&person.0)),
            (BEGAN.to_owned(), began(lifetime.created_at)),
        ]);
        // A key of an index cannot be empty; a row without it is not in the index.
        if let Some(sid) = sid.filter(|sid| !sid.is_empty()) {
            item.insert(SID.to_owned(), text(sid));
        }
        let created = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#key)")
            .expression_attribute_names("#key", KEY)
            .send()
            .await;
        // Nobody else can have made the same 256 random bits: where there is one already, it was an
        // attempt of this very call, whose answer was lost.
        if_held(created, PutItemError::is_conditional_check_failed_exception)?;
        Ok(())
    }

    /// The session, unless it has ended.
    pub(super) async fn get(&self, key: &SessionKey) -> Result<Option<Row>, StoreError> {
        Ok(self.read(&key.0).await?.and_then(row))
    }

    /// Notes the use of a session, unless it has ended meanwhile or another request has noted its
    /// own use.
    pub(super) async fn extend(
        &self,
        key: &SessionKey,
        from: Lifetime,
        to: Lifetime,
    ) -> Result<(), StoreError> {
        let updated = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(KEY, text(&key.0))
            .update_expression("SET #seen = :now, #expires = :expires")
            .condition_expression("attribute_exists(#key) AND #seen = :seen")
            .expression_attribute_names("#key", KEY)
            .expression_attribute_names("#seen", LAST_SEEN)
            .expression_attribute_names("#expires", EXPIRES_AT)
            .expression_attribute_values(":now", number(to.last_seen))
            .expression_attribute_values(":expires", number(to.expires_at))
            .expression_attribute_values(":seen", number(from.last_seen))
            .send()
            .await;
        if_held(updated, UpdateItemError::is_conditional_check_failed_exception)?;
        Ok(())
    }

    /// The sessions of a person that began at `since` (in seconds since 1970) or later, the newest
    /// first, `most` of them. They may be over or gone, and one that has just begun may be missing:
    /// an index is not read consistently.
    pub(super) async fn keys_of_person(
        &self,
        person: &PersonKey,
        since: u64,
        most: usize,
    ) -> Result<Vec<SessionKey>, StoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(SESSIONS_BY_PERSON.name)
            .key_condition_expression("#person = :person AND #began >= :since")
            .expression_attribute_names("#person", PERSON)
            .expression_attribute_names("#began", BEGAN)
            .expression_attribute_values(":person", text(&person.0))
            .expression_attribute_values(":since", began(since))
            .scan_index_forward(false)
            .set_limit(i32::try_from(most).ok());
        keys(query, most).await
    }

    /// The sessions that began with this session of the provider, as [`Self::keys_of_person`].
    pub(super) async fn keys_of_sid(&self, sid: &str) -> Result<Vec<SessionKey>, StoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(SESSIONS_BY_SID.name)
            .key_condition_expression("#sid = :sid")
            .expression_attribute_names("#sid", SID)
            .expression_attribute_values(":sid", text(sid));
        keys(query, usize::MAX).await
    }

    /// Removes a session, of this owner if one is named. Answers what it was, unless it was gone
    /// already or is somebody else's.
    pub(super) async fn delete_of(
        &self,
        key: &SessionKey,
        owner: Option<&PersonKey>,
    ) -> Result<Option<Row>, StoreError> {
        let mut delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(KEY, text(&key.0))
            .return_values(ReturnValue::AllOld);
        if let Some(owner) = owner {
            delete = delete
                .condition_expression("#person = :person")
                .expression_attribute_names("#person", PERSON)
                .expression_attribute_values(":person", text(&owner.0));
        }
        let deleted = delete.send().await;
        let deleted = if_held(deleted, DeleteItemError::is_conditional_check_failed_exception)?;
        Ok(deleted.and_then(|deleted| deleted.attributes).and_then(row))
    }

    /// Whether a logout token has done its work already, on whichever replica.
    pub(super) async fn remembers(&self, token: &TokenKey) -> Result<bool, StoreError> {
        Ok(self.read(&token.0).await?.is_some())
    }

    /// Remembers a logout token until a time in seconds since 1970, and some days more.
    pub(super) async fn remember(&self, token: &TokenKey, until: u64) -> Result<(), StoreError> {
        self.client
            .put_item()
            .table_name(&self.table)
            .item(KEY, text(&token.0))
            .item(EXPIRES_AT, number(until))
            .send()
            .await?;
        Ok(())
    }

    /// When it was last heard that this has ended at the provider, in milliseconds since 1970.
    pub(super) async fn heard(&self, ended: &EndedKey) -> Result<Option<u64>, StoreError> {
        Ok(self.read(&ended.0).await?.and_then(|item| read_number(&item, HEARD_AT)))
    }

    /// Writes down that it was heard at this time, in milliseconds since 1970, that this has ended;
    /// until another time, in seconds. Of two words the later one stays.
    pub(super) async fn hear(
        &self,
        ended: &EndedKey,
        at: u64,
        until: u64,
    ) -> Result<(), StoreError> {
        let written = self
            .client
            .put_item()
            .table_name(&self.table)
            .item(KEY, text(&ended.0))
            .item(HEARD_AT, number(at))
            .item(EXPIRES_AT, number(until))
            .condition_expression("attribute_not_exists(#key) OR #heard < :at")
            .expression_attribute_names("#key", KEY)
            .expression_attribute_names("#heard", HEARD_AT)
            .expression_attribute_values(":at", number(at))
            .send()
            .await;
        if_held(written, PutItemError::is_conditional_check_failed_exception)?;
        Ok(())
    }

    /// A row as the last write left it: what was written or removed on another replica counts at once.
    async fn read(&self, key: &str) -> Result<Option<HashMap<String, AttributeValue>>, StoreError> {
        let found = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(KEY, text(key))
            .consistent_read(true)
            .send()
            .await?;
        Ok(found.item)
    }
}

/// What came of a write on a condition, or `None` where that did not hold.
fn if_held<T, E, R>(
    written: Result<T, SdkError<E, R>>,
    is_condition: fn(&E) -> bool,
) -> Result<Option<T>, StoreError>
where
    E: StdError + Send + Sync + 'static,
    R: fmt::Debug + Send + Sync + 'static,
{
    match written {
        Ok(written) => Ok(Some(written)),
        Err(error) if error.as_service_error().is_some_and(is_condition) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A row that is not as we write them counts as none.
fn row(mut item: HashMap<String, AttributeValue>) -> Option<Row> {
    let AttributeValue::S(sealed) = item.remove(SEALED)? else { return None };
    let lifetime = Lifetime {
        created_at: read_number(&item, CREATED_AT)?,
        last_seen: read_number(&item, LAST_SEEN)?,
        expires_at: read_number(&item, EXPIRES_AT)?,
    };
    Some(Row { lifetime, sealed })
}

fn read_number(item: &HashMap<String, AttributeValue>, name: &str) -> Option<u64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// The keys of the rows that a query of an index finds, `most` of them.
async fn keys(query: QueryFluentBuilder, most: usize) -> Result<Vec<SessionKey>, StoreError> {
    let mut items = query.into_paginator().items().send();
    let mut keys = Vec::new();
    while keys.len() < most
        && let Some(mut item) = items.next().await.transpose()?
    {
        if let Some(AttributeValue::S(key)) = item.remove(KEY) {
            keys.push(SessionKey(key));
        }
    }
    Ok(keys)
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A time in seconds since 1970 as a text that sorts by it, as keys of ours are texts.
fn began(seconds: u64) -> AttributeValue {
    let time = i64::try_from(seconds).ok().and_then(|second| Timestamp::from_second(second).ok());
    AttributeValue::S(time.unwrap_or_default().to_string())
}
