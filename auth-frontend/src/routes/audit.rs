//! The audit trail of the organization.

use std::sync::Arc;

use axum::{extract::State, response::Html};
use bytes::Bytes;

use crate::{
    error::Error,
    pages::{AuditTrail, Paging},
    permission, present,
    records_client::RecordsError,
    site::Site,
    visit::LoggedIn,
};

use super::{ListQuery, MaybeQuery, PAGE_SIZE, parsed};

/// `GET /audit`
///
/// # Errors
/// See [`Error`].
pub(crate) async fn trail(
    State(site): State<Arc<Site>>,
    person: LoggedIn,
    query: MaybeQuery<ListQuery>,
) -> Result<Html<Bytes>, Error> {
    let ListQuery { page_token } = parsed(query)?;
    let session = person.with(permission::READ_AUDIT)?;
    let caller = person.caller();
    let may_see_form =
        session.has(permission::READ_RECORDS) || session.has(permission::CREATE_RECORDS);
    let form =
        async { if may_see_form { site.forms.get(caller).await.map(Some) } else { Ok(None) } };
    let (list, form) = tokio::try_join!(
        site.records.list_audit_events(caller, PAGE_SIZE, page_token.clone()),
        form,
    )
    .map_err(|error| match error {
        RecordsError::Invalid { .. } => Error::InvalidPageToken("/audit"),
        error => error.into(),
    })?;
    let entry = |event| present::audit_entry(event, form.as_deref());
    let page = AuditTrail {
        chrome: present::chrome(session),
        entries: list.events.into_iter().map(entry).collect(),
        paging: Paging::new(&page_token, &list.next_page_token),
    };
    site.show(session, &page)
}
