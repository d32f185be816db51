//! TLS settings of a remote: whom to trust, and which certificate to present. Reads the system's certificates.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::super::SourceError;
use super::super::remote::Remote;

/// The system's trusted certificates; where a minimal image has none, Mozilla's as compiled in.
pub(super) fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

/// The client side of TLS for a remote.
pub(super) fn client_config(remote: &Remote, system: &RootCertStore) -> Result<ClientConfig, SourceError> {
    let invalid = |problem: String| SourceError::ConnectionSettingsInvalid {
        url: remote.to_string(),
        problem,
    };
    let mut roots = system.clone();
    if let Some(pem) = remote.ca() {
        let certificates = certificates(pem, "ca.crt").map_err(&invalid)?;
        for certificate in certificates {
            roots
                .add(certificate)
                .map_err(|error| invalid(format!("'ca.crt': {error}")))?;
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(error.to_string()))?
        .with_root_certificates(roots);
    match remote.client_certificate() {
        None => Ok(builder.with_no_client_auth()),
        Some(own) => {
            let chain = certificates(&own.certificates, "tls.crt").map_err(&invalid)?;
            let key = PrivateKeyDer::from_pem_slice(own.key.expose().as_bytes())
                .map_err(|_| invalid("'tls.key' is not a private key in PEM".to_owned()))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| invalid(format!("'tls.crt' and 'tls.key': {error}")))
        }
    }
}

fn certificates(pem: &str, name: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("'{name}' is not PEM: {error}"))?;
    if certificates.is_empty() {
        return Err(format!(
            "'{name}' holds no certificate; expected '-----BEGIN CERTIFICATE-----'"
        ));
    }
    Ok(certificates)
}
