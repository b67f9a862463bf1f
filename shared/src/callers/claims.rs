//! What the claims of a token say, once its signature is verified.

use super::{
    caller::{Caller, Identity, Kind},
    problem::{AUDIENCE_WRONG, TOKEN_EXPIRED, TOKEN_MALFORMED, TOKEN_NOT_YET_VALID},
    refusal::Refusal,
    settings::{Audience, Issuer},
    token::Claims,
};
use crate::LAST_SECOND;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far two clocks may be apart.
pub const SKEW: Duration = Duration::from_secs(60);

/// The issuer of Google's service accounts.
const GOOGLE: &str = "https://accounts.google.com";
/// Where the issuers of Entra are. Azure AD B2C, whose users have their object as the subject, is elsewhere.
const ENTRA: [&str; 2] = ["https://login.microsoftonline.com/", "https://sts.windows.net/"];

impl Claims {
    /// # Errors
    /// [`TOKEN_EXPIRED`], [`TOKEN_NOT_YET_VALID`], [`AUDIENCE_WRONG`], or [`TOKEN_MALFORMED`] for a time that is not one.
    pub fn verify(self, issuer: &Issuer, now: SystemTime) -> Result<Caller, Refusal> {
        let expires = self.check_times(now)?;
        if self.sub.is_empty() {
            return Err(TOKEN_MALFORMED.into());
        }
        if !self.is_for(&issuer.audience) {
            return Err(AUDIENCE_WRONG.into());
        }
        Ok(Caller::new(Identity {
            issuer: issuer.name.clone(),
            kind: self.kind(),
            scopes: self.scopes(),
            email: self.email().map(str::to_owned),
            subject: self.sub,
            expires: Some(expires),
        }))
    }

    /// When the token ends, the skew included.
    fn check_times(&self, now: SystemTime) -> Result<SystemTime, Refusal> {
        let end = time(self.exp)? + SKEW;
        if let Ok(late) = now.duration_since(end) {
            return Err(Refusal::Time(TOKEN_EXPIRED, (late + SKEW).as_secs()));
        }
        for start in [self.nbf, self.iat].into_iter().flatten() {
            let early = time(start)?.duration_since(now).unwrap_or_default();
            if early > SKEW {
                return Err(Refusal::Time(TOKEN_NOT_YET_VALID, early.as_secs()));
            }
        }
        Ok(end)
    }

    fn is_for(&self, audience: &Audience) -> bool {
        let accepts = |text: &str| audience.accepted.iter().any(|accepted| accepted == text);
        match audience.claim {
            "aud" => self.texts("aud").any(accepts),
            client => self.text(client).is_some_and(accepts),
        }
    }

    /// `scope` is a text (RFC 8693, section 4.2), and at some providers an array; `scp` is a text at Entra, and an array at Okta.
    fn scopes(&self) -> Vec<String> {
        let all = self.texts("scope").chain(self.texts("scp"));
        let words = all.flat_map(str::split_ascii_whitespace);
        words.map(str::to_owned).collect()
    }

    /// A program is its own subject (RFC 9068, section 2.2), or the provider says so in its way: Okta, Auth0, Entra, Keycloak,
    /// Google.
    fn kind(&self) -> Kind {
        let is = |claim: &str, text: &str| self.text(claim) == Some(text);
        let username = self.text("preferred_username").unwrap_or_default();
        let account = username.strip_prefix("service-account-");
        let is_service = is("client_id", &self.sub)
            || is("azp", &self.sub)
            || is("cid", &self.sub)
            || self.sub.ends_with("@clients")
            || is("gty", "client-credentials")
            || is("idtyp", "app")
            || account.is_some_and(|client| self.text("azp").is_some_and(|azp| azp.to_lowercase() == client))
            || self.is_entra_app()
            || self.is_google_account();
        if is_service { Kind::Service } else { Kind::User }
    }

    /// A user's subject there differs from application to application, and that of an application is its object.
    fn is_entra_app(&self) -> bool {
        let is_entra = ENTRA.iter().any(|prefix| self.iss.starts_with(prefix));
        is_entra && self.text("oid") == Some(&self.sub) && self.text("idtyp") != Some("user")
    }

    fn is_google_account(&self) -> bool {
        let email = self.email().unwrap_or_default();
        self.iss == GOOGLE && email.ends_with(".gserviceaccount.com")
    }

    /// The address, if it is verified.
    fn email(&self) -> Option<&str> {
        self.text("email").filter(|_| self.is_true("email_verified"))
    }
}

/// A time that a clock can show: until the year 9999.
fn time(seconds: f64) -> Result<SystemTime, Refusal> {
    let duration = Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|_| seconds <= LAST_SECOND as f64);
    duration
        .map(|duration| UNIX_EPOCH + duration)
        .ok_or(TOKEN_MALFORMED.into())
}

#[cfg(test)]
mod tests;
