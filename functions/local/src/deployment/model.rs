//! What deployment files say, whatever their format.

use super::Choice;
use shared::config::Env;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What the files of a folder deploy.
#[derive(Default)]
pub struct Deployment {
    /// Functions, services and jobs.
    pub functions: Vec<Deployed>,
    /// The lifecycle rules of buckets.
    pub lifecycles: Vec<Lifecycle>,
    /// Files, and parts of files, that the reader does not understand.
    pub unclear: Vec<String>,
    /// A parameter with another value than its default.
    pub choice: Option<Choice>,
    /// Every other value that a parameter allows.
    pub choices: Vec<Choice>,
    /// The parameters of the template, with their defaults.
    pub parameters: BTreeMap<String, Option<String>>,
    /// The names of the template's outputs.
    pub outputs: BTreeSet<String>,
}

/// A Lambda function, or a service or job of Cloud Run, as one file deploys it.
#[derive(Default)]
pub struct Deployed {
    /// The file, and the name in it.
    pub place: String,
    /// Where it runs.
    pub platform: Platform,
    /// The binaries that it runs, one a container.
    pub binaries: Vec<String>,
    /// On Cloud Run, the service account.
    pub account: Option<String>,
    /// On Cloud Run, whether the socket of a Cloud SQL instance is mounted.
    pub cloud_sql: bool,
    /// On Lambda, whether its policies mention S3. `None` if it has a role of another template.
    pub bucket_role: Option<bool>,
    /// On Lambda, whether it is in a VPC.
    pub in_vpc: bool,
    /// On Lambda, whether its Function URL streams. `None` without a URL.
    pub streams: Option<bool>,
    /// Whether it is a Cloud Run job.
    pub is_job: bool,
    /// Whether everybody may call it.
    pub is_public: bool,
    /// Origins that the platform itself allows by CORS.
    pub platform_origins: Vec<String>,
    /// How long a request or a run of a job may take.
    pub timeout: Option<Duration>,
    /// The largest number of instances. `None` if there is no bound.
    pub instances: Option<u64>,
    /// Environment variables. `None` for a value outside of the file, such as a secret.
    pub settings: BTreeMap<String, Option<String>>,
    /// Secrets in plain text.
    pub secrets: Vec<Secret>,
}

impl Deployed {
    /// Whether the deployment sets one of these variables, in the file or by a secret.
    pub fn sets_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.settings.contains_key(*name))
    }

    /// The value of a variable, if it stands in the file.
    pub fn setting(&self, key: &str) -> Option<&str> {
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
}

/// A secret in plain text. Findings name the variable and never show the text.
pub struct Secret {
    /// The variable.
    pub key: String,
    /// Its value.
    pub text: String,
}

/// Where a function runs.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Platform {
    /// AWS Lambda.
    #[default]
    Lambda,
    /// Cloud Run.
    CloudRun,
}

/// The lifecycle rules of a bucket that delete objects.
pub struct Lifecycle {
    /// The file, and the bucket in it.
    pub place: String,
    /// Their prefixes; `""` is every object.
    pub deletes: Vec<String>,
}
