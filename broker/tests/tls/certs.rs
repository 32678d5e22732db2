//! Authorities and certificates of their own for each test, in files of a temporary folder.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// Who signs certificates.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, both as PEM.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) name: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("a certificate can be made");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a certificate can be made");
        let pem = params
            .self_signed(&key)
            .expect("a certificate can be made")
            .pem();
        let issuer = Issuer::new(params, key);
        Self { pem, issuer }
    }

    /// A certificate for a name: of a host, or of whoever else it is.
    pub(crate) fn issue(&self, name: &str) -> Issued {
        self.issue_until(name, 4000)
    }

    /// As [`Self::issue`], valid until the beginning of a year.
    pub(crate) fn issue_until(&self, name: &str, year: i32) -> Issued {
        let mut params =
            CertificateParams::new(vec![name.to_owned()]).expect("a certificate can be made");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Highwater");
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a certificate can be made");
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("a certificate can be made")
            .pem();
        Issued {
            name: name.to_owned(),
            certificate,
            key: key.serialize_pem(),
        }
    }
}

/// The files of a broker or of a client.
pub(crate) struct Files {
    dir: TempDir,
}

impl Files {
    pub(crate) fn new(issued: &Issued, authority: &Authority) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let files = Self { dir };
        files.put("certificate.pem", &issued.certificate);
        files.put("key.pem", &issued.key);
        files.put("ca.pem", &authority.pem);
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A path as settings have it.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name)
            .to_str()
            .expect("the path is UTF-8")
            .to_owned()
    }

    /// Another certificate and its key, as an operator replaces them.
    pub(crate) fn replace(&self, issued: &Issued) {
        self.put("certificate.pem", &issued.certificate);
        self.put("key.pem", &issued.key);
    }

    /// Writes a file beside and moves it to its place, at a time that the disk tells apart from
    /// that of what was there.
    pub(crate) fn put(&self, name: &str, text: &str) {
        let (path, beside) = (self.path(name), self.path("beside"));
        let before = modified(&path);
        loop {
            write(&beside, text);
            if modified(&beside) != before {
                break;
            }
        }
        rename(&beside, &path);
    }
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    path.metadata().ok()?.modified().ok()
}

#[expect(clippy::disallowed_methods, reason = "the operator's hand")]
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("the file is written");
}

#[expect(clippy::disallowed_methods, reason = "the operator's hand")]
fn rename(from: &Path, to: &Path) {
    std::fs::rename(from, to).expect("the file is moved");
}
