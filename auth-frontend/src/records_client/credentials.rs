//! By what records-service is known, and by what it knows us: certificates in files, which change while
//! we run. It does not know connections.

use service_kit::pem::{self, PemError, Unreadable, Watched};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::config::RecordsTls;

/// Why the files are of no use.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file is not there.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The authority cannot be used.
    #[error("RECORDS_SERVICE_CA")]
    Authority(#[source] PemError),
}

/// The files, which are looked at again and again.
pub(crate) struct Credentials {
    watched: Watched,
    has_authority: bool,
    has_certificate: bool,
}

impl Credentials {
    /// These files, which nobody has looked at.
    pub(crate) fn new(files: &RecordsTls) -> Self {
        let RecordsTls { authority, certificate } = files;
        let ours = certificate.iter().flat_map(|(certificate, key)| [certificate, key]);
        let paths = authority.iter().chain(ours).cloned().collect();
        Self {
            watched: Watched::new(paths),
            has_authority: authority.is_some(),
            has_certificate: certificate.is_some(),
        }
    }

    /// What is in them, if it is not what it was the last time. Without a file, the machine's own
    /// authorities are trusted, and we show no certificate.
    pub(crate) fn look(&mut self) -> Option<Result<ClientTlsConfig, CredentialsError>> {
        let (has_authority, has_certificate) = (self.has_authority, self.has_certificate);
        let contents = self.watched.look()?.as_ref().map_err(|error| error.clone().into());
        Some(contents.and_then(|contents| {
            let tls = ClientTlsConfig::new();
            let tls = match contents.first().filter(|_| has_authority) {
                Some(authority) => {
                    pem::authorities(authority).map_err(CredentialsError::Authority)?;
                    tls.ca_certificate(Certificate::from_pem(authority))
                }
                None => tls.with_native_roots(),
            };
            Ok(match contents.as_slice() {
                [.., certificate, key] if has_certificate => {
                    tls.identity(Identity::from_pem(certificate, key))
                }
                _ => tls,
            })
        }))
    }
}
