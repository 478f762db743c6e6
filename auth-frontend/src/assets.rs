//! The static files, embedded in the binary. Each is served under a path that holds the hash of its
//! bytes, so that browsers may keep it for ever. It knows nothing of how they are sent.

use std::collections::HashMap;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

/// Name, content type and bytes of every file.
const FILES: [(&str, &str, &[u8]); 3] = [
    ("app.css", "text/css; charset=utf-8", include_bytes!("../static/app.css")),
    ("favicon.svg", "image/svg+xml", include_bytes!("../static/favicon.svg")),
    ("mark.svg", "image/svg+xml", include_bytes!("../static/mark.svg")),
];
/// 72 bits tell a handful of versions of a handful of files apart.
const HASH_BYTES: usize = 9;

static ASSETS: LazyLock<Assets> = LazyLock::new(Assets::embedded);

/// One static file. Its bytes never change under its path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asset {
    /// The content type.
    pub content_type: &'static str,
    /// The whole file.
    pub bytes: &'static [u8],
}

/// Where the pages find the static files: absolute paths on this origin.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct AssetPaths {
    /// The stylesheet.
    pub stylesheet: String,
    /// The icon of the browser's tab.
    pub favicon: String,
    /// The product's mark.
    pub mark: String,
}

struct Assets {
    by_path: HashMap<String, Asset>,
    paths: AssetPaths,
}

impl Assets {
    fn embedded() -> Self {
        let mut by_path = HashMap::with_capacity(FILES.len());
        let mut paths = AssetPaths::default();
        for (name, content_type, bytes) in FILES {
            let path = format!("/static/{}/{name}", hash(bytes));
            match name {
                "app.css" => paths.stylesheet.clone_from(&path),
                "favicon.svg" => paths.favicon.clone_from(&path),
                _ => paths.mark.clone_from(&path),
            }
            by_path.insert(path, Asset { content_type, bytes });
        }
        Self { by_path, paths }
    }
}

/// Gives the file under `path`, such as `/static/47DEQpj8HBSa/app.css`. The hash of another
/// version finds nothing, as the bytes would be wrong for it.
#[must_use]
pub(crate) fn get(path: &str) -> Option<Asset> {
    ASSETS.by_path.get(path).copied()
}

/// The paths of this version's files.
#[must_use]
pub(crate) fn paths() -> &'static AssetPaths {
    &ASSETS.paths
}

fn hash(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(&digest(&SHA256, bytes).as_ref()[..HASH_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_that_the_pages_use_has_its_file() {
        let AssetPaths { stylesheet, favicon, mark } = paths();

        assert_eq!(get(stylesheet).unwrap().content_type, "text/css; charset=utf-8");
        assert_eq!(get(favicon).unwrap().content_type, "image/svg+xml");
        assert_eq!(get(mark).unwrap().content_type, "image/svg+xml");
        assert_ne!(favicon, mark);
    }

    #[test]
    fn a_path_with_another_hash_finds_nothing() {
        let stale = paths().stylesheet.replacen("/static/", "/static/0", 1);

        assert!(get(&stale).is_none());
        assert!(get("/static/app.css").is_none());
    }
}
