//! The rules: what must not be deployed, and why.

use super::{
    Limits,
    agreement::{self, DATABASE},
    callers,
};
use crate::deployment::{Deployed, Deployment, Platform};
use shared::{
    config::{Env, parse_duration},
    database::Database,
    sse,
    storage::UPLOADS_PREFIX,
};
use std::{cmp::Reverse, collections::BTreeMap};

/// A rule of a safe deployment.
pub struct Rule {
    /// Why breaking it is unsafe.
    pub why: &'static str,
    /// Finds where it is broken: each place, with what is wrong there.
    pub broken: fn(&Deployment, Limits<'_>) -> Vec<String>,
}

const MAX_AGE: &str = "SSE_MAX_AGE";

/// Connections that PostgreSQL reserves for superusers (`superuser_reserved_connections`).
const RESERVED_CONNECTIONS: u64 = 3;

/// Every rule.
pub const RULES: [Rule; 23] = [
    Rule {
        why: "a bucket whose lifecycle deletes more than abandoned uploads deletes evidence, and nobody is asked",
        broken: deletes_evidence,
    },
    Rule {
        why: "with * in CORS, any page that a user visits reads answers in that user's name",
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
    Rule {
        why: "a function starts without what it reads, and is unhealthy until somebody looks",
        broken: agreement::lack_what_they_read,
    },
    Rule {
        why: "whoever breaks into a function has its rights: it gets those to what it reads, and no others",
        broken: agreement::have_what_they_do_not_read,
    },
    Rule {
        why: "a URL that buffers brings a stream when it has ended, and one that streams has no API that reads it whole",
        broken: agreement::stream_otherwise,
    },
    Rule {
        why: "Lambda ends larger uploads before the function sees them, with an error of its own; sign a URL of the bucket",
        broken: agreement::take_what_lambda_does_not_hand_over,
    },
    Rule {
        why: "inside a VPC, Function URLs do not stream: the answer comes when it has ended",
        broken: agreement::stream_inside_a_vpc,
    },
    Rule {
        why: "functions that share an account have the rights of each other, and those of the default account are many",
        broken: agreement::share_an_account,
    },
    Rule {
        why: "a check that the platform cuts says nothing of its dependency, where its own deadline would",
        broken: agreement::cut_checks,
    },
    Rule {
        why: "without an audience, a token that its issuer made for any other service opens this one",
        broken: callers::name_no_audience,
    },
    Rule {
        why: "over http, whoever is on the way hands over keys, and makes tokens with them",
        broken: callers::are_asked_over_http,
    },
    Rule {
        why: "an issuer there is for development: whoever runs a program on the machine, or has the key of `local`, is every caller",
        broken: callers::are_on_this_machine,
    },
    Rule {
        why: "a function whose issuers have a mistake does not start",
        broken: callers::are_refused,
    },
    Rule {
        why: "a function that cannot read the name of its cookie or its origins does not start",
        broken: callers::refuse_a_cookie_or_origins,
    },
    Rule {
        why: "browsers send a cookie for any page, so that a write by cookie is refused from every origin that CORS_ORIGINS lacks",
        broken: callers::take_a_cookie_without_origins,
    },
    Rule {
        why: "a function that knows no issuer refuses everybody, until somebody makes its routes public",
        broken: callers::know_no_issuer,
    },
    Rule {
        why: "callers by IAM have no scopes, and their signature takes the header that a token needs: such a route refuses \
              everybody. Let AuthType be a parameter that may be NONE: the function checks tokens itself",
        broken: callers::ask_callers_by_iam_for_scopes,
    },
    Rule {
        why: "what everybody may write, somebody fills with rubbish: let callers write, by Route::callers or scopes",
        broken: callers::write_for_everybody,
    },
    Rule {
        why: "a function with such a route does not start, so that none is public because somebody forgot",
        broken: callers::do_not_say_who_may_call,
    },
];

fn deletes_evidence(deployment: &Deployment, _: Limits<'_>) -> Vec<String> {
    let ours = |prefix: &String| prefix.starts_with(UPLOADS_PREFIX);
    let mut places = Vec::new();
    for lifecycle in &deployment.lifecycles {
        let prefixes = lifecycle.deletes.iter().filter(|prefix| !ours(prefix));
        places.extend(prefixes.map(|prefix| format!("{}: deletes objects under {prefix:?}", lifecycle.place)));
    }
    places
}

fn answers_every_origin(deployment: &Deployment, _: Limits<'_>) -> Vec<String> {
    let star = |function: &&Deployed| {
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

fn tells_everybody_of_the_database(deployment: &Deployment, limits: Limits<'_>) -> Vec<String> {
    let functions = deployment.functions.iter();
    let public = functions.filter(|function| function.is_public && limits.reports_the_database(function));
    public
        .map(|function| format!("{}: everybody may call it", function.place))
        .collect()
}

fn opens_too_many_connections(deployment: &Deployment, limits: Limits<'_>) -> Vec<String> {
    let functions = deployment.functions.iter();
    let functions: Vec<&Deployed> = functions.filter(|function| limits.uses_database(function)).collect();
    let (unbounded, shared): (Vec<&Deployed>, Vec<&Deployed>) = functions
        .iter()
        .filter(|function| function.instances.is_none())
        .partition(|function| function.platform == Platform::CloudRun);
    let unbounded = unbounded.iter().map(|function| &function.place);
    let mut places: Vec<String> = unbounded
        .map(|place| format!("{place}: any number of instances, each with a pool"))
        .collect();
    let bounded = functions
        .iter()
        .filter_map(|function| Some((*function, function.instances?)));
    // Lambda functions without a reservation share the concurrency of the account.
    let largest = shared.into_iter().max_by_key(|function| function.pool());
    let mut pools: BTreeMap<Platform, Vec<(&Deployed, u64)>> = BTreeMap::new();
    for (function, instances) in bounded.chain(largest.map(|function| (function, limits.concurrency))) {
        pools.entry(function.platform).or_default().push((function, instances));
    }
    let free = limits.connections.saturating_sub(RESERVED_CONNECTIONS);
    let exceeding = pools
        .into_iter()
        .filter_map(|(platform, pools)| exceeding(platform, pools, free));
    places.extend(exceeding);
    places
}

/// The sum of these pools, if it is more than the connections that are free, and the largest of them.
fn exceeding(platform: Platform, mut pools: Vec<(&Deployed, u64)>, free: u64) -> Option<String> {
    const NAMED: usize = 3;
    let size = |(function, instances): &(&Deployed, u64)| instances.saturating_mul(function.pool());
    let sum = pools.iter().map(size).fold(0, u64::saturating_add);
    pools.sort_by_key(|pool| Reverse(size(pool)));
    let largest = pools.iter().take(NAMED).map(|(function, instances)| {
        let (place, pool) = (&function.place, function.pool());
        format!("{place}: {instances} instances x {pool} (DATABASE_MAX_CONNECTIONS)")
    });
    let largest: Vec<String> = largest.collect();
    (sum > free).then(|| {
        let largest = largest.join("; ");
        format!(
            "{platform:?}: pools of {sum} connections, and the server has {free} (POSTGRES_MAX_CONNECTIONS); the largest \
             are {largest}"
        )
    })
}

fn cuts_streams(deployment: &Deployment, limits: Limits<'_>) -> Vec<String> {
    let mut places = Vec::new();
    for function in deployment
        .functions
        .iter()
        .filter(|function| limits.streams_events(function))
    {
        let max_age = function.setting(MAX_AGE).and_then(parse_duration);
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

fn shows_secrets(deployment: &Deployment, _: Limits<'_>) -> Vec<String> {
    let mut places = Vec::new();
    for function in &deployment.functions {
        let keys = function.secrets.iter().map(|secret| &secret.key);
        places.extend(keys.map(|key| format!("{}: {key} stands there in plain text", function.place)));
    }
    places
}

impl Limits<'_> {
    /// Whether a function may connect to the database: its code reads `DATABASE_URL`, or the file sets it.
    fn uses_database(self, function: &Deployed) -> bool {
        let declared = self.declared(function);
        function.sets_any(DATABASE) || declared.is_some_and(|declared| declared.reads_any(DATABASE))
    }

    /// Whether a function tells how the database is. One that is not known here may.
    fn reports_the_database(self, function: &Deployed) -> bool {
        let declared = self.declared(function);
        self.uses_database(function) && declared.is_none_or(|declared| declared.reports)
    }

    /// Whether a function streams events up to their max age: by its code, or by its URL and settings if the code is not
    /// known here.
    fn streams_events(self, function: &Deployed) -> bool {
        let streams = match self.declared(function) {
            Some(declared) => declared.streams && declared.reads_any(&[MAX_AGE]),
            None => function.streams == Some(true) || function.setting(MAX_AGE).is_some(),
        };
        streams && !function.is_job
    }
}

impl Deployed {
    /// The value of a variable, if it stands in the file.
    fn setting(&self, key: &str) -> Option<&str> {
        self.settings.get(key)?.as_deref()
    }

    /// The environment of the function, as far as it stands in the file.
    pub fn env(&self) -> Env {
        let settings = self.settings.clone();
        let is_lambda = self.platform == Platform::Lambda;
        Env::new(move |key| match key {
            "AWS_LAMBDA_RUNTIME_API" => is_lambda.then(|| "127.0.0.1:9001".to_owned()),
            key => settings.get(key)?.clone(),
        })
    }

    /// The largest number of connections of one instance.
    fn pool(&self) -> u64 {
        let set = self
            .setting("DATABASE_MAX_CONNECTIONS")
            .and_then(|text| text.trim().parse().ok());
        set.unwrap_or_else(|| Database::from_env(&self.env()).max_connections().into())
    }
}
