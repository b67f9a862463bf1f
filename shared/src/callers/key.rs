//! Public keys of an issuer (RFC 7517, RFC 7518, section 6).

mod small_order;

use super::algorithm::{Algorithm, Method};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    agreement::{self, ECDH_P256, ECDH_P384, EphemeralPrivateKey, agree_ephemeral},
    rand::SystemRandom,
    signature::{RsaPublicKeyComponents, UnparsedPublicKey},
};
use serde::Deserialize;
use serde_json::Value;

/// What a key must be, for the message about a setting.
pub(super) const EXPECTED: &str = "a public key for signatures, with one of the issuer's algorithms: \
    RSA of 2048 to 8192 bits, EC on P-256 or P-384, or OKP on Ed25519 (RFC 7517)";

/// As [`EXPECTED`]: settings are no place for the other part.
pub(super) const WITHOUT_PRIVATE_PART: &str = "a public key alone, without the members of its private part";

/// The members of a key that are nobody's but its owner's (RFC 7518, section 6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The sizes of RSA keys in bits: smaller ones can be factored, and larger ones take long to verify with.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A key that a signature may be verified with.
#[derive(Clone, Debug)]
pub(super) struct Key {
    id: Option<String>,
    /// The only algorithm that it may be used with, if it names one.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Clone, Debug)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// With the name of its curve.
    Point(&'static str, Vec<u8>),
}

/// A JSON Web Key. What is of no use here, a private part included, is left where it is.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Key {
    /// Reads a JSON Web Key; `None` if it is not [`EXPECTED`].
    pub fn from_json(json: &Value) -> Option<Self> {
        // Serde would take an array for a struct.
        let jwk = Jwk::deserialize(json.as_object()?).ok()?;
        let is_for_signatures = jwk.usage.as_deref().is_none_or(|usage| usage == "sig");
        let may_verify = jwk
            .key_ops
            .as_ref()
            .is_none_or(|all| all.iter().any(|one| one == "verify"));
        if !is_for_signatures || !may_verify {
            return None;
        }
        let material = Material::of(&jwk)?;
        let algorithm = match &jwk.alg {
            Some(name) => Some(Algorithm::named(name)?),
            None => None,
        };
        Some(Self {
            id: jwk.kid,
            algorithm,
            material,
        })
    }

    /// Whether a JSON Web Key has a private part.
    pub fn is_private(json: &Value) -> bool {
        PRIVATE.iter().any(|name| json.get(name).is_some())
    }

    /// Whether a token with this algorithm, and this key id if it has one, may be signed with the key.
    pub fn fits(&self, algorithm: Algorithm, id: Option<&str>) -> bool {
        let is_named = id.is_none() || id == self.id.as_deref();
        let has_type = match (&self.material, algorithm.method()) {
            (Material::Rsa { .. }, Method::Rsa(_)) => true,
            (Material::Point(mine, _), Method::Curve(curve, _)) => *mine == curve,
            _ => false,
        };
        is_named && has_type && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Whether the key can verify anything: a pair of numbers need not be a point of the curve. A key agreement finds out, in
    /// 0.1 ms or more; nothing in ring says so of Ed25519, so such a key counts as good, and verifies nothing.
    pub fn is_sound(&self) -> bool {
        let (curve, point) = match &self.material {
            Material::Point("P-256", point) => (&ECDH_P256, point),
            Material::Point("P-384", point) => (&ECDH_P384, point),
            Material::Rsa { .. } | Material::Point(..) => return true,
        };
        let private = EphemeralPrivateKey::generate(curve, &SystemRandom::new());
        let peer = agreement::UnparsedPublicKey::new(curve, point);
        private.is_ok_and(|private| agree_ephemeral(private, &peer, |_| ()).is_ok())
    }

    /// Whether this key has signed the message.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let verified = match (&self.material, algorithm.method()) {
            (Material::Rsa { n, e }, Method::Rsa(parameters)) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            (Material::Point(_, point), Method::Curve(_, curve)) => {
                UnparsedPublicKey::new(curve, point).verify(message, signature)
            }
            _ => return false,
        };
        verified.is_ok()
    }
}

impl Material {
    fn of(jwk: &Jwk) -> Option<Self> {
        match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => Self::rsa(integer(jwk.n.as_ref()?)?, integer(jwk.e.as_ref()?)?),
            ("EC", Some("P-256")) => Self::point("P-256", jwk, 32),
            ("EC", Some("P-384")) => Self::point("P-384", jwk, 48),
            ("OKP", Some("Ed25519")) => {
                let point = decoded(jwk.x.as_ref()?)?;
                (point.len() == 32 && !small_order::has(&point)).then_some(Self::Point("Ed25519", point))
            }
            _ => None,
        }
    }

    fn rsa(n: Vec<u8>, e: Vec<u8>) -> Option<Self> {
        let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
        let are_odd = n.last()? & e.last()? & 1 == 1;
        (RSA_BITS.contains(&bits) && are_odd && e != [1] && e.len() <= 4).then_some(Self::Rsa { n, e })
    }

    /// An uncompressed point (SEC 1, section 2.3.3).
    fn point(curve: &'static str, jwk: &Jwk, length: usize) -> Option<Self> {
        let (x, y) = (decoded(jwk.x.as_ref()?)?, decoded(jwk.y.as_ref()?)?);
        let point = [&[4], x.as_slice(), &y].concat();
        (x.len() == length && y.len() == length).then_some(Self::Point(curve, point))
    }
}

fn decoded(text: &String) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Without the zeros at the start that some issuers write, and ring refuses.
fn integer(text: &String) -> Option<Vec<u8>> {
    let bytes = decoded(text)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Some(bytes[zeros..].to_vec())
}
