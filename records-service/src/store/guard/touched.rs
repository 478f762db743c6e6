//! Which rows a request is about, as far as their partition goes. It does not judge.

use aws_sdk_dynamodb::{
    operation::{
        batch_get_item::BatchGetItemInput, batch_write_item::BatchWriteItemInput,
        delete_item::DeleteItemInput, describe_table::DescribeTableInput, get_item::GetItemInput,
        put_item::PutItemInput, query::QueryInput, transact_get_items::TransactGetItemsInput,
        transact_write_items::TransactWriteItemsInput, update_item::UpdateItemInput,
    },
    types::{AttributeValue, TransactWriteItem, WriteRequest},
};
use aws_smithy_runtime_api::client::interceptors::context::Input;

use super::Item;

/// What a request asks for.
#[derive(Debug)]
pub(super) enum Asked<'a> {
    /// What a table looks like, and nothing of its rows.
    Description { table: &'a str },
    /// Rows, of one table or of several.
    Rows(Vec<Touched<'a>>),
}

/// Rows of one table.
#[derive(Debug)]
pub(super) struct Touched<'a> {
    pub(super) table: &'a str,
    pub(super) rows: Rows<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Rows<'a> {
    /// The row with this key.
    At(&'a Item),
    /// This row, which may replace another of the same key.
    New(&'a Item),
    /// Those whose partition key, an attribute of this name, has this value; nothing where the
    /// request pins none in the one way that the store has.
    Partition(Option<(&'a str, &'a AttributeValue)>),
}

impl<'a> Asked<'a> {
    /// What the input of an operation asks for; nothing where the operation is none that can be
    /// judged by its keys: `Scan`, `PartiQL`, and all that AWS has yet to think of.
    pub(super) fn of(input: &'a Input) -> Option<Self> {
        if let Some(it) = input.downcast_ref::<GetItemInput>() {
            Some(Self::row(it.table_name(), it.key().map(Rows::At)))
        } else if let Some(it) = input.downcast_ref::<QueryInput>() {
            Some(Self::query(it))
        } else if let Some(it) = input.downcast_ref::<PutItemInput>() {
            Some(Self::row(it.table_name(), it.item().map(Rows::New)))
        } else if let Some(it) = input.downcast_ref::<UpdateItemInput>() {
            Some(Self::row(it.table_name(), it.key().map(Rows::At)))
        } else if let Some(it) = input.downcast_ref::<DeleteItemInput>() {
            Some(Self::row(it.table_name(), it.key().map(Rows::At)))
        } else if let Some(it) = input.downcast_ref::<TransactWriteItemsInput>() {
            Some(Self::Rows(it.transact_items().iter().flat_map(of_transaction).collect()))
        } else if let Some(it) = input.downcast_ref::<TransactGetItemsInput>() {
            let gets = it.transact_items().iter().filter_map(|item| item.get());
            Some(Self::Rows(gets.map(|get| at(get.table_name(), get.key())).collect()))
        } else if let Some(it) = input.downcast_ref::<BatchWriteItemInput>() {
            let tables = it.request_items().into_iter().flatten();
            let touched = tables.flat_map(|(table, writes)| of_batch(table, writes));
            Some(Self::Rows(touched.collect()))
        } else if let Some(it) = input.downcast_ref::<BatchGetItemInput>() {
            let tables = it.request_items().into_iter().flatten();
            let touched =
                tables.flat_map(|(table, gets)| gets.keys().iter().map(move |key| at(table, key)));
            Some(Self::Rows(touched.collect()))
        } else {
            let it = input.downcast_ref::<DescribeTableInput>()?;
            Some(Self::Description { table: it.table_name().unwrap_or_default() })
        }
    }

    /// A request without a table is about one without a name, which is nobody's.
    fn row(table: Option<&'a str>, rows: Option<Rows<'a>>) -> Self {
        let touched = rows.map(|rows| Touched { table: table.unwrap_or_default(), rows });
        Self::Rows(touched.into_iter().collect())
    }

    /// Where a query goes on is a key as well: of an index, of the row in it.
    fn query(query: &'a QueryInput) -> Self {
        let table = query.table_name().unwrap_or_default();
        let rows = Touched { table, rows: Rows::Partition(partition_of(query)) };
        let start = query.exclusive_start_key().map(|key| at(table, key));
        Self::Rows(std::iter::once(rows).chain(start).collect())
    }
}

fn at<'a>(table: &'a str, key: &'a Item) -> Touched<'a> {
    Touched { table, rows: Rows::At(key) }
}

fn new<'a>(table: &'a str, row: &'a Item) -> Touched<'a> {
    Touched { table, rows: Rows::New(row) }
}

fn of_transaction(item: &TransactWriteItem) -> impl Iterator<Item = Touched<'_>> {
    [
        item.put().map(|it| new(it.table_name(), it.item())),
        item.update().map(|it| at(it.table_name(), it.key())),
        item.delete().map(|it| at(it.table_name(), it.key())),
        item.condition_check().map(|it| at(it.table_name(), it.key())),
    ]
    .into_iter()
    .flatten()
}

fn of_batch<'a>(table: &'a str, writes: &'a [WriteRequest]) -> impl Iterator<Item = Touched<'a>> {
    writes.iter().flat_map(move |write| {
        let put = write.put_request().map(|it| new(table, it.item()));
        let delete = write.delete_request().map(|it| at(table, it.key()));
        [put, delete].into_iter().flatten()
    })
}

/// The partition that a query pins by `#name = :value`, alone or before ` AND `, as every key
/// condition of the store begins. DynamoDB takes neither `OR` nor a second condition on the
/// partition key in one.
/// Source: "Key condition expressions for the Query operation" in the DynamoDB developer guide.
fn partition_of(query: &QueryInput) -> Option<(&str, &AttributeValue)> {
    let first = query.key_condition_expression()?.split(" AND ").next()?;
    let (name, value) = first.split_once(" = ")?;
    let name = query.expression_attribute_names()?.get(name)?;
    let value = query.expression_attribute_values()?.get(value)?;
    Some((name, value))
}
