//! Keys that sign tokens.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents, UnparsedPublicKey,
        VerificationAlgorithm,
    },
};
use serde_json::{Value, json};

/// A key pair with an id.
pub struct SigningKey {
    id: String,
    pair: Pair,
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(Box<RsaKeyPair>),
}

impl SigningKey {
    /// A new key for ES256.
    pub fn es256() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("random numbers");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random);
        Self::new(Pair::Es256(pair.expect("it was generated")))
    }

    /// A new key for `EdDSA`.
    pub fn eddsa() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("random numbers");
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref());
        Self::new(Pair::EdDsa(pair.expect("it was generated")))
    }

    /// A key for RS256 with 2048 bits; always the same, because ring generates none.
    pub fn rs256() -> Self {
        let lines = include_str!("../gcs/key.pem").lines();
        let base64: String = lines.filter(|line| !line.starts_with('-')).collect();
        let document = STANDARD.decode(base64).expect("a key file");
        let pair = RsaKeyPair::from_pkcs8(&document);
        Self::new(Pair::Rs256(Box::new(pair.expect("a key file"))))
    }

    fn new(pair: Pair) -> Self {
        let mut key = Self {
            id: String::new(),
            pair,
        };
        let public = ring::digest::digest(&ring::digest::SHA256, key.public_bytes());
        key.id = encode(&public.as_ref()[..12]);
        key
    }

    fn public_bytes(&self) -> &[u8] {
        match &self.pair {
            Pair::Es256(pair) => pair.public_key().as_ref(),
            Pair::EdDsa(pair) => pair.public_key().as_ref(),
            Pair::Rs256(pair) => pair.public_key().as_ref(),
        }
    }

    /// The public part as a JSON Web Key.
    pub fn public(&self) -> Value {
        let mut key = match &self.pair {
            Pair::Es256(_) => {
                let (x, y) = self.public_bytes()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)})
            }
            Pair::EdDsa(_) => json!({"kty": "OKP", "crv": "Ed25519", "x": encode(self.public_bytes())}),
            Pair::Rs256(pair) => {
                let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "n": encode(&n), "e": encode(&e)})
            }
        };
        key["kid"] = self.id.as_str().into();
        key["alg"] = self.algorithm().into();
        key["use"] = "sig".into();
        key
    }

    /// The header of its tokens.
    pub fn header(&self) -> Value {
        json!({"alg": self.algorithm(), "kid": self.id, "typ": "at+jwt"})
    }

    /// A token with this header and these claims, as they are.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = [header, claims]
            .map(|part| encode(part.to_string().as_bytes()))
            .join(".");
        let signature = self.signature(message.as_bytes());
        format!("{message}.{}", encode(&signature))
    }

    /// The signature of this message.
    pub fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Es256(pair) => pair.sign(&random, message).expect("random numbers").as_ref().to_vec(),
            Pair::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let signed = pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
                signed.expect("random numbers");
                signature
            }
        }
    }

    /// Whether this is the signature, by ring alone.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &dyn VerificationAlgorithm = match self.pair {
            Pair::Es256(_) => &ECDSA_P256_SHA256_FIXED,
            Pair::EdDsa(_) => &ED25519,
            Pair::Rs256(_) => &RSA_PKCS1_2048_8192_SHA256,
        };
        let key = UnparsedPublicKey::new(algorithm, self.public_bytes());
        key.verify(message, signature).is_ok()
    }

    fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Es256(_) => "ES256",
            Pair::EdDsa(_) => "EdDSA",
            Pair::Rs256(_) => "RS256",
        }
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
