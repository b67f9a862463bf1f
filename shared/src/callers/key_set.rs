//! The keys of an issuer as they were at one time.

use super::{algorithm::Algorithm, key::Key, token::Token};
use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How many keys are tried for a token that does not name its key: anybody can send such tokens, and each key costs a
/// verification. Issuers that name no keys have a few.
const MAX_TRIED: usize = 32;
/// How many tokens are known to be signed. A caller sends the same one until it ends, and two hashes cost less than the
/// mathematics of a signature. 4096 have about 250 KiB.
const MAX_SIGNED: usize = 4096;

pub(super) enum Verdict {
    Signed,
    /// A key fits, but it has not signed the token.
    Unsigned,
    /// No key fits.
    Unknown,
}

/// A newer set begins without the tokens of this one: a key that the issuer has withdrawn has signed nothing there.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Box<[Key]>,
    /// The hashes of the tokens that a key of the set has signed, header and signature included. What a token claims, such as
    /// its end, is for the caller of [`Self::verdict`] to check each time.
    signed: Mutex<HashSet<Hash>>,
}

type Hash = [u8; SHA256_OUTPUT_LEN];

impl FromIterator<Key> for KeySet {
    fn from_iter<T: IntoIterator<Item = Key>>(keys: T) -> Self {
        Self {
            keys: keys.into_iter().collect(),
            signed: Mutex::default(),
        }
    }
}

impl KeySet {
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Whether one of the keys has signed the token.
    pub fn verdict(&self, token: &Token<'_>, algorithm: Algorithm) -> Verdict {
        let hash = hash(token);
        if self.signed().contains(&hash) {
            return Verdict::Signed;
        }
        let verdict = self.verify(token, algorithm);
        if matches!(verdict, Verdict::Signed) {
            self.remember(hash);
        }
        verdict
    }

    fn verify(&self, token: &Token<'_>, algorithm: Algorithm) -> Verdict {
        let id = token.header.kid.as_deref();
        let fits = |key: &&Key| key.fits(algorithm, id);
        let mut fitting = self.keys.iter().filter(fits).take(MAX_TRIED).peekable();
        let no_key = fitting.peek().is_none();
        match fitting.any(|key| key.verify(algorithm, token.message, &token.signature)) {
            true => Verdict::Signed,
            false if no_key => Verdict::Unknown,
            false => Verdict::Unsigned,
        }
    }

    fn remember(&self, hash: Hash) {
        let mut signed = self.signed();
        if signed.len() == MAX_SIGNED {
            signed.clear();
        }
        signed.insert(hash);
    }

    fn signed(&self) -> MutexGuard<'_, HashSet<Hash>> {
        self.signed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The point keeps the signature apart: without it, one of its bytes could pass for the last of the message.
fn hash(token: &Token<'_>) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in [token.message, b".", &token.signature] {
        context.update(part);
    }
    let mut hash = Hash::default();
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests;
