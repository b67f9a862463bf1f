//! Settings: one struct per dependency, read from an injected `get(key)`, every bad variable reported at once.

use std::{cell::RefCell, fmt, time::Duration};

/// Where settings come from, and what was wrong with those read so far.
pub struct Env {
    get: Box<Source>,
    invalid: RefCell<Vec<Invalid>>,
}

type Source = dyn Fn(&str) -> Option<String>;

/// A variable that this process cannot live with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invalid {
    /// The variable's name.
    pub key: &'static str,
    /// What it takes instead; never its value, which may be a secret.
    pub expected: &'static str,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must be {}", self.key, self.expected)
    }
}

impl Env {
    /// Settings from the environment of this process.
    pub fn from_process() -> Self {
        Self::new(|key| std::env::var(key).ok())
    }

    /// Settings from any source. An empty value counts as unset.
    pub fn new(get: impl Fn(&str) -> Option<String> + 'static) -> Self {
        Self {
            get: Box::new(get),
            invalid: RefCell::default(),
        }
    }

    /// The value of `key`, unless it is unset or empty.
    pub fn text(&self, key: &str) -> Option<String> {
        (self.get)(key).filter(|value| !value.is_empty())
    }

    /// The parsed value of `key`, or `default`. A value that `parse` refuses is kept for [`Env::invalid`].
    pub fn parse<T>(
        &self,
        key: &'static str,
        default: T,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> T {
        let Some(text) = self.text(key) else {
            return default;
        };
        parse(text.trim()).unwrap_or_else(|| {
            self.invalid.borrow_mut().push(Invalid { key, expected });
            default
        })
    }

    /// A duration above zero such as `15s`, `500ms` or `5m`, at most a day.
    pub fn duration(&self, key: &'static str, default: Duration) -> Duration {
        const EXPECTED: &str = "a duration between 1ms and 24h, such as 500ms, 15s or 5m";
        self.parse(key, default, EXPECTED, |text| {
            let accepted = Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60);
            humantime::parse_duration(text)
                .ok()
                .filter(|duration| accepted.contains(duration))
        })
    }

    /// Every variable that was refused so far, in the order of reading.
    pub fn invalid(&self) -> Vec<Invalid> {
        self.invalid.borrow().clone()
    }
}

/// Why a dependency cannot even be tried. The process starts all the same: health endpoints report it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unusable {
    /// No variable names the dependency.
    NotConfigured,
    /// A variable names it in a way that cannot work.
    Misconfigured(Invalid),
}

/// How health checks behave.
#[derive(Clone, Copy, Debug)]
pub struct Health {
    /// `HEALTH_TIMEOUT`: the deadline of a check, connecting included.
    pub timeout: Duration,
    /// `HEALTH_CACHE`: how long a result, good or bad, answers further probes.
    pub cache: Duration,
}

impl Health {
    /// Reads `HEALTH_TIMEOUT` (2 s) and `HEALTH_CACHE` (1 s).
    pub fn from_env(env: &Env) -> Self {
        Self {
            timeout: env.duration("HEALTH_TIMEOUT", Duration::from_secs(2)),
            cache: env.duration("HEALTH_CACHE", Duration::from_secs(1)),
        }
    }
}

/// How event streams live.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// `SSE_HEARTBEAT_INTERVAL`: the time between two heartbeats.
    pub heartbeat: Duration,
    /// `SSE_MAX_AGE`: the age at which a stream ends, give or take a fifth.
    pub max_age: Duration,
}

impl Stream {
    /// Reads `SSE_HEARTBEAT_INTERVAL` (15 s) and `SSE_MAX_AGE` (5 min).
    pub fn from_env(env: &Env) -> Self {
        Self {
            heartbeat: env.duration("SSE_HEARTBEAT_INTERVAL", Duration::from_secs(15)),
            max_age: env.duration("SSE_MAX_AGE", Duration::from_secs(5 * 60)),
        }
    }
}

/// Where Postgres is.
#[derive(Clone, Debug)]
pub struct Database {
    /// `DATABASE_URL` as `postgresql://...`, whatever dialect it came in.
    pub url: Result<String, Unusable>,
    /// `DATABASE_MAX_CONNECTIONS`: the size of the pool.
    pub max_connections: u32,
    /// `MIGRATIONS_DIR`: a folder of migrations in place of those in the binary.
    pub migrations: Option<String>,
}

impl Database {
    /// Reads `DATABASE_URL`, `DATABASE_MAX_CONNECTIONS` (5, or 1 in a Lambda environment that serves one request at a
    /// time) and `MIGRATIONS_DIR`.
    pub fn from_env(env: &Env) -> Self {
        let one_at_a_time =
            env.text("AWS_LAMBDA_RUNTIME_API").is_some() && env.text("AWS_LAMBDA_MAX_CONCURRENCY").is_none();
        let default = if one_at_a_time { 1 } else { 5 };
        let max_connections = match env.text("DATABASE_MAX_CONNECTIONS") {
            None => Some(default),
            Some(text) => text.trim().parse().ok().filter(|count| (1..=1000).contains(count)),
        };
        let url = match (env.text("DATABASE_URL"), max_connections) {
            (None, _) => Err(Unusable::NotConfigured),
            (Some(_), None) => Err(misconfigured("DATABASE_MAX_CONNECTIONS", "a number between 1 and 1000")),
            (Some(url), Some(_)) => postgres_url(url.trim()),
        };
        Self {
            url,
            max_connections: max_connections.unwrap_or(default),
            migrations: env.text("MIGRATIONS_DIR"),
        }
    }
}

/// How migrations wait.
#[derive(Clone, Copy, Debug)]
pub struct Migrate {
    /// `MIGRATE_LOCK_TIMEOUT`: how long a statement waits for a table's lock before its file is rolled back and retried.
    pub lock_timeout: Duration,
    /// `MIGRATE_STATEMENT_TIMEOUT`: how long a statement may take.
    pub statement_timeout: Duration,
    /// `MIGRATE_WAIT`: how long to wait for another migrator.
    pub wait: Duration,
}

impl Migrate {
    /// Reads `MIGRATE_LOCK_TIMEOUT` (5 s), `MIGRATE_STATEMENT_TIMEOUT` (1 h) and `MIGRATE_WAIT` (10 min).
    pub fn from_env(env: &Env) -> Self {
        Self {
            lock_timeout: env.duration("MIGRATE_LOCK_TIMEOUT", Duration::from_secs(5)),
            statement_timeout: env.duration("MIGRATE_STATEMENT_TIMEOUT", Duration::from_secs(60 * 60)),
            wait: env.duration("MIGRATE_WAIT", Duration::from_secs(10 * 60)),
        }
    }
}

/// Takes the URLs that Python stacks use too: `postgresql+asyncpg://`, `ssl=` for `sslmode=`, and no host before a
/// Cloud SQL socket (`postgresql://user:pass@/db?host=/cloudsql/project:region:instance`).
fn postgres_url(url: &str) -> Result<String, Unusable> {
    const EXPECTED: &str = "a URL such as postgresql://user:password@host:5432/database";
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| misconfigured("DATABASE_URL", EXPECTED))?;
    let driver = scheme.split('+').next();
    if !matches!(driver, Some("postgresql" | "postgres")) {
        return Err(misconfigured("DATABASE_URL", EXPECTED));
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host = if authority.is_empty() || authority.ends_with('@') {
        "localhost"
    } else {
        ""
    };
    let path = path.replace("?ssl=", "?sslmode=").replace("&ssl=", "&sslmode=");
    Ok(format!("postgresql://{authority}{host}{path}"))
}

/// Where the evidence files are. Not `Debug`: it holds a secret.
#[derive(Clone)]
pub struct Storage {
    /// The bucket and its backend.
    pub location: Result<Location, Unusable>,
    /// `STORAGE_EMULATOR_HOST`: a GCS emulator instead of the real service.
    pub gcs_emulator: Option<String>,
    /// `GOOGLE_APPLICATION_CREDENTIALS`: the path of a service account's key; the metadata server otherwise.
    pub gcs_credentials: Option<String>,
    /// `GCE_METADATA_HOST` is set: there is a metadata server, whatever else is emulated. The SDK reads its address.
    pub gcs_metadata_host: bool,
    /// How to reach S3.
    pub s3: S3,
    /// `STORAGE_TIMEOUT`: the deadline of one request to the bucket, its retries included. Health checks have their own.
    pub timeout: Duration,
}

/// How to reach S3. What is not here, the SDK finds by its own chain: profiles, roles of containers and instances.
#[derive(Clone)]
pub struct S3 {
    /// `AWS_ENDPOINT_URL_S3`: a server of one's own.
    pub endpoint: Option<String>,
    /// `AWS_REGION`
    pub region: Option<String>,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
    pub credentials: Option<(String, String, Option<String>)>,
}

impl S3 {
    fn from_env(env: &Env) -> Self {
        let key = env.text("AWS_ACCESS_KEY_ID").zip(env.text("AWS_SECRET_ACCESS_KEY"));
        Self {
            endpoint: env.text("AWS_ENDPOINT_URL_S3"),
            region: env.text("AWS_REGION"),
            credentials: key.map(|(id, secret)| (id, secret, env.text("AWS_SESSION_TOKEN"))),
        }
    }
}

/// A bucket, named by a URL.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Location {
    /// `gs://bucket`
    Gcs(String),
    /// `s3://bucket`
    S3(String),
    /// `file:///dir`
    Folder(String),
    /// `memory:`
    Memory,
}

impl Storage {
    /// Reads one of `STORAGE_URL`, `GCS_BUCKET` and `S3_BUCKET`, and where GCS is. More than one of the three is an
    /// error, because no order between them would be obvious.
    pub fn from_env(env: &Env) -> Self {
        let named = [
            env.text("STORAGE_URL").map(|url| location(url.trim())),
            env.text("GCS_BUCKET")
                .map(|bucket| bucket_name("GCS_BUCKET", bucket.trim()).map(Location::Gcs)),
            env.text("S3_BUCKET")
                .map(|bucket| bucket_name("S3_BUCKET", bucket.trim()).map(Location::S3)),
        ];
        let mut named = named.into_iter().flatten();
        let location = match (named.next(), named.next()) {
            (None, _) => Err(Unusable::NotConfigured),
            (Some(location), None) => location,
            (Some(_), Some(_)) => Err(misconfigured(
                "STORAGE_URL",
                "the only one set of STORAGE_URL, GCS_BUCKET and S3_BUCKET",
            )),
        };
        Self {
            location,
            gcs_emulator: env.text("STORAGE_EMULATOR_HOST"),
            gcs_credentials: env.text("GOOGLE_APPLICATION_CREDENTIALS"),
            gcs_metadata_host: env.text("GCE_METADATA_HOST").is_some(),
            s3: S3::from_env(env),
            timeout: env.duration("STORAGE_TIMEOUT", Duration::from_secs(30)),
        }
    }
}

fn location(url: &str) -> Result<Location, Unusable> {
    const EXPECTED: &str = "gs://bucket, s3://bucket, file:///folder or memory:";
    match url.split_once(':') {
        Some(("gs", name)) => bucket_name("STORAGE_URL", name.trim_start_matches('/')).map(Location::Gcs),
        Some(("s3", name)) => bucket_name("STORAGE_URL", name.trim_start_matches('/')).map(Location::S3),
        Some(("file", path)) if path.starts_with("///") => Ok(Location::Folder(path[2..].to_owned())),
        Some(("memory", "" | "//")) => Ok(Location::Memory),
        _ => Err(misconfigured("STORAGE_URL", EXPECTED)),
    }
}

/// The characters that both GCS and S3 allow, so that a name can stand in a URL as it is.
fn bucket_name(key: &'static str, name: &str) -> Result<String, Unusable> {
    let name = name.trim_end_matches('/');
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    if (3..=222).contains(&name.len()) && name.chars().all(allowed) {
        Ok(name.to_owned())
    } else {
        Err(misconfigured(
            key,
            "a bucket's name of lower-case letters, digits, '-', '_' and '.'",
        ))
    }
}

fn misconfigured(key: &'static str, expected: &'static str) -> Unusable {
    Unusable::Misconfigured(Invalid { key, expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(settings: &'static [(&str, &str)]) -> Env {
        Env::new(|key| settings.iter().find(|(k, _)| *k == key).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn every_bad_duration_is_named_and_no_value_is_repeated() {
        let env = env(&[
            ("HEALTH_TIMEOUT", "hunter2"),
            ("HEALTH_CACHE", "0s"),
            ("SSE_MAX_AGE", "9d"),
        ]);
        Health::from_env(&env);
        Stream::from_env(&env);
        let message: Vec<String> = env.invalid().iter().map(Invalid::to_string).collect();
        let message = message.join("; ");
        for key in ["HEALTH_TIMEOUT", "HEALTH_CACHE", "SSE_MAX_AGE"] {
            assert!(message.contains(key), "{message}");
        }
        assert!(!message.contains("hunter2"), "{message}");
    }

    #[test]
    fn durations_are_read_with_their_units_and_empty_means_unset() {
        let env = env(&[("HEALTH_TIMEOUT", "500ms"), ("HEALTH_CACHE", ""), ("SSE_MAX_AGE", "5m")]);
        assert_eq!(Health::from_env(&env).timeout, Duration::from_millis(500));
        assert_eq!(Health::from_env(&env).cache, Duration::from_secs(1));
        assert_eq!(Stream::from_env(&env).max_age, Duration::from_secs(300));
        assert_eq!(env.invalid(), []);
    }

    #[test]
    fn a_bad_setting_of_a_dependency_is_kept_for_its_health_check() {
        let env = env(&[("DATABASE_URL", "mysql://root@db/app"), ("STORAGE_URL", "ftp://bucket")]);
        assert!(matches!(Database::from_env(&env).url, Err(Unusable::Misconfigured(_))));
        assert!(matches!(
            Storage::from_env(&env).location,
            Err(Unusable::Misconfigured(_))
        ));
        assert_eq!(env.invalid(), []);
    }

    #[test]
    fn the_urls_of_python_stacks_and_of_cloud_sql_are_understood() {
        for (given, expected) in [
            ("postgresql+asyncpg://u:p@h/d", "postgresql://u:p@h/d"),
            ("postgres://u:p@h/d?ssl=require", "postgresql://u:p@h/d?sslmode=require"),
            (
                "postgresql+asyncpg://u:p@/d?host=/cloudsql/p:r:i",
                "postgresql://u:p@localhost/d?host=/cloudsql/p:r:i",
            ),
            ("postgresql:///d", "postgresql://localhost/d"),
        ] {
            assert_eq!(postgres_url(given).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_pool_has_one_connection_where_lambda_serves_one_request_at_a_time() {
        let connections = |settings| Database::from_env(&env(settings)).max_connections;
        assert_eq!(connections(&[]), 5);
        assert_eq!(connections(&[("AWS_LAMBDA_RUNTIME_API", "x")]), 1);
        assert_eq!(
            connections(&[("AWS_LAMBDA_RUNTIME_API", "x"), ("AWS_LAMBDA_MAX_CONCURRENCY", "8")]),
            5
        );
        assert_eq!(connections(&[("DATABASE_MAX_CONNECTIONS", "7")]), 7);
    }

    #[test]
    fn a_bucket_is_named_by_exactly_one_variable() {
        let location = |settings| Storage::from_env(&env(settings)).location;
        assert_eq!(location(&[]), Err(Unusable::NotConfigured));
        assert_eq!(
            location(&[("GCS_BUCKET", "evidence")]),
            Ok(Location::Gcs("evidence".into()))
        );
        assert_eq!(
            location(&[("STORAGE_URL", "s3://evidence/")]),
            Ok(Location::S3("evidence".into()))
        );
        assert_eq!(
            location(&[("STORAGE_URL", "file:///var/e")]),
            Ok(Location::Folder("/var/e".into()))
        );
        assert_eq!(location(&[("STORAGE_URL", "memory:")]), Ok(Location::Memory));
        let both = location(&[("GCS_BUCKET", "evidence"), ("S3_BUCKET", "evidence")]);
        assert!(matches!(both, Err(Unusable::Misconfigured(_))));
        assert!(matches!(
            location(&[("S3_BUCKET", "../x")]),
            Err(Unusable::Misconfigured(_))
        ));
    }
}
