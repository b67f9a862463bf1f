//! Settings of the bucket: which one, and how to reach it.

mod address;

use crate::config::{DURATION, Env, Unusable, misconfigured, parse_duration};
use address::{emulator, metadata_host, region, url};
use std::time::Duration;

/// Which bucket, and how to reach it. Not `Debug`: a secret is in it.
#[derive(Clone)]
pub struct Settings {
    /// The bucket and its backend.
    pub location: Result<Location, Unusable>,
    /// `STORAGE_EMULATOR_HOST`: the URL of a GCS emulator instead of the real service, without a slash at its end.
    pub gcs_emulator: Option<String>,
    /// `GOOGLE_APPLICATION_CREDENTIALS`: the path of a service account's key; the metadata server otherwise.
    pub gcs_credentials: Option<String>,
    /// Whether `GCE_METADATA_HOST` is set: then there is a metadata server, even beside an emulator. The SDK reads its
    /// address.
    pub gcs_metadata_host: bool,
    /// How to reach S3.
    pub s3: S3,
    /// `STORAGE_TIMEOUT`: the deadline of one request to the bucket, its retries included. Health checks have their
    /// own.
    pub timeout: Duration,
}

/// How to reach S3. The SDK's chain finds what is not set here: profiles, roles of containers and instances.
#[derive(Clone, Default)]
pub struct S3 {
    /// `AWS_ENDPOINT_URL_S3`, or `AWS_ENDPOINT_URL`: another server that speaks S3.
    pub endpoint: Option<String>,
    /// `AWS_REGION`, or `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
    pub credentials: Option<(String, String, Option<String>)>,
}

impl S3 {
    fn from_env(env: &Env) -> Result<Self, Unusable> {
        let endpoint = url("AWS_ENDPOINT_URL_S3", env.text("AWS_ENDPOINT_URL_S3"))?;
        let general = url("AWS_ENDPOINT_URL", env.text("AWS_ENDPOINT_URL"));
        let name = region("AWS_REGION", env.text("AWS_REGION"))?;
        let default = region("AWS_DEFAULT_REGION", env.text("AWS_DEFAULT_REGION"));
        let trimmed = |text: String| text.trim().to_owned();
        let key = env.text("AWS_ACCESS_KEY_ID").zip(env.text("AWS_SECRET_ACCESS_KEY"));
        let token = env.text("AWS_SESSION_TOKEN").map(trimmed);
        Ok(Self {
            endpoint: endpoint.map_or(general, |endpoint| Ok(Some(endpoint)))?,
            region: name.map_or(default, |name| Ok(Some(name)))?,
            credentials: key.map(|(id, secret)| (trimmed(id), trimmed(secret), token)),
        })
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

const TIMEOUT: Duration = Duration::from_secs(30);

impl Settings {
    /// Reads one of `STORAGE_URL`, `GCS_BUCKET` and `S3_BUCKET`, and how to reach what it names.
    pub fn from_env(env: &Env) -> Self {
        let mut location = bucket(env);
        let gcs_emulator = emulator(env);
        let s3 = S3::from_env(env);
        // A wrong setting of one cloud does not matter to a bucket in another.
        let metadata = metadata_host(env);
        match (&location, gcs_emulator.as_ref().and(metadata.as_ref()), &s3) {
            (Ok(Location::Gcs(_)), Err(wrong), _) | (Ok(Location::S3(_)), _, Err(wrong)) => {
                location = Err(wrong.clone())
            }
            _ => {}
        }
        let timeout = match env.text("STORAGE_TIMEOUT") {
            None => Some(TIMEOUT),
            Some(text) => parse_duration(text.trim()),
        };
        let timed = timeout.ok_or_else(|| misconfigured("STORAGE_TIMEOUT", DURATION));
        Self {
            location: timed.and(location),
            gcs_emulator: gcs_emulator.unwrap_or_default(),
            gcs_credentials: env.text("GOOGLE_APPLICATION_CREDENTIALS"),
            gcs_metadata_host: metadata.is_ok_and(|host| host.is_some()),
            s3: s3.unwrap_or_default(),
            timeout: timeout.unwrap_or(TIMEOUT),
        }
    }
}

/// More than one of the three is an error, because no order between them would be obvious.
fn bucket(env: &Env) -> Result<Location, Unusable> {
    let named = [
        env.text("STORAGE_URL").map(|url| location(url.trim())),
        env.text("GCS_BUCKET")
            .map(|bucket| bucket_name("GCS_BUCKET", bucket.trim()).map(Location::Gcs)),
        env.text("S3_BUCKET")
            .map(|bucket| bucket_name("S3_BUCKET", bucket.trim()).map(Location::S3)),
    ];
    let mut named = named.into_iter().flatten();
    match (named.next(), named.next()) {
        (None, _) => Err(Unusable::NotConfigured),
        (Some(location), None) => location,
        (Some(_), Some(_)) => Err(misconfigured(
            "STORAGE_URL",
            "the only one set of STORAGE_URL, GCS_BUCKET and S3_BUCKET",
        )),
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

/// The characters that both GCS and S3 allow, so that a name needs no encoding in a URL.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::env;

    #[test]
    fn a_bucket_is_named_by_exactly_one_variable() {
        let location = |settings| Settings::from_env(&env(settings)).location;
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

    #[test]
    fn an_invalid_bucket_is_reported_by_the_health_check() {
        let env = env(&[("STORAGE_URL", "ftp://bucket")]);
        assert!(matches!(
            Settings::from_env(&env).location,
            Err(Unusable::Misconfigured(_))
        ));
        assert_eq!(env.take_invalid(), []);
    }

    #[test]
    fn an_invalid_timeout_of_the_bucket_is_reported_by_the_health_check() {
        for timeout in ["abc", "0s", "25h"] {
            let env = Env::new(move |key| match key {
                "GCS_BUCKET" => Some("evidence".to_owned()),
                "STORAGE_TIMEOUT" => Some(timeout.to_owned()),
                _ => None,
            });
            let Err(Unusable::Misconfigured(invalid)) = Settings::from_env(&env).location else {
                panic!("{timeout} is accepted");
            };
            assert_eq!((invalid.key, env.take_invalid()), ("STORAGE_TIMEOUT", vec![]));
        }
    }
}
