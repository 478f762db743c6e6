//! Back-channel logout: tells the applications that somebody has logged in to that the login session
//! here is over.
//!
//! Source: OpenID Connect Back-Channel Logout 1.0, sections 2.4 and 2.5; "OIDC Back-Channel Logout"
//! in the Auth0 docs.

use std::{error::Error as StdError, time::Duration};

use axum::http::{Request, header};
use futures_util::future::join_all;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::{Url, form_urlencoded};

use super::{
    tenant::{SsoSession, State, Tenant},
    tokens,
};

/// How long an application may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// One request to one application.
pub(super) struct Notice {
    url: Url,
    body: String,
}

/// What the applications must be told of sessions that have ended. Those without a back-channel
/// logout URL are told nothing.
pub(super) fn notices(tenant: &Tenant, state: &State, ended: &[SsoSession]) -> Vec<Notice> {
    let told = ended.iter().flat_map(|session| {
        let clients = session.clients.iter().filter_map(|id| tenant.web_client(id));
        clients.filter_map(move |client| {
            let url = Url::parse(client.backchannel_logout_url.as_deref()?).ok()?;
            let claims = tokens::logout(tenant, &client.id, &session.user.id, &session.sid);
            let token = state.keys.sign(&tokens::logout_header(state), &claims);
            let body = form_urlencoded::Serializer::new(String::new())
                .append_pair("logout_token", &token)
                .finish();
            Some(Notice { url, body })
        })
    });
    told.collect()
}

/// Sends them without anybody waiting, as Auth0 does when somebody logs out.
pub(super) fn send_later(notices: Vec<Notice>) {
    if !notices.is_empty() {
        tokio::spawn(async move { send(notices).await });
    }
}

/// Sends them, and gives the status of each answer; 0 where there is none.
pub(super) async fn send(notices: Vec<Notice>) -> Vec<u16> {
    join_all(notices.iter().map(|notice| async {
        let answered = tokio::time::timeout(PATIENCE, post(notice)).await;
        match answered.unwrap_or_else(|late| Err(late.into())) {
            Ok(status) => status,
            Err(error) => {
                tracing::debug!(url = %notice.url, %error, "no answer to a logout token");
                0
            }
        }
    }))
    .await
}

async fn post(notice: &Notice) -> Result<u16, Box<dyn StdError + Send + Sync>> {
    let Notice { url, body } = notice;
    let authority = url.authority();
    let port = url.port_or_known_default().filter(|_| url.scheme() == "http");
    let (host, port) = url.host_str().zip(port).ok_or("it is no address of plain http")?;
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::post(url.path())
        .header(header::HOST, authority)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body.clone())?;
    Ok(sender.send_request(request).await?.status().as_u16())
}
