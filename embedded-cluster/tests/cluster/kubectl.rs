//! What people do with `kubectl`, which must be installed.

use std::time::Duration;

use anyhow::Context;
use embedded_cluster::{Cluster, Config};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::support::Result;

const WEB: &str = "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: web:1
        ports: [{containerPort: 80}]
";

struct Shell {
    cluster: Cluster,
    home: tempfile::TempDir,
}

impl Shell {
    async fn start() -> Result<Self> {
        let cluster = Cluster::start(Config::default()).await?;
        let home = tempfile::tempdir()?;
        std::fs::write(home.path().join("config"), cluster.kubeconfig())?;
        Ok(Self { cluster, home })
    }

    /// Runs kubectl; both of its outputs, in which the API's times do not occur.
    async fn kubectl(&self, arguments: &str, input: &str) -> Result<(bool, String)> {
        let mut child = tokio::process::Command::new("kubectl")
            .args(arguments.split(' '))
            .env("KUBECONFIG", self.home.path().join("config"))
            .env("HOME", self.home.path())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("kubectl must be installed to run this test")?;
        let mut stdin = child.stdin.take().context("kubectl has no input")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await??;
        let text = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with("WARNING: version difference"))
            .collect();
        Ok((output.status.success(), lines.join("\n")))
    }

    async fn ok(&self, arguments: &str, input: &str) -> Result<String> {
        let (success, text) = self.kubectl(arguments, input).await?;
        anyhow::ensure!(success, "kubectl {arguments}: {text}");
        Ok(text)
    }
}

#[tokio::test]
async fn a_deployment_is_applied_waited_for_read_and_deleted() -> Result<()> {
    let shell = Shell::start().await?;
    assert_eq!(shell.ok("apply -f -", WEB).await?, "deployment.apps/web created");
    shell
        .ok("wait --for=condition=Available deployment/web --timeout=30s", "")
        .await?;
    shell
        .ok("rollout status deployment/web --timeout=30s", "")
        .await?;
    let table = shell.ok("get deployments", "").await?;
    let words: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(words[0], ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]);
    assert_eq!(words[1][..4], ["web", "2/2", "2", "2"]);
    assert!(
        shell
            .ok("logs deployment/web", "")
            .await?
            .lines()
            .any(|line| line == "started")
    );
    assert!(
        shell
            .ok("describe deployment web", "")
            .await?
            .contains("NewReplicaSetAvailable")
    );
    assert_eq!(
        shell.ok("apply -f -", WEB).await?,
        "deployment.apps/web unchanged"
    );
    assert_eq!(
        shell.ok("scale deployment/web --replicas=1", "").await?,
        "deployment.apps/web scaled"
    );
    let previewed = shell.ok("diff -f -", WEB).await;
    assert!(previewed.is_err_and(|error| error.to_string().contains("replicas")));
    shell.ok("delete deployment web --timeout=30s", "").await?;
    assert_eq!(
        shell.ok("get all", "").await?,
        "No resources found in default namespace."
    );
    Ok(())
}

#[tokio::test]
async fn server_side_apply_names_the_other_manager() -> Result<()> {
    let shell = Shell::start().await?;
    shell
        .ok("apply --server-side --field-manager=flux -f -", WEB)
        .await?;
    let changed = WEB.replace("web:1", "web:2");
    let (success, text) = shell.kubectl("apply --server-side -f -", &changed).await?;
    assert!(!success);
    assert!(
        text.contains("conflict with \"flux\": .spec.template.spec.containers[name=\"web\"].image"),
        "{text}"
    );
    shell
        .ok("apply --server-side --force-conflicts -f -", &changed)
        .await?;
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_an_object_is_said_before_it_is_stored() -> Result<()> {
    let shell = Shell::start().await?;
    let (_, unknown) = shell
        .kubectl("apply -f -", &WEB.replace("replicas", "replica"))
        .await?;
    assert!(
        unknown.contains("strict decoding error: unknown field \"spec.replica\""),
        "{unknown}"
    );
    let (_, missing) = shell
        .kubectl(
            "apply --validate=ignore -f -",
            &WEB.replace("image: web:1", "tty: true"),
        )
        .await?;
    assert_eq!(
        missing,
        "The Deployment \"web\" is invalid: spec.template.spec.containers[0].image: Required value"
    );
    shell.ok("apply -f -", WEB).await?;
    let (_, immutable) = shell
        .kubectl("apply -f -", &WEB.replace("app: web", "app: other"))
        .await?;
    assert!(
        immutable.contains("spec.selector: Invalid value: "),
        "{immutable}"
    );
    assert!(immutable.contains("field is immutable"), "{immutable}");
    Ok(())
}

#[tokio::test]
async fn kinds_are_explained() -> Result<()> {
    let shell = Shell::start().await?;
    let text = shell.ok("explain deployment.spec.strategy.type", "").await?;
    assert!(text.contains("Default is"), "{text}");
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "wheels.example.org"},
        "spec": {
            "group": "example.org", "scope": "Namespaced", "names": {"plural": "wheels", "kind": "Wheel"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "description": "A wheel turns.",
                "properties": {"spec": {"type": "object", "description": "How it turns."}},
            }}}],
        },
    });
    shell.ok("apply -f -", &definition.to_string()).await?;
    let wait = "wait --for=condition=Established crd/wheels.example.org --timeout=30s";
    shell.ok(wait, "").await?;
    let text = shell.ok("explain wheels", "").await?;
    for said in ["A wheel turns.", "How it turns.", "Standard object's metadata."] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let resources = shell.ok("api-resources --api-group=apps -o name", "").await?;
    assert_eq!(
        resources,
        "controllerrevisions.apps\ndaemonsets.apps\ndeployments.apps\nreplicasets.apps\nstatefulsets.apps"
    );
    assert_eq!(shell.cluster.list("v1", "Node", "").len(), 1);
    Ok(())
}
