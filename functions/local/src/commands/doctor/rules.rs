//! What must not be deployed, and why.

use super::Limits;
use crate::deployment::{Deployment, Function, Platform};
use shared::{config::parse_duration, sse};
use std::collections::BTreeMap;

/// Something that must not be deployed, and why.
pub struct Rule {
    pub why: &'static str,
    /// Where it is broken, each place with its facts.
    pub broken: fn(&Deployment, Limits) -> Vec<String>,
}

/// PostgreSQL keeps these for superusers (`superuser_reserved_connections`).
const RESERVED_CONNECTIONS: u64 = 3;

/// Why a star in CORS is unsafe.
pub const STAR: &str = "with * in CORS, any page that a user visits reads answers in that user's name";

/// Every rule.
pub const RULES: [Rule; 6] = [
    Rule {
        why: "a bucket whose lifecycle deletes more than .pilotlight/uploads/ deletes evidence, and nobody is asked",
        broken: deletes_evidence,
    },
    Rule {
        why: STAR,
        broken: answers_every_origin,
    },
    Rule {
        why: "how the database is tells an attacker when an attack works; load balancers and monitors can sign in",
        broken: tells_everybody_of_the_database,
    },
    Rule {
        why: "when every instance fills its pool, Postgres turns away the next connection, whoever needs it",
        broken: opens_too_many_connections,
    },
    Rule {
        why: "a platform that ends a stream before its max age cuts it inside an event, and all its clients at one age",
        broken: cuts_streams,
    },
    Rule {
        why: "a secret in a file is in the history, in every clone and in the platform's console; refer to a secret store",
        broken: shows_secrets,
    },
];

fn deletes_evidence(deployment: &Deployment, _: Limits) -> Vec<String> {
    let ours = |prefix: &String| prefix.starts_with(".pilotlight/uploads/");
    let mut places = Vec::new();
    for lifecycle in &deployment.lifecycles {
        let prefixes = lifecycle.deletes.iter().filter(|prefix| !ours(prefix));
        places.extend(prefixes.map(|prefix| format!("{}: deletes objects under {prefix:?}", lifecycle.place)));
    }
    places
}

fn answers_every_origin(deployment: &Deployment, _: Limits) -> Vec<String> {
    let star = |function: &&Function| {
        let own = function
            .setting("CORS_ORIGINS")
            .is_some_and(|origins| origins.contains('*'));
        own || function.platform_origins.iter().any(|origin| origin.contains('*'))
    };
    let functions = deployment.functions.iter().filter(star);
    functions
        .map(|function| format!("{}: answers every origin", function.place))
        .collect()
}

fn tells_everybody_of_the_database(deployment: &Deployment, _: Limits) -> Vec<String> {
    let functions = deployment.functions.iter();
    let public = functions.filter(|function| function.is_public && function.settings.contains_key("DATABASE_URL"));
    public
        .map(|function| format!("{}: everybody may call it", function.place))
        .collect()
}

fn opens_too_many_connections(deployment: &Deployment, limits: Limits) -> Vec<String> {
    let mut places = Vec::new();
    let mut sums: BTreeMap<Platform, u64> = BTreeMap::new();
    // Functions of Lambda that reserve nothing share what the account has.
    let mut shared = 0;
    for function in &deployment.functions {
        if !function.settings.contains_key("DATABASE_URL") {
            continue;
        }
        match (function.instances, function.platform) {
            (Some(instances), platform) => *sums.entry(platform).or_default() += instances * function.pool(),
            (None, Platform::Lambda) => shared = function.pool().max(shared),
            (None, Platform::CloudRun) => {
                places.push(format!("{}: any number of instances, each with a pool", function.place));
            }
        }
    }
    *sums.entry(Platform::Lambda).or_default() += shared * limits.concurrency;
    let free = limits.connections.saturating_sub(RESERVED_CONNECTIONS);
    let exceeding = sums.into_iter().filter(|(_, sum)| *sum > free);
    places.extend(exceeding.map(|(platform, sum)| {
        format!("{platform:?}: pools of {sum} connections, and the server has {free} (POSTGRES_MAX_CONNECTIONS)")
    }));
    places
}

fn cuts_streams(deployment: &Deployment, limits: Limits) -> Vec<String> {
    let mut places = Vec::new();
    for function in deployment.functions.iter().filter(|function| function.streams) {
        let max_age = function.setting("SSE_MAX_AGE").and_then(parse_duration);
        let longest = max_age.unwrap_or(limits.max_age).mul_f64(1.0 + sse::Settings::SPREAD);
        if function.timeout.is_none_or(|timeout| timeout <= longest) {
            let timeout = function.timeout.unwrap_or_default();
            places.push(format!(
                "{}: ends at {timeout:?} streams that live {longest:?}",
                function.place
            ));
        }
    }
    places
}

fn shows_secrets(deployment: &Deployment, _: Limits) -> Vec<String> {
    let mut places = Vec::new();
    for function in &deployment.functions {
        let keys = function.secrets.iter().map(|secret| &secret.key);
        places.extend(keys.map(|key| format!("{}: {key} stands there in plain text", function.place)));
    }
    places
}

impl Function {
    /// The value of a variable that stands in the file.
    fn setting(&self, key: &str) -> Option<&str> {
        self.settings.get(key)?.as_deref()
    }

    /// How many connections an instance may open.
    fn pool(&self) -> u64 {
        let own = self
            .setting("DATABASE_MAX_CONNECTIONS")
            .and_then(|text| text.parse().ok());
        own.unwrap_or(match self.platform {
            Platform::Lambda => 1,
            Platform::CloudRun => 5,
        })
    }
}
