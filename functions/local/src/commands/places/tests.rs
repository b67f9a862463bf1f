//! What is added and removed again leaves the same bytes, whatever was added in between.

use super::*;
use crate::route_table::{Line, declared, read};

fn text(file: &str) -> String {
    Checkout::of_build().text(file).unwrap()
}

fn routed(method: &str, path: &str, function: &str) -> Routed {
    Routed {
        path: path.to_owned(),
        method: method.to_owned(),
        function: function.to_owned(),
    }
}

#[test]
fn a_dependency_of_local_stands_in_its_place_by_name_and_goes_without_a_trace() {
    let before = text(LOCAL);
    let one = dependencies::add(&before, "health-a", true).unwrap();
    let both = dependencies::add(&one, "zebra", false).unwrap();
    assert!(
        one.contains("\nhealth-a = { path = \"../health-a\", features = [\"openapi\"] }\n"),
        "{one}"
    );
    let names = one.lines().filter_map(|line| line.split_once(" = { path = \"../"));
    let names: Vec<&str> = names.map(|(name, _)| name).collect();
    assert!(names.is_sorted(), "{names:?}");
    assert!(both.contains("\nzebra = { path = \"../zebra\" }\n\n"), "{both}");
    let left = dependencies::remove(&both, "health-a");
    assert_eq!(left, dependencies::add(&before, "zebra", false).unwrap());
    assert_eq!(dependencies::remove(&left, "zebra"), before);
}

#[test]
fn a_line_of_the_route_table_stands_in_its_place_by_path_and_goes_without_a_trace() {
    let before = text(ROOT);
    for path in ["/a", "/health/a/{id}", "/zebra"] {
        let one = route_table::add(&before, &routed("POST", path, "one")).unwrap();
        assert!(one.contains(&format!("\n\"{path}\" = \"one\"\n")), "{one}");
        let mut paths: Vec<String> = read(&one).unwrap().into_iter().map(|line| line.path).collect();
        assert!(paths.is_sorted() && paths.contains(&path.to_owned()), "{paths:?}");
        paths.retain(|other| other != path);
        assert_eq!(route_table::remove(&one, "one").unwrap(), before);
    }
}

#[test]
fn functions_share_a_path_by_method_until_one_is_left() {
    let before = text(ROOT);
    // Whichever function of this bundle answers GET on a path, and nothing else there.
    let answers_get = |line: &Line| {
        let all: Vec<_> = declared().into_iter().filter(|route| route.path == line.path).collect();
        matches!(&all[..], [only] if only.method == "GET" && line.method.is_none())
    };
    let Some(Line {
        path, function: alone, ..
    }) = read(&before).unwrap().into_iter().find(answers_get)
    else {
        return;
    };
    let two = route_table::add(&before, &routed("POST", &path, "one")).unwrap();
    let three = route_table::add(&two, &routed("PUT", &path, "two")).unwrap();
    let lines = read(&three).unwrap().into_iter().filter(|line| line.path == path);
    let functions: Vec<(Option<String>, String)> = lines.map(|line| (line.method, line.function)).collect();
    let expected = [("GET", &*alone), ("HEAD", &*alone), ("POST", "one"), ("PUT", "two")];
    assert_eq!(
        functions,
        expected.map(|(method, function)| (Some(method.to_owned()), function.to_owned()))
    );
    let without_one = route_table::remove(&three, "one").unwrap();
    assert_eq!(
        without_one,
        route_table::add(&before, &routed("PUT", &path, "two")).unwrap()
    );
    assert_eq!(route_table::remove(&without_one, "two").unwrap(), before);
    assert_eq!(route_table::remove(&two, "nobody").unwrap(), two);
}

#[test]
fn a_line_in_another_form_is_named_rather_than_left() {
    let manifest = "[workspace.metadata.lambda.watch.router]\n'/a' = [{ function = 'one', method = 'GET' }]\n";
    assert!(
        route_table::remove(manifest, "one")
            .unwrap_err()
            .contains("remove one from the line of /a first")
    );
}

#[test]
fn a_block_of_the_template_stands_in_its_place_and_goes_with_what_belongs_to_it() {
    let (before, block) = (
        text(TEMPLATE),
        "  # Why.\n  New:\n    Type: AWS::Serverless::Function\n",
    );
    let one = template::add(&before, "health-e", &block.replace("New", "HealthE")).unwrap();
    let (above, below) = one
        .split_once("\n  # Why.\n  HealthE:\n    Type: AWS::Serverless::Function\n\n  ")
        .unwrap();
    assert!(above.contains("  Health:\n") && below.contains("  Migrate:\n"), "{one}");
    let both = template::add(&one, "zebra", &block.replace("New", "Zebra")).unwrap();
    let left = template::remove(&both, "health-e");
    assert_eq!(
        left,
        template::add(&before, "zebra", &block.replace("New", "Zebra")).unwrap()
    );
    assert_eq!(template::remove(&left, "zebra"), before);
    let without = template::remove(&before, "health");
    for left in ["  Health:", "  HealthUrlForAll:", "!Ref Health,", "functions/health\n"] {
        assert!(before.contains(left) && !without.contains(left), "{left}: {without}");
    }
}

#[test]
fn a_name_that_the_template_has_for_something_else_is_refused() {
    for name in [
        "logs",
        "callers",
        "health-url",
        "health-role",
        "concurrency",
        "is-public",
        "health-for-all",
        "migrate-hourly",
        "migrate-schedule-permission",
    ] {
        assert!(
            template::add(&text(TEMPLATE), name, "")
                .unwrap_err()
                .contains("template.yaml has a"),
            "{name}"
        );
    }
    // Both are `V2` in CamelCase.
    let block = "  V2:\n    Type: AWS::Serverless::Function\n";
    let with_v2 = template::add(&text(TEMPLATE), "v2", block).unwrap();
    assert!(template::add(&with_v2, "v-2", block).unwrap_err().contains("has a V2,"));
}

#[test]
fn a_page_loses_what_leads_to_a_function_and_nothing_else() {
    let page = "| [`sse`](functions/sse) | beats |\n| [`sse2`](functions/sse2) | too |\n\nSee [its\npage](functions/sse/README.md#limits), \
                [others](functions/sse2), [a][b](c) and [outside](https://functions/sse).\n```\nfunctions/sse/src/a.rs  the map\n\
                functions/sse2/src/a.rs\n```\n";
    let left = "| [`sse2`](functions/sse2) | too |\n\nSee its\npage, [others](functions/sse2), [a][b](c) and \
                [outside](https://functions/sse).\n```\nfunctions/sse2/src/a.rs\n```\n";
    assert_eq!(pages::remove("README.md", page, "sse"), left);
    assert_eq!(pages::remove("README.md", left, "sse"), left);
    for (path, link, is_gone) in [
        ("shared/src/a/README.md", "../../../functions/sse", true),
        ("functions/local/README.md", "../sse/src", true),
        ("functions/local/README.md", "../sse2", false),
        ("functions/local/README.md", "functions/sse", false),
        ("README.md", "./functions/sse#a", true),
        ("README.md", "functions/sse", true),
        ("README.md", "#functions/sse", false),
    ] {
        let page = format!("[a]({link}) [open](");
        let left = pages::remove(path, &page, "sse");
        assert_eq!(left == "a [open](", is_gone, "{path} {link}: {left}");
        assert!(is_gone || left == page, "{left}");
    }
}

#[test]
fn a_row_of_settings_goes_with_the_last_that_reads_one_of_them() {
    let page = "| variable |\n|---|\n| `A` | 1 |\n| `B`, `C` | 2 | `A` |\n| A | `A` |\n";
    let without = |unread: &[&str]| pages::remove_settings(page, &unread.iter().map(|&name| name.to_owned()).collect());
    assert_eq!(without(&["A", "C"]), page.replace("| `A` | 1 |\n", ""));
    assert_eq!(without(&["B", "C"]), page.replace("| `B`, `C` | 2 | `A` |\n", ""));
    assert_eq!(without(&[]), page);
}
