//! Signatures and keys, against the vectors that others have published.

mod vectors;

use super::{algorithm::Algorithm, key::Key, token::Token};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// Whether this key has signed this token, as far as this library understands both.
fn is_signed(key: &Value, jws: &str) -> bool {
    let Ok(token) = Token::parse(jws) else { return false };
    let (Some(key), Ok(algorithm)) = (Key::from_json(key), token.header.algorithm(&Algorithm::ALL)) else {
        return false;
    };
    let fits = key.fits(algorithm, token.header.kid.as_deref());
    fits && key.verify(algorithm, token.message, &token.signature)
}

/// A modulus or an exponent of so many bits.
fn bits(count: usize) -> String {
    let mut bytes = vec![0xff; count.div_ceil(8)];
    bytes[0] = 0xff >> (bytes.len() * 8 - count);
    URL_SAFE_NO_PAD.encode(bytes)
}

#[test]
fn small_and_huge_keys_and_odd_exponents_are_refused() {
    let is_taken = |n: usize, e: &str| Key::from_json(&json!({"kty": "RSA", "n": bits(n), "e": e})).is_some();
    for (n, e, expected) in [
        (2047, "AQAB", false),
        (2048, "AQAB", true),
        (8192, "AQAB", true),
        (8193, "AQAB", false),
        (2048, "Aw", true),
        (2048, "AAAAAQAB", true),
        (2048, "AQ", false),
        (2048, "Ag", false),
        (2048, "", false),
        (2048, "/////w", false),
        (2048, "_____w8", false),
    ] {
        assert_eq!(is_taken(n, e), expected, "{n} {e}");
    }
    let even = format!("{}A", &bits(2048)[..341]);
    assert!(Key::from_json(&json!({"kty": "RSA", "n": even, "e": "AQAB"})).is_none());
}

#[test]
fn a_key_is_bound_to_its_type_and_to_what_it_says_of_its_use() {
    let key = json!({"kty": "RSA", "n": bits(2048), "e": "AQAB", "kid": "a"});
    let fits = |members: Value, algorithm| {
        let mut key = key.clone();
        key.as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        Key::from_json(&key).is_some_and(|key| key.fits(algorithm, Some("a")))
    };
    for (members, algorithm, expected) in [
        (json!({}), Algorithm::Rs256, true),
        (json!({}), Algorithm::Ps256, true),
        (json!({}), Algorithm::Es256, false),
        (json!({}), Algorithm::EdDsa, false),
        (json!({"alg": "RS256"}), Algorithm::Rs256, true),
        (json!({"alg": "RS256"}), Algorithm::Ps256, false),
        (json!({"alg": "RS256"}), Algorithm::Rs512, false),
        (json!({"alg": "RSA-OAEP"}), Algorithm::Rs256, false),
        (json!({"use": "enc"}), Algorithm::Rs256, false),
        (json!({"use": "sig", "key_ops": ["verify"]}), Algorithm::Rs256, true),
        (json!({"key_ops": ["encrypt"]}), Algorithm::Rs256, false),
        (json!({"kid": "b"}), Algorithm::Rs256, false),
        (json!({"kty": "oct", "k": "AAAA"}), Algorithm::Rs256, false),
        (json!({"kty": "EC"}), Algorithm::Es256, false),
    ] {
        assert_eq!(fits(members.clone(), algorithm), expected, "{members} {algorithm:?}");
    }
}

#[test]
fn a_key_is_an_object() {
    let array = json!(["EC", null, null, null, null, "P-256", null, null, bits(256), bits(256)]);
    assert!(Key::from_json(&array).is_none());
    for other in [json!(null), json!("EC"), json!([])] {
        assert!(Key::from_json(&other).is_none());
    }
}

#[test]
fn a_point_that_is_not_on_its_curve_can_verify_nothing() {
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    let random = ring::rand::SystemRandom::new();
    for (crv, length, algorithm) in [
        ("P-256", 32, &ECDSA_P256_SHA256_FIXED_SIGNING),
        ("P-384", 48, &ECDSA_P384_SHA384_FIXED_SIGNING),
    ] {
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        let mut point = pair.public_key().as_ref()[1..].to_vec();
        let is_sound = |point: &[u8]| {
            let (x, y) = point.split_at(length);
            let [x, y] = [x, y].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
            let key = json!({"kty": "EC", "crv": crv, "x": x, "y": y});
            Key::from_json(&key).unwrap().is_sound()
        };
        assert!(is_sound(&point), "{crv}");
        point[2 * length - 1] ^= 1;
        assert!(!is_sound(&point) && !is_sound(&vec![0; 2 * length]) && !is_sound(&vec![0xff; 2 * length]));
    }
}

#[test]
fn a_point_has_the_length_of_its_curve() {
    let x = |length: usize| bits(length * 8);
    for (kty, crv, length, expected) in [
        ("EC", "P-256", 32, true),
        ("EC", "P-256", 31, false),
        ("EC", "P-384", 48, true),
        ("EC", "P-384", 32, false),
        ("EC", "P-521", 66, false),
        ("EC", "Ed25519", 32, false),
        ("OKP", "Ed25519", 32, true),
        ("OKP", "Ed25519", 33, false),
        ("OKP", "X25519", 32, false),
    ] {
        let key = json!({"kty": kty, "crv": crv, "x": x(length), "y": x(length)});
        assert_eq!(Key::from_json(&key).is_some(), expected, "{key}");
    }
}
