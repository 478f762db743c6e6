//! The static files.

use axum::{
    http::{HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};

use crate::{assets, error::Error};

/// A path holds the hash of its file, so what is under it never changes.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// The icon that browsers ask for unasked changes with a release.
const FOR_A_DAY: HeaderValue = HeaderValue::from_static("public, max-age=86400");

/// `GET /static/{*path}`
///
/// # Errors
/// [`Error::PageNotFound`].
pub(crate) async fn file(uri: Uri) -> Result<Response, Error> {
    send(uri.path(), FOR_EVER)
}

/// `GET /favicon.ico`
///
/// # Errors
/// [`Error::PageNotFound`], which the tests rule out.
pub(crate) async fn favicon() -> Result<Response, Error> {
    send(&assets::paths().favicon, FOR_A_DAY)
}

fn send(path: &str, caching: HeaderValue) -> Result<Response, Error> {
    let asset = assets::get(path).ok_or(Error::PageNotFound)?;
    let content_type = HeaderValue::from_static(asset.content_type);
    let headers = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, caching)];
    Ok((headers, asset.bytes).into_response())
}
