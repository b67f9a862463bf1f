use super::*;
use serde_json::json;

fn read(settings: &Value) -> (Vec<Issuer>, Vec<String>) {
    read_text(settings.to_string())
}

fn read_text(text: String) -> (Vec<Issuer>, Vec<String>) {
    let env = Env::new(move |key| (key == VARIABLE).then(|| text.clone()));
    let issuers = from_env(&env);
    let mistakes = env.take_invalid().iter().map(ToString::to_string).collect();
    (issuers, mistakes)
}

/// The places of the mistakes.
fn places(settings: &Value) -> Vec<String> {
    let (_, mistakes) = read(settings);
    let place = |mistake: &String| mistake.split_once(" must be ").unwrap().0.to_owned();
    mistakes.iter().map(place).collect()
}

fn key() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
}

#[test]
fn every_mistake_is_named_with_its_place_and_no_value_is_repeated() {
    let settings = json!([
        {"issuer": "http://hunter2.example", "audience": [], "algorithms": ["RS256", "HS256", "none"]},
        {"issuer": "https://issuer.example", "audience": "api", "audiences": "hunter2", "jwks_url": "ftp://hunter2"},
        {"audience": ["api", ""], "audience_claim": "hunter2", "jwks": {"keys": [key(), {"kty": "oct", "k": "hunter2"}]},
         "algorithms": ["EdDSA"]},
        "hunter2",
    ]);
    let (issuers, mistakes) = read(&settings);
    assert!(issuers.is_empty());
    assert_eq!(
        mistakes,
        ["TOKEN_ISSUERS must be a JSON array of objects, one for each issuer, in which no member is there twice"]
    );
    let settings = settings.as_array().unwrap()[..3].into();
    let (_, mistakes) = read(&settings);
    assert_eq!(
        places(&settings),
        [
            "TOKEN_ISSUERS[0].issuer",
            "TOKEN_ISSUERS[0].audience",
            "TOKEN_ISSUERS[0].algorithms[1]",
            "TOKEN_ISSUERS[0].algorithms[2]",
            "TOKEN_ISSUERS[1]",
            "TOKEN_ISSUERS[1].jwks_url",
            "TOKEN_ISSUERS[2].issuer",
            "TOKEN_ISSUERS[2].audience_claim",
            "TOKEN_ISSUERS[2].audience",
            "TOKEN_ISSUERS[2].jwks.keys[1]",
        ]
    );
    assert!(!mistakes.join(" ").contains("hunter2"), "{mistakes:?}");
}

#[test]
fn neither_none_nor_hmac_nor_an_unknown_algorithm_can_be_written() {
    for name in [
        "none", "None", "HS256", "HS384", "HS512", "RS1", "rs256", "ES256K", "ES512", "dir", "",
    ] {
        let settings = json!([{"issuer": "https://issuer.example", "audience": "api", "algorithms": [name]}]);
        assert_eq!(places(&settings), ["TOKEN_ISSUERS[0].algorithms[0]"], "{name}");
    }
    for algorithms in [json!([]), json!("RS256"), json!(null), json!([1]), json!({})] {
        let settings = json!([{"issuer": "https://issuer.example", "audience": "api", "algorithms": algorithms}]);
        assert_eq!(places(&settings).len(), 1, "{algorithms}");
    }
}

#[test]
fn an_issuer_and_its_keys_are_at_https_or_on_loopback() {
    let is_taken = |url: &str| places(&json!([{"issuer": url, "audience": "api"}])).is_empty();
    for (url, expected) in [
        ("https://issuer.example", true),
        ("https://issuer.example/", true),
        ("https://issuer.example/realms/a", true),
        ("http://127.0.0.1:9000", true),
        ("http://[::1]:9000", true),
        ("http://localhost:9000", true),
        ("http://issuer.example", false),
        ("http://localhost.example", false),
        ("http://127.0.0.1.example", false),
        ("http://127.0.0.1@issuer.example", false),
        ("https://user:password@issuer.example", false),
        ("https://issuer.example?a=b", false),
        ("https://issuer.example#a", false),
        ("https://issuer.example:443/a", true),
        ("https://issuer.example:99999", false),
        ("https://issuer.example:0", false),
        ("https://issuer.example:", false),
        ("http://[::1]:99999", false),
        ("issuer.example", false),
        ("/keys", false),
        ("ftp://issuer.example", false),
        ("", false),
    ] {
        assert_eq!(is_taken(url), expected, "{url}");
    }
}

#[test]
fn the_keys_come_from_one_place_and_an_issuer_is_there_once() {
    let both = json!({"issuer": "https://a.example", "audience": "api", "jwks_url": "https://a.example/keys",
        "jwks": {"keys": [key()]}});
    assert_eq!(places(&json!([both])), ["TOKEN_ISSUERS[0].jwks"]);
    let one = json!({"issuer": "https://a.example", "audience": "api"});
    assert_eq!(places(&json!([one, one])), ["TOKEN_ISSUERS[1].issuer"]);
    let unfit =
        json!({"issuer": "https://a.example", "audience": "api", "algorithms": ["RS256"], "jwks": {"keys": [key()]}});
    assert_eq!(places(&json!([unfit])), ["TOKEN_ISSUERS[0].jwks"]);
    for jwks in [json!([]), json!({}), json!({"keys": []}), json!("{}"), json!(null)] {
        let settings = json!([{"issuer": "https://a.example", "audience": "api", "jwks": jwks}]);
        assert_eq!(places(&settings), ["TOKEN_ISSUERS[0].jwks"], "{jwks}");
    }
}

#[test]
fn an_audience_of_blanks_is_none() {
    for audience in [json!(" "), json!(["api", "\t "])] {
        let settings = json!([{"issuer": "https://a.example", "audience": audience}]);
        assert_eq!(places(&settings), ["TOKEN_ISSUERS[0].audience"], "{audience}");
    }
}

#[test]
fn an_inline_key_is_public_and_can_verify() {
    let read = |added: &Value| {
        let mut second = key();
        second
            .as_object_mut()
            .unwrap()
            .extend(added.as_object().unwrap().clone());
        let (_, mistakes) = read(&json!([{"issuer": "https://a.example", "audience": "api",
            "algorithms": ["EdDSA", "RS256", "ES256"], "jwks": {"keys": [key(), second]}}]));
        mistakes
    };
    assert!(read(&json!({})).is_empty());
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        let mistakes = read(&json!({name: "hunter2"}));
        assert_eq!(
            mistakes,
            ["TOKEN_ISSUERS[0].jwks.keys[1] must be a public key alone, without the members of its private part"]
        );
    }
    for other in [
        json!({"use": "enc"}),
        json!({"alg": "RSA-OAEP"}),
        json!({"crv": "X25519"}),
        json!({"kty": "EC"}),
    ] {
        assert!(read(&other).is_empty(), "{other}");
    }
    let off = "A".repeat(43);
    let mistakes = read(&json!({"kty": "EC", "crv": "P-256", "x": off, "y": off}));
    assert!(
        mistakes.len() == 1 && mistakes[0].starts_with("TOKEN_ISSUERS[0].jwks.keys[1] must be a public key for"),
        "{mistakes:?}"
    );
}

#[test]
fn unset_and_an_empty_array_mean_no_issuer_and_anything_else_is_a_mistake() {
    for text in ["", "[]"] {
        let (issuers, mistakes) = read_text(text.to_owned());
        assert!(issuers.is_empty() && mistakes.is_empty(), "{text}");
    }
    for text in [
        r#"[{"issuer": "https://a.example", "issuer": "https://b.example", "audience": "api"}]"#,
        r#"[{"issuer": "https://a.example", "audience": "api", "jwks": {"keys": [], "keys": []}}]"#,
        "{}",
        "https://issuer.example",
        "[",
        "[[]]",
        "null",
        "1",
    ] {
        let (_, mistakes) = read_text(text.to_owned());
        assert_eq!(mistakes.len(), 1, "{text}");
    }
}

/// The entries of the page beside the code.
#[test]
fn the_providers_of_the_page_are_settings() {
    let page = include_str!("../README.md");
    let blocks: Vec<_> = page
        .split("```json\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(blocks.len() >= 5, "{}", blocks.len());
    for block in blocks {
        assert!(block.lines().count() <= 3, "{block}");
        let (issuers, mistakes) = read_text(format!("[{block}]"));
        assert_eq!((issuers.len(), mistakes), (1, vec![]), "{block}");
    }
}
