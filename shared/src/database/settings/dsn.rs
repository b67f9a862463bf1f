//! A parsed connection string: hosts, user, encryption.

use super::{
    parameters::accept,
    passfile::password,
    split::split,
    tls::Tls,
    values::{Parameters, number, one_of, seconds},
};
use crate::config::Env;
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// Where Postgres is and how to get there. Not `Debug`, because it holds the password.
#[derive(Clone, Eq, PartialEq)]
pub struct Dsn {
    /// The hosts, which are tried one after the other; never empty.
    pub hosts: Vec<Host>,
    /// `load_balance_hosts=random`: in any order.
    pub shuffle: bool,
    /// `None` for the name of the operating system's user.
    pub user: Option<String>,
    /// Sent if the server's authentication method asks for one.
    pub password: Option<String>,
    /// `None` for the database with the user's name.
    pub database: Option<String>,
    /// The name in `pg_stat_activity`; `None` for the name of this binary.
    pub application_name: Option<String>,
    /// Further parameters of the startup message: `options`, `search_path`.
    pub startup: Vec<(&'static str, String)>,
    /// How long connecting to one host may take; `None` for as long as the caller waits.
    pub connect_timeout: Option<Duration>,
    /// When TCP takes a connection for dead.
    pub keepalive: Keepalive,
    /// How TCP connections are encrypted. Unix sockets are not encrypted.
    pub tls: Tls,
}

/// An address of a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Host {
    /// A host name or an IP address.
    Tcp {
        /// The name that the certificate must have.
        name: String,
        /// `hostaddr`: connects there, and does not resolve the name.
        address: Option<IpAddr>,
        /// 5432 by default.
        port: u16,
    },
    /// The path of a Unix socket; `@` begins an abstract name.
    Socket(PathBuf),
}

/// `keepalives...` and `tcp_user_timeout`; `None` for the system's default.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Keepalive {
    /// Whether idle connections are probed at all.
    pub enabled: bool,
    /// How long a connection is idle before the first probe.
    pub idle: Option<Duration>,
    /// The time between two probes.
    pub interval: Option<Duration>,
    /// How many unanswered probes end the connection.
    pub count: Option<u32>,
    /// How long data may stay unacknowledged before the connection ends.
    pub unacknowledged: Duration,
}

/// The variables of libpq, which apply to parameters that the connection string does not have (PostgreSQL, 34.15).
const VARIABLES: [(&str, &str); 27] = [
    ("application_name", "PGAPPNAME"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("dbname", "PGDATABASE"),
    ("gssencmode", "PGGSSENCMODE"),
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    ("options", "PGOPTIONS"),
    ("passfile", "PGPASSFILE"),
    ("password", "PGPASSWORD"),
    ("port", "PGPORT"),
    ("require_auth", "PGREQUIREAUTH"),
    ("requirepeer", "PGREQUIREPEER"),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("sslcert", "PGSSLCERT"),
    ("sslcertmode", "PGSSLCERTMODE"),
    ("sslcrl", "PGSSLCRL"),
    ("sslcrldir", "PGSSLCRLDIR"),
    ("sslkey", "PGSSLKEY"),
    ("sslmode", "PGSSLMODE"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslsni", "PGSSLSNI"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("user", "PGUSER"),
];

/// Parameters that stand for `sslmode`. `PGSSLMODE` does not apply to a connection string with one of them.
const MODES: [&str; 3] = ["ssl", "sslaccept", "requiressl"];

/// The folder that `.pgpass` is in.
const HOME: &str = "HOME";

impl Dsn {
    /// Parses a connection string.
    ///
    /// # Errors
    /// What the string must be instead, with names of parameters and without their values.
    pub fn parse(text: &str, env: &Env) -> Result<Self, String> {
        let mut parameters = accept(split(text)?)?;
        let has_mode = MODES.iter().any(|name| parameters.contains_key(name));
        let is_set = |name: &str| parameters.contains_key(name) || has_mode && name == "sslmode";
        let variables = VARIABLES
            .iter()
            .filter(|(name, _)| !is_set(name))
            .filter_map(|(name, variable)| Some(((*name).to_owned(), env.text(variable)?)));
        let variables = accept(variables.collect())?;
        parameters.extend(variables);
        let parameters = &parameters;
        let text = |name: &str| parameters.get(name).cloned();
        let hosts = hosts(parameters)?;
        let (user, database) = (text("user"), text("dbname"));
        let file = text("passfile").map(PathBuf::from);
        let file = file.or_else(|| Some(Path::new(&env.text(HOME)?).join(".pgpass")));
        let from_file = || password(&file?, hosts.first()?, database.as_deref(), user.as_deref());
        Ok(Self {
            password: text("password").or_else(from_file),
            hosts,
            shuffle: one_of(
                parameters,
                "load_balance_hosts",
                &[("disable", false), ("random", true)],
            )?
            .unwrap_or(false),
            user,
            database,
            application_name: text("application_name").or_else(|| text("fallback_application_name")),
            startup: startup(parameters),
            connect_timeout: seconds(parameters, "connect_timeout")?,
            keepalive: keepalive(parameters)?,
            tls: Tls::from(parameters)?,
        })
    }
}

fn keepalive(parameters: &Parameters) -> Result<Keepalive, String> {
    Ok(Keepalive {
        enabled: number(parameters, "keepalives")? != Some(0),
        idle: seconds(parameters, "keepalives_idle")?,
        interval: seconds(parameters, "keepalives_interval")?,
        count: number(parameters, "keepalives_count")?.filter(|count| *count > 0),
        unacknowledged: number(parameters, "tcp_user_timeout")?
            .filter(|milliseconds| *milliseconds > 0)
            .map_or(Duration::from_secs(10), |milliseconds| {
                Duration::from_millis(milliseconds.into())
            }),
    })
}

fn hosts(parameters: &Parameters) -> Result<Vec<Host>, String> {
    let list = |name: &str| -> Vec<String> {
        let text = parameters.get(name).map(String::as_str).unwrap_or_default();
        text.split(',').map(|entry| entry.trim().to_owned()).collect()
    };
    let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = names.len().max(addresses.len());
    let fits = |list: &[String]| list.len() == count || list.len() == 1;
    if !fits(&ports)
        || (parameters.contains_key("host") && names.len() != count)
        || (parameters.contains_key("hostaddr") && addresses.len() != count)
    {
        return Err("a URL with as many values of `hostaddr` and `port` as of `host`".to_owned());
    }
    let entry = |list: &[String], index: usize| {
        list.get(index)
            .or(list.first().filter(|_| list.len() == 1))
            .cloned()
            .unwrap_or_default()
    };
    (0..count)
        .map(|index| host(&entry(&names, index), &entry(&addresses, index), &entry(&ports, index)))
        .collect()
}

fn host(name: &str, address: &str, port: &str) -> Result<Host, String> {
    let port = match port {
        "" => 5432,
        text => text
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or("a URL whose `port` is a number between 1 and 65535")?,
    };
    let address = match address {
        "" => None,
        text => Some(text.parse().map_err(|_| "a URL whose `hostaddr` is an IP address")?),
    };
    let in_folder = |folder: &str| PathBuf::from(format!("{folder}/.s.PGSQL.{port}"));
    match name {
        "" if address.is_none() => {
            let places = ["/run/postgresql", "/var/run/postgresql", "/tmp"].map(in_folder);
            let socket = places.into_iter().find(|place| place.exists()).map(Host::Socket);
            Ok(socket.unwrap_or_else(|| Host::Tcp {
                name: "localhost".to_owned(),
                address,
                port,
            }))
        }
        socket if socket.starts_with(['/', '@']) && address.is_none() => Ok(Host::Socket(in_folder(socket))),
        name => Ok(Host::Tcp {
            name: address
                .filter(|_| name.is_empty())
                .map_or_else(|| name.to_owned(), |address| address.to_string()),
            address,
            port,
        }),
    }
}

fn startup(parameters: &Parameters) -> Vec<(&'static str, String)> {
    let path = ["schema", "currentSchema", "search_path"]
        .iter()
        .find_map(|name| parameters.get(name));
    let path = path
        .filter(|path| *path != "public")
        .map(|path| ("search_path", path.clone()));
    let options = parameters.get("options").map(|options| ("options", options.clone()));
    options.into_iter().chain(path).collect()
}

#[cfg(test)]
mod tests;
