//! Who calls.

use crate::problem::Problem;
use axum::{extract::FromRequestParts, http::request::Parts};
use ring::digest;
use std::{fmt, sync::Arc, time::SystemTime};

/// An identity that was verified: by its token, or by the platform. As an extractor it is an argument of handlers whose route
/// is not public.
#[derive(Clone)]
pub struct Caller {
    identity: Arc<Identity>,
    /// Computed once: the access line of every request has it.
    subject_hash: Arc<str>,
}

pub(super) struct Identity {
    pub issuer: Arc<str>,
    pub subject: String,
    pub email: Option<String>,
    pub scopes: Vec<String>,
    pub kind: Kind,
    pub expires: Option<SystemTime>,
}

crate::closed_set! {
    /// What calls.
    pub enum Kind {
        /// A person, through an application.
        User = "user",
        /// A program on its own behalf.
        Service = "service",
    }
}

impl Caller {
    pub(super) fn new(identity: Identity) -> Self {
        let subject_hash = hash(&identity.issuer, &identity.subject).into();
        Self {
            identity: Arc::new(identity),
            subject_hash,
        }
    }

    /// A caller that the platform has verified, such as a role of IAM: without scopes, and without an expiry.
    pub fn from_platform(issuer: &str, subject: impl Into<String>, kind: Kind) -> Self {
        Self::new(Identity {
            issuer: issuer.into(),
            subject: subject.into(),
            email: None,
            scopes: Vec::new(),
            kind,
            expires: None,
        })
    }

    /// Who vouches for the caller: `issuer` of an entry of `TOKEN_ISSUERS`, or the platform.
    pub fn issuer(&self) -> &str {
        &self.identity.issuer
    }

    /// Who calls, in the issuer's words. Two issuers may use one subject for two callers.
    pub fn subject(&self) -> &str {
        &self.identity.subject
    }

    /// 16 hexadecimal digits for logs: the same for the same caller in every function and release, and of no use to find out
    /// the subject where it is as random as those of identity providers are. Not keyed: a key would be one more secret, and
    /// one that every function has to share, to protect only subjects that can be guessed.
    pub fn subject_hash(&self) -> &str {
        &self.subject_hash
    }

    /// The address, if the issuer has verified that it is the caller's.
    pub fn email(&self) -> Option<&str> {
        self.identity.email.as_deref()
    }

    /// What the token permits, as it says it.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.identity.scopes.iter().map(String::as_str)
    }

    /// A user or a service.
    pub fn kind(&self) -> Kind {
        self.identity.kind
    }

    /// When the token ends; an answer must not last longer. `None`: the platform verifies each request anew.
    pub fn expires(&self) -> Option<SystemTime> {
        self.identity.expires
    }

    /// Whether the caller has exactly this scope.
    pub fn has(&self, scope: &str) -> bool {
        self.scopes().any(|granted| granted == scope)
    }

    /// Whether the caller may do what `scope` stands for at `path`, which has no slash at its start.
    ///
    /// `streams:read` permits every path. `streams:read:cases/` permits every path below `cases`, and `streams:read:cases/42`
    /// permits `cases/42` and every path below it, but not `cases/421`. A path with a segment `.` or `..` is permitted by a
    /// scope without a path alone.
    pub fn may(&self, scope: &str, path: &str) -> bool {
        self.scopes().any(|granted| match granted.strip_prefix(scope) {
            Some("") => true,
            Some(rest) => rest.strip_prefix(':').is_some_and(|below| lies_below(path, below)),
            None => false,
        })
    }
}

/// Without what a log must not have.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut caller = f.debug_struct("Caller");
        caller.field("issuer", &self.issuer());
        caller
            .field("subject_hash", &self.subject_hash())
            .finish_non_exhaustive()
    }
}

fn hash(issuer: &str, subject: &str) -> String {
    let mut digest = digest::Context::new(&digest::SHA256);
    for part in [issuer, "\0", subject] {
        digest.update(part.as_bytes());
    }
    let digest = digest.finish();
    let first = digest.as_ref().first_chunk().expect("a digest has 32 bytes");
    format!("{:016x}", u64::from_be_bytes(*first))
}

fn lies_below(path: &str, folder: &str) -> bool {
    let is_relative = path.split('/').any(|segment| matches!(segment, "." | ".."));
    let Some(rest) = path.strip_prefix(folder).filter(|_| !folder.is_empty() && !is_relative) else {
        return false;
    };
    if folder.ends_with('/') {
        !rest.is_empty()
    } else {
        rest.is_empty() || rest.starts_with('/')
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get().cloned();
        caller.ok_or_else(|| Problem::internal("the route of this handler is public: it has no caller"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(scopes: &[&str]) -> Caller {
        Caller::new(Identity {
            issuer: "https://issuer".into(),
            subject: "alice".to_owned(),
            email: None,
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            kind: Kind::User,
            expires: None,
        })
    }

    #[test]
    fn a_scope_with_a_path_permits_that_path_and_what_is_below_it() {
        for (scope, path, expected) in [
            ("streams:read", "cases/42", true),
            ("streams:read", "../x", true),
            ("streams:read:cases/", "cases/42", true),
            ("streams:read:cases/", "cases/42/events", true),
            ("streams:read:cases/42", "cases/42", true),
            ("streams:read:cases/42", "cases/42/events", true),
            ("streams:read:cases/42", "cases/421", false),
            ("streams:read:cases/", "cases", false),
            ("streams:read:cases/", "cases/", false),
            ("streams:read:cases/", "Cases/42", false),
            ("streams:read:cases/", "cases/../other", false),
            ("streams:read:cases/", "/cases/42", false),
            ("streams:read:", "cases/42", false),
            ("streams:reader", "cases/42", false),
            ("streams", "cases/42", false),
            ("streams:write", "cases/42", false),
            ("", "cases/42", false),
        ] {
            assert_eq!(caller(&[scope]).may("streams:read", path), expected, "{scope} {path}");
        }
        assert!(!caller(&[]).may("streams:read", "cases/42"));
    }

    #[test]
    fn a_scope_is_had_only_as_it_is() {
        let caller = caller(&["streams:read:cases/", "profile"]);
        assert!(caller.has("profile") && caller.has("streams:read:cases/"));
        assert!(!caller.has("streams:read") && !caller.has("prof") && !caller.has(""));
    }

    #[test]
    fn the_hash_of_a_subject_is_that_of_this_subject_of_this_issuer() {
        let alice = caller(&[]);
        let alice = alice.subject_hash();
        assert_eq!(alice, "78b74b9c4707bb2f");
        let debug = format!("{:?}", caller(&["profile"]));
        assert!(
            debug.contains(alice) && !debug.contains("alice") && !debug.contains("profile"),
            "{debug}"
        );
        assert_eq!(alice, caller(&["profile"]).subject_hash());
        for other in [
            Caller::from_platform("https://issuer", "bob", Kind::Service),
            Caller::from_platform("https://other", "alice", Kind::Service),
            Caller::from_platform("https://issue", "ralice", Kind::Service),
        ] {
            assert_ne!(alice, other.subject_hash());
        }
    }
}
