//! What a set remembers of the tokens that it has verified, with Ed25519, which signs the same message in the same way.

use super::*;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap()
}

fn set() -> KeySet {
    let x = URL_SAFE_NO_PAD.encode(pair().public_key());
    let key = Key::from_json(&json!({"kty": "OKP", "crv": "Ed25519", "x": x}));
    key.into_iter().collect()
}

/// The message of a token and its signature. Claims are not read here.
fn signed(number: usize) -> (String, Vec<u8>) {
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "EdDSA"}).to_string());
    let message = format!("{header}.{number}");
    let signature = pair().sign(message.as_bytes()).as_ref().to_vec();
    (message, signature)
}

fn is_signed(set: &KeySet, message: &str, signature: &[u8]) -> bool {
    let text = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
    matches!(
        set.verdict(&Token::parse(&text).unwrap(), Algorithm::EdDsa),
        Verdict::Signed
    )
}

#[test]
fn a_token_that_is_known_makes_no_other_one_known() {
    let set = set();
    // A signature that begins with a letter could give it to the message.
    let begins_with_letter = |signature: &[u8]| signature[0].is_ascii_alphanumeric();
    let mut tokens = (0..).map(signed);
    let (message, signature) = tokens.find(|(_, signature)| begins_with_letter(signature)).unwrap();
    for _ in 0..2 {
        assert!(is_signed(&set, &message, &signature));
        let moved = format!("{message}{}", char::from(signature[0]));
        assert!(!is_signed(&set, &moved, &signature[1..]));
        assert!(!is_signed(&set, &format!("{message}0"), &signature));
        let mut other = signature.clone();
        other[63] ^= 1;
        assert!(!is_signed(&set, &message, &other));
    }
    assert_eq!(set.signed().len(), 1);
}

#[test]
fn a_set_remembers_so_many_tokens_and_verifies_any_number() {
    let set = set();
    for number in 0..=MAX_SIGNED {
        let (message, signature) = signed(number);
        assert!(is_signed(&set, &message, &signature));
        assert!(set.signed().len() <= MAX_SIGNED);
    }
    let (message, signature) = signed(0);
    assert!(is_signed(&set, &message, &signature));
}
