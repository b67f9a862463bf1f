//! Connections to `http://` URLs. TLS is a feature, because it would make the binary half as large again, for its check alone.

use axum::{BoxError, http::Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub async fn connect(url: &Uri) -> Result<TokioIo<TcpStream>, BoxError> {
    if url.scheme_str() != Some("http") {
        return Err("CHECK_URL must begin with http:// unless the function is built with its feature https".into());
    }
    // Only URLs write an IPv6 address in brackets.
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let address = (host, url.port_u16().unwrap_or(80));
    Ok(TokioIo::new(TcpStream::connect(address).await?))
}
