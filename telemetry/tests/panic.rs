//! A panic passes through the redaction like any other line. In a file of its own, since logging is set up once in a
//! process: the test runs itself again as a child and reads what that writes.

use std::borrow::Cow;
use std::process::Command;

use telemetry::Redaction;
use telemetry::logs::{Format, LogConfig, start};

const CHILD: &str = "TELEMETRY_TEST_CHILD";

#[test]
fn a_panic_is_logged_redacted_with_its_place() {
    if std::env::var_os(CHILD).is_some() {
        let redaction = Redaction::new(|text| Cow::Owned(text.replace("hunter2", "***")));
        start(&LogConfig {
            filter: "info".into(),
            format: Format::Json,
            redaction,
        })
        .unwrap();
        panic!("the password is hunter2");
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_panic_is_logged_redacted_with_its_place",
            "--nocapture",
        ])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(!child.status.success());
    let errors = String::from_utf8(child.stderr).unwrap();
    let line = errors
        .lines()
        .find(|line| line.contains("panic: "))
        .unwrap_or_else(|| panic!("{errors}"));
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["message"], "panic: the password is ***");
    assert!(
        line["at"]
            .as_str()
            .unwrap()
            .starts_with("telemetry/tests/panic.rs:"),
        "{line}"
    );
}
