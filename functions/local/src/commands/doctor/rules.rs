//! The rules: what must not be deployed, and why.

use super::{
    agreement, callers, connections,
    limits::{Limits, MAX_AGE},
};
use crate::deployment::{Deployed, Deployment};
use shared::{config::parse_duration, sse, storage::UPLOADS_PREFIX};

/// A rule of a safe deployment.
pub struct Rule {
    /// Why breaking it is unsafe.
    pub why: &'static str,
    /// Finds where it is broken: each place, with what is wrong there.
    pub broken: fn(&Deployment, Limits<'_>) -> Vec<String>,
}

/// Every rule.
pub const RULES: [Rule; 23] = [
    Rule {
        why: "a bucket whose lifecycle deletes more than abandoned uploads deletes files that should last, and nobody is asked",
        broken: deletes_more_than_uploads,
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
        broken: connections::exceed_those_of_the_server,
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

fn deletes_more_than_uploads(deployment: &Deployment, _: Limits<'_>) -> Vec<String> {
    let is_upload = |prefix: &String| prefix.starts_with(UPLOADS_PREFIX);
    let mut places = Vec::new();
    for lifecycle in &deployment.lifecycles {
        let prefixes = lifecycle.deletes.iter().filter(|prefix| !is_upload(prefix));
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
