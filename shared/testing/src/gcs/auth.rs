//! Authentication: bearer tokens, the metadata server that issues them, and V4 signatures.
//! Sources: <https://cloud.google.com/storage/docs/authentication/canonical-requests>, <https://google.aip.dev/auth/4111>.

use super::{Answer, XmlError, parameter, response, xml_error};
use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use hyper::{StatusCode, http::request::Parts};
use ring::{digest, rand::SystemRandom, signature};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

/// The key of the emulator's service account. No other service accepts it.
const PRIVATE_KEY: &str = include_str!("key.pem");
const PUBLIC_KEY: &[u8] = include_bytes!("key.der");
const ACCOUNT: &str = "emulator@hostile-project.iam.gserviceaccount.com";
const TOKEN: &str = "token-of-the-metadata-server";

/// Whom the emulator serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Auth {
    /// Everybody with a token, whatever it is.
    Anybody,
    /// Clients with a token that the service account has signed itself.
    KeyFile,
    /// Clients with a token of the metadata server.
    Metadata,
}

/// The key file of the service account, for `GOOGLE_APPLICATION_CREDENTIALS`.
pub fn key_file() -> String {
    json!({
        "type": "service_account",
        "private_key": PRIVATE_KEY,
        "private_key_id": "1",
        "client_email": ACCOUNT,
    })
    .to_string()
}

/// The answers of the metadata server and of the signing service.
pub fn answer(request: &Parts, body: &Bytes) -> Option<Result<Answer, XmlError>> {
    let path = request.uri.path();
    let from_metadata = |answer: String| {
        let asked = request
            .headers
            .get("metadata-flavor")
            .is_some_and(|flavor| flavor == "Google");
        Some(if asked {
            Ok(response(StatusCode::OK, answer))
        } else {
            Err(xml_error(StatusCode::FORBIDDEN, "MissingMetadataFlavor"))
        })
    };
    if path.ends_with("/service-accounts/default/token") {
        let token = json!({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"});
        return from_metadata(token.to_string());
    }
    if path.ends_with("/service-accounts/default/email") {
        return from_metadata(ACCOUNT.to_owned());
    }
    let account = path
        .strip_prefix("/v1/projects/-/serviceAccounts/")?
        .strip_suffix(":signBlob")?;
    Some(match Auth::Metadata.check(request) {
        Ok(()) if account == ACCOUNT => Ok(response(StatusCode::OK, sign_blob(body))),
        Ok(()) => Err(xml_error(StatusCode::FORBIDDEN, "NotYourAccount")),
        Err(refused) => Err(refused),
    })
}

fn sign_blob(body: &[u8]) -> String {
    let asked: Value = serde_json::from_slice(body).expect("a request to sign is JSON");
    let payload = BASE64_STANDARD.decode(asked["payload"].as_str().unwrap_or_default());
    let der: String = PRIVATE_KEY.lines().filter(|line| !line.starts_with('-')).collect();
    let der = BASE64_STANDARD.decode(der).expect("the key is PEM");
    let key = signature::RsaKeyPair::from_pkcs8(&der).expect("the key is PKCS #8");
    let mut signed = vec![0; key.public().modulus_len()];
    let payload = payload.expect("a payload is base64");
    key.sign(
        &signature::RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        &payload,
        &mut signed,
    )
    .expect("the key can sign");
    json!({"signedBlob": BASE64_STANDARD.encode(signed)}).to_string()
}

impl Auth {
    /// A signed URL needs no token.
    pub(super) fn check(self, request: &Parts) -> Result<(), XmlError> {
        if parameter(request, "X-Goog-Signature").is_some() {
            return check_signature(request);
        }
        let header = request
            .headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let token = header
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        let accepted = match self {
            Self::Anybody => !token.is_empty(),
            Self::KeyFile => is_signed_by_the_account(token),
            Self::Metadata => token == TOKEN,
        };
        if accepted {
            Ok(())
        } else {
            Err(xml_error(StatusCode::UNAUTHORIZED, "AuthenticationRequired"))
        }
    }
}

fn is_signed_by_the_account(token: &str) -> bool {
    let Some((message, signed)) = token.rsplit_once('.') else {
        return false;
    };
    let claims = message
        .split('.')
        .nth(1)
        .and_then(|claims| BASE64_URL_SAFE_NO_PAD.decode(claims).ok());
    let claims: Value = claims
        .and_then(|claims| serde_json::from_slice(&claims).ok())
        .unwrap_or_default();
    let signed = BASE64_URL_SAFE_NO_PAD.decode(signed).unwrap_or_default();
    claims["iss"] == ACCOUNT && verifies(message.as_bytes(), &signed)
}

fn verifies(message: &[u8], signed: &[u8]) -> bool {
    let key = signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, PUBLIC_KEY);
    key.verify(message, signed).is_ok()
}

fn check_signature(request: &Parts) -> Result<(), XmlError> {
    let wrong = || xml_error(StatusCode::FORBIDDEN, "SignatureDoesNotMatch");
    let query = request.uri.query().unwrap_or_default();
    let mut pairs: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.starts_with("X-Goog-Signature="))
        .collect();
    pairs.sort_unstable();
    let signed_headers = parameter(request, "X-Goog-SignedHeaders").ok_or_else(wrong)?;
    let mut canonical = format!("{}\n{}\n{}\n", request.method, request.uri.path(), pairs.join("&"));
    for name in signed_headers.split(';') {
        let value = request.headers.get(name).and_then(|value| value.to_str().ok());
        let value = value.ok_or_else(wrong)?;
        canonical += &format!("{name}:{value}\n");
    }
    // A header that is not signed is rejected: otherwise a client could add headers that the signer did not intend.
    let unsigned = request.headers.keys().any(|name| {
        name.as_str().starts_with("x-goog-") && !signed_headers.split(';').any(|signed| signed == name.as_str())
    });
    canonical += &format!("\n{signed_headers}\nUNSIGNED-PAYLOAD");
    let date = parameter(request, "X-Goog-Date").ok_or_else(wrong)?;
    let credential = parameter(request, "X-Goog-Credential").ok_or_else(wrong)?;
    let (account, scope) = credential.split_once('/').ok_or_else(wrong)?;
    let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let message = format!("GOOG4-RSA-SHA256\n{date}\n{scope}\n{hash}");
    let signed = parameter(request, "X-Goog-Signature")
        .and_then(|text| unhex(&text))
        .ok_or_else(wrong)?;
    if unsigned || account != ACCOUNT || !verifies(message.as_bytes(), &signed) {
        return Err(wrong());
    }
    let lifetime = parameter(request, "X-Goog-Expires")
        .and_then(|text| text.parse().ok())
        .ok_or_else(wrong)?;
    let end = at(&date).ok_or_else(wrong)? + Duration::from_secs(lifetime);
    if SystemTime::now() > end {
        return Err(xml_error(StatusCode::BAD_REQUEST, "ExpiredToken"));
    }
    Ok(())
}

/// Parses a time such as `20261123T053215Z`.
fn at(date: &str) -> Option<SystemTime> {
    let part = |range: std::ops::Range<usize>| date.get(range);
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4)?,
        part(4..6)?,
        part(6..8)?,
        part(9..11)?,
        part(11..13)?,
        part(13..15)?
    );
    humantime::parse_rfc3339(&text).ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = (0..text.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}
