//! The certificate that the gRPC port shows, and the clients that it takes. Both are made anew while
//! it is served, when the files have changed. It does not know connections.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::{VerifierBuilderError, WebPkiClientVerifier},
    version::{TLS12, TLS13},
};
use service_kit::{
    pem::{self, PemError, Unreadable, Watched},
    telemetry::Chain,
};
use tokio::{sync::watch, time::sleep};

use crate::config::TlsFiles;

/// Source: RFC 9113 §3.2, the name of HTTP/2 over TLS.
const HTTP2: &[u8] = b"h2";

/// Why the port cannot be served with TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A file does not hold what it should.
    #[error("{variable}")]
    Pem {
        /// The variable that names it.
        variable: &'static str,
        /// What is wrong with it.
        #[source]
        source: PemError,
    },
    /// The certificate cannot be used, such as with a key that is not its own.
    #[error("GRPC_TLS_CERT and GRPC_TLS_KEY cannot be used together")]
    Certificate(#[source] rustls::Error),
    /// Clients cannot be checked.
    #[error("GRPC_TLS_CLIENT_CA: clients cannot be checked by it")]
    Clients(#[source] VerifierBuilderError),
}

/// What new connections are served with.
pub(crate) type Current = watch::Receiver<Arc<ServerConfig>>;

/// Certificate, key and, where clients need a certificate as well, their authority.
pub(crate) struct Tls {
    watched: Watched,
    every: Duration,
    announce: watch::Sender<Arc<ServerConfig>>,
}

impl Tls {
    /// What is in these files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let paths = [&files.certificate, &files.key].into_iter().chain(&files.client_ca);
        let mut watched = Watched::new(paths.cloned().collect::<Vec<PathBuf>>());
        let contents = watched.look().expect("the first look shows something");
        let first = config_of(contents.as_ref().map_err(Unreadable::clone)?)?;
        let (announce, _) = watch::channel(Arc::new(first));
        Ok(Self { watched, every: files.reload_every, announce })
    }

    /// What is used now, and from time to time something newer.
    pub(crate) fn current(&self) -> Current {
        self.announce.subscribe()
    }

    /// Looks at the files from time to time. What cannot be used, such as a certificate whose key is
    /// still to come, leaves everything as it was.
    pub(crate) async fn renew(mut self) {
        loop {
            sleep(self.every).await;
            let Some(contents) = self.watched.look() else { continue };
            let contents = contents.as_ref().map_err(|unreadable| unreadable.clone().into());
            match contents.and_then(|contents| config_of(contents)) {
                Ok(config) => {
                    self.announce.send_replace(Arc::new(config));
                    tracing::info!("new connections are served with the new certificates");
                }
                Err(error) => {
                    let error = Chain(&error);
                    tracing::warn!(%error, "cannot use the new certificates: the old ones stay");
                }
            }
        }
    }
}

/// TLS 1.2 and 1.3, for HTTP/2 alone. `contents` are the files in the order of [`Tls::load`].
fn config_of(contents: &[Vec<u8>]) -> Result<ServerConfig, TlsError> {
    let of = |variable| move |source| TlsError::Pem { variable, source };
    let file = |index: usize| contents.get(index).map_or(&[][..], Vec::as_slice);
    let chain = pem::certificates(file(0)).map_err(of("GRPC_TLS_CERT"))?;
    let key = pem::key(file(1)).map_err(of("GRPC_TLS_KEY"))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(TlsError::Certificate)?;
    let builder = match contents.get(2) {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let roots = pem::authorities(authority).map_err(of("GRPC_TLS_CLIENT_CA"))?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(TlsError::Clients)?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Certificate)?;
    config.alpn_protocols = vec![HTTP2.to_vec()];
    Ok(config)
}
