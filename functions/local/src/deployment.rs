//! Reads the deployment files: `template.yaml`, manifests and lifecycle rules. Lists what it does not understand, because that
//! may be unsafe.

mod cloud_run;
mod evaluate;
mod lambda;
mod lifecycle;
mod model;
mod parameters;
mod settings;

use evaluate::{plain, text};
pub use model::{Deployed, Deployment, Lifecycle, Platform, Secret};
pub use parameters::Choice;
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;
use shared::config::Env;
use std::{fs, path::Path};

impl Deployment {
    /// Reads `template.yaml`, `service.yaml` and `job.yaml` of each function, and every `lifecycle-*.json` beside any of these
    /// or in `.github/deploy`, below `root`. Variables in manifests have their values from `env`, as `envsubst` would set
    /// them. Parameters of the template have their defaults, except the one that `choice` sets.
    pub fn read(root: &Path, env: &Env, choice: Option<&Choice>) -> Self {
        let mut deployment = Self {
            choice: choice.cloned(),
            ..Self::default()
        };
        let functions = names(&root.join("functions"));
        let folders = functions.iter().map(|function| format!("functions/{function}/"));
        let others = ["", ".github/deploy/"].map(str::to_owned);
        for folder in others.into_iter().chain(folders) {
            for name in names(&root.join(&folder)) {
                let file = format!("{folder}{name}");
                match kind(&folder, &name) {
                    Kind::Deployment => deployment.file(root, &file, env),
                    Kind::Unknown => deployment.not_understood(&file, "the file"),
                    Kind::Other => {}
                }
            }
        }
        deployment
    }

    fn file(&mut self, root: &Path, file: &str, env: &Env) {
        let text = fs::read_to_string(root.join(file)).ok();
        if text.and_then(|text| self.add(file, &text, env)).is_none() {
            self.not_understood(file, "the file");
        }
    }

    /// Reads one file. `None` if its content is not what its name says.
    pub fn add(&mut self, file: &str, text: &str, env: &Env) -> Option<()> {
        if file.ends_with(".json") {
            let rules: Value = serde_json::from_str(text).ok()?;
            rules.is_object().then_some(())?;
            lifecycle::add(self, file, rules.get("lifecycle").unwrap_or(&rules));
            return Some(());
        }
        // `envsubst` runs on manifests only.
        let is_template = file.ends_with("template.yaml");
        let substituted = if is_template {
            text.to_owned()
        } else {
            envsubst(text, env)
        };
        let documents = Yaml::load_from_str(&substituted).ok()?;
        let documents: Vec<Value> = documents
            .iter()
            .map(plain)
            .filter(|document| !document.is_null())
            .collect();
        documents.first()?;
        for mut document in documents {
            match document["kind"].as_str() {
                Some("Service" | "Job") => cloud_run::add(self, file, &document),
                None if document["Resources"].is_object() => {
                    parameters::add(self, file, &document);
                    if let Some(choice) = &self.choice {
                        choice.apply(&mut document);
                    }
                    lambda::add(self, file, &document);
                }
                _ => return None,
            }
        }
        Some(())
    }

    /// Notes a part of a file that no rule can look at.
    pub fn not_understood(&mut self, place: &str, part: &str) {
        self.unclear.push(format!("{place}: {part} is not understood"));
    }

    /// Notes every member that is not in `keys`.
    pub fn known(&mut self, place: &str, value: &Value, keys: &[&str]) {
        match value {
            Value::Object(members) => {
                let unknown = members.keys().filter(|key| !keys.contains(&key.as_str()));
                unknown.for_each(|key| self.not_understood(place, key));
            }
            Value::Null => {}
            _ => self.not_understood(place, &format!("what should hold {}", keys.join(", "))),
        }
    }

    /// The number at a key. Notes anything else that stands there.
    pub fn number(&mut self, place: &str, key: &str, value: &Value) -> Option<u64> {
        let number = text(value).and_then(|text| text.parse().ok());
        if number.is_none() && !value.is_null() {
            self.not_understood(place, key);
        }
        number
    }
}

enum Kind {
    Deployment,
    Unknown,
    Other,
}

/// The kind of a file, by its name and its folder: `""` is the root, others are those of functions.
fn kind(folder: &str, name: &str) -> Kind {
    let is = |suffix: &str| name.ends_with(suffix);
    match name {
        "template.yaml" if folder.is_empty() => Kind::Deployment,
        "service.yaml" | "job.yaml" if !folder.is_empty() => Kind::Deployment,
        _ if name.starts_with("lifecycle") && is(".json") => Kind::Deployment,
        _ if name.starts_with('.') => Kind::Other,
        // May be a template or a manifest under another name, or settings of `sam deploy`.
        _ if is(".yaml")
            || is(".yml")
            || is(".template")
            || name.starts_with("samconfig.")
            || name == "template.json" =>
        {
            Kind::Unknown
        }
        _ => Kind::Other,
    }
}

/// The sorted names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Replaces `${NAME}` and `$NAME` where the variable has a value.
fn envsubst(text: &str, env: &Env) -> String {
    let mut parts = text.split('$');
    let mut substituted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let braced = part.strip_prefix('{').and_then(|part| part.split_once('}'));
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (name, rest) = braced.unwrap_or_else(|| part.split_at(end.unwrap_or(part.len())));
        substituted += &env.text(name).map_or_else(|| format!("${part}"), |value| value + rest);
    }
    substituted
}
