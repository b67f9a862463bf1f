//! A Postgres behind a certificate that cannot be trusted: expired, of nobody known, for another name.

#![allow(clippy::unwrap_used)]

#[path = "fixture/probed.rs"]
mod probed;

use probed::Probed;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::{ServerConfig, pki_types::PrivatePkcs8KeyDer};
use shared::testing::loopback;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

/// Agrees to TLS as Postgres does (PostgreSQL, "SSL Session Encryption"), and shows this certificate.
async fn behind(certificate: CertificateParams) -> String {
    let key = KeyPair::generate().unwrap();
    let certificate = certificate.self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = config
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into());
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let (listener, url) = loopback().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 8];
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(b"S").await.unwrap();
            let _ = acceptor.accept(stream).await;
        }
    });
    let port = url.rsplit(':').next().unwrap();
    format!("postgresql://hostile-user:hostile-secret@localhost:{port}/hostile_database?sslmode=verify-full")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_expired_or_that_nobody_known_signed_or_for_another_name_is_tls_failed() {
    let mine = || CertificateParams::new(["localhost".to_owned()]).unwrap();
    let mut expired = mine();
    expired.not_after = date_time_ymd(2020, 1, 1);
    let another = CertificateParams::new(["another.test".to_owned()]).unwrap();
    for certificate in [expired, mine(), another] {
        Probed::database(&behind(certificate).await).fails("tls_failed").await;
    }
}
