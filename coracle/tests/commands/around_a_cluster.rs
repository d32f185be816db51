//! Commands that look at a cluster or change its objects.

use serde_json::json;

use crate::terminal::{REVISION, Terminal, program, ready, show, two_kustomizations};

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_named() {
    let terminal = Terminal::new().await;
    let nobody = "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: a, user: {}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n";
    let path = terminal.file("nobody", nobody);
    let shown = show(&mut program(&format!("get --kubeconfig {}", path.display())));
    insta::assert_snapshot!(shown, @r"
    error: cannot reach the cluster at https://127.0.0.1:1/
      because client error (Connect)
      because tcp connect error
      because Connection refused (os error 111)
    hint: Is it running? --kubeconfig and --context choose another one.
    [4]
    ");
}

#[tokio::test]
async fn a_cluster_without_the_definitions_is_told_how_to_get_them() {
    let terminal = Terminal::new().await;
    insta::assert_snapshot!(terminal.run("get all").await, @r"
    error: cannot list GitRepository objects: this cluster has no GitRepository and Kustomization objects
    hint: Install Coracle first: `coracle install --image IMAGE | kubectl apply --server-side -f -`.
    [4]
    ");
}

#[tokio::test]
async fn everything_is_listed_with_its_state() {
    let terminal = two_kustomizations().await;
    terminal.somebody_works();
    insta::assert_snapshot!(terminal.run("get").await, @r#"
    NAME                 REVISION             SUSPENDED   READY   MESSAGE
    gitrepository/apps   main@sha1:01234567   False       True    stored artifact for revision 'main@sha1:01234567'

    NAME                    REVISION             SUSPENDED   READY   MESSAGE
    kustomization/cluster   main@sha1:01234567   False       True    Applied revision: main@sha1:01234567
    kustomization/staging                        False       False   pod web-1: image "web:new" cannot be pulled
    [0]
    "#);
}

#[tokio::test]
async fn what_failed_can_be_picked_out() {
    let terminal = two_kustomizations().await;
    terminal.somebody_works();
    insta::assert_snapshot!(terminal.run("get ks -A --status-selector ready=false").await, @r#"
    NAMESPACE     NAME      REVISION   SUSPENDED   READY   MESSAGE
    flux-system   staging              False       False   pod web-1: image "web:new" cannot be pulled
    [0]
    "#);
}

#[tokio::test]
async fn a_misspelt_name_is_answered_with_the_nearest_one() {
    let terminal = two_kustomizations().await;
    insta::assert_snapshot!(terminal.run("get ks stagin").await, @r"
    error: there is no kustomization/stagin in namespace flux-system
    hint: Is `staging` meant?
    [3]
    ");
}

#[tokio::test]
async fn a_name_in_another_namespace_is_found_there() {
    let terminal = two_kustomizations().await;
    insta::assert_snapshot!(terminal.run("suspend staging -n default").await, @r"
    error: there is no kustomization/staging in namespace default
    hint: There is one in namespace flux-system: add `-n flux-system`.
    [3]
    ");
}

#[tokio::test]
async fn a_name_is_looked_for_in_all_namespaces() {
    let terminal = two_kustomizations().await;
    terminal.somebody_works();
    insta::assert_snapshot!(terminal.run("get ks cluster -A -n default").await, @r"
    NAMESPACE     NAME      REVISION             SUSPENDED   READY   MESSAGE
    flux-system   cluster   main@sha1:01234567   False       True    Applied revision: main@sha1:01234567
    [0]
    ");
    insta::assert_snapshot!(terminal.run("get ks clustr -A").await, @r"
    error: there is no kustomization/clustr in any namespace
    hint: Is `cluster` meant?
    [3]
    ");
}

#[tokio::test]
async fn the_tree_starts_at_the_root() {
    let terminal = two_kustomizations().await;
    insta::assert_snapshot!(terminal.run("tree").await, @r"
    Kustomization/flux-system/cluster  ready main@sha1:01234567
    └── Kustomization/flux-system/staging  failed: HealthCheckFailed
        └── Deployment/shop/web
    [0]
    ");
}

#[tokio::test]
async fn suspending_and_resuming_write_the_field_and_nothing_else() {
    let terminal = two_kustomizations().await;
    let suspended = || {
        let object = terminal.cluster.get(
            "kustomize.toolkit.fluxcd.io/v1",
            "Kustomization",
            "flux-system",
            "staging",
        );
        object.unwrap()["spec"]["suspend"].clone()
    };
    assert_eq!(
        terminal.run("suspend staging").await,
        "kustomization/staging: suspended\n[0]"
    );
    assert_eq!(suspended(), json!(true));
    insta::assert_snapshot!(terminal.run("reconcile staging").await, @r"
    error: kustomization/staging is suspended
    hint: `coracle resume kustomization/staging -n flux-system` ends that.
    [1]
    ");
    assert_eq!(
        terminal.run("resume staging --no-wait").await,
        "kustomization/staging: resumed\n[0]"
    );
    assert_eq!(suspended(), json!(false));
}

#[tokio::test]
async fn events_are_shown_for_one_object() {
    let terminal = two_kustomizations().await;
    for (name, about, type_, message) in [
        (
            "a.1",
            "staging",
            "Warning",
            "pod web-1: image \"web:new\" cannot be pulled",
        ),
        (
            "a.2",
            "cluster",
            "Normal",
            "Deployment/shop/web configured\nService/shop/web created",
        ),
    ] {
        let event = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": { "name": name, "namespace": "flux-system" },
            "involvedObject": {
                "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
                "namespace": "flux-system", "name": about,
            },
            "type": type_, "reason": "Progressing", "message": message,
        });
        terminal.cluster.apply(&event, "test").unwrap();
    }
    let shown = terminal.run("events --for ks/cluster").await;
    // How long ago depends on the machine.
    let line = shown
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .skip(1)
        .collect::<Vec<_>>()
        .join(" ");
    assert_eq!(
        line,
        "Normal Progressing kustomization/cluster Deployment/shop/web configured"
    );
    assert_eq!(
        shown.lines().skip(2).collect::<Vec<_>>(),
        ["    Service/shop/web created", "[0]"]
    );
}

#[tokio::test]
async fn a_difference_is_shown_and_is_no_error() {
    let terminal = two_kustomizations().await;
    let object = |value: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings", "namespace": "default" },
            "data": { "level": value },
        })
    };
    terminal
        .cluster
        .apply(&object("1"), "kustomize-controller")
        .unwrap();
    // One of two objects goes: of a revision that deletes all that there are, the prune guard has a word to say.
    terminal.kustomization(
        "cluster",
        &json!({ "lastAppliedRevision": REVISION, "inventory": { "entries": [
            { "id": "default_settings__ConfigMap", "v": "v1" },
            { "id": "flux-system_staging_kustomize.toolkit.fluxcd.io_Kustomization", "v": "v1" },
        ]}}),
    );
    terminal.folder("apps");
    terminal.file("apps/settings.yaml", &object("2").to_string());
    insta::assert_snapshot!(terminal.run("diff cluster").await, @r#"
    ~ ConfigMap/default/settings
        /metadata/labels/kustomize.toolkit.fluxcd.io~1name: nothing -> "cluster"
        /metadata/labels/kustomize.toolkit.fluxcd.io~1namespace: nothing -> "flux-system"
        /data/level: "1" -> "2"
    - Kustomization/flux-system/staging
    0 to create, 1 to change, 1 to delete, 0 unchanged
    [1]
    "#);
    insta::assert_snapshot!(terminal.run("build cluster").await, @r#"
    apiVersion: v1
    data:
      level: "2"
    kind: ConfigMap
    metadata:
      name: settings
      namespace: default
    [0]
    "#);
}

#[tokio::test]
async fn a_message_of_several_lines_has_one_line_in_the_list_and_all_of_them_by_itself() {
    let terminal = two_kustomizations().await;
    terminal.somebody_works();
    terminal.kustomization(
        "staging",
        &json!({ "conditions": ready("False", "ReconciliationFailed", "2 objects are refused:\nService/shop/web: no port\nDeployment/shop/web: no image") }),
    );
    insta::assert_snapshot!(terminal.run("get ks").await, @r"
    NAME      REVISION             SUSPENDED   READY   MESSAGE
    cluster   main@sha1:01234567   False       True    Applied revision: main@sha1:01234567
    staging                        False       False   2 objects are refused: (and 2 lines more)
    hint: A message has more lines: `coracle get kustomization/staging -n flux-system` prints them all.
    [0]
    ");
    insta::assert_snapshot!(terminal.run("get ks staging").await, @r"
    NAME      REVISION   SUSPENDED   READY   MESSAGE
    staging              False       False   2 objects are refused: (and 2 lines more)
        Service/shop/web: no port
        Deployment/shop/web: no image
    [0]
    ");
}

#[tokio::test]
async fn of_an_event_about_many_objects_the_first_few_are_shown_and_all_as_yaml() {
    let terminal = two_kustomizations().await;
    let message: Vec<String> = (1..=18)
        .map(|it| format!("ConfigMap/shop/settings-{it} created"))
        .collect();
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": { "name": "a.1", "namespace": "flux-system" },
        "involvedObject": {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "namespace": "flux-system", "name": "cluster",
        },
        "type": "Normal", "reason": "Progressing", "message": message.join("\n"),
    });
    terminal.cluster.apply(&event, "test").unwrap();
    let shown = terminal.run("events").await;
    let below: Vec<&str> = shown.lines().skip(2).collect();
    insta::assert_snapshot!(below.join("\n"), @r"
        ConfigMap/shop/settings-2 created
        ConfigMap/shop/settings-3 created
        ConfigMap/shop/settings-4 created
        ConfigMap/shop/settings-5 created
        and 13 more lines: -o yaml prints them all
    [0]
    ");
    let shown = terminal.run("events -o yaml --type normal").await;
    assert!(
        shown.starts_with("apiVersion: v1\n") && shown.contains("ConfigMap/shop/settings-18 created"),
        "{shown}"
    );
}

#[tokio::test]
async fn events_about_nothing_are_refused() {
    let terminal = two_kustomizations().await;
    insta::assert_snapshot!(terminal.run("events --for nope").await, @r"
    error: there is no kustomization/nope in namespace flux-system
    hint: `coracle get all -A` prints those that exist.
    [3]
    ");
    insta::assert_snapshot!(terminal.run("events --for nope -A").await, @r"
    error: there is no kustomization/nope in any namespace
    hint: `coracle get all -A` prints those that exist.
    [3]
    ");
    insta::assert_snapshot!(terminal.run("events --for stagin -A").await, @r"
    error: there is no kustomization/stagin in any namespace
    hint: Is `staging` meant?
    [3]
    ");
    insta::assert_snapshot!(terminal.run("events --for ks/cluster").await, @r"
    No events. Kubernetes keeps them for an hour.
    [0]
    ");
    insta::assert_snapshot!(terminal.run("events --type foo").await, @r"
    error: invalid value 'foo' for '--type <TYPE>'
      [possible values: Normal, Warning]

    For more information, try '--help'.
    [2]
    ");
}

#[tokio::test]
async fn a_selection_of_nothing_says_what_there_is_instead() {
    let terminal = two_kustomizations().await;
    insta::assert_snapshot!(terminal.run("get all --status-selector ready=unknown").await, @r"
    Nothing has Ready=Unknown in namespace flux-system: 1 has Ready=False, 2 have Ready=True.
    [0]
    ");
    insta::assert_snapshot!(terminal.run("get ks --status-selector ready=fals").await, @r"
    error: invalid value 'ready=fals' for '--status-selector <TYPE=STATUS>': `fals` is no status: one is True, False, Unknown; is `false` meant?

    For more information, try '--help'.
    [2]
    ");
    insta::assert_snapshot!(terminal.run("suspend").await, @r"
    error: no object is named
    hint: Say a Kustomization's name, or a kind and a name, such as `gitrepository/apps`.
    [2]
    ");
}

#[tokio::test]
async fn what_a_run_waits_for_is_said_while_it_goes_on_and_when_the_time_is_over() {
    let terminal = two_kustomizations().await;
    terminal.somebody_works();
    let mut conditions = ready("Unknown", "Progressing", "Reconciliation in progress");
    let mut reconciling = conditions[0].clone();
    reconciling["type"] = json!("Reconciling");
    reconciling["status"] = json!("True");
    reconciling["message"] = json!(format!(
        "Running health checks for revision {REVISION}:\nDeployment/shop/web: 0 of 1 replicas are ready"
    ));
    conditions.as_array_mut().unwrap().push(reconciling);
    terminal.kustomization("staging", &json!({ "conditions": conditions }));
    insta::assert_snapshot!(terminal.run("get ks staging").await, @r"
    NAME      REVISION   SUSPENDED   READY     MESSAGE
    staging              False       Unknown   Running health checks for revision main@sha1:01234567: (and 1 line more)
        Deployment/shop/web: 0 of 1 replicas are ready
    [0]
    ");
    insta::assert_snapshot!(terminal.run("reconcile staging --timeout 200ms").await, @r"
    error: kustomization/staging is not done after 200ms
    hint: It said last: Running health checks for revision main@sha1:01234567:
    Deployment/shop/web: 0 of 1 replicas are ready
    hint: --timeout waits longer; `coracle events --watch` follows it.
    [6]
    ");
    // Without that condition, Ready says it.
    insta::assert_snapshot!(terminal.run("reconcile cluster --timeout 200ms").await, @r"
    error: kustomization/cluster is not done after 200ms
    hint: It said last: Applied revision: main@sha1:01234567
    hint: --timeout waits longer; `coracle events --watch` follows it.
    [6]
    ");
}

#[tokio::test]
async fn a_tree_is_of_a_kustomization_that_exists() {
    let terminal = two_kustomizations().await;
    insta::assert_snapshot!(terminal.run("tree git/apps").await, @r"
    error: gitrepository/apps applies nothing, and has no tree
    hint: Name a Kustomization: `coracle tree NAME`.
    [2]
    ");
    insta::assert_snapshot!(terminal.run("tree stagin").await, @r"
    error: there is no kustomization/stagin in namespace flux-system
    hint: Is `staging` meant?
    [3]
    ");
}

#[tokio::test]
async fn a_name_where_a_kind_belongs_is_answered_with_the_command_for_it() {
    let terminal = two_kustomizations().await;
    insta::assert_snapshot!(terminal.run("get staging").await, @r"
    error: `staging` is not a kind that Coracle knows
    hint: Kinds are `kustomization` (`ks`) and `gitrepository` (`source`, `git`).
    hint: `all` stands for all of them.
    hint: If it is a name: `coracle get kustomization staging` prints the Kustomization.
    [2]
    ");
}

#[tokio::test]
async fn several_objects_are_told_that_one_is_taken_at_a_time() {
    let terminal = two_kustomizations().await;
    insta::assert_snapshot!(terminal.run("reconcile cluster staging").await, @r"
    error: `cluster` is not a kind that Coracle knows
    hint: Kinds are `kustomization` (`ks`) and `gitrepository` (`source`, `git`).
    hint: One object is taken at a time: say the command once for each.
    [2]
    ");
    insta::assert_snapshot!(terminal.run("reconcile ks/cluster git/apps").await, @r"
    error: `ks/cluster git/apps` does not name one object
    hint: Say a Kustomization's name, or a kind and a name, such as `gitrepository/apps`.
    hint: One object is taken at a time: say the command once for each.
    [2]
    ");
}

#[tokio::test]
async fn a_kind_without_a_name_is_answered_with_how_to_say_it() {
    let terminal = two_kustomizations().await;
    insta::assert_snapshot!(terminal.run("suspend git").await, @r"
    error: there is no kustomization/git in namespace flux-system
    hint: `coracle get all -A` prints those that exist.
    hint: If the kind is meant: say `git NAME`, or `git --all` for all in the namespace.
    [3]
    ");
}

#[tokio::test]
async fn a_namespace_that_does_not_exist_is_told() {
    let terminal = two_kustomizations().await;
    for command in ["get -n nowhere", "tree -n nowhere"] {
        assert_eq!(
            terminal.run(command).await,
            "error: there is no namespace nowhere\nhint: -A looks into all namespaces.\n[3]",
            "{command}"
        );
    }
}
