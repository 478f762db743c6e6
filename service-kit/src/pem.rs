//! Certificates and keys in PEM files, which change under a running process: whatever rotates them
//! writes new files and tells nobody. It does not know who speaks with them.

use std::{fs, path::PathBuf};

use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// It is not PEM, or damaged.
    #[error("it is no PEM file, or a damaged one: {0}")]
    Malformed(pem::Error),
    /// It is PEM, without what is looked for.
    #[error("there is no {0} in it")]
    Lacks(&'static str),
    /// What is in it is no certificate that others can be checked by.
    #[error("there is no certificate of an authority in it: {0}")]
    NoAuthority(rustls::Error),
}

/// All certificates of a PEM file, of which there must be one.
///
/// # Errors
/// See [`PemError`].
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(certificates) if certificates.is_empty() => Err(PemError::Lacks("certificate")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(PemError::Malformed(error)),
    }
}

/// The private key of a PEM file, unencrypted, in any of the usual formats.
///
/// # Errors
/// See [`PemError`].
pub fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        pem::Error::NoItemsFound => PemError::Lacks("private key"),
        error => PemError::Malformed(error),
    })
}

/// The authorities of a PEM file, whose certificates are good.
///
/// # Errors
/// See [`PemError`].
pub fn authorities(pem: &[u8]) -> Result<RootCertStore, PemError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(PemError::NoAuthority)?;
    }
    Ok(roots)
}

/// A file that cannot be read now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {path}: {problem}")]
pub struct Unreadable {
    path: String,
    problem: String,
}

/// Files that are looked at again and again.
#[derive(Debug)]
pub struct Watched {
    paths: Vec<PathBuf>,
    seen: Option<Result<Vec<Vec<u8>>, Unreadable>>,
}

impl Watched {
    /// These files, which nobody has looked at.
    #[must_use]
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, seen: None }
    }

    /// What is in them, in their order, if it is not what it was the last time.
    pub fn look(&mut self) -> Option<&Result<Vec<Vec<u8>>, Unreadable>> {
        let read = |path: &PathBuf| {
            fs::read(path).map_err(|error| Unreadable {
                path: path.display().to_string(),
                problem: error.to_string(),
            })
        };
        let now: Option<Result<Vec<_>, _>> = Some(self.paths.iter().map(read).collect());
        if now == self.seen {
            return None;
        }
        self.seen = now;
        self.seen.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

    #[test]
    fn a_file_must_hold_what_it_is_named_for() {
        assert_eq!(certificates(CERTIFICATE.repeat(2).as_bytes()).unwrap().len(), 2);
        assert!(key(KEY.as_bytes()).is_ok());
        for bad in ["", "no PEM", KEY, &CERTIFICATE[..40]] {
            assert!(certificates(bad.as_bytes()).is_err(), "{bad}");
        }
        for bad in ["", "no PEM", CERTIFICATE, &KEY[..40]] {
            assert!(key(bad.as_bytes()).is_err(), "{bad}");
        }
        // It has the form of a certificate, and is none.
        assert!(matches!(authorities(CERTIFICATE.as_bytes()), Err(PemError::NoAuthority(_))));
    }

    #[test]
    fn files_are_given_once_for_each_change() {
        let path = std::env::temp_dir().join(format!("service-kit-watched-{}", std::process::id()));
        let mut watched = Watched::new(vec![path.clone()]);

        assert!(watched.look().unwrap().is_err(), "it is not there");
        assert!(watched.look().is_none());
        fs::write(&path, "one").unwrap();
        assert_eq!(watched.look(), Some(&Ok(vec![b"one".to_vec()])));
        assert!(watched.look().is_none());
        fs::write(&path, "two").unwrap();
        assert_eq!(watched.look(), Some(&Ok(vec![b"two".to_vec()])));
        fs::remove_file(&path).unwrap();
        assert!(watched.look().unwrap().is_err());
    }
}
