//! Whom a sink trusts, and how it shows who it is.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::{config, source::read_trusted};

/// Far beyond any bundle of authorities.
const MAX_BYTES: u64 = 4 << 20;

/// The cryptography that all TLS here uses.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What a TLS client is made of.
#[derive(Debug)]
pub(super) struct Identity {
    /// Authorities to trust.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// Who this host is.
    pub(super) own: Option<Own>,
}

/// Who this host is.
#[derive(Debug)]
pub(super) struct Own {
    /// Its certificate chain.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// Its private key, as PEM text with nothing else in it that is one.
    pub(super) key: Key,
}

/// The PEM text of a private key, which no log shows.
pub(super) struct Key(pub(super) String);

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Key")
    }
}

impl Identity {
    /// Reads the files that `tls` names.
    pub(super) fn read(tls: &config::Tls) -> Result<Self, String> {
        let authorities = match &tls.ca_file {
            Some(file) => authorities(file)?,
            None => system_authorities()?,
        };
        let own = match (&tls.certificate_file, &tls.key_file) {
            (Some(chain), Some(key)) => Some(Own {
                chain: certificates(chain)?,
                key: private_key(key)?,
            }),
            _ => None,
        };
        Ok(Self { authorities, own })
    }

    /// A client's configuration.
    pub(super) fn client(self) -> Result<Arc<ClientConfig>, String> {
        let mut roots = RootCertStore::empty();
        let (added, _ignored) = roots.add_parsable_certificates(self.authorities);
        if added == 0 {
            return Err("no authority to trust".to_owned());
        }
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let config = match self.own {
            Some(Own { chain, key }) => builder
                .with_client_auth_cert(chain, key.parse()?)
                .map_err(|error| format!("certificate and key do not fit: {error}"))?,
            None => builder.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }
}

fn system_authorities() -> Result<Vec<CertificateDer<'static>>, String> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let reasons: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        return Err(format!(
            "the system has no authorities to trust, name a ca_file ({})",
            reasons.join("; ")
        ));
    }
    Ok(found.certs)
}

/// Those of a file that somebody chose: each has to be one. Of the system's those that are none are
/// left out.
fn authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = certificates(file)?;
    let mut roots = RootCertStore::empty();
    for (index, certificate) in found.iter().enumerate() {
        roots.add(certificate.clone()).map_err(|error| {
            let (file, number) = (file.display(), index + 1);
            format!("{file}: certificate {number} cannot be trusted as an authority: {error}")
        })?;
    }
    Ok(found)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match found {
        Ok(certificates) if certificates.is_empty() => {
            Err(format!("{}: no certificate (PEM)", file.display()))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

fn private_key(file: &Path) -> Result<Key, String> {
    let key = Key(read(file)?);
    match key.parse() {
        Ok(_) => Ok(key),
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

impl Key {
    fn parse(&self) -> Result<PrivateKeyDer<'static>, String> {
        PrivateKeyDer::from_pem_slice(self.0.as_bytes())
            .map_err(|error| format!("no private key (PEM): {error}"))
    }
}

/// The only line of a file with a secret.
pub(super) fn secret(file: &Path) -> Result<String, String> {
    let text = read(file)?;
    let secret = text.trim_end_matches(['\n', '\r']);
    if secret.is_empty() || secret.chars().any(char::is_control) {
        return Err(format!(
            "{}: expected one line with the secret",
            file.display()
        ));
    }
    Ok(secret.to_owned())
}

/// Reads a file that nobody else may write.
fn read(file: &Path) -> Result<String, String> {
    read_trusted(file, MAX_BYTES).map_err(|error| {
        let hint = error.hint(file);
        let hint = hint.map_or_else(String::new, |hint| format!(" ({hint})"));
        format!("{}: {error}{hint}", file.display())
    })
}
