//! FormsService.

use records_proto::v1::{self as pb, GetFormRequest, forms_service_server::FormsService};
use tonic::{Request, Response, Status};

use super::{
    call::{Call, Gate, Permission},
    convert::form_to_proto,
};
use crate::{domain::form::Form, error::Error};

/// Answers FormsService.
pub(crate) struct Forms {
    gate: Gate,
}

impl Forms {
    /// FormsService with the form that every organization starts with.
    #[must_use]
    pub(crate) fn new(gate: Gate) -> Self {
        Self { gate }
    }
}

#[tonic::async_trait]
impl FormsService for Forms {
    async fn get_form(
        &self,
        request: Request<GetFormRequest>,
    ) -> Result<Response<pb::Form>, Status> {
        let get = |_call: Call, request: GetFormRequest| async move {
            if request.name != "form" {
                let message = "The name must be \"form\".";
                return Err(Error::invalid("name", "MALFORMED", message));
            }
            Ok(form_to_proto(Form::default()))
        };
        let any_of = [Permission::RecordsRead, Permission::RecordsCreate];
        self.gate.admit("GetForm", request, &any_of, get).await
    }
}
