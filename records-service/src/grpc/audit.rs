//! AuditService.

use std::sync::Arc;

use records_proto::v1::{
    ListAuditEventsRequest, ListAuditEventsResponse, audit_service_server::AuditService,
};
use tonic::{Request, Response, Status};

use super::{
    call::{Call, Permission},
    convert::event_to_proto,
    page_size, page_start,
    turns::Turns,
};
use crate::{
    page_token::{List, PageTokens},
    store::Store,
};

/// Answers AuditService.
pub(crate) struct Audit {
    store: Store,
    page_tokens: Arc<PageTokens>,
    turns: Arc<Turns>,
}

impl Audit {
    /// AuditService on this store's trail.
    #[must_use]
    pub(crate) fn new(store: Store, page_tokens: Arc<PageTokens>, turns: Arc<Turns>) -> Self {
        Self { store, page_tokens, turns }
    }
}

#[tonic::async_trait]
impl AuditService for Audit {
    async fn list_audit_events(
        &self,
        request: Request<ListAuditEventsRequest>,
    ) -> Result<Response<ListAuditEventsResponse>, Status> {
        let (call, request) = Call::authorize(request, &[Permission::AuditRead])?;
        let organization = call.caller().organization();
        let size = page_size(request.page_size)?;
        let after = page_start(&request.page_token, |token| {
            self.page_tokens.open(organization, List::AuditEvents, token)
        })?;
        let turn = self.turns.next(organization.id()).await;
        let page = self.store.list_events(organization, after, size).await?;
        let list = ListAuditEventsResponse {
            next_page_token: page.next.map_or_else(String::new, |next| {
                self.page_tokens.seal(organization, List::AuditEvents, &next)
            }),
            events: page.items.into_iter().map(event_to_proto).collect(),
        };
        Ok(turn.answer(list).await?)
    }
}
