//! What a record, a form and an event are, and which of them are well-formed. It knows neither
//! gRPC nor DynamoDB nor SQS.

pub(crate) mod event;
pub(crate) mod form;
pub(crate) mod number;
pub(crate) mod record;
pub(crate) mod value;
