//! Real signals to a real process: the test runs itself again as a child and asks it to end, twice.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const CHILD: &str = "TELEMETRY_TEST_CHILD";
const NAME: &str = "the_first_sigterm_asks_and_the_second_ends_the_process";

#[test]
fn the_first_sigterm_asks_and_the_second_ends_the_process() {
    if std::env::var_os(CHILD).is_some() {
        return never_ending_service();
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let terminate = || {
        let pid = child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
    };

    assert!(lines.any(|line| line.ends_with("listening")));
    terminate();
    assert!(lines.any(|line| line.ends_with("stopping")));
    terminate();
    assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
}

#[expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "part of the test: the parent reads it"
)]
fn never_ending_service() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let token = telemetry::shutdown::on_signals().unwrap();
        println!("listening");
        token.cancelled().await;
        println!("stopping");
        std::future::pending::<()>().await;
    });
}
