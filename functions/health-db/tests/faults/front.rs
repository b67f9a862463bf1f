//! A TLS front for a real Postgres, with any certificate and any `pg_hba.conf`. A test cannot configure the server itself,
//! because the files of the server belong to another user.

use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use std::sync::Arc;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// A private certificate authority.
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    pub fn pem(&self) -> String {
        pem(&self.certificate)
    }

    /// A certificate and its key.
    pub fn issue(&self, params: CertificateParams) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}

pub fn pem(certificate: &Certificate) -> String {
    armored("CERTIFICATE", certificate.der())
}

pub fn key_pem(key: &KeyPair) -> String {
    armored("PRIVATE KEY", &key.serialize_der())
}

fn armored(label: &str, der: &[u8]) -> String {
    let lines = STANDARD.encode(der).into_bytes();
    let lines: Vec<_> = lines.chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A certificate for a name, that has not expired.
pub fn valid_for(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).unwrap()
}

/// Which connections the front accepts.
#[derive(Clone)]
pub struct Front {
    pub tls: Option<TlsAcceptor>,
    /// As with only `hostssl` lines in `pg_hba.conf`.
    pub refuses_plain: bool,
    /// As with only `hostnossl` lines in `pg_hba.conf`.
    pub refuses_encrypted: bool,
}

impl Front {
    pub fn with((certificate, key): (Certificate, KeyPair)) -> Self {
        Self::acceptor((certificate, key), None)
    }

    /// Lets in only clients with a certificate of this authority.
    pub fn for_clients_of(authority: &Authority, (certificate, key): (Certificate, KeyPair)) -> Self {
        Self::acceptor((certificate, key), Some(authority.certificate.der().clone()))
    }

    fn acceptor((certificate, key): (Certificate, KeyPair), clients: Option<CertificateDer<'static>>) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(root) => {
                let mut roots = RootCertStore::empty();
                roots.add(root).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                config.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut config = config
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Self {
            tls: Some(TlsAcceptor::from(Arc::new(config))),
            refuses_plain: false,
            refuses_encrypted: false,
        }
    }

    /// Without TLS.
    pub fn plain() -> Self {
        Self {
            tls: None,
            refuses_plain: false,
            refuses_encrypted: false,
        }
    }

    /// Listens on this address for the server on a port of 127.0.0.1. Returns the port of the front.
    pub async fn start(self, address: &str, server: u16) -> u16 {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(self.clone().serve(client, server));
            }
        });
        port
    }

    async fn serve(self, mut client: TcpStream, server: u16) -> std::io::Result<()> {
        const TLS_HANDSHAKE: u8 = 22;
        const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
        let mut first = [0; 8];
        client.peek(&mut first).await?;
        match &self.tls {
            Some(tls) if first[0] == TLS_HANDSHAKE => {
                let client = tls.accept(client).await?;
                pass(client, server, self.refuses_encrypted).await
            }
            tls if first == SSL_REQUEST => {
                client.read_exact(&mut first).await?;
                let Some(tls) = tls else {
                    client.write_all(b"N").await?;
                    return pass(client, server, self.refuses_plain).await;
                };
                client.write_all(b"S").await?;
                let client = tls.accept(client).await?;
                pass(client, server, self.refuses_encrypted).await
            }
            _ => pass(client, server, self.refuses_plain).await,
        }
    }
}

async fn pass(mut client: impl AsyncRead + AsyncWrite + Unpin, server: u16, refuses: bool) -> std::io::Result<()> {
    if refuses {
        let _startup = client.read(&mut [0; 1000]).await?;
        let fields = "SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry\0\0";
        client.write_all(b"E").await?;
        client.write_u32(4 + fields.len() as u32).await?;
        client.write_all(fields.as_bytes()).await?;
        return client.shutdown().await;
    }
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}
