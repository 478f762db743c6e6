//! Reads one page of an organization's rows, newest first. It does not know what a row holds.

use aws_sdk_dynamodb::types::AttributeValue;
use service_kit::{identity::Organization, telemetry::Chain};

use super::{Item, ORGANIZATION_ID, Store, key_of, partition};
use crate::{error::Error, failure};

/// Some of an organization's things.
#[derive(Debug)]
pub(crate) struct Page<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// Where the next page starts, if there is one.
    pub next: Option<String>,
}

/// Which rows of an organization, in the order of their range key.
pub(super) struct Range<'a> {
    pub(super) table: &'a str,
    pub(super) key: &'static str,
    /// What the range key begins with.
    pub(super) prefix: &'static str,
    /// The attributes to read.
    pub(super) attributes: &'static [&'static str],
    pub(super) consistent: bool,
}

impl Store {
    /// Reads `size` rows, or as many as DynamoDB has in one answer, which is 1 MB: hundreds of pages
    /// may be in memory at a time. Never answers with no row and more behind it.
    pub(super) async fn newest_first(
        &self,
        organization: &Organization,
        range: Range<'_>,
        after: Option<String>,
        size: usize,
    ) -> Result<Page<Item>, Error> {
        // One row more than asked for tells whether another page follows, without an empty one.
        let wanted = size + 1;
        let mut start = after.map(|after| key_of(organization, range.key, after));
        let names = range.attributes.iter().enumerate();
        let projection: Vec<_> = names.clone().map(|(i, _)| format!("#a{i}")).collect();
        let projection = projection.join(",");

        let (mut rows, start) = loop {
            let mut query = self
                .client
                .query()
                .table_name(range.table)
                .scan_index_forward(false)
                .consistent_read(range.consistent)
                .projection_expression(&projection)
                .expression_attribute_names("#organization", ORGANIZATION_ID)
                .expression_attribute_values(":organization", partition(organization.id()))
                .set_exclusive_start_key(start.take())
                .limit(i32::try_from(wanted).unwrap_or(i32::MAX));
            for (i, name) in names.clone() {
                query = query.expression_attribute_names(format!("#a{i}"), *name);
            }
            query = if range.prefix.is_empty() {
                query.key_condition_expression("#organization = :organization")
            } else {
                query
                    .key_condition_expression(
                        "#organization = :organization AND begins_with(#range, :prefix)",
                    )
                    .expression_attribute_names("#range", range.key)
                    .expression_attribute_values(
                        ":prefix",
                        AttributeValue::S(range.prefix.to_owned()),
                    )
            };
            let answer = query.send().await.map_err(failure::of)?;
            let rows = answer.items.unwrap_or_default();
            start = answer.last_evaluated_key;
            if start.is_none() || !rows.is_empty() {
                break (rows, start);
            }
        };
        let more = start.is_some() || rows.len() > size;
        rows.truncate(size);
        let last = rows.last().filter(|_| more).and_then(|row| row.get(range.key));
        let next = last.and_then(|key| key.as_s().ok().cloned());
        Ok(Page { items: rows, next })
    }
}

impl Page<Item> {
    /// What the rows say. One that cannot be read is left out, and does not hide the others.
    pub(super) fn parse<T, E>(self, parse: impl Fn(Item) -> Result<T, E>) -> Page<T>
    where
        E: std::error::Error + 'static,
    {
        let readable = |item| {
            parse(item).inspect_err(|error| {
                tracing::error!(error = %Chain(error), "a row cannot be read and is left out");
            })
        };
        Page { items: self.items.into_iter().flat_map(readable).collect(), next: self.next }
    }
}
