//! A node that runs nothing and says that it does, as a kubelet would. Does I/O through a client.
//!
//! In: pods. Out: they are bound to the node and called ready, or done when they are a job's, or said to lack their
//! image when its tag is `does-not-exist`; a pod that is deleted ends at once. Volumes are not looked at.

use futures::TryStreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Node as NodeObject, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const NAME: &str = "node-1";
/// As the embedded cluster has it.
const MISSING: &str = ":does-not-exist";

/// A node; its pods stay as they are when it is dropped.
pub struct Node(JoinHandle<()>);

impl Node {
    /// Joins a cluster whose node lifecycle controller does not run: nobody renews a lease here.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub async fn join(client: Client) -> Self {
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": NAME } });
        Api::<NodeObject>::all(client.clone())
            .patch(NAME, &PatchParams::apply("kubelet"), &Patch::Apply(node))
            .await
            .unwrap();
        Self(tokio::spawn(play(client)))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn play(client: Client) {
    let pods = watcher(Api::<Pod>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .applied_objects();
    let play_all = pods.try_for_each(|pod| {
        let client = client.clone();
        async move {
            // A pod that changed meanwhile, or is gone, comes again as it is then.
            let _ = step(&client, &pod).await;
            Ok(())
        }
    });
    // A watch that broke opens itself again; it ends only with the cluster.
    let _ = play_all.await;
}

/// The next thing that a kubelet, or the scheduler before it, would do for a pod.
async fn step(client: &Client, pod: &Pod) -> Result<(), kube::Error> {
    let name = pod.name_any();
    let pods = Api::<Pod>::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let Some(spec) = &pod.spec else { return Ok(()) };
    if pod.metadata.deletion_timestamp.is_some() {
        let at_once = DeleteParams::default().grace_period(0);
        return pods.delete(&name, &at_once).await.map(drop);
    }
    if spec.node_name.is_none() {
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name },
            "target": { "apiVersion": "v1", "kind": "Node", "name": NAME },
        });
        return pods
            .create_subresource::<_, Value>("binding", &name, &PostParams::default(), &binding)
            .await
            .map(drop);
    }
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if phase != Some("Pending")
        || pod
            .status
            .as_ref()
            .is_some_and(|it| it.container_statuses.is_some())
    {
        return Ok(());
    }
    let ends = spec.restart_policy.as_deref() != Some("Always");
    let status = json!({ "status": status(&spec.containers, ends) });
    pods.patch_status(&name, &PatchParams::default(), &Patch::Strategic(status))
        .await
        .map(drop)
}

fn status(containers: &[Container], ends: bool) -> Value {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let states: Vec<Value> = containers
        .iter()
        .map(|container| state(container, ends, &now))
        .collect();
    let missing = states.iter().any(|state| !state["state"]["waiting"].is_null());
    let (phase, ready) = match (missing, ends) {
        (true, _) => ("Pending", "False"),
        (false, true) => ("Succeeded", "False"),
        (false, false) => ("Running", "True"),
    };
    let conditions = [
        ("Initialized", "True"),
        ("ContainersReady", ready),
        ("Ready", ready),
    ]
    .map(|(type_, status)| json!({ "type": type_, "status": status, "lastTransitionTime": now }));
    json!({
        "phase": phase, "startTime": now, "containerStatuses": states, "conditions": conditions,
    })
}

fn state(container: &Container, ends: bool, now: &str) -> Value {
    let image = container.image.as_deref().unwrap_or_default();
    let missing = image.ends_with(MISSING);
    let state = if missing {
        let message = format!(
            "Back-off pulling image \"{image}\": ErrImagePull: rpc error: code = NotFound desc = failed to pull and \
             unpack image \"{image}\": failed to resolve reference \"{image}\": {image}: not found"
        );
        json!({ "waiting": { "reason": "ImagePullBackOff", "message": message } })
    } else if ends {
        json!({ "terminated": { "exitCode": 0, "reason": "Completed", "finishedAt": now } })
    } else {
        json!({ "running": { "startedAt": now } })
    };
    let running = !missing && !ends;
    json!({
        "name": container.name, "image": image, "imageID": image, "restartCount": 0,
        "ready": running, "started": running, "state": state,
    })
}
