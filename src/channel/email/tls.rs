//! Whom the channel trusts on the other end of a connection, and what to tell the operator when it cannot.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use lettre::transport::smtp::client::{Certificate, TlsParameters};

use super::SetupError;

/// The most bytes of a CA file.
const CA_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// TLS 1.2 or later to `host`, whose certificate one of the system's authorities or of `ca_file` has issued.
pub(super) fn parameters(host: &str, ca_file: Option<PathBuf>) -> Result<TlsParameters, SetupError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(path) = ca_file {
        let pem = read_ca_file(&path).map_err(|source| SetupError::CaFile { path, source })?;
        let bad = |detail: String| SetupError::Key { key: "ca_file", detail };
        if !pem.windows(17).any(|window| window == b"BEGIN CERTIFICATE") {
            return Err(bad("it has no certificate in PEM form".to_owned()));
        }
        let certificate = Certificate::from_pem(&pem).map_err(|error| bad(root(&error)))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().map_err(SetupError::Tls)
}

fn read_ca_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut pem = Vec::new();
    File::open(path)?.take(CA_FILE_BYTES_MAX).read_to_end(&mut pem)?;
    Ok(pem)
}

/// What an error comes down to: its innermost cause says it all, those around it say only where it was met.
pub(super) fn root(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// What to do about a certificate that is refused.
pub(super) fn advice(error: &(dyn Error + 'static)) -> &'static str {
    use rustls::CertificateError as Problem;
    let Some(rustls::Error::InvalidCertificate(problem)) = rustls_error(error) else { return "" };
    match problem {
        Problem::UnknownIssuer => {
            "; if the server's certificate is from an authority of your own, name its file in channels.email.ca_file"
        }
        Problem::NotValidForName | Problem::NotValidForNameContext { .. } => {
            "; channels.email.host must be a name that the server's certificate is for"
        }
        Problem::Expired | Problem::ExpiredContext { .. } => "; renew the server's certificate",
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "; the server shows a self-signed authority's certificate as its own: give it one that this authority \
             issued (CA:FALSE), and name the authority's file in channels.email.ca_file"
        }
        _ => "",
    }
}

fn rustls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // An `io::Error` gives the cause of its inner error as its own, and leaves the inner error out.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Some(found);
        }
        next = error.source();
    }
    None
}
