//! Whom a certificate names.
//!
//! Floor 2 of broker, behind the feature `tls`.
//!
//! - The text is that of RFC 4514, as Java and Kafka's own principals have it: `CN=billing,O=x`.

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// The subject of a certificate.
pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<String, String> {
    let parsed = Certificate::from_der(certificate)
        .map_err(|error| format!("the subject of a certificate cannot be read: {error}"))?;
    Ok(parsed.tbs_certificate().subject().to_string())
}

/// When a certificate ends, in milliseconds since 1970.
pub(super) fn valid_until_ms(certificate: &CertificateDer<'_>) -> Option<i64> {
    let parsed = Certificate::from_der(certificate).ok()?;
    let end = parsed.tbs_certificate().validity().not_after;
    i64::try_from(end.to_unix_duration().as_millis()).ok()
}
