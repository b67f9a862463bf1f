//! `local token`: prints a token that the functions of this checkout take, or the settings with which one by itself takes it.

use super::{end, folder::LocalFolder, refuse};
use crate::issuer::{Claims, Issuer, SETTING};
use shared::config::{Env, parse_duration};
use std::{process::ExitCode, time::Duration};

/// What may follow the name of the command.
pub const ARGUMENTS: &str = "[--sub NAME] [--scope 'A B'] [--ttl 1h] [--email ADDRESS] [--service] | --settings";

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Prints one line, and nothing else: shells insert it. Not before the settings are known to be valid.
pub fn run(env: &Env, arguments: &[&str]) -> impl Future<Output = ExitCode> + use<> {
    let line = line(env, arguments);
    async {
        match line {
            Ok(line) => end(line, ExitCode::SUCCESS),
            Err(sentence) => refuse(&sentence),
        }
    }
}

fn line(env: &Env, arguments: &[&str]) -> Result<String, String> {
    let claims = match arguments {
        ["--settings"] => None,
        arguments => Some(claims(arguments)?),
    };
    let issuer = Issuer::open(&LocalFolder::from_env(env))?;
    match claims {
        Some(claims) => issuer.token(&claims),
        // Without quotes, as `env`, Docker and others read it.
        None => issuer.beside(env).map(|value| format!("{SETTING}={value}")),
    }
}

/// The claims that the arguments ask for.
fn claims(arguments: &[&str]) -> Result<Claims, String> {
    let (mut subject, mut scope, mut ttl, mut email, mut is_service) = (None, None, None, None, false);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let value = match *argument {
            "--sub" => &mut subject,
            "--scope" => &mut scope,
            "--ttl" => &mut ttl,
            "--email" => &mut email,
            "--service" if !is_service => {
                is_service = true;
                continue;
            }
            "--service" => return Err("--service is there twice".to_owned()),
            unknown => return Err(format!("{unknown} is unknown: token {ARGUMENTS}")),
        };
        let given = arguments.next().ok_or_else(|| format!("{argument} has no value"))?;
        if value.replace(*given).is_some() {
            return Err(format!("{argument} is there twice"));
        }
    }
    Ok(Claims {
        subject: subject.map_or(Ok("developer".to_owned()), parse_subject)?,
        email: email.map(parse_email).transpose()?,
        scope: scope.map(parse_scope).transpose()?,
        ttl: ttl.map_or(Ok(HOUR), parse_ttl)?,
        is_service,
    })
}

/// OpenID Connect Core 1.0, section 2: at most 255 characters of ASCII.
fn parse_subject(text: &str) -> Result<String, String> {
    let is_subject = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    let refused = || "--sub must be 1 to 255 characters of ASCII, without spaces".to_owned();
    is_subject.then(|| text.to_owned()).ok_or_else(refused)
}

fn parse_email(text: &str) -> Result<String, String> {
    let parts = text.rsplit_once('@');
    let is_address = parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    let is_plain = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    let refused = || "--email must be an address such as ada@example.com".to_owned();
    (is_address && is_plain).then(|| text.to_owned()).ok_or_else(refused)
}

/// Scopes with one space between two of them (RFC 6749, section 3.3).
fn parse_scope(text: &str) -> Result<String, String> {
    let scopes: Vec<&str> = text.split_ascii_whitespace().collect();
    let is_scope = |scope: &&str| {
        scope
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
    };
    if scopes.is_empty() || !scopes.iter().all(is_scope) {
        return Err("--scope must be scopes separated by spaces, of ASCII without \" and \\".to_owned());
    }
    Ok(scopes.join(" "))
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    let whole = parse_duration(text).filter(|ttl| ttl.subsec_nanos() == 0);
    whole.ok_or_else(|| "--ttl must be a duration between 1s and 24h, such as 15m or 8h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_make_no_token_are_refused_with_the_reason() {
        for (arguments, why) in [
            (&["--sub"][..], "--sub has no value"),
            (&["--sub", "a", "--sub", "b"], "--sub is there twice"),
            (&["--subject", "a"], "--subject is unknown"),
            (&["alice"], "alice is unknown"),
            (&["--service", "--service"], "--service is there twice"),
            (&["--settings", "--sub"], "--settings is unknown"),
            (&["--sub", ""], "--sub must be"),
            (&["--sub", "al ice"], "--sub must be"),
            (&["--sub", "älice"], "--sub must be"),
            (&["--email", "ada"], "--email must be"),
            (&["--email", "@example.com"], "--email must be"),
            (&["--email", "ada@exa mple.com"], "--email must be"),
            (&["--scope", " "], "--scope must be"),
            (&["--scope", "streams:\"read\""], "--scope must be"),
            (&["--scope", "strömen"], "--scope must be"),
            (&["--ttl", "0s"], "--ttl must be"),
            (&["--ttl", "500ms"], "--ttl must be"),
            (&["--ttl", "25h"], "--ttl must be"),
            (&["--ttl", "-1h"], "--ttl must be"),
            (&["--ttl", "soon"], "--ttl must be"),
        ] {
            let refused = claims(arguments).unwrap_err();
            assert!(refused.contains(why), "{arguments:?}: {refused}");
        }
    }

    #[test]
    fn without_arguments_a_developer_gets_an_hour_and_no_scope() {
        let expected = Claims {
            subject: "developer".to_owned(),
            email: None,
            scope: None,
            ttl: HOUR,
            is_service: false,
        };
        assert_eq!(claims(&[]).unwrap(), expected);
        let alice = claims(&["--ttl", "90s", "--scope", " a:b/  c ", "--service", "--sub", "alice"]).unwrap();
        assert!(alice.is_service);
        assert_eq!(
            (alice.scope.as_deref(), alice.ttl),
            (Some("a:b/ c"), Duration::from_secs(90))
        );
    }
}
