//! The same unsafe thing in every form that a file may give it, and what the doctor has to name because it knows no form of it.

use super::*;

/// A template of one function, with a database behind it.
fn template(globals: &str, properties: &str, rest: &str) -> String {
    format!(
        "Transform: AWS::Serverless-2016-10-31\nGlobals: {{ Function: {{ {globals} }} }}\n{rest}\nResources:\n  F:\n    \
         Type: AWS::Serverless::Function\n    Properties:\n      Environment: {{ Variables: {{ DATABASE_URL: !Sub \
         '{{{{resolve:secretsmanager:x}}}}' }} }}\n{properties}"
    )
}

#[test]
fn a_function_that_everybody_may_call_is_named_whatever_lets_them_in() {
    let event = "      Events: { E: { Type: HttpApi, Properties: { Path: /, Method: get } } }\n";
    let iam = "      FunctionUrlConfig: { AuthType: AWS_IAM }\n";
    let permission = |more: &str| format!("{iam}  P: {{ Type: AWS::Lambda::Permission, {more} }}\n");
    let parameters = "Parameters: { Open: { Default: 'yes' } }\nConditions: { IsOpen: !Equals [!Ref Open, 'yes'] }";
    for (globals, properties, rest) in [
        ("FunctionUrlConfig: { AuthType: NONE }", "", ""),
        (
            "FunctionUrlConfig: { AuthType: NONE }",
            "      FunctionUrlConfig: { InvokeMode: BUFFERED }\n",
            "",
        ),
        (
            "",
            "      FunctionUrlConfig: { AuthType: !If [IsOpen, NONE, AWS_IAM] }\n",
            parameters,
        ),
        (
            "",
            "      FunctionUrlConfig: { AuthType: { 'Fn::If': [IsOpen, NONE, AWS_IAM] } }\n",
            parameters,
        ),
        ("", event, ""),
        ("", &event.replace("HttpApi", "Api"), ""),
        (
            "",
            &permission("Properties: { FunctionName: !Ref F, Principal: '*' }"),
            "",
        ),
        (
            "",
            &permission("Properties: { FunctionName: !GetAtt [F, Arn], Principal: '*' }"),
            "",
        ),
        (
            "",
            &permission("Properties: { FunctionName: !Sub '${F.Arn}', Principal: '*' }"),
            "",
        ),
        (
            "",
            &permission("Properties: { FunctionName: app-F-1, Principal: '*' }"),
            "",
        ),
        (
            "",
            &permission("Properties: { FunctionName: !Ref F, Principal: apigateway.amazonaws.com }"),
            "",
        ),
        (
            "",
            &permission("Condition: IsOpen, Properties: { FunctionName: !Ref F, Principal: '*' }"),
            parameters,
        ),
    ] {
        let text = template(globals, properties, rest);
        names(&findings(&[("template.yaml", &text)]), "F: everybody may call it");
    }
    for closed in [
        permission("Properties: { FunctionName: !Ref Other, Principal: '*' }"),
        permission("Condition: IsOpen, Properties: { FunctionName: !Ref F, Principal: '*' }"),
        permission("Properties: { FunctionName: !Ref F, Principal: events.amazonaws.com }"),
        permission("Properties: { FunctionName: !Ref F, Principal: '123456789012' }"),
        event.replace("Method: get", "Method: get, Auth: { Authorizer: AWS_IAM }"),
        "      Events: { E: { Type: Schedule, Properties: { Schedule: rate(1 minute) } } }\n".to_owned(),
    ] {
        let text = template("", &closed, &parameters.replace("Default: 'yes'", "Default: 'no'"));
        assert_eq!(findings(&[("template.yaml", &text)]), [""; 0], "{text}");
    }
    for value in ["true", "'true'", "'True'", "'yes'"] {
        let open = service(
            &format!("run.googleapis.com/invoker-iam-disabled: {value}"),
            10,
            DATABASE,
        );
        names(&findings(&[("service.yaml", &open)]), "everybody may call it");
    }
}

#[test]
fn a_second_document_and_a_second_container_are_examined_like_the_first() {
    let safe = service("", 10, "");
    let open = service("run.googleapis.com/invoker-iam-disabled: 'true'", 10, DATABASE);
    let both = format!("{safe}---\n{open}");
    names(&findings(&[("service.yaml", &both)]), "everybody may call it");
    let shown = "{ image: app, env: [{ name: DATABASE_URL, value: 'postgres://u:hunter2@db/app' }] }";
    let two = safe.replace("containers: [", &format!("containers: [{shown}, "));
    names(
        &findings(&[("service.yaml", &two)]),
        "DATABASE_URL stands there in plain text",
    );
    let pod = format!("{safe}---\nkind: Pod\n");
    assert!(
        Deployment::default()
            .add("service.yaml", &pod, &Env::new(|_| None))
            .is_none()
    );
}

#[test]
fn a_secret_is_named_whatever_its_variable_and_its_form() {
    for (key, value) in [
        ("DATABASE_URL", "postgres:///app"),
        ("DATABASE_URL", "!Sub 'postgres://u:hunter2@${Host}/app'"),
        ("DATABASE_URL", "'postgres://u:hunter2@{{resolve:ssm:host}}/app'"),
        ("REPLICA", "postgres://u:hunter2@db/app"),
        ("REPLICA", "postgres://db/app?user=u&password=hunter2"),
        ("PGPASSWORD", "hunter2"),
        ("STRIPE_API_KEY", "hunter2"),
        ("SIGNING_SECRET", "!Ref Given"),
    ] {
        let text = template("", "", "Parameters: { Given: { Default: hunter2 } }").replace(
            "DATABASE_URL: !Sub '{{resolve:secretsmanager:x}}'",
            &format!("{key}: {value}"),
        );
        let found = findings(&[("template.yaml", &text)]);
        names(&found, &format!("{key} stands there in plain text"));
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
    for value in [
        "!Sub '{{resolve:secretsmanager:${Name}:SecretString:::${Version}}}'",
        "!Sub 'postgres://u:{{resolve:secretsmanager:x}}@${Host}/app'",
        "!Ref NoDefault",
    ] {
        let rest = "Parameters: { NoDefault: { Type: String } }";
        let text = template("", "", rest).replace("!Sub '{{resolve:secretsmanager:x}}'", value);
        assert_eq!(findings(&[("template.yaml", &text)]), [""; 0], "{value}");
    }
    let manifest = service("", 10, "{ name: DATABASE_URL, value: '${DATABASE_URL}' }");
    let env = || Env::new(|key| (key == "DATABASE_URL").then(|| "postgres:///app".to_owned()));
    for manifest in [manifest.clone(), manifest.replace("${DATABASE_URL}", "$DATABASE_URL")] {
        let mut deployment = Deployment::default();
        deployment.add("service.yaml", &manifest, &env());
        names(&examine(&deployment, LIMITS), "DATABASE_URL stands there in plain text");
    }
}

#[test]
fn what_the_doctor_does_not_understand_is_named() {
    let iam = "      FunctionUrlConfig: { AuthType: AWS_IAM }\n";
    let resource = |text: &str| format!("{iam}  R: {{ {text} }}\n");
    for (globals, properties, rest, named) in [
        ("Layers: [x]", "", "", "F: Layers"),
        ("", "      Nowhere: x\n", "", "F: Nowhere"),
        (
            "",
            "      FunctionUrlConfig: { AuthType: !Ref Auth }\n",
            "",
            "F: AuthType",
        ),
        (
            "",
            "      FunctionUrlConfig: { AuthType: AWS_IAM, Cors: true }\n",
            "",
            "F: Cors",
        ),
        ("", "      Events: { E: { Type: AlexaSkill } }\n", "", "F: E"),
        (
            "",
            "      ReservedConcurrentExecutions: !FindInMap [a, b, c]\n",
            "",
            "ReservedConcurrentExecutions",
        ),
        (
            "Environment: { Variables: { CORS_ORIGINS: !Ref Origins } }",
            "",
            "",
            "the value of CORS_ORIGINS",
        ),
        (
            "Environment: { Variables: { X: !Join ['', [a, !Ref B]] } }",
            "",
            "",
            "the value of X",
        ),
        ("", &resource("Type: AWS::Lambda::Function"), "", "R: its type"),
        (
            "",
            &resource("Type: AWS::S3::Bucket, Properties: { CorsConfiguration: x }"),
            "",
            "R: CorsConfiguration",
        ),
        ("", iam, "Rules: {}", "Rules"),
    ] {
        let text = template(globals, properties, rest);
        let found = findings(&[("template.yaml", &text)]);
        names(&found, &format!("{named} is not understood"));
    }
    let other = template("", iam, "").replace("Serverless-2016-10-31", "Include");
    names(&findings(&[("template.yaml", &other)]), "Transform is not understood");
    let safe = service("", 10, "");
    for (from, to, named) in [
        (
            "containers: [{ image: app, env: [] }]",
            "containers: []",
            "a manifest without a container",
        ),
        (
            "containers: [{ image: app, env: [] }]",
            "serviceAccountName: app",
            "a manifest without a container",
        ),
        (
            "containers: [{ image: app, env: [] }]",
            "containers: { image: app }",
            "a manifest without a container",
        ),
        ("{ image: app, env: [] }", "null", "a container without an image"),
        ("image: app, ", "", "a container without an image"),
        ("image: app", "image: ''", "a container without an image"),
        ("env: []", "env: { DATABASE_URL: 'postgres://u:hunter2@db/app' }", "env"),
        ("containers: [{", "containers: [{ args: [--password=hunter2], ", "args"),
        (
            "timeoutSeconds",
            "initContainers: []\n      timeoutSeconds",
            "initContainers",
        ),
        (
            "annotations: {  }",
            "annotations: { run.googleapis.com/scalingMode: manual }",
            "run.googleapis.com/scalingMode",
        ),
        ("env: []", "env: [{ name: A, valueFrom: { fieldRef: x } }]", "fieldRef"),
        ("spec:\n  template", "spec:\n  traffic: []\n  template", "traffic"),
        ("maxScale: '10'", "maxScale: many", "maxScale"),
    ] {
        assert!(safe.contains(from), "{safe}");
        names(
            &findings(&[("service.yaml", &safe.replace(from, to))]),
            &format!("{named} is not understood"),
        );
    }
    for (file, text, named) in [
        (
            "lifecycle-gcs.json",
            r#"{"rule": [{"action": {"type": "Purge"}}]}"#,
            "action",
        ),
        ("lifecycle-gcs.json", r#"{"rules": []}"#, "rules"),
        (
            "lifecycle-s3.json",
            r#"{"Rules": [{"Status": "Enabled", "Destroy": 1}]}"#,
            "Destroy",
        ),
        ("lifecycle-s3.json", r#"{"Rules": {"If": []}}"#, "Rules"),
        (
            "lifecycle-s3.json",
            r#"{"Rules": [{"Filter": {"Prefix": {"Ref": "P"}}, "Expiration": {"Days": 1}}]}"#,
            "a prefix",
        ),
    ] {
        names(&findings(&[(file, text)]), &format!("{named} is not understood"));
    }
    let nested = r#"{"lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 365}}]}}"#;
    names(&findings(&[("lifecycle-gcs.json", nested)]), "deletes objects under");
}

#[test]
fn a_job_without_a_container_is_named_like_a_service() {
    let job =
        |spec: &str| format!("kind: Job\nmetadata: {{ name: app }}\nspec: {{ template: {{ spec: {{ {spec} }} }} }}");
    for spec in [
        "template: { spec: { containers: [] } }",
        "template: { spec: {} }",
        "taskCount: 1",
    ] {
        names(
            &findings(&[("job.yaml", &job(spec))]),
            "app: a manifest without a container is not understood",
        );
    }
}

#[test]
fn a_template_that_deploys_nothing_is_named_beside_a_manifest_that_is_safe() {
    let conditions = "Conditions: { Never: !Equals [a, b] }";
    for resources in [
        "Resources: {}".to_owned(),
        format!("{conditions}\nResources: {{ L: {{ Type: AWS::Logs::LogGroup, Condition: Never }} }}"),
    ] {
        let text = format!("Transform: AWS::Serverless-2016-10-31\n{resources}");
        let safe = service("", 10, "");
        names(
            &findings(&[("template.yaml", &text), ("service.yaml", &safe)]),
            "template.yaml: a template without resources is not understood",
        );
    }
    for resources in ["", "Resources:", "Resources: []", "resources: {}"] {
        let text = format!("Transform: AWS::Serverless-2016-10-31\n{resources}");
        let read = Deployment::default().add("template.yaml", &text, &Env::new(|_| None));
        assert!(read.is_none(), "{text}");
    }
}

#[test]
fn a_file_under_another_name_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("functions/app")).unwrap();
    std::fs::create_dir_all(folder.path().join(".github/deploy")).unwrap();
    for file in [
        "samconfig.toml",
        "template.yml",
        "functions/app/worker.yaml",
        "functions/app/lifecycle-gcs.json",
        ".github/deploy/lifecycle-s3.json",
    ] {
        std::fs::write(folder.path().join(file), [0xff]).unwrap();
    }
    let deployment = Deployment::read(folder.path(), &Env::new(|_| None), None);
    assert_eq!(
        examine(&deployment, LIMITS).len(),
        5,
        "{:?}",
        examine(&deployment, LIMITS)
    );
}

#[test]
fn functions_that_reserve_nothing_share_the_accounts_concurrency() {
    let text = template(
        "",
        "  G: { Type: AWS::Serverless::Function, Properties: { Environment: { Variables: { DATABASE_URL: \
         !Ref Given } } } }\n",
        "",
    );
    let mut deployment = Deployment::default();
    deployment.add("template.yaml", &text, &Env::new(|_| None)).unwrap();
    assert_eq!(
        examine(
            &deployment,
            Limits {
                concurrency: 97,
                ..LIMITS
            }
        ),
        [""; 0]
    );
    names(
        &examine(
            &deployment,
            Limits {
                concurrency: 98,
                ..LIMITS
            },
        ),
        "Lambda: pools of 98 connections",
    );
}

#[test]
fn all_tasks_of_a_job_count() {
    let job = "kind: Job\nmetadata: { name: app }\nspec: { template: { spec: { taskCount: 50, template: { spec: { containers: \
               [{ image: app, env: [DATABASE] }] } } } } }".replace("DATABASE", DATABASE);
    names(&findings(&[("job.yaml", &job)]), "pools of 250 connections");
    let one = job.replace("taskCount: 50", "taskCount: 50, parallelism: 1");
    assert_eq!(findings(&[("job.yaml", &one)]), [""; 0]);
}
