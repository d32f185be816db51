//! What applying objects would change in a cluster. Does I/O: asks the cluster, dry runs only.

use std::time::Duration;

use reconciler::api::{APPLY_MANAGER, Kustomization, PostBuild};
use reconciler::apply::{Absent, Known, Permit, Preview, Previewed, preview};
use reconciler::cluster::{Api, ApiError, ApplyOptions, Discovery, Kind as ServedKind};
use reconciler::plan::{self, Action, Guard, Gvk, Inventory, ObjectId, Owner, Wanted};
use reconciler::render::Object;
use reconciler::render::substitute::unreplaced;
use reconciler::report::redact::Redactor;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::takeover;
use crate::connect::Cluster;
use crate::error::{Error, Kind};

/// How long asking about everything may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// Requests under way at once.
const IN_FLIGHT: usize = 8;

/// Something that would be done to an object, or would fail.
#[derive(Debug)]
pub struct Change {
    /// Which object.
    pub id: ObjectId,
    /// What would happen.
    pub effect: Effect,
    /// What would differ.
    pub fields: Vec<Field>,
}

/// What would happen to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// This.
    Does(Action),
    /// It comes, and cannot be checked before what it needs is there.
    Unchecked(String),
    /// It is there, and what would change of it cannot be foreseen.
    Unforeseen(String),
    /// It would be refused.
    Refused(String),
}

/// A field that would differ.
#[derive(Debug)]
pub struct Field {
    /// JSON pointer.
    pub path: String,
    /// The value now.
    pub from: Option<Value>,
    /// The value then.
    pub to: Option<Value>,
}

/// Everything that would happen.
#[derive(Debug)]
pub struct Changes {
    /// Changes, in the order of the build, prunes last.
    pub changes: Vec<Change>,
    /// How many objects would stay as they are.
    pub unchanged: usize,
    /// What the prune guard would stop the run for: what the revision does, without its subject.
    pub guard: Option<String>,
}

/// Asks the cluster what applying these objects would change; `redactor` knows which of their values are secret.
///
/// # Errors
/// The cluster cannot be asked.
pub async fn changes(
    cluster: &Cluster,
    kustomization: &Kustomization,
    objects: Vec<Object>,
    redactor: &Redactor,
) -> Result<Changes, Error> {
    let never = CancellationToken::new();
    let mut look = Look {
        api: Api::new(cluster.client.clone(), IN_FLIGHT),
        discovery: Discovery::default(),
        permit: Permit::new(never.clone(), never, PATIENCE),
        owner: Owner {
            namespace: kustomization.metadata.namespace.clone().unwrap_or_default(),
            name: kustomization.metadata.name.clone().unwrap_or_default(),
        },
        force: kustomization.spec.force,
        replaces: kustomization
            .spec
            .post_build
            .as_ref()
            .is_some_and(PostBuild::replaces),
        redactor: redactor.clone(),
        found: Changes {
            changes: Vec::new(),
            unchanged: 0,
            guard: None,
        },
    };
    let brought = Brought::by(&objects);
    let mut wanted = Inventory::default();
    for object in objects {
        if let Some((id, version)) = look.object(object, &brought).await? {
            wanted.insert(id, version);
        }
    }
    if kustomization.spec.prune {
        look.prunes(kustomization, &wanted).await?;
    }
    Ok(look.found)
}

/// Kinds, namespaces and roles that the objects bring along.
struct Brought {
    kinds: Vec<(String, String, bool)>,
    namespaces: Vec<String>,
    roles: Vec<(String, String, String)>,
}

impl Brought {
    fn by(objects: &[Object]) -> Self {
        let text = |value: &Value, pointer: &str| {
            value
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let kinds = objects
            .iter()
            .filter(|it| it.id.kind == "CustomResourceDefinition")
            .map(|it| {
                let namespaced = text(&it.value, "/spec/scope") == "Namespaced";
                (
                    text(&it.value, "/spec/group"),
                    text(&it.value, "/spec/names/kind"),
                    namespaced,
                )
            });
        let namespaces = objects
            .iter()
            .filter(|it| it.id.kind == "Namespace" && it.id.group.is_empty());
        let roles = objects
            .iter()
            .filter(|it| ["Role", "ClusterRole"].contains(&it.id.kind.as_str()));
        let role = |it: &Object| {
            let namespace = if it.id.kind == "Role" {
                it.id.namespace.as_str()
            } else {
                ""
            };
            (it.id.kind.clone(), namespace.to_owned(), it.id.name.clone())
        };
        Self {
            kinds: kinds.collect(),
            namespaces: namespaces.map(|it| it.id.name.clone()).collect(),
            roles: roles.map(role).collect(),
        }
    }

    /// What becomes of an object that cannot be tried before this is there: if it comes along, the run applies it
    /// first; if it does not, the run fails.
    fn effect(&self, absent: Absent, wanted: &Wanted, words: String) -> Effect {
        let (comes, what) = match absent {
            Absent::Kind => (self.scope(&wanted.id.group, &wanted.id.kind).is_some(), "kind"),
            Absent::Namespace => (self.namespaces.contains(&wanted.id.namespace), "namespace"),
            Absent::Role => (self.brings_role_of(wanted), "role"),
        };
        match comes {
            true => Effect::Unchecked(format!("its {what} comes with this Kustomization")),
            false => Effect::Refused(words),
        }
    }

    fn brings_role_of(&self, binding: &Wanted) -> bool {
        let reference = |key: &str| {
            binding.value["roleRef"][key]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let kind = reference("kind");
        let namespace = match kind.as_str() {
            "Role" => binding.id.namespace.clone(),
            _ => String::new(),
        };
        self.roles.contains(&(kind, namespace, reference("name")))
    }

    fn scope(&self, group: &str, kind: &str) -> Option<bool> {
        self.kinds
            .iter()
            .find(|it| it.0 == group && it.1 == kind)
            .map(|it| it.2)
    }
}

struct Look {
    api: Api,
    discovery: Discovery,
    permit: Permit,
    owner: Owner,
    force: bool,
    /// Whether the Kustomization puts anything in the place of variables.
    replaces: bool,
    redactor: Redactor,
    found: Changes,
}

impl Look {
    /// Looks at one object; gives what would stand in the inventory.
    async fn object(
        &mut self,
        object: Object,
        brought: &Brought,
    ) -> Result<Option<(ObjectId, String)>, Error> {
        let gvk = Gvk {
            group: object.id.group.clone(),
            version: object.version.clone(),
            kind: object.id.kind.clone(),
        };
        let mut id = object.id;
        let kind = match self.discovery.resolve(&self.api, &gvk).await {
            Ok(kind) => kind,
            Err(ApiError::UnknownKind { .. }) => {
                if let Some(namespaced) = brought.scope(&gvk.group, &gvk.kind) {
                    if !namespaced {
                        id.namespace.clear();
                    } else if id.namespace.is_empty() {
                        return Ok(self.without_namespace(id));
                    }
                    let why = "its kind comes with this Kustomization".to_owned();
                    self.add(id.clone(), Effect::Unchecked(why), Vec::new());
                    return Ok(Some((id, gvk.version)));
                }
                let why = format!("the cluster knows no {} in {}", gvk.kind, gvk.api_version());
                self.add(id, Effect::Refused(why), Vec::new());
                return Ok(None);
            }
            Err(error) => return Err(unasked(error)),
        };
        if !kind.namespaced {
            id.namespace.clear();
        }
        if kind.namespaced && id.namespace.is_empty() {
            return Ok(self.without_namespace(id));
        }
        let mut value = object.value;
        plan::normalize(&mut value, kind.namespaced, &self.owner);
        let wanted = Wanted {
            id: id.clone(),
            version: gvk.version.clone(),
            value,
            origin: Some(object.origin.to_string()),
        };
        self.preview(&kind, &wanted, brought).await?;
        Ok(Some((id, gvk.version)))
    }

    /// Refuses it; it would not stand in the inventory.
    fn without_namespace(&mut self, id: ObjectId) -> Option<(ObjectId, String)> {
        let why = "it has no namespace: set metadata.namespace, or spec.targetNamespace of the Kustomization";
        self.add(id, Effect::Refused(why.to_owned()), Vec::new());
        None
    }

    async fn preview(&mut self, kind: &ServedKind, wanted: &Wanted, brought: &Brought) -> Result<(), Error> {
        let previewed = preview(
            &self.api,
            &self.permit,
            kind,
            wanted,
            &self.owner,
            Known::Nothing,
            self.force,
        )
        .await
        .map_err(unasked)?;
        let effect = match previewed {
            Previewed::Ok(preview) => match preview.action {
                Action::Unchanged | Action::Skipped => {
                    self.found.unchanged += 1;
                    return Ok(());
                }
                action => {
                    let fields = self.fields(kind, wanted, &preview).await?;
                    self.add(wanted.id.clone(), Effect::Does(action), fields);
                    return Ok(());
                }
            },
            Previewed::Unverified(preview) => {
                let why = "a webhook refuses dry runs".to_owned();
                match preview.action {
                    Action::Created => Effect::Unchecked(why),
                    _ => Effect::Unforeseen(why),
                }
            }
            Previewed::Rejected(rejection) => Effect::Refused(self.explained(wanted, rejection.message)),
            Previewed::Deferred(absent, words) => brought.effect(absent, wanted, words),
            Previewed::Terminating { .. } => Effect::Unchecked("the old one is being deleted".to_owned()),
            Previewed::OwnedBy(other, _) => Effect::Refused(format!("the Kustomization {other} owns it")),
        };
        self.add(wanted.id.clone(), effect, Vec::new());
        Ok(())
    }

    /// The values at the places that differ, now and after the apply.
    async fn fields(
        &self,
        kind: &ServedKind,
        wanted: &Wanted,
        preview: &Preview,
    ) -> Result<Vec<Field>, Error> {
        if preview.drift.is_none() && preview.takeover.is_none() {
            return Ok(Vec::new());
        }
        let options = ApplyOptions {
            dry_run: true,
            force: true,
            manager: APPLY_MANAGER,
            metadata_only: false,
        };
        let then = self
            .api
            .apply(kind, &wanted.id, &wanted.value, options)
            .await
            .map_err(unasked)?
            .object;
        let now = self
            .api
            .get(kind, &wanted.id)
            .await
            .map_err(unasked)?
            .unwrap_or_default();
        let drift = preview.drift.iter().flat_map(|drift| &drift.paths);
        let mut fields: Vec<Field> = drift
            .map(|path| Field {
                from: now.pointer(path).cloned(),
                to: then.pointer(path).cloned(),
                path: path.clone(),
            })
            .collect();
        let removed = preview
            .takeover
            .iter()
            .flat_map(|patch| takeover::removed(&now, &then, patch));
        for path in removed {
            if !fields.iter().any(|field| field.path == path) {
                fields.push(Field {
                    from: now.pointer(&path).cloned(),
                    to: None,
                    path,
                });
            }
        }
        Ok(fields)
    }

    async fn prunes(&mut self, kustomization: &Kustomization, wanted: &Inventory) -> Result<(), Error> {
        let status = kustomization
            .status
            .as_ref()
            .and_then(|status| status.inventory.as_ref());
        let inventory = Inventory::from_status(status);
        let mut prunes = Vec::new();
        for (id, version) in inventory.minus(wanted) {
            let gvk = Gvk {
                group: id.group.clone(),
                version,
                kind: id.kind.clone(),
            };
            let kind = match self.discovery.resolve_any_version(&self.api, &gvk).await {
                Ok(kind) => kind,
                // Its kind is gone, and the object with it.
                Err(ApiError::UnknownKind { .. }) => continue,
                Err(error) => return Err(unasked(error)),
            };
            let Some(live) = self.api.get_metadata(&kind, &id).await.map_err(unasked)? else {
                continue;
            };
            if is_kept(&live) {
                continue;
            }
            prunes.push(id.clone());
            self.add(id, Effect::Does(Action::Deleted), Vec::new());
        }
        self.found.guard = Guard::default().too_much(&inventory, wanted, &prunes);
        Ok(())
    }

    /// A refusal of a value that still is a variable is about the variable.
    fn explained(&self, wanted: &Wanted, refusal: String) -> String {
        let is_secret = |text: &str| self.redactor.masks(text);
        match unreplaced::hint(&wanted.value, &refusal, self.replaces, is_secret) {
            Some(hint) => format!("{refusal}; {hint}"),
            None => refusal,
        }
    }

    fn add(&mut self, id: ObjectId, effect: Effect, fields: Vec<Field>) {
        self.found.changes.push(Change { id, effect, fields });
    }
}

/// Whether a mark on the object keeps it from being pruned.
fn is_kept(live: &Value) -> bool {
    let marks = [
        ("prune", "disabled"),
        ("reconcile", "disabled"),
        ("ssa", "Ignore"),
    ];
    ["labels", "annotations"].iter().any(|place| {
        marks.iter().any(|(key, value)| {
            live["metadata"][*place][format!("kustomize.toolkit.fluxcd.io/{key}")]
                .as_str()
                .is_some_and(|it| it.eq_ignore_ascii_case(value))
        })
    })
}

fn unasked(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Kind::Cluster, "cannot ask the cluster").caused_by(error)
}
