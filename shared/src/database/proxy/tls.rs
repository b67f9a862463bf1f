//! TLS as `sslmode` and `sslrootcert` mean it in libpq (PostgreSQL, 34.19.1).

use super::ProxyError;
use crate::database::settings::{SslMode, Tls};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use std::{borrow::Cow, fmt::Display, io, net::IpAddr, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A TLS client for one connection. Its certificate files are read anew for each.
pub(super) struct Encryptor {
    config: Arc<ClientConfig>,
    needs_name: bool,
}

impl Encryptor {
    /// # Errors
    /// `Misconfigured`: a file cannot be read, or is not what it should be.
    pub fn new(settings: &Tls) -> Result<Self, ProxyError> {
        Ok(Self {
            config: Arc::new(client_config(settings)?),
            needs_name: settings.mode == SslMode::VerifyFull,
        })
    }

    /// Performs the handshake with the host `name`.
    pub async fn handshake(
        self,
        stream: TcpStream,
        name: &str,
        address: IpAddr,
    ) -> Result<TlsStream<TcpStream>, ProxyError> {
        // A name that is not valid in DNS can be neither verified nor sent to the server.
        let name = match ServerName::try_from(name.to_owned()) {
            Ok(name) => name,
            Err(_) if !self.needs_name => ServerName::IpAddress(address.into()),
            Err(error) => return Err(ProxyError::Tls(error.to_string())),
        };
        let connected = TlsConnector::from(self.config).connect(name, stream).await;
        connected.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => ProxyError::Tls(error.to_string()),
            _ => error.into(),
        })
    }
}

fn client_config(settings: &Tls) -> Result<ClientConfig, ProxyError> {
    let provider = Arc::new(ring::default_provider());
    let versions: &[_] = match settings.versions {
        (true, true) => &[&rustls::version::TLS12, &rustls::version::TLS13],
        (true, false) => &[&rustls::version::TLS12],
        _ => &[&rustls::version::TLS13],
    };
    let verifier = Arc::new(Verifier::new(settings, Arc::clone(&provider))?);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| ProxyError::Tls(error.to_string()))?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match &settings.client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let unusable = |error: &dyn Display| ProxyError::Misconfigured(format!("`sslcert` and `sslkey`: {error}"));
            let key = PrivateKeyDer::from_pem_slice(&pem("sslkey", key)?).map_err(|error| unusable(&error))?;
            let chain = certificates("sslcert", certificate)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| unusable(&error))?
        }
    };
    config.enable_sni = settings.sni;
    if settings.direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(config)
}

/// The PEM of a parameter whose value is PEM or the path of a file.
fn pem<'a>(parameter: &str, text: &'a str) -> Result<Cow<'a, [u8]>, ProxyError> {
    if text.trim_start().starts_with("-----BEGIN") {
        return Ok(Cow::Borrowed(text.as_bytes()));
    }
    let read = std::fs::read(text).map(Cow::Owned);
    read.map_err(|error| ProxyError::Misconfigured(format!("`{parameter}`: {text} cannot be read: {error}")))
}

fn certificates(parameter: &str, text: &str) -> Result<Vec<CertificateDer<'static>>, ProxyError> {
    let pem = pem(parameter, text)?;
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match (parsed, &pem) {
        (Ok(parsed), _) if !parsed.is_empty() => Ok(parsed),
        (_, Cow::Owned(_)) => Err(ProxyError::Misconfigured(format!(
            "`{parameter}`: {text} has no certificate in PEM"
        ))),
        _ => Err(ProxyError::Misconfigured(format!(
            "`{parameter}` has no certificate in PEM"
        ))),
    }
}

/// Verifies as much of a certificate as `sslmode` asks for.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// `None` if any certificate is accepted.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// The certificates of `sslrootcert`, one of which may be the server's.
    named: Vec<CertificateDer<'static>>,
    with_name: bool,
}

impl Verifier {
    fn new(settings: &Tls, provider: Arc<CryptoProvider>) -> Result<Self, ProxyError> {
        let is_verified =
            settings.mode >= SslMode::VerifyCa || (settings.mode == SslMode::Require && settings.roots.is_some());
        let mut verifier = Self {
            provider,
            chain: None,
            named: Vec::new(),
            with_name: settings.mode == SslMode::VerifyFull,
        };
        if !is_verified {
            return Ok(verifier);
        }
        let mut roots = RootCertStore::empty();
        match &settings.roots {
            Some(text) => {
                verifier.named = certificates("sslrootcert", text)?;
                roots.add_parsable_certificates(verifier.named.iter().cloned());
            }
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&verifier.provider));
        let chain = chain.build();
        verifier.chain = Some(chain.map_err(|error| ProxyError::Misconfigured(format!("`sslrootcert`: {error}")))?);
        Ok(verifier)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        match chain.verify_server_cert(certificate, intermediates, name, ocsp_response, now) {
            // Only the name is wrong: webpki checks it after the chain.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.with_name => {}
            // webpki rejects a self-signed certificate of a server even if `sslrootcert` holds it; OpenSSL accepts it.
            // The certificate has not expired, because webpki checks that first.
            Err(Error::InvalidCertificate(CertificateError::Other(OtherError(_))))
                if self.named.contains(certificate) =>
            {
                if self.with_name {
                    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                }
            }
            verified => return verified,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
