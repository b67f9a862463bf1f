//! URLs that keys may come from.

use hyper::Uri;
use std::net::IpAddr;

/// A URL that keys may come from: nobody on the way can replace them.
pub(super) fn url(text: &str) -> Option<Uri> {
    let url: Uri = text.parse().ok()?;
    let is_safe = match url.scheme_str()? {
        "https" => true,
        "http" => is_loopback(url.host()?),
        _ => false,
    };
    (is_safe && has_port(&url)? && !text.contains(['@', '#'])).then_some(url)
}

/// Whether the port is one, or left out: [`Uri`] takes any digits.
fn has_port(url: &Uri) -> Option<bool> {
    let port = url.authority()?.as_str().strip_prefix(url.host()?)?;
    Some(port.is_empty() || url.port_u16().is_some_and(|port| port != 0))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
