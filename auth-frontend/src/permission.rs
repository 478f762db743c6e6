//! The names of the permissions that pages ask for, as Auth0 puts them into access tokens.

/// See records.
pub(crate) const READ_RECORDS: &str = "records:read";
/// Fill in records.
pub(crate) const CREATE_RECORDS: &str = "records:create";
/// See the audit trail.
pub(crate) const READ_AUDIT: &str = "audit:read";
