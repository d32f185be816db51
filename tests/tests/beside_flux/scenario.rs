//! A scenario as data: what lies in Git, what happens, and what is looked at. No I/O.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// What is played with either controller.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// What it shows, in a sentence.
    pub(crate) about: String,
    /// What it needs.
    #[serde(default)]
    pub(crate) needs: Needs,
    /// Flags of the controllers, by their names.
    #[serde(default)]
    pub(crate) flags: Flags,
    pub(crate) steps: Vec<Step>,
}

/// What a scenario needs to be played.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Needs {
    /// A Kubernetes API and pods that come up: any cluster.
    #[default]
    Kubernetes,
    /// An API server that knows who may do what. The embedded cluster lets everybody do everything.
    Authorization,
    /// The command line of Flux, which `make conformance` builds.
    CommandLine,
}

/// The flags that both know and scenarios set.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Flags {
    #[serde(default)]
    pub(crate) no_cross_namespace_refs: bool,
    pub(crate) default_service_account: Option<String>,
}

/// What happens. `HEAD` in a string of an object stands for the last commit, `URL` for the repository's address; the
/// text of a file or of a Secret may be `@path`, a file of this repository.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Step {
    /// Files are written, or removed when they are null, and committed.
    Commit(BTreeMap<String, Option<String>>),
    /// HEAD moves to another branch, which is made if need be.
    Branch(String),
    /// HEAD gets a tag.
    Tag(String),
    /// A GitRepository.
    Source(Source),
    /// A Kustomization.
    Kustomization(Kustomization),
    /// Somebody applies objects, taking what others own.
    Apply(By),
    /// Somebody creates objects as a client does that knows no apply.
    Create(By),
    /// Somebody merges something into objects.
    Merge(By),
    /// Somebody deletes an object, and it goes.
    Delete(Target),
    /// Somebody deletes an object; whether it goes is another question.
    Mark(Target),
    /// A GitRepository is asked to look now.
    Poll(String),
    /// A Kustomization is asked to run now.
    Reconcile(String),
    /// Something becomes so.
    Until(Until),
    /// An object goes.
    Gone(Target),
    /// The command line of Flux is run, and what it prints is recorded.
    Flux(String),
    /// What there is then is recorded.
    Record(Record),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) spec: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kustomization {
    pub(crate) name: String,
    /// `app` when nothing else is said.
    #[serde(default = "app")]
    pub(crate) source: String,
    /// `./app` when nothing else is said.
    #[serde(default = "app_folder")]
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) spec: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct By {
    /// The field manager.
    #[serde(default = "somebody")]
    pub(crate) manager: String,
    pub(crate) objects: Vec<Value>,
}

/// An object, by its kind, namespace and name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Target {
    #[serde(default = "core")]
    pub(crate) api_version: String,
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// What is waited for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Until {
    /// A Kustomization is Ready at the last commit.
    Applied(String),
    /// A Kustomization is not Ready for this reason, at the last commit if it got so far.
    Failed(Reason),
    /// A GitRepository is Ready at the last commit.
    Fetched(String),
    /// A GitRepository is not Ready for this reason.
    Unfetched(Reason),
    /// A definition is served.
    Established(String),
    /// A field of an object has a value.
    Value(FieldValue),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    pub(crate) name: String,
    pub(crate) reason: String,
    /// Whether it got so far as to try the last commit.
    #[serde(default = "yes")]
    pub(crate) attempted: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldValue {
    pub(crate) of: Target,
    /// A JSON pointer.
    pub(crate) at: String,
    /// Null when it is not there.
    pub(crate) is: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// The heading in the golden file.
    #[serde(rename = "as")]
    pub(crate) heading: String,
    /// Objects that are looked at whether or not a Kustomization owns them.
    #[serde(default)]
    pub(crate) also: Vec<Target>,
}

fn yes() -> bool {
    true
}

fn app() -> String {
    "app".to_owned()
}

fn app_folder() -> String {
    "./app".to_owned()
}

fn somebody() -> String {
    "somebody".to_owned()
}

fn core() -> String {
    "v1".to_owned()
}
