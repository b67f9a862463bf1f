//! Connections to `http://` URLs. TLS would make the function half as large again, for its check alone.

use axum::{BoxError, http::Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub async fn connect(url: &Uri) -> Result<TokioIo<TcpStream>, BoxError> {
    if url.scheme_str() != Some("http") {
        return Err("CHECK_URL must begin with http:// unless the function is built with its feature https".into());
    }
    // An IPv6 address stands in brackets in a URL, and nowhere else.
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let address = (host, url.port_u16().unwrap_or(80));
    Ok(TokioIo::new(TcpStream::connect(address).await?))
}
