//! What a machine does not let: its own exit code, the cause and the remedy.

use std::net::TcpListener;

use crate::terminal::{Terminal, program, show};

#[tokio::test]
async fn an_address_that_is_taken_is_named_with_the_option_for_another() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let terminal = Terminal::installed().await;
    let shown = terminal
        .run(&format!(
            "controller --storage-path data --metrics-addr {address}"
        ))
        .await;
    insta::assert_snapshot!(shown.replace(&address, "127.0.0.1:8080"), @r"
    Made the directory data for repositories and artifacts; --storage-path names another.
    error: cannot serve metrics at 127.0.0.1:8080
      because cannot listen on 127.0.0.1:8080: is another process using it?
      because Address already in use (os error 98)
    hint: --metrics-addr names another address.
    [7]
    ");
    let shown = terminal
        .run(&format!("controller --storage-path data --metrics-addr 127.0.0.1:0 --storage-addr {address} --log-level error"))
        .await;
    insta::assert_snapshot!(shown.replace(&address, "127.0.0.1:9090"), @r"
    error: cannot serve artifacts at 127.0.0.1:9090
      because cannot listen on 127.0.0.1:9090: is another process using it?
      because Address already in use (os error 98)
    hint: --storage-addr names another address.
    [7]
    ");
    let shown = show(&mut program(&format!("embedded-cluster --listen {address}")));
    insta::assert_snapshot!(shown.replace(&address, "127.0.0.1:6443"), @r"
    error: cannot start a cluster at 127.0.0.1:6443
      because cannot listen on 127.0.0.1:6443
      because Address already in use (os error 98)
    hint: --listen names another address; port 0 takes a free one.
    [7]
    ");
}

#[test]
fn a_file_that_cannot_be_written_is_named_with_the_option_for_another() {
    let shown = show(&mut program(
        "embedded-cluster --kubeconfig-out /nonexistent/kubeconfig",
    ));
    insta::assert_snapshot!(shown, @r"
    error: cannot write /nonexistent/kubeconfig
      because No such file or directory (os error 2)
    hint: --kubeconfig-out names another file.
    [7]
    ");
}
