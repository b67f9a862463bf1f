//! Every function that can be asked for.

use super::*;
use crate::commands::new::route::Route;
use std::fs;

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];
const PATHS: [&str; 5] = [
    "/orders",
    "/orders/{id}",
    "/orders/{id}/items/{item}",
    "/files/{*rest}",
    "/{kind}/files/{*rest}",
];

fn all() -> Vec<Arguments> {
    let routes = METHODS
        .iter()
        .flat_map(|method| PATHS.iter().map(move |path| format!("{method} {path}")));
    let routes = routes.map(|route| Route::parse(&route).unwrap());
    let kinds = routes
        .flat_map(|route| [Kind::Answer(route.clone()), Kind::Stream(route)])
        .flat_map(|kind| [(kind.clone(), false), (kind, true)])
        .chain([(Kind::Job, false)]);
    let with = |(kind, public): (Kind, bool)| {
        [(false, false), (false, true), (true, false), (true, true)].map(|(db, storage)| Arguments {
            name: "order-items".to_owned(),
            kind: kind.clone(),
            db,
            storage,
            public,
        })
    };
    kinds.flat_map(with).collect()
}

/// Copies for these arguments, formatted.
fn copied(arguments: Vec<Arguments>) -> Vec<(Arguments, Function)> {
    let (checkout, folder) = (Checkout::of_build(), tempfile::tempdir().unwrap());
    let name = Name::for_test("order-items");
    let copy = |arguments: Arguments| (Function::copy(&checkout, &name, &arguments).unwrap(), arguments);
    let functions: Vec<_> = arguments.into_iter().map(copy).collect();
    let path = |index: usize, file: &str| folder.path().join(index.to_string()).join(file);
    let mut rust = Vec::new();
    for (index, (function, _)) in functions.iter().enumerate() {
        for (file, text) in function.files.iter().filter(|(file, _)| file.ends_with(".rs")) {
            let path = path(index, file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            rust.push(path);
        }
    }
    format(&checkout, &rust).unwrap();
    let formatted = |(index, (mut function, arguments)): (usize, (Function, Arguments))| {
        for (file, text) in function.files.iter_mut().filter(|(file, _)| file.ends_with(".rs")) {
            *text = fs::read_to_string(path(index, file)).unwrap();
        }
        (arguments, function)
    };
    functions.into_iter().enumerate().map(formatted).collect()
}

/// Words of a text, without its comments and strings.
fn words(source: &str) -> Vec<&str> {
    let code = source.lines().map(|line| line.split("//").next().unwrap_or_default());
    code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .filter(|word| !word.is_empty())
        .collect()
}

fn assert_complete(file: &str, text: &str) {
    for left in ["example", "Example", "// if ", "# if ", "POST /"] {
        let rest = text
            .replace("example = ", "")
            .replace("POST /orders", "")
            .replace("POST /files", "")
            .replace("POST /{kind}", "");
        assert!(!rest.contains(left), "{file}: {left:?} is left in\n{text}");
    }
    assert!(
        !text.contains("\n\n\n") && text.ends_with('\n') && !text.ends_with("\n\n"),
        "{file}:\n{text}"
    );
}

/// Every name that a file imports is used below.
fn assert_used(file: &str, text: &str) {
    let (imports, code) = text.split_at(
        text.rfind("\nuse ")
            .map_or(0, |last| last + text[last..].find(";\n").unwrap()),
    );
    let used = words(code);
    assert!(
        text.contains("(env)") || !text.contains("(env: &Env)"),
        "{file}: env is not used in\n{text}"
    );
    for name in words(imports)
        .into_iter()
        .filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase()))
    {
        assert!(
            used.contains(&name) || ["StreamExt"].contains(&name),
            "{file}: {name} is not used in\n{text}"
        );
    }
}

#[test]
fn every_function_that_can_be_asked_for_is_complete_and_formatted() {
    let functions = all();
    assert_eq!(functions.len(), 404);
    for (arguments, function) in copied(functions) {
        assert!(
            function.block.starts_with("  ") && function.block.contains("  OrderItems:\n"),
            "{}",
            function.block
        );
        assert_complete("template.yaml", &function.block);
        let has = |file: &str| function.files.iter().any(|(path, _)| path == file);
        assert_eq!(
            (has("src/rows.rs"), has("src/objects.rs")),
            (arguments.db, arguments.storage)
        );
        assert_eq!(has("service.yaml"), arguments.route().is_some());
        for (file, text) in function.files.iter().filter(|(file, _)| !file.starts_with(".sqlx/")) {
            assert_complete(file, text);
            if file.ends_with(".rs") {
                assert_used(file, text);
            }
        }
    }
}

#[test]
fn each_parameter_is_a_field_and_stands_in_the_document() {
    let route = Route::parse("PUT /orders/{id}/items/{item}").unwrap();
    let arguments = Arguments {
        name: "order-items".to_owned(),
        kind: Kind::Answer(route),
        db: false,
        storage: false,
        public: true,
    };
    let (_, function) = copied(vec![arguments]).remove(0);
    let (_, code) = function.files.iter().find(|(file, _)| file == "src/lib.rs").unwrap();
    assert!(
        code.contains("    id: String,\n    /// As the client has named it.\n"),
        "{code}"
    );
    assert!(
        code.contains("    item: String,\n}\n")
            && code.contains("Route::put(PATH, answer);\n    let route = route.public();"),
        "{code}"
    );
}

#[test]
fn a_function_is_for_callers_and_has_what_they_need_unless_it_is_public() {
    const NEEDED: [(&str, &str); 6] = [
        ("Cargo.toml", "features = [\"callers\"]"),
        ("src/lib.rs", "let route = route.callers(&callers);"),
        ("src/lib.rs", "caller: Caller"),
        ("service.yaml", "{ name: TOKEN_ISSUERS, value: '${TOKEN_ISSUERS}' }"),
        ("service.yaml", "{ name: TOKEN_COOKIE, value: '${TOKEN_COOKIE}' }"),
        ("tests/lives.rs", "without_a_token_it_is_refused_in_every_life"),
    ];
    for (public, stream) in [(false, false), (false, true), (true, false), (true, true)] {
        let route = Route::parse("GET /orders").unwrap();
        let arguments = Arguments {
            name: "order-items".to_owned(),
            kind: if stream {
                Kind::Stream(route)
            } else {
                Kind::Answer(route)
            },
            db: false,
            storage: false,
            public,
        };
        let (_, function) = copied(vec![arguments]).remove(0);
        for (file, needed) in NEEDED {
            let (_, text) = function.files.iter().find(|(path, _)| path == file).unwrap();
            assert_eq!(text.contains(needed), !public, "{file}: {needed}\n{text}");
        }
        let block = &function.block;
        for needed in [
            "AuthType: !Ref AuthType",
            "  OrderItemsUrlForAll:\n",
            "  OrderItemsForAll:\n",
        ] {
            assert_eq!(block.contains(needed), !public, "{needed}\n{block}");
        }
        let code = &function.files.iter().find(|(path, _)| path == "src/lib.rs").unwrap().1;
        assert_eq!(code.contains("route.public()"), public, "{code}");
        assert!(!public || !code.contains("aller"), "{code}");
    }
}
