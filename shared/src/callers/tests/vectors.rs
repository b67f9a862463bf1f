//! Published vectors.

use super::is_signed;
use crate::callers::{algorithm::Algorithm, token::Token};
use serde_json::{Value, json};

/// Without the last part of the token, with one that differs in a bit, and with one of another length.
fn broken(jws: &str) -> Vec<String> {
    let (message, signature) = jws.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    vec![
        format!("{message}."),
        format!("{message}.{flipped}{}", &signature[1..]),
        format!("{message}.{}", &signature[..signature.len() - 4]),
        format!("{message}.{signature}AAAA"),
        message.to_owned(),
    ]
}

fn assert_signed(key: &Value, jws: &str) {
    assert!(is_signed(key, jws), "{jws}");
    for broken in broken(jws) {
        assert!(!is_signed(key, &broken), "{broken}");
    }
}

/// The claims of RFC 7515, appendices A.1 to A.3.
const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

#[test]
fn rfc_7515_a_2_rs256() {
    let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pC\
             gNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg66\
             5xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyu\
             XpoQ";
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdb\
                     F9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383\
                     LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWy\
                     wlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let key = json!({"kty": "RSA", "n": n, "e": "AQAB"});
    assert_signed(&key, &format!("eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}.{signature}"));
}

#[test]
fn rfc_7515_a_3_es256() {
    let key = json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    assert_signed(&key, &format!("eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}.{signature}"));
}

/// HMAC, and no signature at all: whatever the key is, no algorithm here has their names.
#[test]
fn rfc_7515_a_1_and_a_5_are_refused() {
    let hmac =
        format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{PAYLOAD}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let none = format!("eyJhbGciOiJub25lIn0.{PAYLOAD}.");
    let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    for jws in [hmac, none] {
        let token = Token::parse(&jws).expect("the form is that of a token");
        assert!(token.header.algorithm(&Algorithm::ALL).is_err());
        assert!(!is_signed(&json!({"kty": "oct", "k": secret}), &jws));
    }
}

#[test]
fn rfc_8037_a_4_ed25519() {
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let jws = format!("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.{signature}");
    assert_signed(&key, &jws);
}

/// All tests with public keys of `json_web_signature_test.json` of Wycheproof (github.com/C2SP/wycheproof, Apache-2.0), those of
/// RFC 7520, section 4, among them. Algorithms that are not implemented here are refused, valid or not.
#[test]
fn wycheproof_and_rfc_7520() {
    let groups: Vec<Value> = serde_json::from_str(include_str!("wycheproof.json")).unwrap();
    let mut valid = 0;
    for (group, test) in groups.iter().flat_map(|group| {
        let tests = group["tests"].as_array().unwrap();
        tests.iter().map(move |test| (group, test))
    }) {
        let jws = test["jws"].as_str().unwrap();
        let is_implemented = |token: Token| !matches!(token.header.alg.as_str(), "PS384" | "PS512" | "ES512");
        let expected = test["result"] == "valid" && Token::parse(jws).is_ok_and(is_implemented);
        assert_eq!(is_signed(&group["key"], jws), expected, "{test}");
        valid += usize::from(expected);
    }
    assert!(valid >= 20, "only {valid} are valid");
}
