//! Where the evidence files are, and how to reach them.

use super::{Env, Unusable, misconfigured};
use hyper::Uri;
use std::time::Duration;

/// Where the evidence files are. Not `Debug`: it holds a secret.
#[derive(Clone)]
pub struct Storage {
    /// The bucket and its backend.
    pub location: Result<Location, Unusable>,
    /// `STORAGE_EMULATOR_HOST`: the URL of a GCS emulator instead of the real service, without a slash at its end.
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
#[derive(Clone, Default)]
pub struct S3 {
    /// `AWS_ENDPOINT_URL_S3`, or `AWS_ENDPOINT_URL`: a server of one's own.
    pub endpoint: Option<String>,
    /// `AWS_REGION`, or `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
    pub credentials: Option<(String, String, Option<String>)>,
}

impl S3 {
    fn from_env(env: &Env) -> Result<Self, Unusable> {
        let text = |key| env.text(key).map(|value| value.trim().to_owned());
        let endpoint = url(env, "AWS_ENDPOINT_URL_S3")?;
        let key = text("AWS_ACCESS_KEY_ID").zip(text("AWS_SECRET_ACCESS_KEY"));
        Ok(Self {
            endpoint: endpoint.map_or_else(|| url(env, "AWS_ENDPOINT_URL"), |endpoint| Ok(Some(endpoint)))?,
            region: region(env, "AWS_REGION")?
                .map_or_else(|| region(env, "AWS_DEFAULT_REGION"), |name| Ok(Some(name)))?,
            credentials: key.map(|(id, secret)| (id, secret, text("AWS_SESSION_TOKEN"))),
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

impl Storage {
    /// Reads one of `STORAGE_URL`, `GCS_BUCKET` and `S3_BUCKET`, and how to reach what it names.
    pub fn from_env(env: &Env) -> Self {
        let mut location = bucket(env);
        let gcs_emulator = emulator(env);
        let s3 = S3::from_env(env);
        // What is wrong about one cloud does not matter to a bucket in another.
        match (&location, &gcs_emulator, &s3) {
            (Ok(Location::Gcs(_)), Err(wrong), _) | (Ok(Location::S3(_)), _, Err(wrong)) => {
                location = Err(wrong.clone())
            }
            _ => {}
        }
        Self {
            location,
            gcs_emulator: gcs_emulator.unwrap_or_default(),
            gcs_credentials: env.text("GOOGLE_APPLICATION_CREDENTIALS"),
            gcs_metadata_host: env.text("GCE_METADATA_HOST").is_some(),
            s3: s3.unwrap_or_default(),
            timeout: env.duration("STORAGE_TIMEOUT", Duration::from_secs(30)),
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

/// `http://` or `https://` before a host, and maybe a port and a path; nothing for the SDKs to stumble over later.
fn url(env: &Env, key: &'static str) -> Result<Option<String>, Unusable> {
    let text = env.text(key).unwrap_or_default();
    match text.trim() {
        "" => Ok(None),
        text => checked_url(text).map_or(Err(misconfigured(key, "http:// or https:// and a host")), |url| {
            Ok(Some(url))
        }),
    }
}

/// As other SDKs take it: with a scheme, or as a host and a port.
fn emulator(env: &Env) -> Result<Option<String>, Unusable> {
    const KEY: &str = "STORAGE_EMULATOR_HOST";
    let text = env.text(KEY).unwrap_or_default();
    let url = match text.trim() {
        "" => return Ok(None),
        text if text.contains("://") => checked_url(text),
        host => checked_url(&format!("http://{host}")),
    };
    url.map_or(
        Err(misconfigured(
            KEY,
            "a host and a port, or http:// or https:// before them",
        )),
        |url| Ok(Some(url)),
    )
}

fn checked_url(text: &str) -> Option<String> {
    let url: Uri = text.parse().ok()?;
    let authority = url.authority()?;
    let host = authority.host();
    let port = authority.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    let is_plain = !host.is_empty() && authority.as_str() == format!("{host}{port}") && url.query().is_none();
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    (is_plain && is_http).then(|| text.trim_end_matches('/').to_owned())
}

fn region(env: &Env, key: &'static str) -> Result<Option<String>, Unusable> {
    let text = env.text(key).unwrap_or_default();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match text.trim() {
        "" => Ok(None),
        name if name.chars().all(allowed) => Ok(Some(name.to_owned())),
        _ => Err(misconfigured(key, "the name of a region, such as eu-central-1")),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::env;

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

    #[test]
    fn a_url_that_no_request_could_have_is_named_and_an_empty_one_is_unset() {
        let s3 = |key: &'static str, value: &str| {
            let value = value.to_owned();
            let env = Env::new(move |asked| match asked {
                "S3_BUCKET" => Some("evidence".to_owned()),
                "AWS_ENDPOINT_URL" if key != asked => Some("http://127.0.0.1:9000/".to_owned()),
                asked => (asked == key).then(|| value.clone()),
            });
            let settings = Storage::from_env(&env);
            settings.location.map(|_| settings.s3.endpoint)
        };
        for wrong in [
            "127.0.0.1:9000",
            "\"http://127.0.0.1\"",
            "http://a b",
            "http://",
            "ftp://a",
            "http://u:p@a",
            "http://a:99999",
            "http://a?b",
        ] {
            for key in ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"] {
                let Err(Unusable::Misconfigured(invalid)) = s3(key, wrong) else {
                    panic!("{wrong} is taken");
                };
                assert_eq!(invalid.key, key, "{wrong}");
            }
        }
        for right in ["http://a", " https://a.example:443/s3/\n", "http://[::1]:9000"] {
            let expected = right.trim().trim_end_matches('/').to_owned();
            assert_eq!(s3("AWS_ENDPOINT_URL_S3", right), Ok(Some(expected)));
        }
        for empty in ["", " "] {
            assert_eq!(
                s3("AWS_ENDPOINT_URL_S3", empty),
                Ok(Some("http://127.0.0.1:9000".to_owned()))
            );
        }
    }

    #[test]
    fn an_emulator_is_a_host_or_a_url_and_a_region_is_a_name() {
        let gcs = |value: &'static str| {
            let settings = Storage::from_env(&Env::new(move |key| match key {
                "GCS_BUCKET" => Some("evidence".to_owned()),
                "STORAGE_EMULATOR_HOST" => Some(value.to_owned()),
                // Nothing to this bucket.
                "AWS_REGION" => Some("\"eu-west-1\"".to_owned()),
                _ => None,
            }));
            settings.location.map(|_| settings.gcs_emulator.unwrap_or_default())
        };
        assert_eq!(gcs("localhost:4443"), Ok("http://localhost:4443".to_owned()));
        assert_eq!(gcs("https://localhost:4443/"), Ok("https://localhost:4443".to_owned()));
        for wrong in ["\"localhost\"", "local host", "http://", ":4443"] {
            assert!(matches!(gcs(wrong), Err(Unusable::Misconfigured(_))), "{wrong}");
        }
        let quoted = env(&[("S3_BUCKET", "evidence"), ("AWS_REGION", "\"eu-west-1\"")]);
        assert!(matches!(
            Storage::from_env(&quoted).location,
            Err(Unusable::Misconfigured(_))
        ));
    }
}
