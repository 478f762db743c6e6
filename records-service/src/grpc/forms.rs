//! FormsService.

use records_proto::v1::{self as pb, GetFormRequest, forms_service_server::FormsService};
use tonic::{Request, Response, Status};

use super::{
    call::{Call, Permission},
    convert::form_to_proto,
};
use crate::{domain::form::Form, error::Error};

/// Answers FormsService with the form that every organization starts with.
pub(crate) struct Forms;

#[tonic::async_trait]
impl FormsService for Forms {
    async fn get_form(
        &self,
        request: Request<GetFormRequest>,
    ) -> Result<Response<pb::Form>, Status> {
        let any_of = [Permission::RecordsRead, Permission::RecordsCreate];
        let (_, request) = Call::authorize(request, &any_of)?;
        if request.name != "form" {
            let message = "The name must be \"form\".";
            return Err(Error::invalid("name", "MALFORMED", message).into());
        }
        Ok(Response::new(form_to_proto(Form::default())))
    }
}
