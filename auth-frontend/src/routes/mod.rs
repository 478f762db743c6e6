//! The pages, one file an area. A handler reads what was asked, makes its calls and shows a page;
//! what goes wrong it hands on.

pub(crate) mod audit;
pub(crate) mod backchannel;
pub(crate) mod callback;
mod entrance;
pub(crate) mod files;
pub(crate) mod home;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod records;
pub(crate) mod renew;
pub(crate) mod sessions;
pub(crate) mod switch;
pub(crate) mod table;

use axum::extract::{Query, rejection::QueryRejection};
use serde::Deserialize;

use crate::error::Error;

/// The rows of one page of a list.
const PAGE_SIZE: i32 = 25;

/// A query that may be malformed, which is for the handler to say on a page.
type MaybeQuery<T> = Result<Query<T>, QueryRejection>;

/// Where a list goes on.
#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    #[serde(default)]
    page_token: String,
}

fn parsed<T>(query: MaybeQuery<T>) -> Result<T, Error> {
    query.map(|Query(query)| query).map_err(|_| Error::Invalid("the query is malformed"))
}
