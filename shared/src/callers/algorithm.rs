//! The algorithms of signatures: asymmetric ones only, so that neither `none` nor HMAC can be named.

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RsaParameters, VerificationAlgorithm,
};

crate::closed_set! {
    /// RFC 7518, section 3.1; RFC 8037.
    pub enum Algorithm {
        Rs256 = "RS256",
        Rs384 = "RS384",
        Rs512 = "RS512",
        Ps256 = "PS256",
        Es256 = "ES256",
        Es384 = "ES384",
        EdDsa = "EdDSA",
    }
}

/// How a signature is verified: what type of key it takes, and what ring does with that.
pub(super) enum Method {
    Rsa(&'static RsaParameters),
    /// A curve, by its name in a key.
    Curve(&'static str, &'static dyn VerificationAlgorithm),
}

impl Algorithm {
    pub const ALL: [Self; 7] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// For settings that name none. RS256 is what OpenID Connect has every issuer support; ES256 is what RFC 7518 recommends.
    pub const DEFAULT: [Self; 2] = [Self::Rs256, Self::Es256];

    /// The algorithm with this name. `Ed25519` is what RFC 9864 calls the only kind of EdDSA there is here.
    pub fn named(name: &str) -> Option<Self> {
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    pub(super) fn method(self) -> Method {
        match self {
            Self::Rs256 => Method::Rsa(&RSA_PKCS1_2048_8192_SHA256),
            Self::Rs384 => Method::Rsa(&RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => Method::Rsa(&RSA_PKCS1_2048_8192_SHA512),
            Self::Ps256 => Method::Rsa(&RSA_PSS_2048_8192_SHA256),
            Self::Es256 => Method::Curve("P-256", &ECDSA_P256_SHA256_FIXED),
            Self::Es384 => Method::Curve("P-384", &ECDSA_P384_SHA384_FIXED),
            Self::EdDsa => Method::Curve("Ed25519", &ED25519),
        }
    }
}
