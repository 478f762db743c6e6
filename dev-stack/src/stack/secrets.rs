//! Secrets made up on the first start and kept, so that sessions and page tokens outlive a restart.

use std::path::absolute;

use aws_lc_rs::rand;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};

use super::emulators::Variable;
use crate::{Error, Storage, samples, storage};

/// The secrets as the services are told them: the path of a file where there is a folder, so that
/// none is shown with the environment, else the text itself.
pub(crate) struct Secrets {
    /// Those of auth-frontend.
    pub(crate) frontend: [Variable; 2],
    /// That of records-service.
    pub(crate) records: Variable,
}

impl Secrets {
    pub(crate) fn open(storage: &Storage) -> Result<Self, Error> {
        let sealing = ["AUTH0_SECRET", "AUTH0_SECRET_FILE"];
        let client = ["AUTH0_CLIENT_SECRET", "AUTH0_CLIENT_SECRET_FILE"];
        let page_tokens = ["PAGE_TOKEN_SECRET", "PAGE_TOKEN_SECRET_FILE"];
        let of_client = || samples::WEB_CLIENT_SECRET.to_owned();
        Ok(Self {
            frontend: [
                kept(storage, "auth0-secret", sealing, random)?,
                kept(storage, "auth0-client-secret", client, of_client)?,
            ],
            records: kept(storage, "page-token-secret", page_tokens, random)?,
        })
    }
}

/// The variable, by its name for the text or its name for the file.
fn kept(
    storage: &Storage,
    file: &str,
    [name, file_name]: [&'static str; 2],
    make: impl FnOnce() -> String,
) -> Result<Variable, Error> {
    let Some(path) = storage.file(file)? else { return Ok((name, make())) };
    if storage::read(&path)?.is_none() {
        storage::write(&path, make().as_bytes())?;
    }
    let failed = |source| Error::Storage { path: path.clone(), source };
    // A service may be started in another folder.
    let path = absolute(&path).map_err(failed)?;
    Ok((file_name, path.display().to_string()))
}

fn random() -> String {
    let mut bytes = [0; 48];
    rand::fill(&mut bytes).expect("the system has a source of randomness");
    BASE64URL.encode(bytes)
}
