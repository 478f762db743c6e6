//! The records: the table, one record, and the form that makes one.

use std::sync::Arc;

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
};
use bytes::Bytes;
use records_proto::v1::{Form, Record};
use uuid::Uuid;

use crate::{
    error::Error,
    form_body::Inputs,
    notice::Word,
    pages::{Paging, RecordForm, RecordView, RecordsTable},
    permission, present, record_form,
    records_client::{RecordsError, Violation},
    sent_form::SentForm,
    site::Site,
    visit::LoggedIn,
};

use super::{ListQuery, MaybeQuery, PAGE_SIZE, parsed};

const LIST_PATH: &str = "/records";
const REQUEST_USED: &str = "This form was saved before with other values. Save it again to make \
                            a further record of what it holds now.";
const REQUEST_UNNAMED: &str = "This form did not arrive as this page sends it. Look at what it \
                               holds, and save it again.";

/// `GET /records`
///
/// # Errors
/// See [`Error`].
pub(crate) async fn list(
    State(site): State<Arc<Site>>,
    person: LoggedIn,
    query: MaybeQuery<ListQuery>,
) -> Result<Html<Bytes>, Error> {
    let ListQuery { page_token } = parsed(query)?;
    let session = person.with(permission::READ_RECORDS)?;
    let caller = person.caller();
    let (list, form) = tokio::try_join!(
        site.records.list_records(caller, PAGE_SIZE, page_token.clone()),
        site.forms.get(caller),
    )
    .map_err(|error| match error {
        RecordsError::Invalid { .. } => Error::InvalidPageToken(LIST_PATH),
        error => error.into(),
    })?;
    let page = RecordsTable {
        chrome: present::chrome(session),
        columns: present::columns(&form),
        rows: list.records.into_iter().map(|record| present::row(record, &form)).collect(),
        paging: Paging::new(&page_token, &list.next_page_token),
    };
    site.show(session, &page)
}

/// `GET /records/{id}`
///
/// # Errors
/// See [`Error`].
pub(crate) async fn show(
    State(site): State<Arc<Site>>,
    person: LoggedIn,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Error> {
    let session = person.with(permission::READ_RECORDS)?;
    // What is no UUID, or not even UTF-8, names no record.
    let id = id.ok().filter(|Path(id)| Uuid::try_parse(id).is_ok());
    let Path(id) = id.ok_or(Error::RecordNotFound)?;
    let caller = person.caller();
    let (record, form) =
        tokio::try_join!(site.records.get_record(caller, &id), site.forms.get(caller)).map_err(
            |error| match error {
                RecordsError::Invalid { .. } => Error::RecordNotFound,
                error => error.into(),
            },
        )?;
    let saved = Word::Saved.take(&headers, site.cookies);
    let fields = present::shown_fields(record.fields, &form);
    let page = RecordView {
        chrome: present::chrome(session),
        id: present::id(record.name),
        title: fields.first().map(|field| field.value.summary().into_owned()).unwrap_or_default(),
        just_created: saved.is_some(),
        fields,
        version: record.version,
        created_at: present::moment(record.create_time),
        creator: present::actor(record.creator),
        updated_at: present::moment(record.update_time),
        updater: present::actor(record.updater),
    };
    let mut response = site.show(session, &page)?.into_response();
    if let Some(saved) = saved {
        response.headers_mut().append(header::SET_COOKIE, saved);
    }
    Ok(response)
}

/// `GET /records/new`
///
/// # Errors
/// See [`Error`].
pub(crate) async fn new(
    State(site): State<Arc<Site>>,
    person: LoggedIn,
) -> Result<Response, Error> {
    person.with(permission::CREATE_RECORDS)?;
    let form = site.forms.get_newest(person.caller()).await?;
    Filled { form, inputs: Arc::default(), violations: Vec::new() }.show(
        &site,
        &person,
        StatusCode::OK,
    )
}

/// `POST /records`
///
/// # Errors
/// See [`Error`]. What is wrong with the values is not among them: it is shown on the form.
pub(crate) async fn create(
    State(site): State<Arc<Site>>,
    sent: SentForm,
) -> Result<Response, Error> {
    let (person, inputs) = match sent.confirm() {
        Ok(confirmed) => confirmed,
        Err(stale) => {
            stale.person.with(permission::CREATE_RECORDS)?;
            let form = site.forms.get_newest(stale.person.caller()).await?;
            // It may have been typed for another organization than the one it would be saved in.
            let violations = vec![about_the_whole(format!(
                "You have logged in again since you opened this form, and are now in {}. Make sure \
                 that what you typed belongs there, and save it again.",
                stale.person.session().person().organization_name
            ))];
            return Filled { form, inputs: stale.inputs, violations }.show(
                &site,
                &stale.person,
                StatusCode::FORBIDDEN,
            );
        }
    };
    person.with(permission::CREATE_RECORDS)?;
    let form = site.forms.get_newest(person.caller()).await?;
    let request_id = inputs.get(record_form::REQUEST_ID_INPUT).unwrap_or_default();
    let request_id = Uuid::try_parse(request_id).ok().filter(|id| !id.is_nil());
    // Without one, sending again would make a second record.
    let Some(request_id) = request_id else {
        let violations =
            vec![Violation { path: "request_id".to_owned(), message: REQUEST_UNNAMED.to_owned() }];
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return Filled { form, inputs, violations }.show(&site, &person, status);
    };
    let fields = record_form::record_fields(&form, &inputs);
    let record = Record { fields, ..Record::default() };
    match site.records.create_record(person.caller(), record, request_id).await {
        Ok(record) => {
            let path = format!("{LIST_PATH}/{}", present::id(record.name));
            let saved = Word::Saved.leave(site.cookies);
            Ok(([(header::SET_COOKIE, saved)], Redirect::to(&path)).into_response())
        }
        Err(RecordsError::Invalid { mut violations }) => {
            let used = violations.iter_mut().filter(|violation| violation.path == "request_id");
            used.for_each(|violation| REQUEST_USED.clone_into(&mut violation.message));
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Filled { form, inputs, violations }.show(&site, &person, status)
        }
        Err(error) => Err(error.into()),
    }
}

/// A form with what was typed and what is wrong with it.
struct Filled {
    form: Arc<Form>,
    inputs: Arc<Inputs>,
    violations: Vec<Violation>,
}

impl Filled {
    /// # Errors
    /// [`Error::TooLarge`] where there is more than a page repeats, and those of [`Site::show`].
    fn show(
        mut self,
        site: &Site,
        person: &LoggedIn,
        status: StatusCode,
    ) -> Result<Response, Error> {
        if !self.inputs.may_be_repeated() {
            return Err(Error::TooLarge);
        }
        let mut request_id = self.inputs.get(record_form::REQUEST_ID_INPUT).map(ToOwned::to_owned);
        for violation in self.violations.iter_mut().filter(|v| v.path == "request_id") {
            violation.path.clear();
            request_id = None;
        }
        let (fields, problems) = record_form::shown(&self.form, &self.inputs, self.violations);
        let page = RecordForm {
            chrome: present::chrome(person.session()),
            request_id: request_id.unwrap_or_else(|| Uuid::now_v7().to_string()),
            fields,
            problems,
        };
        Ok((status, site.show(person.session(), &page)?).into_response())
    }
}

fn about_the_whole(message: String) -> Violation {
    Violation { path: String::new(), message }
}
