//! The key of the issuer, in a file of its owner. ES256, because providers use it, and every library reads it: EdDSA is newer
//! than many of them.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use rustix::fs::OFlags;
use serde_json::{Value, json};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// `alg` of the key and of its tokens (RFC 7518, section 3.4).
pub const ALGORITHM: &str = "ES256";

/// A pair of keys.
pub struct Key {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Key {
    /// A key that no file has.
    pub fn new() -> Self {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &make(&random), &random);
        let pair = pair.expect("a key that was just made");
        Self { pair, random }
    }

    /// Reads the key in a file, and makes it where the file is new or empty. A lock on the file lets two processes make one
    /// key; one that fails halfway leaves an empty file.
    pub fn open(path: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| format!("cannot use the key {}: {error}", path.display());
        let mut file = open(path).map_err(failed)?;
        check(&file, path)?;
        lock(&file).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let random = SystemRandom::new();
        if bytes.is_empty() {
            bytes = make(&random);
            write(&mut file, &bytes).map_err(failed)?;
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &bytes, &random);
        let pair = pair.map_err(|_| {
            format!(
                "{} is not a key of `local`: delete it, and the next start makes another",
                path.display()
            )
        })?;
        Ok(Self { pair, random })
    }

    /// The token of a header and a payload: JWS in its compact form (RFC 7515, section 7.1).
    pub fn signed(&self, header: &Value, payload: &Value) -> String {
        let text = |value: &Value| BASE64.encode(value.to_string());
        let signed = format!("{}.{}", text(header), text(payload));
        let signature = self.pair.sign(&self.random, signed.as_bytes());
        let signature = signature.expect("the system has random bytes");
        format!("{signed}.{}", BASE64.encode(signature))
    }

    /// The public key (RFC 7518, section 6.2.1).
    pub fn public(&self) -> Value {
        let (x, y) = self.point();
        json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.id(), "alg": ALGORITHM, "use": "sig"})
    }

    /// Its name, `kid`: the thumbprint of the public key (RFC 7638), so that another key has another name.
    pub fn id(&self) -> String {
        let (x, y) = self.point();
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        BASE64.encode(digest(&SHA256, members.as_bytes()))
    }

    /// The coordinates, from the uncompressed form: 4, x, y (SEC 1, section 2.3.3).
    fn point(&self) -> (String, String) {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        (BASE64.encode(x), BASE64.encode(y))
    }
}

/// 128 random bits as text.
pub fn random_id() -> String {
    let mut bytes = [0; 16];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.expect("the system has random bytes");
    BASE64.encode(bytes)
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
    // A link or a FIFO in its place is neither followed nor waited for.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options.custom_flags(flags.bits().cast_signed()).open(path)
}

/// Waits while another process makes the key, which takes milliseconds, and no longer than a person would.
fn lock(file: &File) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if start.elapsed() > PATIENCE => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "another process has locked it"));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(2);

/// Nobody else may know the key.
fn check(file: &File, path: &Path) -> Result<(), String> {
    let path = path.display();
    let found = file
        .metadata()
        .map_err(|error| format!("cannot read {path}: {error}"))?;
    if !found.is_file() {
        return Err(format!("{path} is not a file"));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(format!(
            "{path} belongs to another user: delete it, and the next start makes another"
        ));
    }
    if found.mode() & 0o077 != 0 {
        return Err(format!(
            "others can read {path}: delete it, and the next start makes another"
        ));
    }
    Ok(())
}

fn make(random: &SystemRandom) -> Vec<u8> {
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, random);
    key.expect("the system has random bytes").as_ref().to_vec()
}

fn write(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.inspect_err(|_| _ = file.set_len(0))
}
