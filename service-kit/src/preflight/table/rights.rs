//! What a process does with the rows of a table, each tried by a call that reads, writes or deletes no
//! row.

use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, WriteRequest};

use super::{
    super::{
        Finding,
        aws::{Obstacle, judge},
    },
    Look,
};
use crate::tables::IndexShape;

/// A key that no row has: no organization, shard or hash begins with a hyphen.
const NOBODY: &str = "-preflight";
/// No row is both there and not there, whatever the table holds.
const NEVER: &str = "attribute_exists(#key) AND attribute_not_exists(#key)";
const NEVER_HELD: &str = "ConditionalCheckFailedException";

/// What a process does with the rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Reads a row.
    GetItem,
    /// Reads rows of a partition.
    Query,
    /// Reads keys or rows of a partition of an index.
    QueryIndex(IndexShape),
    /// Writes a row, alone or in a transaction.
    PutItem,
    /// Changes a row.
    UpdateItem,
    /// Deletes a row.
    DeleteItem,
    /// Deletes rows in batches.
    BatchWriteItem,
}

impl Right {
    /// The operation, which is also its name for IAM.
    fn operation(self) -> &'static str {
        match self {
            Self::GetItem => "GetItem",
            Self::Query | Self::QueryIndex(_) => "Query",
            Self::PutItem => "PutItem",
            Self::UpdateItem => "UpdateItem",
            Self::DeleteItem => "DeleteItem",
            Self::BatchWriteItem => "BatchWriteItem",
        }
    }
}

impl Look<'_> {
    pub(super) async fn try_right(&self, right: Right) -> Finding {
        let action = format!("dynamodb:{}", right.operation());
        let (what, arn) = match right {
            Right::QueryIndex(index) => {
                let what = format!("{}: {action} of index {}", self.what, index.name);
                (what, format!("{}/index/{}", self.arn, index.name))
            }
            _ => (format!("{}: {action}", self.what), self.arn.clone()),
        };
        match self.call(right).await {
            Ok(()) => Finding::ok(what),
            Err(obstacle) => obstacle.finding(what, &action, &arn, "the table is not there"),
        }
    }

    /// The call that shows a right.
    async fn call(&self, right: Right) -> Result<(), Obstacle> {
        let (client, shape) = (&self.client, &self.used.shape);
        let (name, hash) = (shape.name, shape.hash);
        let nobody = || AttributeValue::S(NOBODY.to_owned());
        let key = || {
            let names = [Some(hash), shape.range].into_iter().flatten();
            names.map(|name| (name.to_owned(), nobody())).collect()
        };
        match right {
            Right::GetItem => {
                let call = client.get_item().table_name(name).set_key(Some(key()));
                judge(call.send().await, &[]).map(|_| ())
            }
            Right::Query | Right::QueryIndex(_) => {
                let (index, hash) = match right {
                    Right::QueryIndex(index) => (Some(index.name.to_owned()), index.hash),
                    _ => (None, hash),
                };
                let call = client
                    .query()
                    .table_name(name)
                    .set_index_name(index)
                    .limit(1)
                    .key_condition_expression("#key = :nobody")
                    .expression_attribute_names("#key", hash)
                    .expression_attribute_values(":nobody", nobody());
                judge(call.send().await, &[]).map(|_| ())
            }
            Right::PutItem => {
                let call = client
                    .put_item()
                    .table_name(name)
                    .set_item(Some(key()))
                    .condition_expression(NEVER)
                    .expression_attribute_names("#key", hash);
                judge(call.send().await, &[NEVER_HELD]).map(|_| ())
            }
            Right::UpdateItem => {
                let call = client
                    .update_item()
                    .table_name(name)
                    .set_key(Some(key()))
                    .condition_expression(NEVER)
                    .expression_attribute_names("#key", hash);
                judge(call.send().await, &[NEVER_HELD]).map(|_| ())
            }
            Right::DeleteItem => {
                let call = client
                    .delete_item()
                    .table_name(name)
                    .set_key(Some(key()))
                    .condition_expression(NEVER)
                    .expression_attribute_names("#key", hash);
                judge(call.send().await, &[NEVER_HELD]).map(|_| ())
            }
            // A batch has no conditions. To delete a row that is not there does nothing.
            Right::BatchWriteItem => {
                let delete = DeleteRequest::builder().set_key(Some(key())).build();
                let delete = delete.expect("it has a key");
                let write = WriteRequest::builder().delete_request(delete).build();
                let call = client.batch_write_item().request_items(name, vec![write]);
                judge(call.send().await, &[]).map(|_| ())
            }
        }
    }
}
