//! Each function is deployed everywhere, and as its binary declares.

use crate::checkout::{checkout, deployment, functions_with, jobs, services, table, text};
use axum::{body::Body, http::Request};
use local::{
    deployment::{Deployed, Platform},
    functions::FUNCTIONS,
    route_table::Line,
};
use shared::{
    config::Env,
    runtime::{Responses, Service},
};
use std::collections::BTreeSet;
use tower::ServiceExt;

/// Everything that is deployed.
fn deployed() -> Vec<String> {
    functions_with("job.yaml")
}

/// The functions with a route, as their binaries start them.
fn started() -> impl Iterator<Item = (&'static str, Service)> {
    let env = Env::new(|_| None);
    FUNCTIONS
        .iter()
        .map(move |function| (function.name, (function.service)(&env)))
}

/// The name of a function in `template.yaml`.
fn camel_case(function: &str) -> String {
    function
        .split('-')
        .map(|word| word[..1].to_uppercase() + &word[1..])
        .collect()
}

/// The block of a function in `template.yaml`.
fn block(function: &str) -> Deployed {
    let place = format!("template.yaml, {}", camel_case(function));
    let block = deployment().functions.into_iter().find(|block| block.place == place);
    block.unwrap_or_else(|| panic!("{place} is missing for functions/{function}"))
}

#[test]
fn every_function_with_a_route_and_every_job_is_deployed() {
    assert_eq!(BTreeSet::from_iter(deployed()), &services() | &jobs());
}

#[test]
fn every_function_has_a_block_in_the_template_that_builds_its_own_binary() {
    for function in deployed() {
        assert_eq!(block(&function).binaries, [function]);
    }
    // Such as `CodeUri` of another package.
    assert_eq!(deployment().unclear, [""; 0]);
}

/// As SAM and CloudFormation name the functions of a stack. A role that deploys also calls the functions of the candidate.
#[test]
fn the_policy_for_callers_covers_both_actions_on_every_function_of_the_stack() {
    let template = text("template.yaml");
    let policy = template.split("\n  Callers:\n").nth(1).unwrap();
    let covered =
        "Resource: !Sub arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:${AWS::StackName}-*\n";
    assert_eq!(policy.matches(covered).count(), 2, "{policy}");
    assert!(deployment().outputs.contains("CallersPolicy"));
    assert!(
        !template.contains("FunctionName: !Sub"),
        "a function with another name is not covered"
    );
}

/// Neither SAM nor CloudFormation adds them where the parameter decides, and a URL without one of the two answers 403.
#[test]
fn every_function_that_a_parameter_opens_has_both_permissions() {
    let template = text("template.yaml");
    for name in services().iter().map(|function| camel_case(function)) {
        let block = template.split(&format!("\n  {name}:\n")).nth(1).unwrap();
        let block = block.split("\n\n").next().unwrap();
        let is_open = block.contains("AuthType: !Ref AuthType");
        for permission in [
            "Action: lambda:InvokeFunctionUrl, FunctionUrlAuthType: NONE",
            "Action: lambda:InvokeFunction, InvokedViaFunctionUrl: true",
        ] {
            let given = format!("{{ FunctionName: !Ref {name}, Principal: '*', {permission} }}");
            assert_eq!(template.contains(&given), is_open, "template.yaml, {name}: {given}");
        }
    }
}

#[test]
fn every_function_url_streams_exactly_if_its_binary_does() {
    for (function, service) in started() {
        let streams = service.responses() != Responses::Buffered;
        assert_eq!(block(function).streams, Some(streams), "{function}");
    }
}

#[test]
fn every_function_has_a_cloud_run_job_and_those_with_a_route_a_service() {
    for function in deployed() {
        let mut files = vec![format!("functions/{function}/job.yaml")];
        if services().contains(&function) {
            files.push(format!("functions/{function}/service.yaml"));
        }
        for file in files {
            let manifest = text(&file);
            for part in [
                format!("image: ${{IMAGES}}/{function}:${{TAG}}\n"),
                format!("serviceAccountName: ${{BUNDLE}}-{function}@${{PROJECT}}.iam.gserviceaccount.com\n"),
            ] {
                assert!(manifest.contains(&part), "{file} has no {part:?}");
            }
        }
    }
}

/// A deployment replaces whatever has a name. The first one of a service makes a candidate, and deletes it.
#[test]
fn every_name_on_cloud_run_is_that_of_one_service_or_job() {
    let mut names = BTreeSet::new();
    let functions = deployment().functions.into_iter();
    for function in functions.filter(|function| function.platform == Platform::CloudRun) {
        let name = function.place.rsplit(", ").next().unwrap().to_owned();
        let candidate = (!function.is_job).then(|| format!("{name}-candidate"));
        for name in [name].into_iter().chain(candidate) {
            assert!(names.insert(name.clone()), "{}: {name} is there twice", function.place);
        }
    }
    assert!(
        names.contains("${BUNDLE}-health-check") && names.contains("${BUNDLE}-health-candidate"),
        "{names:?}"
    );
}

#[tokio::test]
async fn every_probe_of_a_manifest_is_answered_by_its_binary() {
    for (function, service) in started() {
        let manifest = text(&format!("functions/{function}/service.yaml"));
        let probes: Vec<&str> = manifest
            .split("httpGet: { path: ")
            .skip(1)
            .filter_map(|rest| rest.split(' ').next())
            .collect();
        assert_eq!(probes, ["/health", "/health"], "{function}");
        let request = Request::get("/health").body(Body::empty()).unwrap();
        let answer = service.router().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 200, "{function}");
    }
}

/// Cloud Run answers such paths itself.
#[test]
fn no_path_ends_in_z() {
    for Line { path, .. } in table() {
        assert!(!path.ends_with('z'), "{path}");
    }
}

#[test]
fn workflows_and_the_dockerfile_list_no_function() {
    let mut files = vec!["Dockerfile".to_owned(), ".ci/release".to_owned()];
    let workflows = std::fs::read_dir(checkout().join(".github/workflows"))
        .unwrap()
        .flatten();
    files.extend(workflows.map(|file| format!(".github/workflows/{}", file.file_name().to_str().unwrap())));
    for file in files {
        let listed = text(&file);
        let commands = listed.lines().filter(|line| !line.trim_start().starts_with('#'));
        for line in commands {
            let words: Vec<&str> = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect();
            for function in deployed() {
                assert!(
                    !words.contains(&function.as_str()),
                    "{file} names {function}, which the next function will not be: {line}"
                );
            }
        }
    }
}
