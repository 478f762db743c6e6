//! The organizations' forms, remembered for a few seconds: every page of records needs one, and it
//! hardly ever changes. It does not know what a form is for.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;
use records_proto::v1::Form;

use crate::records_client::{OnBehalfOf, RecordsClient, RecordsError};

/// How old a form may be on pages that only show records. A changed form is seen by everybody
/// after this.
const REMEMBERED: Duration = Duration::from_secs(5);
/// Of how many organizations forms are remembered.
const ORGANIZATIONS: usize = 1000;

#[derive(Clone)]
struct Remembered {
    form: Arc<Form>,
    at: Instant,
}

/// The forms of all organizations, each found only by somebody who is logged in to it.
pub(crate) struct Forms {
    records: RecordsClient,
    remembered: Cache<String, Remembered>,
}

impl Forms {
    /// Forms as `records` gives them.
    #[must_use]
    pub(crate) fn new(records: RecordsClient) -> Self {
        Self { records, remembered: Cache::new(ORGANIZATIONS) }
    }

    /// The form of the person's organization, which may be a few seconds old.
    ///
    /// # Errors
    /// See [`RecordsError`].
    pub(crate) async fn get(&self, caller: OnBehalfOf<'_>) -> Result<Arc<Form>, RecordsError> {
        if let Some(Remembered { form, at }) = self.remembered.get(caller.organization_id)
            && at.elapsed() < REMEMBERED
        {
            return Ok(form);
        }
        self.get_newest(caller).await
    }

    /// The form of the person's organization as it is now, for who fills it in.
    ///
    /// # Errors
    /// See [`RecordsError`].
    pub(crate) async fn get_newest(
        &self,
        caller: OnBehalfOf<'_>,
    ) -> Result<Arc<Form>, RecordsError> {
        let organization = caller.organization_id.to_owned();
        let form = Arc::new(self.records.get_form(caller).await?);
        let remembered = Remembered { form: Arc::clone(&form), at: Instant::now() };
        self.remembered.insert(organization, remembered);
        Ok(form)
    }
}
