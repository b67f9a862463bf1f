//! URLs, hosts and regions, in the form that the SDKs accept.

use crate::config::{Env, Unusable, misconfigured};
use hyper::Uri;

/// `http://` or `https://`, a host, and maybe a port and a path. The SDKs would fail later, and less clearly, on
/// others.
pub fn url(key: &'static str, value: Option<String>) -> Result<Option<String>, Unusable> {
    checked(key, value, "http:// or https:// and a host", |text| {
        is_url(text).then(|| text.trim_end_matches('/').to_owned())
    })
}

/// A URL, or a host and a port: other SDKs take both.
pub fn emulator(env: &Env) -> Result<Option<String>, Unusable> {
    let host = env.text("STORAGE_EMULATOR_HOST").filter(|host| !host.trim().is_empty());
    let with_scheme = |host: String| {
        if host.contains("://") {
            host
        } else {
            format!("http://{}", host.trim())
        }
    };
    url("STORAGE_EMULATOR_HOST", host.map(with_scheme))
}

/// A host, and maybe a port: the SDK panics on anything else.
pub fn metadata_host(env: &Env) -> Result<Option<String>, Unusable> {
    let host = env.text("GCE_METADATA_HOST");
    checked("GCE_METADATA_HOST", host.clone(), "a host, and maybe a port", |_| {
        host.filter(|host| is_url(&format!("http://{host}")) && !host.contains('/'))
    })
}

pub fn region(key: &'static str, value: Option<String>) -> Result<Option<String>, Unusable> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    checked(key, value, "the name of a region, such as eu-central-1", |text| {
        text.chars().all(allowed).then(|| text.to_owned())
    })
}

/// A blank value counts as unset.
fn checked(
    key: &'static str,
    value: Option<String>,
    expected: &'static str,
    check: impl FnOnce(&str) -> Option<String>,
) -> Result<Option<String>, Unusable> {
    match value.as_deref().map(str::trim) {
        None | Some("") => Ok(None),
        Some(text) => check(text).map(Some).ok_or_else(|| misconfigured(key, expected)),
    }
}

fn is_url(text: &str) -> bool {
    let Ok(url) = text.parse::<Uri>() else {
        return false;
    };
    let port = url.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    let host = url.host().filter(|host| !host.is_empty());
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    let is_plain = host.map(|host| format!("{host}{port}")).as_deref() == url.authority().map(|all| all.as_str());
    is_http && host.is_some() && is_plain && url.query().is_none()
}

#[cfg(test)]
mod tests {
    use crate::{
        config::{Env, Unusable, tests::env},
        storage::Settings,
    };

    #[test]
    fn a_url_that_no_request_could_have_is_named_and_an_empty_one_is_unset() {
        let s3 = |key: &'static str, value: &str| {
            let value = value.to_owned();
            let env = Env::new(move |asked| match asked {
                "S3_BUCKET" => Some("evidence".to_owned()),
                "AWS_ENDPOINT_URL" if key != asked => Some("http://127.0.0.1:9000/".to_owned()),
                asked => (asked == key).then(|| value.clone()),
            });
            let settings = Settings::from_env(&env);
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
            let settings = Settings::from_env(&Env::new(move |key| match key {
                "GCS_BUCKET" => Some("evidence".to_owned()),
                "STORAGE_EMULATOR_HOST" => Some(value.to_owned()),
                // Not used by this bucket.
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
            Settings::from_env(&quoted).location,
            Err(Unusable::Misconfigured(_))
        ));
    }
}
