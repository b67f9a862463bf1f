//! Who may call: what settings and routes say, in every form of the same fault.

use super::*;

fn issuers(value: &str) -> String {
    service("", 10, &format!("{{ name: TOKEN_ISSUERS, value: '{value}' }}"))
}

/// A template whose function takes the issuers from a parameter.
fn from_parameter(value: &str) -> String {
    format!(
        "Transform: AWS::Serverless-2016-10-31\nParameters: {{ TokenIssuers: {{ Type: String, Default: '{value}' }} }}\n\
         Globals: {{ Function: {{ Environment: {{ Variables: {{ TOKEN_ISSUERS: !Ref TokenIssuers }} }} }} }}\nResources: \
         {{ F: {{ Type: AWS::Serverless::Function, Properties: {{ Timeout: 10 }} }} }}"
    )
}

#[test]
fn an_issuer_without_an_audience_is_named_with_its_number() {
    for audience in [
        "",
        r#", "audience": null"#,
        r#", "audience": """#,
        r#", "audience": []"#,
        r#", "audience": ["a", ""]"#,
        r#", "audience": {}"#,
    ] {
        let value = format!(
            r#"[{{"issuer": "https://a.example", "audience": "app"}}, {{"issuer": "https://b.example"{audience}}}]"#
        );
        let named = "TOKEN_ISSUERS[1].audience must be";
        names(&findings(&[("service.yaml", &issuers(&value))]), named);
        names(&findings(&[("template.yaml", &from_parameter(&value))]), named);
    }
    let named = r#"[{"issuer": "https://a.example", "audience": ["a", "b"]}]"#;
    assert_eq!(findings(&[("service.yaml", &issuers(named))]), [""; 0]);
    assert_eq!(findings(&[("template.yaml", &from_parameter(named))]), [""; 0]);
    assert_eq!(findings(&[("template.yaml", &from_parameter(""))]), [""; 0]);
}

#[test]
fn an_issuer_that_is_asked_over_http_is_named() {
    let with = |member: &str| format!(r#"[{{"audience": "app", {member}}}]"#);
    for member in [
        r#""issuer": "http://a.example""#,
        r#""issuer": "HTTP://a.example/""#,
        r#""issuer": "http://10.0.0.1:8080/realms/app""#,
        r#""issuer": "http://127.0.0.1@a.example/""#,
        r#""issuer": "http://127.0.0.1.a.example/""#,
        r#""issuer": "http://localhost.a.example/""#,
        r#""issuer": "a.example""#,
        r#""issuer": "https://a.example", "jwks_url": "http://a.example/keys""#,
    ] {
        let found = findings(&[("service.yaml", &issuers(&with(member)))]);
        names(&found, "must be an https:// URL");
    }
    let elsewhere = with(r#""issuer": "https://a.example", "jwks_url": "https://a.example/keys""#);
    assert_eq!(findings(&[("service.yaml", &issuers(&elsewhere))]), [""; 0]);
}

#[test]
fn an_issuer_on_the_machine_itself_is_named_in_files_and_in_the_environment() {
    let with = |member: &str| {
        format!(r#"[{{"issuer": "https://a.example", "audience": "app"}}, {{"audience": "app", {member}}}]"#)
    };
    for (member, named) in [
        (r#""issuer": "http://127.0.0.1:9000""#, "issuer"),
        (r#""issuer": "HTTP:\/\/127.0.0.1:9000/""#, "issuer"),
        (r#""issuer": "http://localhost:8080/realms/app""#, "issuer"),
        (r#""issuer": "http://[::1]/""#, "issuer"),
        (r#""issuer": "https://127.0.0.1""#, "issuer"),
        (r#""issuer": "https://app.LOCALHOST./""#, "issuer"),
        (r#""issuer": "https://[::ffff:127.0.0.1]/""#, "issuer"),
        (r#""issuer": "https://0.0.0.0/""#, "issuer"),
        (
            r#""issuer": "https://b.example", "jwks_url": "http://127.0.0.2/keys""#,
            "jwks_url",
        ),
    ] {
        let (value, named) = (with(member), format!("TOKEN_ISSUERS[1].{named} is on this machine"));
        names(&findings(&[("service.yaml", &issuers(&value))]), &named);
        names(&findings(&[("template.yaml", &from_parameter(&value))]), &named);
        let env = Env::new(move |key| (key == "TOKEN_ISSUERS").then(|| value.clone()));
        names(
            &examine(&environment(&env), LIMITS),
            &format!("the environment: {named}"),
        );
    }
    for member in [
        r#""issuer": "https://localhost.example""#,
        r#""issuer": "https://10.0.0.1/realms/app""#,
    ] {
        let found = findings(&[("service.yaml", &issuers(&with(member)))]);
        assert_eq!(found, [""; 0], "{member}");
    }
}

#[test]
fn a_cookie_or_origins_that_functions_refuse_are_named_and_no_value_is_repeated() {
    for (key, value) in [
        ("TOKEN_COOKIE", "hunter2"),
        ("TOKEN_COOKIE", "__Host-"),
        ("TOKEN_COOKIE", "__Host-hunter2;"),
        ("TOKEN_COOKIE", "__host-hunter2"),
        ("CORS_ORIGINS", "hunter2"),
        ("CORS_ORIGINS", "https://hunter2.example/path"),
        ("CORS_ORIGINS", "https://a.example,"),
        ("CORS_ORIGINS", r#"["https://a.example""#),
    ] {
        let origins = if key == "TOKEN_COOKIE" {
            ", { name: CORS_ORIGINS, value: 'https://a.example' }"
        } else {
            ""
        };
        let text = service("", 10, &format!("{{ name: {key}, value: '{value}' }}{origins}"));
        let found = findings(&[("service.yaml", &text)]);
        names(&found, &format!("service.yaml, app: {key} must be"));
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
}

#[test]
fn the_name_of_a_cookie_and_public_keys_are_no_secrets_and_private_keys_are() {
    let key = |member: &str| {
        let jwk = format!(
            r#"{{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"{member}}}"#
        );
        issuers(&format!(
            r#"[{{"issuer": "https://a.example", "audience": "app", "algorithms": ["EdDSA"], "jwks": {{"keys": [{jwk}]}}}}]"#
        ))
    };
    assert_eq!(findings(&[("service.yaml", &key(""))]), [""; 0]);
    for private in [r#", "d": "hunter2""#, r#", "k" : "hunter2""#] {
        let found = findings(&[("service.yaml", &key(private))]);
        // Functions refuse it, too, which is a finding of its own.
        let named = "TOKEN_ISSUERS stands there in plain text";
        assert!(found.iter().any(|finding| finding.contains(named)), "{found:?}");
        assert!(!found.concat().contains("hunter2"), "{found:?}");
    }
}

#[test]
fn a_cookie_without_origins_is_named() {
    const COOKIE: &str = "{ name: TOKEN_COOKIE, value: __Host-token }";
    for origins in ["", ", { name: CORS_ORIGINS, value: '' }"] {
        let text = service("", 10, &format!("{COOKIE}{origins}"));
        names(
            &findings(&[("service.yaml", &text)]),
            "TOKEN_COOKIE is set, and CORS_ORIGINS is not",
        );
    }
    for env in [
        "{ name: TOKEN_COOKIE, value: __Host-token }, { name: CORS_ORIGINS, value: 'https://a.example' }",
        "{ name: TOKEN_COOKIE, value: __Host-token }, { name: CORS_ORIGINS, value: '${CORS_ORIGINS}' }",
        "{ name: TOKEN_COOKIE, value: '${TOKEN_COOKIE}' }",
        "{ name: TOKEN_COOKIE, value: '' }",
    ] {
        assert_eq!(findings(&[("service.yaml", &service("", 10, env))]), [""; 0], "{env}");
    }
}

/// A function of this bundle whose routes say this.
fn app(change: impl FnOnce(&mut Declared)) -> [Declared; 1] {
    let mut declared = Declared::for_test("app", false, &[]);
    change(&mut declared);
    [declared]
}

fn deployed(env: &str) -> String {
    service("", 10, env).replace("containers:", "serviceAccountName: app@project\n      containers:")
}

#[test]
fn a_function_with_routes_for_callers_and_without_an_issuer_is_named() {
    let declared = app(|app| app.has_protected_routes = true);
    for env in ["", "{ name: TOKEN_ISSUERS, value: '' }"] {
        let found = findings_with(&[("service.yaml", &deployed(env))], with(&declared));
        names(&found, "has routes for callers, and no TOKEN_ISSUERS");
    }
    let on_lambda = "Transform: AWS::Serverless-2016-10-31\nResources: { F: { Type: AWS::Serverless::Function, Metadata: \
                     { BuildProperties: { Binary: app } }, Properties: { CodeUri: functions/app } } }";
    let found = findings_with(&[("template.yaml", on_lambda)], with(&declared));
    names(&found, "has routes for callers, and no TOKEN_ISSUERS");
    let given = deployed("{ name: TOKEN_ISSUERS, value: '${TOKEN_ISSUERS}' }");
    assert_eq!(findings_with(&[("service.yaml", &given)], with(&declared)), [""; 0]);
    let job = "kind: Job\nmetadata: { name: app }\nspec: { template: { spec: { template: { spec: { serviceAccountName: a, \
               timeoutSeconds: 60, containers: [{ image: app }] } } } } }";
    assert_eq!(findings_with(&[("job.yaml", job)], with(&declared)), [""; 0]);
}

#[test]
fn a_route_with_scopes_that_no_token_can_reach_is_named() {
    let template = |allowed: &str, auth: &str| {
        format!(
            "Transform: AWS::Serverless-2016-10-31\nParameters: {{ Auth: {{ Type: String, Default: AWS_IAM, AllowedValues: \
             [{allowed}] }} }}\nResources: {{ F: {{ Type: AWS::Serverless::Function, Metadata: {{ BuildProperties: {{ Binary: \
             app }} }}, Properties: {{ CodeUri: functions/app, FunctionUrlConfig: {{ AuthType: {auth} }} }} }} }}"
        )
    };
    let scoped = app(|app| app.scoped = vec!["POST /orders".to_owned(), "GET /orders".to_owned()]);
    for (allowed, auth) in [
        ("AWS_IAM, NONE", "AWS_IAM"),
        ("AWS_IAM", "!Ref Auth"),
        ("AWS_IAM, NONE", "!If [Never, NONE, AWS_IAM]"),
    ] {
        let text = template(allowed, auth).replace("Resources:", "Conditions: { Never: !Equals [a, b] }\nResources:");
        let found = findings_with(&[("template.yaml", &text)], with(&scoped));
        names(&found, "these ask for scopes: POST /orders, GET /orders");
    }
    let other = [Declared::for_test("app", false, &[])];
    for (auth, declared) in [("!Ref Auth", &scoped), ("NONE", &scoped), ("AWS_IAM", &other)] {
        let files = [("template.yaml", &*template("AWS_IAM, NONE", auth))];
        assert_eq!(findings_with(&files, with(declared)), [""; 0], "{auth}");
    }
    let without_url = template("AWS_IAM, NONE", "AWS_IAM").replace(", FunctionUrlConfig: { AuthType: AWS_IAM }", "");
    assert_eq!(
        findings_with(&[("template.yaml", &without_url)], with(&scoped)),
        [""; 0]
    );
    assert_eq!(
        findings_with(&[("service.yaml", &deployed(""))], with(&scoped)),
        [""; 0]
    );
}

#[test]
fn a_public_route_that_writes_and_one_that_does_not_say_are_named() {
    let writes = app(|app| app.public_writes = vec!["POST /orders".to_owned()]);
    let found = findings_with(&[("service.yaml", &deployed(""))], with(&writes));
    names(&found, "service.yaml, app: POST /orders is public and writes");
    let silent = app(|app| app.undeclared = vec!["GET /orders".to_owned()]);
    let found = findings_with(&[("service.yaml", &deployed(""))], with(&silent));
    names(&found, "service.yaml, app: GET /orders does not say who may call it");
    let other = [Declared::for_test("app", false, &[])];
    assert_eq!(findings_with(&[("service.yaml", &deployed(""))], with(&other)), [""; 0]);
}

#[test]
fn what_the_environment_says_is_examined_by_the_same_rules() {
    const ISSUERS: &str = r#"[{"issuer": "http://a.example"}]"#;
    let env = Env::new(|key| match key {
        "TOKEN_ISSUERS" => Some(ISSUERS.to_owned()),
        "TOKEN_COOKIE" => Some("__Host-token".to_owned()),
        _ => None,
    });
    let found = examine(&environment(&env), LIMITS);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found.iter().all(|finding| finding.starts_with("the environment: ")),
        "{found:?}"
    );
    assert_eq!(examine(&environment(&Env::new(|_| None)), LIMITS), [""; 0]);
}

#[test]
fn any_other_mistake_of_an_issuer_is_named_and_no_value_is_repeated() {
    for value in [
        r#"{"issuer": "https://hunter2.example"}"#,
        r#"["hunter2"]"#,
        r#"[{"issuer": "https://a.example", "audience": "app", "algorithms": ["hunter2"]}]"#,
        r#"[{"issuer": "https://a.example", "audience": "app", "algorithms": ["HS256"]}]"#,
        r#"[{"issuer": "https://a.example", "audience": "app", "hunter2": 1}]"#,
        r#"[{"issuer": "https://a.example", "audience": "app", "jwks": "hunter2"}]"#,
    ] {
        let found = findings(&[("service.yaml", &issuers(value))]);
        names(&found, "service.yaml, app: TOKEN_ISSUERS");
        assert!(
            found[0].contains("must be") && !found[0].contains("hunter2"),
            "{found:?}"
        );
    }
}
