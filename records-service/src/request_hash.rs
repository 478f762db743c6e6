//! What a request asked for, as a hash, to tell a repeated request from another one with the same
//! request id.

use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use service_kit::identity::Caller;

use crate::domain::record::Fields;

/// SHA-256 over the method, the caller and the fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestHash(String);

impl RequestHash {
    /// The hash of a wish to create a record.
    ///
    /// # Panics
    /// Never: fields are plain JSON.
    #[must_use]
    pub(crate) fn of_create(caller: &Caller, fields: &Fields) -> Self {
        let mut sha = Context::new(&SHA256);
        sha.update(b"CreateRecord\n");
        sha.update(caller.actor().id.as_bytes());
        sha.update(b"\n");
        sha.update(&serde_json::to_vec(fields).expect("fields have text keys and plain values"));
        Self(STANDARD_NO_PAD.encode(sha.finish()))
    }

    /// As it is stored.
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
