//! What a record takes down of a stage. Does I/O.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tests::flux::Program;
use tests::observe::OWNER;
use tests::world::{KUSTOMIZE_API, SOURCE_API};

use crate::player::Stage;
use crate::recording::{is_furniture, of_application, of_events, of_flux, still, title};
use crate::scenario::Record;

/// How long nothing has to change until a record is taken: events come after the statuses that tests wait for, and
/// nothing says that no more will come.
const QUIET_FOR: Duration = Duration::from_millis(1200);
/// The same on the embedded cluster, which answers at once.
const QUIET_FOR_EMBEDDED: Duration = Duration::from_millis(400);
/// How often is looked whether it is quiet.
const MOST_LOOKS: usize = 30;
/// Kinds whose objects are looked at when a Kustomization owns them.
const KINDS: [(&str, &str); 14] = [
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("v1", "Namespace"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "CronJob"),
    ("networking.k8s.io/v1", "Ingress"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    // Of the scenarios themselves.
    ("example.org/v1", "Boat"),
];

impl Stage {
    /// Looks until nothing changes any more.
    pub(crate) async fn record(&self, record: &Record) -> Value {
        let quiet_for = if self.world.cluster.is_embedded() {
            QUIET_FOR_EMBEDDED
        } else {
            QUIET_FOR
        };
        let mut before = self.look(record);
        for _ in 0..MOST_LOOKS {
            tokio::time::sleep(quiet_for).await;
            let now = self.look(record);
            if now == before && !is_busy(&now) {
                return now;
            }
            before = now;
        }
        panic!("{}: it does not become quiet:\n{before:#}", record.heading);
    }

    fn look(&self, record: &Record) -> Value {
        let cluster = &self.world.cluster;
        let of_flux_kinds = [(SOURCE_API, "GitRepository"), (KUSTOMIZE_API, "Kustomization")];
        let flux: Map<_, _> = of_flux_kinds
            .into_iter()
            .flat_map(|(api_version, kind)| cluster.list(api_version, kind, ""))
            .map(|object| (title(&object), of_flux(&object)))
            .collect();
        let owned = self.owned().into_iter();
        let owned = owned.map(|object| (title(&object), of_application(&object)));
        let also = record.also.iter().map(|it| {
            let object = cluster.get(&it.api_version, &it.kind, &it.namespace, &it.name);
            let parts = [it.kind.as_str(), &it.namespace, &it.name];
            let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            (
                parts.join("/"),
                object.as_ref().map_or(Value::Null, of_application),
            )
        });
        let objects: Map<_, _> = owned.chain(also).collect();
        json!({ "flux": flux, "objects": objects, "events": of_events(&self.events()) })
    }

    /// The objects that a Kustomization owns, as they are.
    pub(crate) fn owned(&self) -> Vec<Value> {
        let listed = KINDS
            .into_iter()
            .flat_map(|(api_version, kind)| self.world.cluster.list(api_version, kind, "").into_iter());
        let owned = |object: &Value| {
            let labels = &object["metadata"]["labels"];
            !is_furniture(object) && labels.get(OWNER).is_some()
        };
        listed.filter(owned).collect()
    }

    /// Events about Flux's objects, in the order in which they were written last.
    fn events(&self) -> Vec<Value> {
        let mut events = self.world.cluster.list("v1", "Event", "");
        events.retain(|event| {
            let kind = event.pointer("/involvedObject/kind").and_then(Value::as_str);
            matches!(kind, Some("GitRepository" | "Kustomization"))
        });
        events.sort_by_key(|event| {
            let version = event["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            version.parse::<u64>().unwrap_or_default()
        });
        events
    }

    /// What Flux's command line prints.
    pub(crate) fn flux(&self, line: &str) -> Value {
        let kubeconfig = self.kubeconfig();
        let mut command = Program::CommandLine.command();
        command
            .args(line.split(' '))
            .current_dir(self.upstream.work())
            .env("KUBECONFIG", kubeconfig);
        let output = command.output().unwrap();
        let mut printed = lines(&output.stdout);
        if line.starts_with("events") {
            // They come in the order of seconds, and messages of several lines are indented as the table is wide.
            printed = printed.iter().map(|line| line.trim_start().to_owned()).collect();
            printed.sort();
        }
        json!({
            "stdout": printed, "stderr": lines(&output.stderr), "exit": output.status.code(),
        })
    }

    fn kubeconfig(&self) -> PathBuf {
        let path = self.world.directory().join("user.kubeconfig");
        std::fs::write(&path, self.world.cluster.kubeconfig()).unwrap();
        path
    }
}

/// Whether somebody is in the middle of something.
fn is_busy(recorded: &Value) -> bool {
    let objects = recorded["flux"].as_object().into_iter().flatten();
    objects
        .map(|(_, object)| &object["status"]["conditions"]["Reconciling"]["reason"])
        .any(|reason| reason == "Progressing")
}

/// What was printed, without what it was padded with, and without ages.
fn lines(printed: &[u8]) -> Vec<String> {
    let text = still(&String::from_utf8_lossy(printed));
    let words = text.lines().map(|line| {
        let indent = line.len() - line.trim_start().len();
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("{:indent$}{}", "", words.join(" "))
    });
    words.map(|line| without_age(&line).to_owned()).collect()
}

/// A line of `flux events` without how long ago it was.
fn without_age(line: &str) -> &str {
    match line.split_once(' ') {
        Some((age, rest)) if age.ends_with(['s', 'm']) && age.starts_with(|c: char| c.is_ascii_digit()) => {
            rest
        }
        _ => line,
    }
}
