//! What a function declares, and files that give it something else.

use super::*;
use crate::commands::doctor::{agreement, declared::watched};
use shared::{database::Database, storage::Storage};

/// A bundle of one function.
fn bundle(streams: bool, reads: &[&str]) -> [Declared; 1] {
    [Declared::for_test("app", streams, reads)]
}

/// A service of Cloud Run with an account, an annotation on its revisions, and variables.
fn on_cloud_run(annotation: &str, env: &str) -> String {
    let service = service("", 10, env).replace("containers:", "serviceAccountName: app@project\n      containers:");
    service.replace("maxScale: '10'", &format!("maxScale: '10', {annotation}"))
}

/// A function of Lambda with these properties.
fn on_lambda(properties: &str) -> String {
    format!(
        "Transform: AWS::Serverless-2016-10-31\nResources:\n  F:\n    Type: AWS::Serverless::Function\n    Metadata: \
         {{ BuildProperties: {{ Binary: app }} }}\n    Properties:\n      CodeUri: functions/app\n{properties}"
    )
}

const SOCKET: &str = "run.googleapis.com/cloudsql-instances: 'project:region:instance'";
const BUCKET: &str = "{ name: GCS_BUCKET, value: evidence }";

#[test]
fn a_function_without_a_dependency_that_it_reads_is_named() {
    for (reads, given, named) in [
        ("DATABASE_URL", DATABASE, "reads where a database is"),
        ("GCS_BUCKET", BUCKET, "reads where a bucket is"),
    ] {
        let declared = bundle(false, &[reads]);
        let without = on_cloud_run("", "");
        names(&findings_with(&[("service.yaml", &without)], with(&declared)), named);
        let with_it = on_cloud_run("", given);
        assert_eq!(findings_with(&[("service.yaml", &with_it)], with(&declared)), [""; 0]);
    }
}

#[test]
fn a_function_with_a_dependency_that_it_does_not_read_is_named() {
    let declared = bundle(false, &[]);
    for (annotation, given, named) in [
        ("", DATABASE, "is given a database"),
        ("", BUCKET, "is given a bucket"),
        (SOCKET, "", "has a socket of Cloud SQL"),
    ] {
        let more = on_cloud_run(annotation, given);
        names(&findings_with(&[("service.yaml", &more)], with(&declared)), named);
    }
    let nothing = on_cloud_run("", "");
    assert_eq!(findings_with(&[("service.yaml", &nothing)], with(&declared)), [""; 0]);
}

#[test]
fn a_function_without_the_socket_of_cloud_sql_that_others_have_is_named() {
    let declared = bundle(false, &["DATABASE_URL"]);
    let reserved = |text: &str| text.replace("maxScale: '10'", "maxScale: '1'");
    let (with_it, without) = (
        reserved(&on_cloud_run(SOCKET, DATABASE)),
        reserved(&on_cloud_run("", DATABASE)),
    );
    names(
        &findings_with(
            &[("a/service.yaml", &with_it), ("b/service.yaml", &without)],
            with(&declared),
        ),
        "b/service.yaml, app: reads where a database is, and has no socket of Cloud SQL",
    );
    assert_eq!(findings_with(&[("service.yaml", &without)], with(&declared)), [""; 0]);
}

#[test]
fn a_role_with_rights_on_a_bucket_belongs_to_a_function_that_reads_one() {
    const STATEMENT: &str = "      Policies: [{ Statement: { Effect: Allow, Action: s3:GetObject, Resource: '*' } }]\n";
    const READER: &str = "      Policies: [{ S3ReadPolicy: { BucketName: evidence } }]\n";
    const MANAGED: &str = "      Policies: AmazonS3ReadOnlyAccess\n";
    let given = "      Environment: { Variables: { S3_BUCKET: evidence } }\n";
    let (reader, other) = (bundle(false, &["S3_BUCKET"]), bundle(false, &[]));
    for policies in [STATEMENT, READER, MANAGED] {
        let text = on_lambda(&format!("{given}{policies}"));
        assert_eq!(findings_with(&[("template.yaml", &text)], with(&reader)), [""; 0]);
        let found = findings_with(&[("template.yaml", &on_lambda(policies))], with(&other));
        names(&found, "its role has rights on a bucket");
    }
    for policies in [
        "",
        "      Policies: [{ Statement: { Effect: Allow, Action: sqs:SendMessage, Resource: 'arn:aws:s3:::x' } }]\n",
    ] {
        let text = on_lambda(&format!("{given}{policies}"));
        names(
            &findings_with(&[("template.yaml", &text)], with(&reader)),
            "its role has no right on one",
        );
    }
    let elsewhere = on_lambda(&format!("{given}      Role: !ImportValue Role\n"));
    assert_eq!(findings_with(&[("template.yaml", &elsewhere)], with(&reader)), [""; 0]);
}

#[test]
fn a_function_url_that_streams_otherwise_than_its_function_is_named() {
    let url = |mode: &str| {
        on_lambda(&format!(
            "      Timeout: 900\n      FunctionUrlConfig: {{ AuthType: AWS_IAM{mode} }}\n"
        ))
    };
    let (streams, buffered) = (bundle(true, &[]), bundle(false, &[]));
    for (mode, declared, named) in [
        (
            ", InvokeMode: RESPONSE_STREAM",
            &buffered,
            "InvokeMode is RESPONSE_STREAM",
        ),
        (", InvokeMode: BUFFERED", &streams, "InvokeMode is BUFFERED"),
        ("", &streams, "InvokeMode is BUFFERED"),
    ] {
        names(&findings_with(&[("template.yaml", &url(mode))], with(declared)), named);
    }
    for (mode, declared) in [(", InvokeMode: RESPONSE_STREAM", &streams), ("", &buffered)] {
        assert_eq!(findings_with(&[("template.yaml", &url(mode))], with(declared)), [""; 0]);
    }
}

#[test]
fn a_platform_that_cuts_events_which_the_code_streams_is_named_whatever_its_variables() {
    let download = bundle(true, &[]);
    assert_eq!(
        findings_with(&[("service.yaml", &on_cloud_run("", ""))], with(&download)),
        [""; 0]
    );
    let declared = bundle(true, &["SSE_MAX_AGE"]);
    names(
        &findings_with(&[("service.yaml", &on_cloud_run("", ""))], with(&declared)),
        "ends at 10s",
    );
    let job = "kind: Job\nmetadata: { name: app }\nspec: { template: { spec: { template: { spec: { serviceAccountName: a, \
               timeoutSeconds: 60, containers: [{ image: app }] } } } } }";
    assert_eq!(findings_with(&[("job.yaml", job)], with(&declared)), [""; 0]);
}

#[test]
fn a_route_that_takes_more_than_lambda_hands_over_is_named_where_it_runs_on_lambda() {
    let mut declared = bundle(false, &[]);
    declared[0].large_bodies = vec![("PUT /video".to_owned(), 10_000_000)];
    let files = [("template.yaml", &*on_lambda(""))];
    let named = "PUT /video takes 10000000 bytes, and Lambda hands over 4500000";
    names(&findings_with(&files, with(&declared)), named);
    let files = [("service.yaml", &*on_cloud_run("", ""))];
    assert_eq!(findings_with(&files, with(&declared)), [""; 0]);
}

#[test]
fn an_account_belongs_to_one_function() {
    let declared = [
        Declared::for_test("app", false, &[]),
        Declared::for_test("other", false, &[]),
    ];
    let app = on_cloud_run("", "");
    let other = app.replace("image: app", "image: 'registry/images/other:tag'");
    names(
        &findings_with(&[("a/service.yaml", &app), ("b/service.yaml", &other)], with(&declared)),
        "b/service.yaml, app: runs as the account of app",
    );
    let own = other.replace("app@project", "other@project");
    for second in [&own, &app] {
        let files = [("a/service.yaml", app.as_str()), ("b/service.yaml", second)];
        assert_eq!(findings_with(&files, with(&declared)), [""; 0]);
    }
    let default = service("", 10, "");
    names(
        &findings_with(&[("service.yaml", &default)], with(&declared)),
        "the project's default account",
    );
}

#[test]
fn a_platform_that_ends_a_check_before_its_deadline_is_named() {
    let declared = bundle(false, &["HEALTH_TIMEOUT", "HEALTH_CACHE"]);
    let timed = |seconds: u32, env: &str| {
        let text = on_cloud_run("", env);
        text.replace("timeoutSeconds: 10", &format!("timeoutSeconds: {seconds}"))
    };
    names(
        &findings_with(&[("service.yaml", &timed(2, ""))], with(&declared)),
        "ends at 2s, and its check takes up to 2s",
    );
    assert_eq!(
        findings_with(&[("service.yaml", &timed(3, ""))], with(&declared)),
        [""; 0]
    );
    let longer = timed(10, "{ name: HEALTH_TIMEOUT, value: 15s }");
    names(
        &findings_with(&[("service.yaml", &longer)], with(&declared)),
        "its check takes up to 15s",
    );
}

#[test]
fn a_block_that_builds_another_binary_than_that_of_its_code_is_named() {
    let text = on_lambda("").replace("CodeUri: functions/app", "CodeUri: functions/other");
    names(
        &findings(&[("template.yaml", &text)]),
        "F: another binary than that of CodeUri is not understood",
    );
}

#[test]
fn the_variables_that_name_a_dependency_are_those_that_its_settings_read() {
    let (_, database) = watched(Database::from_env);
    let (_, bucket) = watched(Storage::from_env);
    for (names, read) in [(agreement::DATABASE, database), (agreement::BUCKET, bucket)] {
        assert!(names.iter().all(|name| read.contains(*name)), "{names:?}");
    }
}

#[test]
fn every_function_that_is_deployed_declares_itself() {
    let folders = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .unwrap()
        .flatten();
    let deployed = folders.filter(|folder| folder.path().join("job.yaml").exists());
    let mut deployed: Vec<String> = deployed
        .map(|folder| folder.file_name().into_string().unwrap())
        .collect();
    let mut declared: Vec<String> = Declared::all().into_iter().map(|declared| declared.name).collect();
    deployed.sort();
    declared.sort();
    assert_eq!(declared, deployed);
}

#[test]
fn only_a_public_function_that_reports_the_database_tells_how_it_is() {
    let mut declared = bundle(false, &["DATABASE_URL"]);
    let text = on_lambda(
        "      ReservedConcurrentExecutions: 1\n      FunctionUrlConfig: { AuthType: NONE }\n      Environment: { Variables: \
         { DATABASE_URL: !Sub '{{resolve:secretsmanager:x}}' } }\n",
    );
    assert_eq!(findings_with(&[("template.yaml", &text)], with(&declared)), [""; 0]);
    declared[0].reports = true;
    names(
        &findings_with(&[("template.yaml", &text)], with(&declared)),
        "everybody may call it",
    );
    for (name, reports) in [("health-db", true), ("health", false), ("sse", false)] {
        let declared = Declared::all().into_iter().find(|declared| declared.name == name);
        assert!(declared.is_none_or(|declared| declared.reports == reports), "{name}");
    }
}

#[test]
fn a_function_that_streams_inside_a_vpc_is_named_where_it_is_inside() {
    let template = |subnets: &str| {
        let url = "      FunctionUrlConfig: { AuthType: AWS_IAM, InvokeMode: RESPONSE_STREAM }\n";
        let vpc = "      VpcConfig: !If [HasVpc, { SubnetIds: !Ref SubnetIds }, !Ref AWS::NoValue]\n";
        let conditions = format!(
            "Parameters: {{ SubnetIds: {{ Type: CommaDelimitedList, Default: '{subnets}' }} }}\n\
             Conditions: {{ HasVpc: !Not [!Equals [!Join ['', !Ref SubnetIds], '']] }}\n"
        );
        conditions + &on_lambda(&format!("{url}{vpc}"))
    };
    let (streams, buffered) = (bundle(true, &[]), bundle(false, &[]));
    let inside = template("subnet-1");
    let found = findings_with(&[("template.yaml", &inside)], with(&streams));
    names(&found, "template.yaml, F: streams, and has a VpcConfig");
    assert_eq!(
        findings_with(&[("template.yaml", &template(""))], with(&streams)),
        [""; 0]
    );
    let inside = inside.replace("RESPONSE_STREAM", "BUFFERED");
    assert_eq!(findings_with(&[("template.yaml", &inside)], with(&buffered)), [""; 0]);
}
