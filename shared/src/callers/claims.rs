//! What the claims of a token say, once its signature is verified.

use super::{
    caller::{Caller, Identity, Kind},
    problem::{AUDIENCE_WRONG, TOKEN_EXPIRED, TOKEN_MALFORMED, TOKEN_NOT_YET_VALID},
    refusal::Refusal,
    settings::{Audience, Issuer},
    token::{Claims, texts},
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far two clocks may be apart.
pub const SKEW: Duration = Duration::from_secs(60);

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
            email: self
                .email
                .filter(|_| self.email_verified == true || self.email_verified == "true"),
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
            "azp" => self.azp.as_deref().is_some_and(accepts),
            "client_id" => self.client_id.as_deref().is_some_and(accepts),
            _ => texts(&self.aud).any(accepts),
        }
    }

    fn scopes(&self) -> Vec<String> {
        let all = self.scope.as_deref().into_iter().chain(texts(&self.scp));
        let words = all.flat_map(str::split_ascii_whitespace);
        words.map(str::to_owned).collect()
    }

    /// A program is its own subject (RFC 9068, section 2.2), or the provider says so in its way: Auth0, Entra, Keycloak, Google.
    fn kind(&self) -> Kind {
        let is = |claim: &Option<String>, text: &str| claim.as_deref() == Some(text);
        let username = self.preferred_username.as_deref().unwrap_or_default();
        let account = username.strip_prefix("service-account-");
        let email = self.email.as_deref().unwrap_or_default();
        let is_service = is(&self.client_id, &self.sub)
            || is(&self.azp, &self.sub)
            || is(&self.gty, "client-credentials")
            || is(&self.idtyp, "app")
            || account.is_some_and(|client| is(&self.azp, client))
            || email.ends_with(".gserviceaccount.com");
        if is_service { Kind::Service } else { Kind::User }
    }
}

/// A time that a clock can show: until the year 9999.
fn time(seconds: f64) -> Result<SystemTime, Refusal> {
    const YEAR_9999: f64 = 253_402_300_799.0;
    let duration = Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|_| seconds <= YEAR_9999);
    duration
        .map(|duration| UNIX_EPOCH + duration)
        .ok_or(TOKEN_MALFORMED.into())
}

#[cfg(test)]
mod tests;
