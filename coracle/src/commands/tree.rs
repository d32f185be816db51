//! `coracle tree`: what Kustomizations applied, from their inventories. Does I/O through the cluster's client.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use reconciler::plan::ObjectId;
use serde_json::{Value, json};

use crate::cli::Global;
use crate::connect::connect;
use crate::error::{Error, Kind};
use crate::objects::{ObjectKind, Summary, Target, list, short_revisions};
use crate::ui::{BAD, DIM, GOOD, Styled, Ui, WARN};

use super::{require_namespace, scope};

/// Arguments of `tree`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A Kustomization [default: all that no other one here applied]
    #[arg(num_args = 0..=2, value_name = "[KIND] NAME")]
    target: Vec<String>,
    /// Look into all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Print Kustomizations only
    #[arg(long)]
    compact: bool,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "tree")]
    output: Output,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Output {
    /// Lines and branches.
    Tree,
    /// Nested objects as JSON.
    Json,
}

/// An object and what it applied.
#[derive(Debug)]
struct Node {
    id: String,
    /// `None`: it is not looked at.
    state: Option<State>,
    children: Vec<Node>,
}

/// The state of a Kustomization in a tree.
#[derive(Clone, Debug)]
enum State {
    /// It is in an inventory only.
    Missing,
    /// It exists.
    There(There),
}

#[derive(Clone, Debug)]
struct There {
    ready: String,
    reason: String,
    /// The revision that is applied.
    revision: String,
    /// The revision that was tried last.
    attempted: String,
    is_deleted: bool,
}

impl State {
    fn of(object: Option<&Summary>) -> Self {
        let Some(object) = object else {
            return Self::Missing;
        };
        Self::There(There {
            ready: object.ready.clone(),
            reason: object.reason.clone(),
            revision: short_revisions(&object.revision),
            attempted: short_revisions(object.attempted()),
            is_deleted: object.object.pointer("/metadata/deletionTimestamp").is_some(),
        })
    }
}

impl There {
    fn line(&self) -> String {
        let revision = Styled::new(DIM, self.revision.as_str());
        match self.ready.as_str() {
            _ if self.is_deleted => format!("{} {revision}", Styled::new(WARN, "being deleted")),
            "True" => format!("{} {revision}", Styled::new(GOOD, "ready")),
            "False" => self.failed(),
            _ => format!("{} {revision}", Styled::new(WARN, "under way")),
        }
    }

    /// What failed is what was tried; what is applied may be an older revision that is good.
    fn failed(&self) -> String {
        let mut line = Styled::new(BAD, "failed").to_string();
        if !self.attempted.is_empty() {
            line += &format!(" at {}", Styled::new(DIM, self.attempted.as_str()));
        }
        if !self.revision.is_empty() && self.revision != self.attempted {
            line += &format!(" (applied {})", Styled::new(DIM, self.revision.as_str()));
        }
        if !self.reason.is_empty() {
            line += &format!(": {}", self.reason);
        }
        line
    }
}

type Key = (String, String);

/// Prints the tree.
///
/// # Errors
/// The cluster cannot be asked, or the Kustomization does not exist.
pub async fn run(args: &Args, global: &Global, ui: &mut Ui) -> Result<(), Error> {
    let cluster = connect(global).await?;
    let all = list(&cluster, ObjectKind::Kustomization, None).await?;
    let all: BTreeMap<Key, Summary> = all
        .into_iter()
        .map(|it| ((it.namespace.clone(), it.name.clone()), it))
        .collect();
    let roots = if args.target.is_empty() {
        roots(&all, scope(args.all_namespaces, global))
    } else {
        let target = Target::parse(&args.target)?;
        if target.kind != ObjectKind::Kustomization {
            let wrong = format!("{} applies nothing, and has no tree", target.display());
            return Err(Error::new(Kind::Usage, wrong).hint("Name a Kustomization: `coracle tree NAME`."));
        }
        target.fetch(&cluster, global.namespace()).await?;
        vec![(global.namespace().to_owned(), target.name)]
    };
    if roots.is_empty() {
        require_namespace(&cluster, scope(args.all_namespaces, global)).await?;
    }
    let forest: Vec<Node> = roots
        .iter()
        .map(|root| grow(root, &all, args.compact, &mut BTreeSet::new()))
        .collect();
    match args.output {
        Output::Json => ui.json(&forest.iter().map(Node::to_json).collect()),
        Output::Tree if forest.is_empty() => ui.progress("There are no Kustomizations here."),
        Output::Tree => forest.iter().try_for_each(|tree| tree.print(ui)),
    }
}

/// Where trees begin so that each Kustomization of the namespace, or of all, stands in one: at those that no other one
/// of them applied, and in each circle at one.
fn roots(all: &BTreeMap<Key, Summary>, namespace: Option<&str>) -> Vec<Key> {
    let here = all
        .keys()
        .filter(|key| namespace.is_none_or(|namespace| key.0 == namespace));
    let mut here: Vec<(&Key, BTreeSet<Key>)> = here.map(|key| (key, below(key, all))).collect();
    let applied: BTreeSet<Key> = here.iter().flat_map(|(_, below)| below).cloned().collect();
    // Who is in a circle has more below than whatever hangs from the circle.
    here.sort_by_key(|(key, below)| (applied.contains(key), Reverse(below.len())));
    let mut shown = BTreeSet::new();
    let mut roots = Vec::new();
    for (key, below) in here {
        if shown.insert(key.clone()) {
            shown.extend(below);
            roots.push(key.clone());
        }
    }
    roots.sort();
    roots
}

/// All Kustomizations that one applied, and those that they applied in turn, but for itself: the usual root folder
/// applies itself.
fn below(key: &Key, all: &BTreeMap<Key, Summary>) -> BTreeSet<Key> {
    let mut found = BTreeSet::new();
    let mut next = vec![key.clone()];
    while let Some(owner) = next.pop() {
        for child in all
            .get(&owner)
            .into_iter()
            .flat_map(inventory)
            .filter(is_kustomization)
        {
            let child = (child.namespace, child.name);
            if child != *key && found.insert(child.clone()) {
                next.push(child);
            }
        }
    }
    found
}

fn is_kustomization(id: &ObjectId) -> bool {
    id.kind == ObjectKind::Kustomization.name() && id.group == ObjectKind::Kustomization.resource().group
}

fn inventory(object: &Summary) -> impl Iterator<Item = ObjectId> {
    let entries = object
        .object
        .pointer("/status/inventory/entries")
        .and_then(Value::as_array);
    entries
        .into_iter()
        .flatten()
        .filter_map(|entry| ObjectId::parse(entry["id"].as_str()?).ok())
}

fn grow(key: &Key, all: &BTreeMap<Key, Summary>, compact: bool, seen: &mut BTreeSet<Key>) -> Node {
    let object = all.get(key);
    let mut node = Node {
        id: format!("Kustomization/{}/{}", key.0, key.1),
        state: Some(State::of(object)),
        children: Vec::new(),
    };
    if !seen.insert(key.clone()) {
        return node;
    }
    for id in object.into_iter().flat_map(inventory) {
        if is_kustomization(&id) {
            let child = (id.namespace, id.name);
            if child != *key {
                node.children.push(grow(&child, all, compact, seen));
            }
        } else if !compact {
            node.children.push(Node {
                id: id.to_string(),
                state: None,
                children: Vec::new(),
            });
        }
    }
    node
}

impl Node {
    fn line(&self) -> String {
        match &self.state {
            None => self.id.clone(),
            Some(State::Missing) => format!("{}  {}", self.id, Styled::new(BAD, "missing")),
            Some(State::There(there)) => format!("{}  {}", self.id, there.line()),
        }
    }

    fn print(&self, ui: &mut Ui) -> Result<(), Error> {
        ui.line(self.line())?;
        self.print_children("", ui)
    }

    fn print_children(&self, indent: &str, ui: &mut Ui) -> Result<(), Error> {
        for (index, child) in self.children.iter().enumerate() {
            let (branch, below) = match index + 1 == self.children.len() {
                true => ("└── ", "    "),
                false => ("├── ", "│   "),
            };
            ui.line(format_args!("{indent}{branch}{}", child.line()))?;
            child.print_children(&format!("{indent}{below}"), ui)?;
        }
        Ok(())
    }

    fn to_json(&self) -> Value {
        let mut value = json!({ "id": self.id });
        if let Some(State::There(there)) = &self.state {
            value["ready"] = json!(there.ready);
            value["reason"] = json!(there.reason);
            value["revision"] = json!(there.revision);
            value["attempted"] = json!(there.attempted);
            value["deleting"] = json!(there.is_deleted);
            value["children"] = self.children.iter().map(Self::to_json).collect();
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kustomization(name: &str, ready: &str, inventory: &[&str]) -> (Key, Summary) {
        kustomization_in("flux-system", name, ready, inventory)
    }

    fn kustomization_in(namespace: &str, name: &str, ready: &str, inventory: &[&str]) -> (Key, Summary) {
        let entries: Vec<Value> = inventory
            .iter()
            .map(|id| json!({ "id": id, "v": "v1" }))
            .collect();
        let object = serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": namespace },
            "status": {
                "lastAppliedRevision": "main@sha1:0123456789abcdef0123456789abcdef01234567",
                "lastAttemptedRevision": match ready {
                    "False" => "main@sha1:89abcdef0123456789abcdef0123456789abcdef",
                    _ => "main@sha1:0123456789abcdef0123456789abcdef01234567",
                },
                "conditions": [{ "type": "Ready", "status": ready, "reason": "BuildFailed", "message": "" }],
                "inventory": { "entries": entries }
            }
        }));
        let summary = Summary::new(ObjectKind::Kustomization, &object.unwrap());
        ((namespace.to_owned(), name.to_owned()), summary)
    }

    fn cluster() -> BTreeMap<Key, Summary> {
        BTreeMap::from([
            kustomization(
                "cluster",
                "True",
                &[
                    "flux-system_cluster_kustomize.toolkit.fluxcd.io_Kustomization",
                    "flux-system_staging_kustomize.toolkit.fluxcd.io_Kustomization",
                    "flux-system_gone_kustomize.toolkit.fluxcd.io_Kustomization",
                ],
            ),
            kustomization(
                "staging",
                "False",
                &["_shop-staging__Namespace", "shop-staging_web_apps_Deployment"],
            ),
        ])
    }

    fn printed(compact: bool) -> String {
        printed_in(None, &cluster(), compact)
    }

    fn printed_in(namespace: Option<&str>, all: &BTreeMap<Key, Summary>, compact: bool) -> String {
        let (mut ui, captured) = Ui::captured();
        for root in roots(all, namespace) {
            grow(&root, all, compact, &mut BTreeSet::new())
                .print(&mut ui)
                .unwrap();
        }
        captured.out()
    }

    #[test]
    fn a_tree_starts_at_what_nobody_applied_and_shows_all_below() {
        insta::assert_snapshot!(printed(false), @r"
        Kustomization/flux-system/cluster  ready main@sha1:01234567
        ├── Kustomization/flux-system/staging  failed at main@sha1:89abcdef (applied main@sha1:01234567): BuildFailed
        │   ├── Namespace/shop-staging
        │   └── Deployment/shop-staging/web
        └── Kustomization/flux-system/gone  missing
        ");
    }

    #[test]
    fn a_compact_tree_shows_kustomizations_only() {
        insta::assert_snapshot!(printed(true), @r"
        Kustomization/flux-system/cluster  ready main@sha1:01234567
        ├── Kustomization/flux-system/staging  failed at main@sha1:89abcdef (applied main@sha1:01234567): BuildFailed
        └── Kustomization/flux-system/gone  missing
        ");
    }

    #[test]
    fn one_that_is_being_deleted_is_told_by_that() {
        let (key, mut summary) = kustomization("cluster", "True", &[]);
        summary.object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        insta::assert_snapshot!(
            printed_in(None, &BTreeMap::from([(key, summary)]), false),
            @"Kustomization/flux-system/cluster  being deleted main@sha1:01234567"
        );
    }

    #[test]
    fn what_was_applied_from_another_namespace_is_a_root_of_its_own() {
        let applies = |names: &[(&str, &str)]| -> Vec<String> {
            let id =
                |(namespace, name)| format!("{namespace}_{name}_kustomize.toolkit.fluxcd.io_Kustomization");
            names.iter().copied().map(id).collect()
        };
        let one = |namespace: &str, name: &str, names: &[(&str, &str)]| {
            let inventory = applies(names);
            let inventory: Vec<&str> = inventory.iter().map(String::as_str).collect();
            kustomization_in(namespace, name, "True", &inventory)
        };
        let all = BTreeMap::from([
            one(
                "flux-system",
                "cluster",
                &[("team-a", "apps"), ("team-a", "infra")],
            ),
            one("team-a", "apps", &[("team-b", "shared")]),
            one("team-b", "shared", &[("team-a", "leaf")]),
            one("team-a", "leaf", &[]),
            one("team-a", "infra", &[]),
        ]);
        insta::assert_snapshot!(printed_in(Some("team-a"), &all, true), @r"
        Kustomization/team-a/apps  ready main@sha1:01234567
        └── Kustomization/team-b/shared  ready main@sha1:01234567
            └── Kustomization/team-a/leaf  ready main@sha1:01234567
        Kustomization/team-a/infra  ready main@sha1:01234567
        ");
        assert_eq!(
            roots(&all, None),
            [("flux-system".to_owned(), "cluster".to_owned())]
        );
    }

    #[test]
    fn those_that_apply_each_other_are_shown_once() {
        let all = BTreeMap::from([
            kustomization(
                "a",
                "True",
                &["flux-system_b_kustomize.toolkit.fluxcd.io_Kustomization"],
            ),
            kustomization(
                "b",
                "True",
                &[
                    "flux-system_a_kustomize.toolkit.fluxcd.io_Kustomization",
                    "flux-system_0_kustomize.toolkit.fluxcd.io_Kustomization",
                ],
            ),
            kustomization("0", "True", &[]),
            kustomization("c", "True", &[]),
        ]);
        insta::assert_snapshot!(printed_in(None, &all, true), @r"
        Kustomization/flux-system/a  ready main@sha1:01234567
        └── Kustomization/flux-system/b  ready main@sha1:01234567
            ├── Kustomization/flux-system/a  ready main@sha1:01234567
            └── Kustomization/flux-system/0  ready main@sha1:01234567
        Kustomization/flux-system/c  ready main@sha1:01234567
        ");
    }
}
