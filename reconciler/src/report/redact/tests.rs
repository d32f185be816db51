//! What is masked, and what is left.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const PASSWORD: &str = "correct horse/battery+staple?\"quoted\"";

fn knowing(value: &str) -> Redactor {
    let redactor = Redactor::default();
    redactor.learn("Secret/web/db", [value]);
    redactor
}

#[test]
fn rule_27_a_known_value_is_masked_however_it_is_written() {
    let redactor = knowing(PASSWORD);
    let form = "correct+horse%2Fbattery%2Bstaple%3F%22quoted%22";
    let texts = [
        format!("the password is {PASSWORD}!"),
        format!("url=postgres://api:{}@db/shop", form.replace('+', "%20")),
        format!("body: user=api&pw={form}&x=1"),
        json!({"message": format!("said {PASSWORD}")}).to_string(),
        format!("{:?}", format!("said {PASSWORD}")),
        format!("data: {}", STANDARD.encode(PASSWORD)),
        format!("header: {}", STANDARD.encode(format!("api:{PASSWORD}"))),
        format!(
            "token: {}",
            URL_SAFE_NO_PAD.encode(format!("user:{PASSWORD}:more"))
        ),
    ];
    for text in texts {
        let masked = redactor.mask(&text);
        assert!(masked.contains(MASK), "{masked}");
        for trace in ["horse", "battery", "aG9yc2", "hvcnNl", "b3JzZ"] {
            assert!(!masked.contains(trace), "{masked}");
        }
    }
}

#[test]
fn rule_27_a_value_of_many_lines_is_masked_line_by_line() {
    let redactor =
        knowing("-----BEGIN TOKEN-----\nline-one-of-it\r\n  line-two-of-it\n-----END TOKEN-----\n");
    assert_eq!(
        redactor.mask("got line-two-of-it, then line-one-of-it; -----BEGIN TOKEN-----"),
        "got ***, then ***; -----BEGIN TOKEN-----"
    );
}

#[test]
fn rule_27_a_value_that_a_length_limit_has_cut_is_masked_too() {
    let redactor = knowing("hunter2-hunter3");
    assert_eq!(redactor.mask("password hunter2-hu"), "password ***");
    assert_eq!(
        redactor.mask("password hunter2-… and more"),
        "password ***… and more"
    );
    assert_eq!(redactor.mask("a hunter2-x"), "a hunter2-x");
}

#[test]
fn values_that_overlap_are_masked_together() {
    let redactor = Redactor::default();
    redactor.learn("a", ["abcdefgh", "efghijkl"]);
    assert_eq!(redactor.mask("<abcdefghijkl>"), "<***>");
}

#[test]
fn values_too_ordinary_to_mask_are_left() {
    let redactor = Redactor::default();
    redactor.learn(
        "a",
        [
            "a",
            "true",
            "5432",
            "8080808",
            "postgres",
            "Production",
            "------",
            "",
            "\n",
        ],
    );
    let text = "a true postgres on 5432 of Production 8080808 ------";
    assert_eq!(redactor.mask(text), text);
}

#[test]
fn a_value_is_known_as_long_as_somebody_brings_it() {
    let redactor = knowing("hunter2-hunter2");
    redactor.learn("another", ["hunter2-hunter2"]);
    redactor.forget("Secret/web/db");
    assert_eq!(redactor.mask("hunter2-hunter2"), "***");
    redactor.forget("another");
    assert_eq!(redactor.mask("hunter2-hunter2"), "hunter2-hunter2");
    assert!(redactor.0.read().unwrap().index.is_empty());
}

#[test]
fn rule_27_a_value_that_was_replaced_is_masked_until_it_was_replaced_several_times() {
    let redactor = knowing("hunter2-hunter2");
    for value in ["second-value", "third-value", "third-value", "fourth-value"] {
        redactor.learn("Secret/web/db", [value]);
    }
    assert_eq!(redactor.mask("hunter2-hunter2 second-value"), "*** ***");
    redactor.learn("Secret/web/db", ["fifth-value"]);
    assert_eq!(
        redactor.mask("hunter2-hunter2 second-value"),
        "hunter2-hunter2 ***"
    );
    redactor.forget("Secret/web/db");
    assert!(redactor.0.read().unwrap().index.is_empty());
}

#[test]
fn rule_27_what_looks_like_a_secret_is_masked_by_its_shape() {
    let redactor = Redactor::default();
    let cases = [
        ("Authorization: Bearer abc.DEF-123", "Authorization: Bearer ***"),
        ("Bearer authentication failed", "Bearer authentication failed"),
        (
            "https://user:p4ss@git.example/x.git",
            "https://user:***@git.example/x.git",
        ),
        (
            "https://ghp_0123456789@git.example/x.git",
            "https://***@git.example/x.git",
        ),
        ("ssh://git@git.example/x.git", "ssh://git@git.example/x.git"),
        (
            "postgres://api:p%40ss@database:5432/shop",
            "postgres://api:***@database:5432/shop",
        ),
        ("http://localhost:8080/a@b", "http://localhost:8080/a@b"),
        ("key AKIAIOSFODNN7EXAMPLE used", "key *** used"),
        ("age AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQ.", "age ***."),
        ("t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln x", "t=*** x"),
        ("PGPASSWORD=abc psql", "PGPASSWORD=*** psql"),
        ("secret=web/db token=abcdef", "secret=web/db token=***"),
        ("secret \"db\" not found", "secret \"db\" not found"),
        (
            r#"{"key":"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn\n-----END OPENSSH PRIVATE KEY-----\n","a":1}"#,
            r#"{"key":"***","a":1}"#,
        ),
    ];
    for (text, masked) in cases {
        assert_eq!(redactor.mask(text), masked);
    }
}

#[test]
fn rule_27_an_object_is_shown_without_secret_data_and_without_the_copy_that_kubectl_keeps() {
    let redactor = knowing("hunter2-hunter2");
    let mut list = json!({"kind": "List", "items": [
        {
            "kind": "Secret",
            "metadata": {"name": "db", "annotations": {LAST_APPLIED: "{\"data\":{\"a\":\"eA==\"}}", "kept": "yes"}},
            "data": {"password": "eA=="}, "stringData": {"port": "1"},
        },
        {"kind": "ConfigMap", "data": {"note": "hunter2-hunter2 was here", "port": "5432"}},
    ]});
    redactor.mask_object(&mut list);
    assert_eq!(
        list,
        json!({"kind": "List", "items": [
            {
                "kind": "Secret",
                "metadata": {"name": "db", "annotations": {LAST_APPLIED: "***", "kept": "yes"}},
                "data": {"password": "***"}, "stringData": {"port": "***"},
            },
            {"kind": "ConfigMap", "data": {"note": "*** was here", "port": "5432"}},
        ]})
    );
}

#[test]
fn the_values_of_a_secret_are_decoded() {
    let secret = json!({"data": {"a": "AP8=", "b": "not base64!"}, "stringData": {"c": "text"}});
    assert_eq!(values_of_secret(&secret), [vec![0, 255], b"text".to_vec()]);
}

proptest! {
    #[test]
    fn no_known_value_survives(
        before in ".{0,20}",
        value in "[a-zA-Z0-9!#$%&*+/:;<=>?@^_~ -]{8,400}",
        after in ".{0,20}",
    ) {
        prop_assume!(is_telling(value.trim().as_bytes()) && value.trim().len() > MIN_LENGTH);
        let value = value.trim();
        let redactor = knowing(value);
        let text = format!("{before}{value}{after}");
        let masked = redactor.mask(&text).into_owned();
        prop_assert!(!masked.contains(value), "{masked}");
        let tail = &value[value.len().saturating_sub(MIN_LENGTH)..];
        prop_assert!(before.contains(tail) || after.contains(tail) || !masked.contains(tail), "{masked}");
        let encoded = STANDARD.encode(&text);
        let shown = redactor.mask(&encoded);
        let decoded = STANDARD.decode(shown.as_bytes()).unwrap_or_default();
        prop_assert!(!String::from_utf8_lossy(&decoded).contains(value), "{shown}");
    }

    #[test]
    fn texts_without_secrets_are_left_as_they_are(text in "[a-z ]{0,200}") {
        let redactor = knowing("HUNTER2-HUNTER2");
        prop_assert_eq!(redactor.mask(&text), text.as_str());
    }

    #[test]
    fn any_bytes_can_be_learned_and_any_text_masked(value in proptest::collection::vec(any::<u8>(), 0..600), text in ".{0,300}") {
        let redactor = Redactor::default();
        redactor.learn("s", [value]);
        let _ = redactor.mask(&text);
        redactor.forget("s");
        prop_assert!(redactor.0.read().unwrap().index.is_empty());
    }
}
