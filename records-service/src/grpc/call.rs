//! A call as a handler has it: authorized, or not at all. It does not know how a caller was found.

use std::sync::Arc;

use fail::fail_point;
use service_kit::{identity::Caller, trace::TraceContext};
use tonic::Request;

use crate::error::Error;

/// What a caller may be allowed to do: the permissions of the API at Auth0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permission {
    RecordsRead,
    RecordsCreate,
    AuditRead,
}

impl Permission {
    fn as_str(self) -> &'static str {
        match self {
            Self::RecordsRead => "records:read",
            Self::RecordsCreate => "records:create",
            Self::AuditRead => "audit:read",
        }
    }
}

/// Who came through the door, and in the course of what. The door leaves it with the request.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) caller: Arc<Caller>,
    pub(super) trace: TraceContext,
}

/// An authorized call: a handler that holds one cannot be unauthorized.
pub(super) struct Call {
    visitor: Visitor,
}

impl Call {
    /// The call of this request with its message, if its caller has one of these permissions.
    ///
    /// # Errors
    /// `Forbidden`; and `Unauthenticated` where the request did not come through the door.
    pub(super) fn authorize<Q>(
        request: Request<Q>,
        any_of: &[Permission],
    ) -> Result<(Self, Q), Error> {
        fail_point!("call-authorize");
        let (_, mut extensions, message) = request.into_parts();
        let visitor = extensions.remove::<Visitor>().ok_or(Error::Unauthenticated(None))?;
        if any_of.iter().any(|permission| visitor.caller.has(permission.as_str())) {
            Ok((Self { visitor }, message))
        } else {
            Err(Error::Forbidden(any_of.first().map_or("", |permission| permission.as_str())))
        }
    }

    pub(super) fn caller(&self) -> &Caller {
        &self.visitor.caller
    }

    pub(super) fn trace(&self) -> TraceContext {
        self.visitor.trace
    }
}
