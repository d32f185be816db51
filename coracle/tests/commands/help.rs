//! What the program says about itself.

use crate::terminal::{program, show};

#[test]
fn help_lists_the_commands_in_the_order_in_which_they_are_needed() {
    insta::assert_snapshot!(show(&mut program("--help")), @r"
    Keeps a Kubernetes cluster in step with Git.

    Coracle reads Flux's GitRepository and Kustomization objects, builds what they name, applies it, waits until it is healthy, and says why when it is not. `coracle demo` shows all of it on this machine.

    Usage: coracle [OPTIONS] <COMMAND>

    Commands:
      install           Print the manifests that install Coracle into a cluster
      uninstall         Take Coracle out of a cluster and leave the applications running
      get               Print Kustomizations and sources with their state
      tree              Print what a Kustomization applied, as a tree
      events            Print what happened, from the cluster's events
      reconcile         Ask for a reconciliation now and wait for its end
      suspend           Stop reconciling an object
      resume            Go on reconciling an object
      build             Print what a Kustomization would apply, from files on this machine
      diff              Print what applying files on this machine would change, prunes included
      controller        Run the controller
      embedded-cluster  Run a Kubernetes API in memory, to try things out
      git-server        Serve Git repositories of this machine, to try things out
      demo              Tell the whole story on this machine: environments, a merge, drift, a failure, a revert
      completion        Print a script that completes commands in a shell
      version           Print the version, and whether a controller works in the cluster, with the remedy if none does
      help              Print this message or the help of the given subcommand(s)

    Options:
      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Options of every command:
          --kubeconfig <FILE>
              File that says how to reach the cluster [default: $KUBECONFIG, else ~/.kube/config, else the pod's account]

          --context <NAME>
              Context of the kubeconfig to use [default: its current one]

      -n, --namespace <NAME>
              Namespace of the objects [default: flux-system]

          --color <WHEN>
              When to write colours

              Possible values:
              - auto:   Where a terminal reads them
              - always: Always
              - never:  Never

              [default: auto]
    [0]
    ");
}

#[test]
fn the_help_of_a_command_shows_examples() {
    insta::assert_snapshot!(show(&mut program("get --help")), @r"
    Print Kustomizations and sources with their state

    Usage: coracle get [OPTIONS] [WHAT] [NAME]...

    Arguments:
      [WHAT]
              What to print: `kustomizations` (`ks`), `sources` (`git`) or `all`

              [default: all]

      [NAME]...
              Names of objects; Flux's `get sources git NAME` is understood as well

    Options:
      -A, --all-namespaces
              Look into all namespaces

      -w, --watch
              Print changes as they happen

          --status-selector <TYPE=STATUS>
              Print only objects with this condition, such as `ready=false`

      -o, --output <FORMAT>
              How to print

              Possible values:
              - table: Columns
              - wide:  More columns: what was attempted last, the reason of the condition, where it comes from
              - json:  The objects as JSON
              - yaml:  The objects as YAML
              - name:  Names only, as `kubectl` takes them

              [default: table]

      -h, --help
              Print help (see a summary with '-h')

    Options of every command:
          --kubeconfig <FILE>
              File that says how to reach the cluster [default: $KUBECONFIG, else ~/.kube/config, else the pod's account]

          --context <NAME>
              Context of the kubeconfig to use [default: its current one]

      -n, --namespace <NAME>
              Namespace of the objects [default: flux-system]

          --color <WHEN>
              When to write colours

              Possible values:
              - auto:   Where a terminal reads them
              - always: Always
              - never:  Never

              [default: auto]

    Examples:
      coracle get all -A
      coracle get kustomizations --status-selector ready=false
      coracle get ks apps -o yaml

    REVISION is what is applied, or fetched. While an object fails that may be an old one: `-o wide` shows
    what was ATTEMPTED last, and the condition's REASON, which docs/guides/failures.md explains.
    [0]
    ");
}

#[test]
fn an_unknown_command_is_a_usage_error_with_a_suggestion() {
    insta::assert_snapshot!(show(&mut program("recncile apps")), @r"
    error: unrecognized subcommand 'recncile'

      tip: a similar subcommand exists: 'reconcile'

    Usage: coracle [OPTIONS] <COMMAND>

    For more information, try '--help'.
    [2]
    ");
}

#[test]
fn a_hidden_command_is_not_suggested() {
    insta::assert_snapshot!(show(&mut program("genrate")), @r"
    error: unrecognized subcommand 'genrate'


    Usage: coracle [OPTIONS] <COMMAND>

    For more information, try '--help'.
    [2]
    ");
}

#[test]
fn without_a_kubeconfig_it_says_how_to_name_one() {
    insta::assert_snapshot!(show(&mut program("get")), @r#"
    error: no cluster is configured
      because failed to read kubeconfig from '"/nonexistent/.kube/config"': No such file or directory (os error 2)
    hint: Name a kubeconfig with --kubeconfig or KUBECONFIG, and a context of it with --context.
    hint: `coracle demo` starts a cluster of its own and needs none.
    [4]
    "#);
}

#[test]
fn a_reader_that_stops_reading_is_no_failure() {
    use std::process::Stdio;

    let mut command = program("install --image coracle:0.1.0");
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    assert!(ended.status.success());
}
