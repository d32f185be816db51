//! Whatever the cluster says, it is judged and explained: no object makes a controller panic.

use jiff::Timestamp;
use proptest::prelude::*;
use reconciler::assess::reduce::Observed;
use reconciler::assess::targets::Target;
use reconciler::assess::why::{Facts, LogTail, Patience, explain, further_needs, needs};
use reconciler::report::redact::{Redactor, values_of_secret};
use serde_json::{Map, Value};

/// Keys and texts that the rules look for, so that a random object gets somewhere.
const WORDS: [&str; 58] = [
    "apiVersion",
    "kind",
    "metadata",
    "spec",
    "status",
    "apps/v1",
    "v1",
    "batch/v1",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Pod",
    "Job",
    "Service",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "name",
    "namespace",
    "uid",
    "u",
    "generation",
    "observedGeneration",
    "deletionTimestamp",
    "creationTimestamp",
    "2026-01-01T00:00:00Z",
    "conditions",
    "type",
    "reason",
    "message",
    "True",
    "False",
    "Ready",
    "Stalled",
    "Progressing",
    "PodScheduled",
    "Unschedulable",
    "phase",
    "Pending",
    "Running",
    "Failed",
    "replicas",
    "updateStrategy",
    "rollingUpdate",
    "partition",
    "selector",
    "matchLabels",
    "ownerReferences",
    "containers",
    "containerStatuses",
    "initContainerStatuses",
    "state",
    "lastState",
    "waiting",
    "terminated",
    "exitCode",
    "CrashLoopBackOff",
    "ImagePullBackOff",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![4 => proptest::sample::select(&WORDS[..]).prop_map(str::to_owned), 1 => ".{0,12}"]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2_i64..4).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 120, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((word(), inner), 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// An object of a kind that has rules, with sections of any shape.
fn object() -> impl Strategy<Value = Value> {
    let kinds = [
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("apps/v1", "DaemonSet"),
        ("apps/v1", "ReplicaSet"),
        ("batch/v1", "Job"),
        ("v1", "Pod"),
        ("v1", "PersistentVolumeClaim"),
        ("v1", "Secret"),
        ("x.dev/v1", "X"),
    ];
    (
        proptest::sample::select(kinds.to_vec()),
        value(),
        value(),
        value(),
    )
        .prop_map(|((version, kind), metadata, spec, status)| {
            serde_json::json!({
                "apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec, "status": status,
            })
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_object_is_judged(object in prop_oneof![object(), value()]) {
        let observed = Observed::reduce(&object, Timestamp::UNIX_EPOCH);
        prop_assert!(observed.message.len() <= 303);
        let target = Target::applied(&object);
        prop_assert!(!target.object.to_string().is_empty());
    }

    #[test]
    fn any_objects_are_explained(
        workload in object(),
        others in proptest::collection::vec(prop_oneof![object(), value()], 0..5),
        log in ".{0,600}",
    ) {
        let logs = [LogTail { pod: "u".into(), container: "name".into(), text: log }];
        let facts = Facts {
            workload: &workload, replica_sets: &others, pods: &others, events: &others, claims: &others, logs: &logs,
        };
        prop_assert!(needs(&workload).len() <= 2);
        prop_assert!(further_needs(&facts).len() < 100);
        for why in explain(&facts, Timestamp::UNIX_EPOCH, &Patience::default()) {
            prop_assert!(!why.to_string().contains('\n'));
        }
    }

    #[test]
    fn any_object_is_masked(mut object in prop_oneof![object(), value()]) {
        let redactor = Redactor::default();
        redactor.learn("s", values_of_secret(&object));
        redactor.mask_object(&mut object);
    }
}
