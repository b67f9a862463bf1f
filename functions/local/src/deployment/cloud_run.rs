//! Reads the manifest of a Cloud Run service or job, which has Knative's form.

use super::{Deployed, Deployment, Platform, evaluate::text, settings};
use serde_json::Value;
use std::time::Duration;

const CLOUD_SQL: &str = "run.googleapis.com/cloudsql-instances";

const CONTAINER: [&str; 9] = [
    "env",
    "image",
    "livenessProbe",
    "name",
    "ports",
    "readinessProbe",
    "resources",
    "startupProbe",
    "dependsOn",
];

const ANNOTATIONS: [&str; 13] = [
    "autoscaling.knative.dev/maxScale",
    "autoscaling.knative.dev/minScale",
    CLOUD_SQL,
    "run.googleapis.com/cpu-throttling",
    "run.googleapis.com/custom-audiences",
    "run.googleapis.com/execution-environment",
    "run.googleapis.com/ingress",
    "run.googleapis.com/invoker-iam-disabled",
    "run.googleapis.com/launch-stage",
    "run.googleapis.com/network-interfaces",
    "run.googleapis.com/startup-cpu-boost",
    "run.googleapis.com/vpc-access-connector",
    "run.googleapis.com/vpc-access-egress",
];

/// Reads one document.
pub fn add(deployment: &mut Deployment, file: &str, document: &Value) {
    let name = document["metadata"]["name"].as_str().unwrap_or_default();
    let place = format!("{file}, {name}");
    let is_job = document["kind"] == "Job";
    let outer = &document["spec"]["template"];
    let template = if is_job { &outer["spec"]["template"] } else { outer };
    deployment.known(&place, document, &["apiVersion", "kind", "metadata", "spec"]);
    deployment.known(&place, &document["spec"], &["template"]);
    if is_job {
        deployment.known(&place, &outer["spec"], &JOB);
    }
    deployment.known(&place, &template["spec"], &POD);
    for metadata in [&document["metadata"], &outer["metadata"], &template["metadata"]] {
        deployment.known(&place, metadata, &["annotations", "labels", "name"]);
        deployment.known(&place, &metadata["annotations"], &ANNOTATIONS);
    }
    let mut function = Deployed {
        platform: Platform::CloudRun,
        is_job,
        // Every value but `false` opens the service to everybody.
        is_public: text(&document["metadata"]["annotations"]["run.googleapis.com/invoker-iam-disabled"])
            .is_some_and(|disabled| disabled != "false"),
        timeout: deployment
            .number(&place, "timeoutSeconds", &template["spec"]["timeoutSeconds"])
            .map(Duration::from_secs),
        instances: instances(deployment, &place, is_job, outer),
        account: text(&template["spec"]["serviceAccountName"]),
        cloud_sql: [&outer["metadata"], &template["metadata"]]
            .iter()
            .any(|metadata| metadata["annotations"].get(CLOUD_SQL).is_some()),
        place,
        ..Deployed::default()
    };
    containers(deployment, &mut function, &template["spec"]["containers"]);
    deployment.functions.push(function);
}

const JOB: [&str; 3] = ["parallelism", "taskCount", "template"];
const POD: [&str; 5] = [
    "containerConcurrency",
    "containers",
    "maxRetries",
    "serviceAccountName",
    "timeoutSeconds",
];

/// Without `parallelism`, all tasks of a job run at once.
fn instances(deployment: &mut Deployment, place: &str, is_job: bool, outer: &Value) -> Option<u64> {
    if is_job {
        let tasks = deployment
            .number(place, "taskCount", &outer["spec"]["taskCount"])
            .unwrap_or(1);
        let parallelism = deployment.number(place, "parallelism", &outer["spec"]["parallelism"]);
        return Some(parallelism.filter(|at_once| *at_once > 0).unwrap_or(tasks));
    }
    const MAXIMUM: &str = "autoscaling.knative.dev/maxScale";
    deployment.number(place, MAXIMUM, &outer["metadata"]["annotations"][MAXIMUM])
}

fn containers(deployment: &mut Deployment, function: &mut Deployed, containers: &Value) {
    let containers = containers.as_array().filter(|containers| !containers.is_empty());
    if containers.is_none() {
        deployment.not_understood(&function.place, "a manifest without a container");
    }
    for container in containers.into_iter().flatten() {
        deployment.known(&function.place, container, &CONTAINER);
        let variables = &container["env"];
        if !variables.is_array() && !variables.is_null() {
            deployment.not_understood(&function.place, "env");
        }
        for variable in variables.as_array().into_iter().flatten() {
            deployment.known(&function.place, variable, &["name", "value", "valueFrom"]);
            let key = variable["name"].as_str().unwrap_or_default();
            match variable.get("valueFrom") {
                Some(from) => {
                    deployment.known(&function.place, from, &["secretKeyRef"]);
                    function.settings.insert(key.to_owned(), None);
                }
                None => settings::add(deployment, function, key, &variable["value"]),
            }
        }
        let image = container["image"].as_str().unwrap_or_default();
        if image.is_empty() {
            deployment.not_understood(&function.place, "a container without an image");
        }
        let binary = image.rsplit('/').next().and_then(|name| name.split([':', '@']).next());
        function.binaries.extend(binary.map(str::to_owned));
    }
}
