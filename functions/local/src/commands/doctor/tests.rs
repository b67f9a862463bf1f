//! Each rule on a deployment that breaks it, and on one that hardly does not.

mod agreement;
mod callers;
mod connections;
mod forms;
mod parameters;

use super::*;
use crate::deployment::Choice;
use std::time::Duration;

const LIMITS: Limits<'_> = Limits {
    connections: 100,
    concurrency: 10,
    max_age: Duration::from_secs(300),
    declared: &[],
    openable: &[],
};

/// The limits, with these functions known.
fn with(declared: &[Declared]) -> Limits<'_> {
    Limits { declared, ..LIMITS }
}

/// The findings, with no function known.
fn findings(files: &[(&str, &str)]) -> Vec<String> {
    findings_with(files, LIMITS)
}

fn findings_with(files: &[(&str, &str)], limits: Limits<'_>) -> Vec<String> {
    let read = |choice: Option<&Choice>| {
        let mut deployment = Deployment {
            choice: choice.cloned(),
            ..Deployment::default()
        };
        for (file, text) in files {
            assert!(
                deployment.add(file, text, &Env::new(|_| None)).is_some(),
                "{file} is not read:\n{text}"
            );
        }
        deployment
    };
    let choices = Choices::read(read);
    let openable = choices.openable();
    let limits = Limits {
        openable: &openable,
        ..limits
    };
    choices.examine(limits)
}

/// Exactly one thing is unsafe, and the finding names it.
fn names(found: &[String], text: &str) {
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains(text), "{found:?}");
}

fn service(annotations: &str, timeout: u32, env: &str) -> String {
    format!(
        "kind: Service\nmetadata: {{ name: app, annotations: {{ {annotations} }} }}\nspec:\n  template:\n    metadata: {{ \
         annotations: {{ autoscaling.knative.dev/maxScale: '10' }} }}\n    spec:\n      timeoutSeconds: {timeout}\n      \
         containers: [{{ image: app, env: [{env}] }}]\n"
    )
}

const DATABASE: &str = "{ name: DATABASE_URL, valueFrom: { secretKeyRef: { name: url, key: latest } } }";

#[test]
fn a_lifecycle_that_deletes_more_than_uploads_is_named_in_the_shape_of_each_cloud() {
    for (file, text) in [
        (
            "lifecycle-gcs.json",
            r#"{"rule": [{"action": {"type": "Delete"}, "condition": {"age": 365}}]}"#,
        ),
        (
            "lifecycle-gcs.json",
            r#"{"rule": [{"action": {"type": "Delete"}, "condition": {"matchesPrefix": ["cases/"]}}]}"#,
        ),
        (
            "lifecycle-s3.json",
            r#"{"Rules": [{"Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}]}"#,
        ),
        (
            "lifecycle-s3.json",
            r#"{"Rules": [{"Status": "Enabled", "Filter": {"Prefix": "cases/"}, "NoncurrentVersionExpiration": {}}]}"#,
        ),
        (
            "template.yaml",
            "Transform: AWS::Serverless-2016-10-31\nResources: { B: { Type: AWS::S3::Bucket, Properties: { LifecycleConfiguration: { Rules: [{ Status: Enabled, \
             ExpirationInDays: 30 }] } } } }",
        ),
    ] {
        names(&findings(&[(file, text)]), "deletes objects under");
    }
}

#[test]
fn a_lifecycle_that_deletes_abandoned_uploads_is_safe() {
    let s3 = r#"{"Rules": [{"Status": "Enabled", "Filter": {"Prefix": ".pilotlight/uploads/"}, "Expiration": {"Days": 7}},
        {"Status": "Enabled", "Filter": {}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}},
        {"Status": "Disabled", "Filter": {}, "Expiration": {"Days": 7}}]}"#;
    let gcs = r#"{"rule": [{"action": {"type": "SetStorageClass"}, "condition": {"age": 30}}]}"#;
    assert_eq!(
        findings(&[("lifecycle-s3.json", s3), ("lifecycle-gcs.json", gcs)]),
        [""; 0]
    );
}

#[test]
fn a_star_in_cors_is_named_wherever_it_stands() {
    let own = service("", 10, "{ name: CORS_ORIGINS, value: 'https://a.example, *' }");
    names(&findings(&[("service.yaml", &own)]), "answers every origin");
    let url = "Transform: AWS::Serverless-2016-10-31\nResources: { F: { Type: AWS::Serverless::Function, Properties: { FunctionUrlConfig: { AuthType: AWS_IAM, \
               Cors: { AllowOrigins: ['*'] } } } } }";
    names(&findings(&[("template.yaml", url)]), "answers every origin");
    let exact = service("", 10, "{ name: CORS_ORIGINS, value: 'https://a.example' }");
    assert_eq!(findings(&[("service.yaml", &exact)]), [""; 0]);
}

#[test]
fn the_health_of_a_database_that_everybody_may_ask_for_is_named() {
    let open = service("run.googleapis.com/invoker-iam-disabled: 'true'", 10, DATABASE);
    names(&findings(&[("service.yaml", &open)]), "everybody may call it");
    let template = |auth: &str, extra: &str| {
        format!(
            "Transform: AWS::Serverless-2016-10-31\nParameters: {{ AuthType: {{ Default: {auth} }} }}\nResources:\n  F:\n    Type: AWS::Serverless::Function\n    \
             Properties:\n      ReservedConcurrentExecutions: 1\n      FunctionUrlConfig: {{ AuthType: !Ref AuthType }}\n      \
             Environment: {{ Variables: {{ DATABASE_URL: !Sub '{{{{resolve:secretsmanager:x}}}}' }} }}\n{extra}"
        )
    };
    names(
        &findings(&[("template.yaml", &template("NONE", ""))]),
        "everybody may call it",
    );
    let permission =
        "  P: { Type: AWS::Lambda::Permission, Properties: { FunctionName: !Ref F.Alias, Principal: '*' } }\n";
    names(
        &findings(&[("template.yaml", &template("AWS_IAM", permission))]),
        "everybody may call it",
    );
    assert_eq!(findings(&[("template.yaml", &template("AWS_IAM", ""))]), [""; 0]);
    let unrelated = service("run.googleapis.com/invoker-iam-disabled: 'true'", 10, "");
    assert_eq!(findings(&[("service.yaml", &unrelated)]), [""; 0]);
}

#[test]
fn a_platform_that_cuts_streams_before_their_max_age_is_named() {
    let stream = |timeout, age: &str| service("", timeout, &format!("{{ name: SSE_MAX_AGE, value: {age} }}"));
    names(
        &findings(&[("service.yaml", &stream(3600, "50m"))]),
        "ends at 3600s streams that live 3600s",
    );
    assert_eq!(findings(&[("service.yaml", &stream(3600, "49m"))]), [""; 0]);
    let template = |timeout: u32| {
        format!(
            "Transform: AWS::Serverless-2016-10-31\nGlobals: {{ Function: {{ Timeout: {timeout} }} }}\nResources: {{ S: {{ Type: AWS::Serverless::Function, \
             Properties: {{ FunctionUrlConfig: {{ AuthType: AWS_IAM, InvokeMode: RESPONSE_STREAM }} }} }} }}"
        )
    };
    names(&findings(&[("template.yaml", &template(360))]), "ends at 360s");
    assert_eq!(findings(&[("template.yaml", &template(361))]), [""; 0]);
}

#[test]
fn a_secret_in_plain_text_is_named_and_not_repeated() {
    let shown = service("", 10, "{ name: DATABASE_URL, value: 'postgres://u:hunter2@db/app' }");
    let found = findings(&[("service.yaml", &shown)]);
    names(&found, "DATABASE_URL stands there in plain text");
    assert!(!found[0].contains("hunter2"), "{found:?}");
}

#[test]
fn what_a_manifest_takes_from_the_environment_is_examined_too() {
    let env = Env::new(|key| (key == "CORS_ORIGINS").then(|| "*".to_owned()));
    let mut deployment = Deployment::default();
    let text = service("", 10, "{ name: CORS_ORIGINS, value: '${CORS_ORIGINS}' }");
    deployment.add("service.yaml", &text, &env);
    names(&examine(&deployment, LIMITS), "answers every origin");
}

#[test]
fn a_file_that_is_not_what_its_name_says_is_named() {
    let mut deployment = Deployment::default();
    for (file, text) in [
        ("template.yaml", "a: ["),
        ("service.yaml", "kind: Pod"),
        ("lifecycle-s3.json", "{"),
        ("job.yaml", ""),
    ] {
        assert!(deployment.add(file, text, &Env::new(|_| None)).is_none(), "{file}");
    }
}

#[test]
fn the_deployment_of_this_repository_is_safe() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let env = Env::new(|_| None);
    let choices = Choices::read(|choice| Deployment::read(&root, &env, choice));
    let (declared, openable) = (Declared::all(), choices.openable());
    let limits = Limits::from_env(&env, &declared, &openable);
    assert_eq!(choices.examine(limits), [""; 0]);
    let deployment = &choices.defaults;
    let names: Vec<String> = deployment
        .choices
        .iter()
        .map(|choice| choice.name(deployment))
        .collect();
    assert_eq!(names, ["Architecture=x86_64", "AuthType=NONE", "Concurrency=reserved"]);
    assert!(deployment.functions.len() >= 2 * declared.len() && deployment.lifecycles.len() > 1);
}
