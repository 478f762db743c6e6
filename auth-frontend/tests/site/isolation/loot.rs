//! What belongs to one organization and is worth nothing to anybody else: ids, page tokens, a form's
//! request id and token, a login that is about to be finished, and the values that stand in its records.

use uuid::Uuid;

use crate::{
    app::{TestApp, eventually},
    browser::Browser,
};

/// More than one page of a list has.
const RECORDS: usize = 26;

/// What somebody else might have got hold of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loot {
    /// The name of the organization.
    pub(crate) organization: String,
    pub(crate) record_id: String,
    pub(crate) records_page_token: String,
    pub(crate) audit_page_token: String,
    /// Of a form that has become a record already.
    pub(crate) request_id: String,
    pub(crate) csrf_token: String,
    /// What a page of theirs calls another session of the same person.
    pub(crate) session_handle: String,
    /// A callback that has not been opened, with its code and state.
    pub(crate) callback: String,
    /// Texts that stand in the organization's records, in its trail and on its pages.
    pub(crate) canaries: Vec<String>,
}

impl Loot {
    /// All that `admin`, who is logged in to `organization` under this name, has there.
    pub(crate) async fn of(
        app: &TestApp,
        admin: &mut Browser,
        organization: &str,
        username: &str,
        name: &str,
    ) -> Self {
        let title = format!("canary-title-of-{organization}");
        let notes = format!("canary-notes-of-{organization}");
        let values = [("title", &*title), ("category", "Asset"), ("notes", &*notes)];
        let mut form = Vec::new();
        let mut record_id = String::new();
        for _ in 0..RECORDS {
            form = admin.record_form(&values).await;
            let saved = admin.post_form("/records", &form).await;
            saved.location().strip_prefix("/records/").unwrap().clone_into(&mut record_id);
        }
        let find = |name: &str| form.iter().find(|(input, _)| input == name).unwrap().1.clone();
        let (request_id, csrf_token) = (find("request_id"), find("csrf_token"));
        let audit_page_token =
            eventually("a second page of the trail", async || next_page(admin, "/audit").await)
                .await;
        app.logged_in(username, organization).await;
        let session_handle = eventually("the other session", async || {
            let page = admin.get("/sessions").await;
            let (before, _) = page.html.split_once("/end\"")?;
            Some(before.rsplit_once("/sessions/")?.1.to_owned())
        })
        .await;
        let mut other_tab = app.browser();
        let page = other_tab.begin_login(organization, "").await;
        Self {
            organization: organization.to_owned(),
            record_id,
            records_page_token: next_page(admin, "/records").await.unwrap(),
            audit_page_token,
            request_id,
            csrf_token,
            session_handle,
            callback: other_tab.log_in_up_to_callback(username, &page).await,
            canaries: vec![title, notes, name.to_owned()],
        }
    }

    /// A form for a new record, as the page would send it.
    pub(crate) fn record_form(&self, request_id: &str) -> Vec<(String, String)> {
        let inputs = [
            ("csrf_token", &*self.csrf_token),
            ("request_id", request_id),
            ("title", "Made by a test"),
            ("category", "Asset"),
        ];
        inputs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    /// The same under a new request id.
    pub(crate) fn new_record_form(&self) -> Vec<(String, String)> {
        self.record_form(&Uuid::new_v4().to_string())
    }
}

/// The page token of a list's next page, if it has one.
async fn next_page(browser: &mut Browser, path: &str) -> Option<String> {
    let page = browser.get(path).await;
    let (_, rest) = page.html.split_once(&format!("{path}?page_token="))?;
    Some(rest.split('"').next().unwrap().to_owned())
}
