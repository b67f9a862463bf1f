//! Points of Ed25519 whose order divides the cofactor, 8 (RFC 8032, section 5.1). Under such a key anyone can sign, and ring
//! takes it for a key like any other.

/// The y coordinates of these points, little-endian, with those that are not reduced.
const ALL: [[u8; 32]; 7] = [
    with(0x00, 0x00, 0x00),
    with(0x01, 0x00, 0x00),
    with(0xec, 0xff, 0x7f),
    with(0xed, 0xff, 0x7f),
    with(0xee, 0xff, 0x7f),
    *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\
       \xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
    *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\
       \x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
];

/// The first byte, those in the middle, and the last.
const fn with(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    (bytes[0], bytes[31]) = (first, last);
    bytes
}

/// Whether an encoded point is one of them, with either sign of x.
pub fn has(point: &[u8]) -> bool {
    let is_same = |(a, b): (&[u8], &[u8; 32])| a[..31] == b[..31] && a[31] & 0x7f == b[31];
    point.len() == 32 && ALL.iter().any(|y| is_same((point, y)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callers::{algorithm::Algorithm, key::Key};
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use ring::signature::{ED25519, UnparsedPublicKey};
    use serde_json::json;

    fn key(point: &[u8]) -> Option<Key> {
        Key::from_json(&json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(point)}))
    }

    /// R is the base point and S is 1: so S B = R + h A holds for the neutral point A, whatever is signed.
    fn forged() -> [u8; 64] {
        let mut signature = [0x66; 64];
        signature[32..].copy_from_slice(&with(0x01, 0x00, 0x00));
        signature[0] = 0x58;
        signature
    }

    #[test]
    fn a_key_under_which_anyone_can_sign_is_refused() {
        let neutral = UnparsedPublicKey::new(&ED25519, ALL[1]);
        assert!(
            neutral.verify(b"any message", &forged()).is_ok(),
            "the control: ring takes it"
        );
        for mut point in ALL {
            assert!(key(&point).is_none(), "{point:?}");
            point[31] ^= 0x80;
            assert!(key(&point).is_none(), "{point:?}");
            point[1] ^= 1;
            assert!(key(&point).is_some(), "{point:?}");
        }
    }

    #[test]
    fn a_key_that_is_not_on_the_curve_verifies_nothing() {
        // No point has 2, 7 or 8 for y.
        for y in [2, 7, 8] {
            let off = key(&with(y, 0, 0)).unwrap();
            for signature in [&forged()[..], &[0; 64], &[0xff; 64], b""] {
                assert!(!off.verify(Algorithm::EdDsa, b"any message", signature), "{y}");
            }
        }
    }
}
