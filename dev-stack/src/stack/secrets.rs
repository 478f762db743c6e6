//! Secrets made up on the first start and kept, so that sessions and page tokens outlive a restart.

use aws_lc_rs::rand;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};

use crate::{Error, Storage, storage};

/// What both services seal with.
pub(crate) struct Secrets {
    /// `AUTH0_SECRET` of auth-frontend.
    pub(crate) auth0_secret: String,
    /// `PAGE_TOKEN_SECRET` of records-service.
    pub(crate) page_token_secret: String,
}

impl Secrets {
    pub(crate) fn open(storage: &Storage) -> Result<Self, Error> {
        let storage = storage.child("secrets");
        Ok(Self {
            auth0_secret: kept(&storage, "auth0-secret")?,
            page_token_secret: kept(&storage, "page-token-secret")?,
        })
    }
}

fn kept(storage: &Storage, name: &str) -> Result<String, Error> {
    let path = storage.file(name)?;
    if let Some(path) = &path
        && let Some(content) = storage::read(path)?
    {
        return String::from_utf8(content)
            .map_err(|_| Error::Damaged { path: path.clone(), problem: "not text".to_owned() });
    }
    let mut bytes = [0; 48];
    rand::fill(&mut bytes).expect("the system has a source of randomness");
    let secret = BASE64URL.encode(bytes);
    if let Some(path) = &path {
        storage::write(path, secret.as_bytes())?;
    }
    Ok(secret)
}
