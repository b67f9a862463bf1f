//! Which parameters of a connection string have an effect, which are ignored, and which are errors.

use super::values::Parameters;

/// How a parameter is treated.
enum Use {
    /// Has the effect that it has in libpq.
    Honoured,
    /// Ignored: no value makes a difference here.
    Harmless,
    /// Ignored with one of these values, an error with any other.
    Only(&'static [&'static str]),
    /// An error, because it is not supported and cannot be ignored.
    Refused,
}
use Use::{Harmless, Honoured, Only, Refused};

/// Every parameter of libpq 18 (PostgreSQL, 34.1.2).
const LIBPQ: &[(&str, Use)] = &[
    ("application_name", Honoured),
    ("channel_binding", Honoured),
    ("client_encoding", Only(&["auto", "utf8", "utf-8", "unicode"])),
    ("connect_timeout", Honoured),
    ("dbname", Honoured),
    ("fallback_application_name", Honoured),
    ("gssdelegation", Harmless),
    ("gssencmode", Only(&["disable", "prefer"])),
    ("gsslib", Harmless),
    ("host", Honoured),
    ("hostaddr", Honoured),
    ("keepalives", Honoured),
    ("keepalives_count", Honoured),
    ("keepalives_idle", Honoured),
    ("keepalives_interval", Honoured),
    ("krbsrvname", Harmless),
    ("load_balance_hosts", Honoured),
    ("max_protocol_version", Only(&["3.0", "3.2", "latest"])),
    ("min_protocol_version", Only(&["3.0"])),
    ("oauth_client_id", Refused),
    ("oauth_client_secret", Refused),
    ("oauth_issuer", Refused),
    ("oauth_scope", Refused),
    ("options", Honoured),
    ("passfile", Honoured),
    ("password", Honoured),
    ("port", Honoured),
    ("replication", Only(&["false", "off", "no", "0"])),
    ("require_auth", Refused),
    ("requirepeer", Refused),
    ("requiressl", Honoured),
    ("scram_client_key", Refused),
    ("scram_server_key", Refused),
    ("service", Refused),
    ("servicefile", Refused),
    ("ssl_max_protocol_version", Honoured),
    ("ssl_min_protocol_version", Honoured),
    ("sslcert", Honoured),
    ("sslcertmode", Only(&["allow"])),
    ("sslcompression", Harmless),
    ("sslcrl", Refused),
    ("sslcrldir", Refused),
    ("sslkey", Honoured),
    ("sslkeylogfile", Refused),
    ("sslmode", Honoured),
    ("sslnegotiation", Honoured),
    // The password of an encrypted `sslkey`. Such a key is an error when it is read.
    ("sslpassword", Harmless),
    ("sslrootcert", Honoured),
    ("sslsni", Honoured),
    ("target_session_attrs", Only(&["any", "prefer-standby"])),
    ("tcp_user_timeout", Honoured),
    ("user", Honoured),
];

/// Other drivers' names of parameters of libpq.
const ALIASES: &[(&str, &str)] = &[
    ("ApplicationName", "application_name"),
    ("database", "dbname"),
    ("ssl-ca", "sslrootcert"),
    ("ssl-cert", "sslcert"),
    ("ssl-key", "sslkey"),
    ("ssl-mode", "sslmode"),
    ("ssl-root-cert", "sslrootcert"),
    ("ssl_mode", "sslmode"),
    ("username", "user"),
];

/// Parameters of other drivers, mostly about their pools and caches.
const OTHERS: &[(&str, Use)] = &[
    // libpq takes `ssl=true`, for JDBC's sake; Python's drivers take a mode.
    ("ssl", Honoured),
    // Prisma: is the certificate verified?
    ("sslaccept", Honoured),
    // Prisma, JDBC, pgx: the search path.
    ("schema", Honoured),
    ("currentSchema", Honoured),
    ("search_path", Honoured),
    ("async_fallback", Harmless),
    ("binary_parameters", Harmless),
    ("checkout_timeout", Harmless),
    ("command_timeout", Harmless),
    ("conn_max_age", Harmless),
    ("connection_limit", Harmless),
    ("default_query_exec_mode", Harmless),
    ("description_cache_capacity", Harmless),
    ("encoding", Only(&["utf8", "utf-8", "unicode"])),
    ("loginTimeout", Harmless),
    ("max_pool_size", Harmless),
    ("max_overflow", Harmless),
    ("pool", Harmless),
    ("pool_max_conn_idle_time", Harmless),
    ("pool_max_conn_lifetime", Harmless),
    ("pool_max_conns", Harmless),
    ("pool_min_conns", Harmless),
    ("pool_pre_ping", Harmless),
    ("pool_recycle", Harmless),
    ("pool_size", Harmless),
    ("pool_timeout", Harmless),
    ("preferQueryMode", Harmless),
    ("prepared_statement_cache_size", Harmless),
    ("prepared_statements", Harmless),
    ("prepareThreshold", Harmless),
    ("reaping_frequency", Harmless),
    ("reWriteBatchedInserts", Harmless),
    ("single_use_connections", Harmless),
    ("socket_timeout", Harmless),
    ("socketTimeout", Harmless),
    ("pgbouncer", Harmless),
    ("statement-cache-capacity", Harmless),
    ("statement_cache_capacity", Harmless),
    ("statement_cache_size", Harmless),
    // Supabase marks its pooler with it.
    ("supa", Harmless),
    ("tcpKeepAlive", Harmless),
    ("uselibpqcompat", Harmless),
];

/// The parameters that have an effect, by the names that libpq has for them. An empty value counts as unset, as in
/// libpq.
///
/// # Errors
/// What `DATABASE_URL` must be instead, with the name of a parameter and never its value.
pub(super) fn accept(pairs: Vec<(String, String)>) -> Result<Parameters, String> {
    // The end of a password that was not percent-encoded or quoted looks like parameters. Then even a name may be a
    // part of the password, and must not appear in the error.
    let is_tail = |(name, value): &(String, String)| name.contains('@') || value.contains('@') && find(name).is_none();
    let is_torn = pairs.iter().any(is_tail);
    let mut follows_password = false;
    let mut honoured = Parameters::new();
    for (name, value) in pairs {
        let (name, parameter) = find(&name).ok_or_else(|| unknown(&name, is_torn || follows_password))?;
        follows_password = name.ends_with("password");
        match parameter {
            Harmless => {}
            _ if value.is_empty() => {}
            Honoured => drop(honoured.insert(name, value)),
            Only(values) if values.iter().any(|fit| value.eq_ignore_ascii_case(fit)) => {}
            Only(values) => return Err(format!("a URL whose `{name}` is {}", values.join(" or "))),
            Refused => return Err(format!("a URL without `{name}`, which is not supported")),
        }
    }
    Ok(honoured)
}

fn find(name: &str) -> Option<(&'static str, &'static Use)> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    let name = alias.map_or(name, |(_, name)| name);
    let known = LIBPQ.iter().chain(OTHERS).find(|(known, _)| *known == name);
    known.map(|(name, parameter)| (*name, parameter))
}

fn unknown(name: &str, may_be_secret: bool) -> String {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte);
    if may_be_secret || name.len() > 40 || !name.bytes().all(is_name) {
        return "a URL with a percent-encoded password: a parameter in it is not a name".to_owned();
    }
    format!("a URL without `{name}`, which is not a parameter of libpq")
}
