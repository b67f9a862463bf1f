//! `sslmode` and the other parameters about TLS.

use super::values::{BOOLEANS, Parameters, one_of};

/// How TCP connections are encrypted (PostgreSQL, 34.19).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tls {
    /// Whether to encrypt, and what to verify.
    pub mode: SslMode,
    /// `sslnegotiation=direct`: begins with the handshake, without an SSLRequest.
    pub direct: bool,
    /// The only trusted roots, as a path or PEM; `None` for the public ones.
    pub roots: Option<String>,
    /// The client's certificate and key, as paths or PEM.
    pub client: Option<(String, String)>,
    /// Whether the handshake names the host (SNI).
    pub sni: bool,
    /// Whether TLS 1.2 and TLS 1.3 may be used.
    pub versions: (bool, bool),
}

/// `sslmode`, in libpq's order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum SslMode {
    /// Never.
    Disable,
    /// Only if the server requires it.
    Allow,
    /// If the server supports it.
    Prefer,
    /// Always. If `sslrootcert` is set, the certificate is verified as for `VerifyCa`.
    Require,
    /// Always, with a certificate of a trusted root.
    VerifyCa,
    /// Always, with a certificate of a trusted root that is for this host.
    VerifyFull,
}

impl Tls {
    pub(super) fn from(parameters: &Parameters) -> Result<Self, String> {
        let direct = one_of(parameters, "sslnegotiation", &[("postgres", false), ("direct", true)])?.unwrap_or(false);
        let roots = parameters.get("sslrootcert").cloned();
        let system = roots.as_deref() == Some("system");
        let default = if system { SslMode::VerifyFull } else { SslMode::Prefer };
        let mut mode = mode(parameters)?.unwrap_or(default);
        if system && mode != SslMode::VerifyFull {
            return Err("a URL whose `sslmode` is verify-full, because `sslrootcert` is system".to_owned());
        }
        if direct && mode < SslMode::Require {
            return Err("a URL whose `sslmode` is require or more, because `sslnegotiation` is direct".to_owned());
        }
        // sqlx does not support channel binding, which proves that nobody stands between client and server. A verified
        // certificate proves it as well.
        if one_of(
            parameters,
            "channel_binding",
            &[("disable", false), ("prefer", false), ("require", true)],
        )? == Some(true)
        {
            if mode == SslMode::Disable {
                return Err("a URL whose `sslmode` is not disable, because `channel_binding` is require".to_owned());
            }
            mode = SslMode::VerifyFull;
        }
        let client = match (parameters.get("sslcert"), parameters.get("sslkey")) {
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (None, None) => None,
            _ => return Err("a URL with both of `sslcert` and `sslkey`, or none".to_owned()),
        };
        Ok(Self {
            mode,
            direct,
            roots: roots.filter(|_| !system),
            client,
            sni: one_of(parameters, "sslsni", BOOLEANS)?.unwrap_or(true),
            versions: versions(parameters)?,
        })
    }
}

const MODES: &[(&str, SslMode)] = &[
    ("disable", SslMode::Disable),
    ("allow", SslMode::Allow),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

/// `sslmode`, or what other drivers have in its place.
fn mode(parameters: &Parameters) -> Result<Option<SslMode>, String> {
    if let Some(mode) = one_of(parameters, "sslmode", MODES)? {
        let strict = one_of(parameters, "sslaccept", ACCEPT)?.unwrap_or(mode);
        return Ok(Some(if mode == SslMode::Disable {
            mode
        } else {
            mode.max(strict)
        }));
    }
    let ssl = parameters.get("ssl").map(String::as_str).unwrap_or_default();
    let switch = BOOLEANS.iter().find(|(name, _)| ssl.eq_ignore_ascii_case(name));
    match switch {
        Some((_, true)) => Ok(Some(SslMode::Require)),
        Some((_, false)) => Ok(Some(SslMode::Disable)),
        None => Ok(one_of(parameters, "ssl", MODES)?
            .or(one_of(parameters, "sslaccept", ACCEPT)?)
            .or(required(parameters)?)),
    }
}

const ACCEPT: &[(&str, SslMode)] = &[
    ("strict", SslMode::VerifyFull),
    ("accept_invalid_certs", SslMode::Prefer),
];

/// `requiressl`, which `sslmode` has replaced in libpq.
fn required(parameters: &Parameters) -> Result<Option<SslMode>, String> {
    let required = one_of(parameters, "requiressl", BOOLEANS)?;
    Ok(required.filter(|required| *required).map(|_| SslMode::Require))
}

fn versions(parameters: &Parameters) -> Result<(bool, bool), String> {
    const VERSIONS: &[(&str, u8)] = &[("TLSv1", 0), ("TLSv1.1", 1), ("TLSv1.2", 2), ("TLSv1.3", 3)];
    let least = one_of(parameters, "ssl_min_protocol_version", VERSIONS)?.unwrap_or(2);
    let most = one_of(parameters, "ssl_max_protocol_version", VERSIONS)?.unwrap_or(3);
    let versions = (least <= 2 && most >= 2, most >= 3);
    if versions == (false, false) || least > most {
        return Err("a URL whose `ssl_max_protocol_version` is TLSv1.2 or TLSv1.3, and not below the least".to_owned());
    }
    Ok(versions)
}
