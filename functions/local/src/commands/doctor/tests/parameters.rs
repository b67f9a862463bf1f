//! Parameters of a template: their defaults, the other values that they allow, and what the doctor says of each.

use super::*;

/// A template of one parameter and one function, with a database behind it.
fn template(parameter: &str, properties: &str, rest: &str) -> String {
    format!(
        "Transform: AWS::Serverless-2016-10-31\nParameters: {{ Given: {{ {parameter} }} }}\nConditions: {{ IsPublic: !Equals \
         [!Ref Given, NONE] }}\nResources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      {properties}\n      \
         Environment: {{ Variables: {{ DATABASE_URL: !Sub '{{{{resolve:secretsmanager:x}}}}' }} }}\n{rest}"
    )
}

const AUTH: &str = "Type: String, Default: AWS_IAM, AllowedValues: [AWS_IAM, NONE]";

#[test]
fn what_only_another_allowed_value_makes_unsafe_is_named_with_the_value() {
    let permission = "  P: { Type: AWS::Lambda::Permission, Condition: IsPublic, Properties: { FunctionName: !Ref F, Principal: '*' } }\n";
    for (parameter, properties, rest, named) in [
        (
            AUTH,
            "FunctionUrlConfig: { AuthType: !Ref Given }",
            "",
            "with Given=NONE: template.yaml, F: everybody may call it",
        ),
        (
            AUTH,
            "FunctionUrlConfig: { AuthType: !If [IsPublic, NONE, AWS_IAM] }",
            "",
            "with Given=NONE: template.yaml, F: everybody may call it",
        ),
        (
            AUTH,
            "Timeout: 10",
            permission,
            "with Given=NONE: template.yaml, F: everybody may call it",
        ),
        (
            "Default: 'https://a.example', AllowedValues: ['https://a.example', '*']",
            "FunctionUrlConfig: { AuthType: AWS_IAM, Cors: { AllowOrigins: [!Ref Given] } }",
            "",
            "with Given=*: template.yaml, F: answers every origin",
        ),
        (
            "Type: Number, Default: 10, AllowedValues: [10, 97, 98]",
            "ReservedConcurrentExecutions: !Ref Given",
            "",
            "with Given=98: Lambda: pools of 98 connections",
        ),
        (
            "Default: a, AllowedValues: [a, NONE]",
            "Timeout: !If [IsPublic, !FindInMap [a, b, c], 10]",
            "",
            "with Given=NONE: template.yaml, F: Timeout is not understood",
        ),
    ] {
        let found = findings(&[("template.yaml", &template(parameter, properties, rest))]);
        names(&found, named);
        let defaults = parameter.split(", AllowedValues").next().unwrap();
        let found = findings(&[("template.yaml", &template(defaults, properties, rest))]);
        assert_eq!(found, [""; 0], "{defaults} {properties}");
    }
}

#[test]
fn a_finding_of_several_values_or_of_the_default_comes_once() {
    let url = "FunctionUrlConfig: { AuthType: !If [IsPublic, AWS_IAM, NONE] }";
    let several = template("Default: NONE, AllowedValues: [a, NONE, b, b]", url, "");
    names(
        &findings(&[("template.yaml", &several)]),
        "with Given=a or Given=b: template.yaml, F: everybody may call it",
    );
    let default = template("Default: a, AllowedValues: [a, b, NONE]", url, "");
    let found = findings(&[("template.yaml", &default)]);
    names(&found, "template.yaml, F: everybody may call it");
    assert!(!found[0].contains("with "), "{found:?}");
    let twice = service("", 10, "").replace(
        "containers: [",
        "containers: [{ image: a, args: [] }, { image: b, args: [] }, ",
    );
    names(&findings(&[("service.yaml", &twice)]), "args is not understood");
}

#[test]
fn an_allowed_value_that_is_a_secret_is_not_repeated() {
    let secret = |value: &str| {
        template("Default: '', AllowedValues: ['', hunter2]", "Timeout: 10", "")
            .replace("DATABASE_URL: !Sub '{{resolve:secretsmanager:x}}'", value)
    };
    for value in [
        "SIGNING_SECRET: !Ref Given",
        "REPLICA: !Sub 'postgres://u:${Given}@db/app'",
    ] {
        let found = findings(&[("template.yaml", &secret(value))]);
        names(&found, "stands there in plain text");
        names(&found, "with another allowed value of Given: ");
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
}

#[test]
fn a_parameter_whose_values_the_file_does_not_tell_is_named() {
    let url = "FunctionUrlConfig: { AuthType: !Ref Given }";
    for (parameter, named) in [
        ("Default: AWS_IAM, AllowedValues: NONE", "Given: AllowedValues"),
        ("Default: AWS_IAM, AllowedValues: [[NONE]]", "Given: AllowedValues"),
        ("Default: AWS_IAM, allowedValues: [NONE]", "Given: allowedValues"),
        // The default names a parameter of Systems Manager, and the value is there.
        (
            "Type: AWS::SSM::Parameter::Value<String>, Default: AWS_IAM",
            "F: AuthType",
        ),
    ] {
        let found = findings(&[("template.yaml", &template(parameter, url, ""))]);
        names(&found, &format!("{named} is not understood"));
    }
    let list = template(AUTH, "Timeout: 10", "").replace("Parameters: { Given:", "Parameters: [{ Given:");
    let list = list.replace("NONE] } }", "NONE] } }]");
    names(
        &findings(&[("template.yaml", &list)]),
        "template.yaml: Parameters is not understood",
    );
}
