//! Signatures for an emulator: `object_store` signs for `storage.googleapis.com`, whatever host a URL names.

use axum::BoxError;
use hyper::Uri;
use object_store::{
    Error, Result,
    client::{CryptoProvider, DigestAlgorithm, DigestContext, HmacContext, Signer, SigningAlgorithm},
};
use ring::{digest, rand::SystemRandom, signature};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};

const SIGNED_HOST: &str = "\nhost:storage.googleapis.com\n";

/// Signs with ring, and puts the emulator's host into the canonical request.
#[derive(Debug)]
pub struct Crypto {
    host: String,
}

impl Crypto {
    pub fn new(url: &str) -> Self {
        Self {
            host: format!("\nhost:{}\n", host(url).unwrap_or_default()),
        }
    }
}

/// The value of the `Host` header: without the default port of the scheme.
fn host(url: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    match (url.scheme_str()?, url.port_u16()) {
        ("http", Some(80)) | ("https", Some(443)) => url.host().map(str::to_owned),
        _ => url.authority().map(ToString::to_string),
    }
}

impl CryptoProvider for Crypto {
    fn digest(&self, _: DigestAlgorithm) -> Result<Box<dyn DigestContext>> {
        Ok(Box::new(Sha256 {
            host: self.host.clone(),
            context: digest::Context::new(&digest::SHA256),
            digest: None,
        }))
    }

    fn hmac(&self, _: DigestAlgorithm, _: &[u8]) -> Result<Box<dyn HmacContext>> {
        Err(failed("GCS has no HMAC"))
    }

    fn sign(&self, _: SigningAlgorithm, pem: &[u8]) -> Result<Box<dyn Signer>> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(failed)?;
        let key = signature::RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).map_err(failed)?;
        Ok(Box::new(Rsa(key)))
    }
}

struct Sha256 {
    host: String,
    context: digest::Context,
    digest: Option<digest::Digest>,
}

impl DigestContext for Sha256 {
    fn update(&mut self, data: &[u8]) {
        match std::str::from_utf8(data) {
            Ok(text) => self
                .context
                .update(text.replacen(SIGNED_HOST, &self.host, 1).as_bytes()),
            Err(_) => self.context.update(data),
        }
    }

    fn finish(&mut self) -> Result<&[u8]> {
        let context = self.context.clone();
        let digest: &digest::Digest = self.digest.insert(context.finish());
        Ok(digest.as_ref())
    }
}

struct Rsa(signature::RsaKeyPair);

impl Signer for Rsa {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let mut signed = vec![0; self.0.public().modulus_len()];
        let random = SystemRandom::new();
        self.0
            .sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut signed)
            .map_err(failed)?;
        Ok(signed)
    }
}

fn failed(error: impl Into<BoxError>) -> Error {
    Error::Generic {
        store: "GCS",
        source: error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_the_one_that_clients_send() {
        for (url, expected) in [
            ("http://localhost:4443", "localhost:4443"),
            ("http://localhost:80", "localhost"),
            ("https://emulator.example:443/storage", "emulator.example"),
            ("http://[::1]:9000", "[::1]:9000"),
        ] {
            assert_eq!(host(url).as_deref(), Some(expected));
        }
    }
}
