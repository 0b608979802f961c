//! Flags of TLS.

use std::path::PathBuf;

use clap::Args;

use crate::config::Layer;

/// TLS on every port.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsArgs {
    /// Certificate for TLS on every port, PEM, read again when it changes [env: TIDEMARK_TLS_CERTIFICATE]
    #[arg(long, value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// Its private key, PEM [env: TIDEMARK_TLS_KEY]
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Clients need a certificate that one of these signed, PEM [env: TIDEMARK_TLS_CLIENT_CA]
    #[arg(long, value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
}

impl TlsArgs {
    /// Lays the flags into a layer of settings.
    pub(super) fn lay(&self, layer: &mut Layer) {
        let files = [
            ("tls.certificate", &self.tls_certificate),
            ("tls.key", &self.tls_key),
            ("tls.client_ca", &self.tls_client_ca),
        ];
        for (key, file) in files {
            if let Some(file) = file {
                layer.set(key, file.display().to_string());
            }
        }
    }
}
