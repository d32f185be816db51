//! Kustomizations and sources as commands look at them: loosely, so that an object which this version
//! cannot read in full is still listed. Does I/O where a client is passed.

use std::str::FromStr;

use jiff::Timestamp;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

use crate::connect::Cluster;
use crate::error::{Error, Kind, nearest};
use crate::ui::{BAD, GOOD, Styled, WARN};

/// The kinds that commands know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A source.
    GitRepository,
    /// Something that is applied.
    Kustomization,
}

impl ObjectKind {
    /// All kinds, in the order in which data flows through them.
    pub const ALL: [Self; 2] = [Self::GitRepository, Self::Kustomization];

    /// The kind's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GitRepository => "GitRepository",
            Self::Kustomization => "Kustomization",
        }
    }

    /// The kind's name as commands take it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::GitRepository => "gitrepository",
            Self::Kustomization => "kustomization",
        }
    }

    /// Group, version and plural.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        let (group, plural) = match self {
            Self::GitRepository => ("source.toolkit.fluxcd.io", "gitrepositories"),
            Self::Kustomization => ("kustomize.toolkit.fluxcd.io", "kustomizations"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", self.name()), plural)
    }

    /// A client for objects of this kind, in one namespace or in all.
    #[must_use]
    pub fn api(self, cluster: &Cluster, namespace: Option<&str>) -> Api<DynamicObject> {
        let (client, resource) = (cluster.client.clone(), self.resource());
        match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        }
    }
}

impl FromStr for ObjectKind {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        match word.to_ascii_lowercase().as_str() {
            "kustomization" | "kustomizations" | "ks" => Ok(Self::Kustomization),
            "gitrepository" | "gitrepositories" | "gitrepo" | "git" | "source" | "sources" => {
                Ok(Self::GitRepository)
            }
            _ => Err(
                Error::new(Kind::Usage, format!("`{word}` is not a kind that Coracle knows"))
                    .hint("Kinds are `kustomization` (`ks`) and `gitrepository` (`source`, `git`)."),
            ),
        }
    }
}

/// The object that a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its name.
    pub name: String,
}

/// How an object is named.
const NAMING: &str = "Say a Kustomization's name, or a kind and a name, such as `gitrepository/apps`.";

const ONE_AT_A_TIME: &str = "One object is taken at a time: say the command once for each.";

impl Target {
    /// Reads `NAME`, `KIND NAME`, `KIND/NAME` and Flux's `source git NAME`.
    ///
    /// # Errors
    /// The words name no kind, or no object.
    pub fn parse(words: &[String]) -> Result<Self, Error> {
        let named = |kind: &str, name: &str| {
            Ok(Self {
                kind: kind.parse()?,
                name: name.to_owned(),
            })
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            [] => Err(Error::new(Kind::Usage, "no object is named").hint(NAMING)),
            [word] => match word.split_once('/') {
                Some((kind, name)) => named(kind, name),
                None => named("kustomization", word),
            },
            ["source", "git", name] => named("git", name),
            [kind, name] if !kind.contains('/') && !name.contains('/') => {
                named(kind, name).map_err(|error| error.hint(ONE_AT_A_TIME))
            }
            _ => Err(Error::new(
                Kind::Usage,
                format!("`{}` does not name one object", words.join(" ")),
            )
            .hint(NAMING)
            .hint(ONE_AT_A_TIME)),
        }
    }

    /// The object as messages name it.
    #[must_use]
    pub fn display(&self) -> String {
        format!("{}/{}", self.kind.word(), self.name)
    }

    /// Fetches the object.
    ///
    /// # Errors
    /// It does not exist: then the error says what may have been meant. The cluster refuses.
    pub async fn fetch(&self, cluster: &Cluster, namespace: &str) -> Result<DynamicObject, Error> {
        let doing = format!("get {} in namespace {namespace}", self.display());
        match self.kind.api(cluster, Some(namespace)).get_opt(&self.name).await {
            Ok(Some(object)) => Ok(object),
            Ok(None) => Err(self.not_found(cluster, namespace).await),
            Err(error) => Err(cluster.explain(&doing, error)),
        }
    }

    /// The object, or those of this name in all namespaces.
    ///
    /// # Errors
    /// There is none: then the error says what may have been meant. The cluster refuses.
    pub async fn find(&self, cluster: &Cluster, namespace: Option<&str>) -> Result<Vec<Summary>, Error> {
        if let Some(namespace) = namespace {
            let object = self.fetch(cluster, namespace).await?;
            return Ok(vec![Summary::new(self.kind, &object)]);
        }
        let (found, others): (Vec<Summary>, Vec<Summary>) = list(cluster, self.kind, None)
            .await?
            .into_iter()
            .partition(|object| object.name == self.name);
        if !found.is_empty() {
            return Ok(found);
        }
        let missing = Error::new(
            Kind::NotFound,
            format!("there is no {} in any namespace", self.display()),
        );
        Err(self.perhaps_meant(missing, others.iter()))
    }

    /// Looks whether it exists, in a namespace or in any.
    ///
    /// # Errors
    /// It does not exist: then the error says what may have been meant. The cluster refuses.
    pub async fn exists(&self, cluster: &Cluster, scope: Option<&str>) -> Result<(), Error> {
        self.find(cluster, scope).await.map(drop)
    }

    async fn not_found(&self, cluster: &Cluster, namespace: &str) -> Error {
        let missing = Error::new(
            Kind::NotFound,
            format!("there is no {} in namespace {namespace}", self.display()),
        );
        let known = match list(cluster, self.kind, None).await {
            Ok(known) => known,
            // Also when the kind itself is unknown: that answers the question better.
            Err(error) => return error,
        };
        if let Some(elsewhere) = known.iter().find(|object| object.name == self.name) {
            return missing.hint(format!(
                "There is one in namespace {0}: add `-n {0}`.",
                elsewhere.namespace
            ));
        }
        let here = known.iter().filter(|object| object.namespace == namespace);
        self.perhaps_meant(missing, here)
    }

    fn perhaps_meant<'a>(&self, missing: Error, known: impl Iterator<Item = &'a Summary>) -> Error {
        match nearest(&self.name, known.map(|object| object.name.as_str())) {
            Some(name) => missing.hint(format!("Is `{name}` meant?")),
            None => missing.hint("`coracle get all -A` prints those that exist."),
        }
    }
}

/// What commands print about an object.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Whether it is suspended.
    pub suspended: bool,
    /// The revision that is applied or fetched.
    pub revision: String,
    /// The status of its condition Ready, `Unknown` without one.
    pub ready: String,
    /// Reason of its condition Ready.
    pub reason: String,
    /// Message of its condition Ready.
    pub message: String,
    /// The source of a Kustomization, or the address of a repository.
    pub origin: String,
    /// Path of a Kustomization, or the reference of a repository.
    pub detail: String,
    /// The whole object.
    pub object: Value,
}

impl Summary {
    /// Reads what can be read.
    #[must_use]
    pub fn new(kind: ObjectKind, object: &DynamicObject) -> Self {
        let data = &object.data;
        let text = |path: &str| {
            data.pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let ready = condition(data, "Ready");
        let said = |field: &str| {
            ready
                .and_then(|it| it[field].as_str())
                .unwrap_or_default()
                .to_owned()
        };
        let (revision, origin, detail) = match kind {
            ObjectKind::Kustomization => (
                text("/status/lastAppliedRevision"),
                format!(
                    "{}/{}",
                    text("/spec/sourceRef/kind"),
                    text("/spec/sourceRef/name")
                ),
                text("/spec/path"),
            ),
            ObjectKind::GitRepository => (
                text("/status/artifact/revision"),
                text("/spec/url"),
                reference(data),
            ),
        };
        Self {
            kind,
            namespace: object.metadata.namespace.clone().unwrap_or_default(),
            name: object.metadata.name.clone().unwrap_or_default(),
            created: object.metadata.creation_timestamp.as_ref().map(|time| time.0),
            suspended: data.pointer("/spec/suspend") == Some(&Value::Bool(true)),
            revision,
            ready: if ready.is_some() {
                said("status")
            } else {
                "Unknown".to_owned()
            },
            reason: said("reason"),
            message: said("message"),
            origin,
            detail,
            object: without_managers(object),
        }
    }

    /// Whether no controller has said anything about it yet.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        let conditions = self.object.pointer("/status/conditions");
        conditions.and_then(Value::as_array).is_none_or(Vec::is_empty)
    }

    /// The revision that was tried last: while it fails, another one than is applied.
    #[must_use]
    pub fn attempted(&self) -> &str {
        let attempted = self.object.pointer("/status/lastAttemptedRevision");
        attempted.and_then(Value::as_str).unwrap_or_default()
    }

    /// What its condition Ready says, for people; of a run that goes on, what it is at.
    #[must_use]
    pub fn said(&self) -> String {
        if self.is_untouched() {
            return "no controller has looked at it yet".to_owned();
        }
        let at = self.at().filter(|_| self.ready == "Unknown");
        short_revisions(at.unwrap_or(&self.message))
    }

    /// What the run that goes on is at, or waits for, as its condition Reconciling has it.
    #[must_use]
    pub fn at(&self) -> Option<&str> {
        let reconciling = condition(&self.object, "Reconciling").filter(|it| it["status"] == "True")?;
        reconciling["message"].as_str().filter(|it| !it.is_empty())
    }

    /// The state in its colour.
    #[must_use]
    pub fn styled_ready(&self) -> Styled {
        let style = match self.ready.as_str() {
            "True" => GOOD,
            "False" => BAD,
            _ => WARN,
        };
        Styled::new(style, self.ready.as_str())
    }
}

/// The object without the list of who set which field, which nobody reads, as `kubectl` prints it.
fn without_managers(object: &DynamicObject) -> Value {
    let mut object = object.clone();
    object.metadata.managed_fields = None;
    serde_json::to_value(object).unwrap_or_default()
}

fn reference(data: &Value) -> String {
    let reference = data.pointer("/spec/ref").unwrap_or(&Value::Null);
    // Flux's order of precedence.
    ["commit", "name", "semver", "tag", "branch"]
        .iter()
        .find_map(|field| reference[*field].as_str())
        .unwrap_or("master")
        .to_owned()
}

/// A condition of an object.
#[must_use]
pub fn condition<'a>(data: &'a Value, type_: &str) -> Option<&'a Value> {
    data.pointer("/status/conditions")?
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == type_)
}

/// Lists objects of a kind, ordered by namespace and name.
///
/// # Errors
/// The cluster refuses.
pub async fn list(
    cluster: &Cluster,
    kind: ObjectKind,
    namespace: Option<&str>,
) -> Result<Vec<Summary>, Error> {
    let objects = kind
        .api(cluster, namespace)
        .list(&ListParams::default())
        .await
        .map_err(|error| cluster.explain(&format!("list {} objects", kind.name()), error))?;
    let mut summaries: Vec<Summary> = objects
        .items
        .iter()
        .map(|object| Summary::new(kind, object))
        .collect();
    summaries.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    Ok(summaries)
}

/// Shortens the hashes of revisions in a text to eight digits, as Flux's client prints them. One that is the
/// value of something (`coracle.dev/prune-confirm=main@sha1:...`) is to be copied, and stays whole.
#[must_use]
pub fn short_revisions(text: &str) -> String {
    const SHOWN: usize = 8;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((start, mark)) = ["sha1:", "sha256:"]
        .iter()
        .filter_map(|mark| rest.find(mark).map(|start| (start, mark.len())))
        .min()
    {
        let (before, hash) = rest.split_at(start + mark);
        let digits = hash.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hash.len());
        let word = before.rsplit(char::is_whitespace).next().unwrap_or_default();
        let shown = match digits >= 40 && !word.contains('=') {
            true => SHOWN,
            false => digits,
        };
        out.push_str(before);
        out.push_str(&hash[..shown]);
        rest = &hash[digits..];
    }
    out.push_str(rest);
    out
}

/// How long ago something was, in the coarse units that `kubectl` prints.
#[must_use]
pub fn age(since: Option<Timestamp>, now: Timestamp) -> String {
    let Some(since) = since else {
        return "unknown".to_owned();
    };
    let seconds = now.duration_since(since).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let both = |whole: i64, unit: char, rest: i64, small: char| match rest {
        0 => format!("{whole}{unit}"),
        rest => format!("{whole}{unit}{rest}{small}"),
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => both(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => both(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => both(days, 'd', hours % 24, 'h'),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(words: &[&str]) -> Result<Target, Error> {
        Target::parse(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn an_object_is_named_as_flux_and_kubectl_name_it() {
        for words in [
            &["apps"][..],
            &["ks", "apps"],
            &["kustomization/apps"],
            &["Kustomization/apps"],
        ] {
            assert_eq!(
                target(words).unwrap().display(),
                "kustomization/apps",
                "{words:?}"
            );
        }
        for words in [
            &["source", "git", "apps"][..],
            &["gitrepo/apps"],
            &["gitrepository", "apps"],
        ] {
            assert_eq!(
                target(words).unwrap().display(),
                "gitrepository/apps",
                "{words:?}"
            );
        }
        assert_eq!(
            target(&["helmrelease/apps"]).unwrap_err().to_string(),
            "`helmrelease` is not a kind that Coracle knows"
        );
    }

    #[test]
    fn hashes_of_revisions_are_shortened_and_nothing_else() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(
            short_revisions(&format!(
                "Applied revision: main@sha1:{hash}, was refs/x@sha1:{hash}"
            )),
            "Applied revision: main@sha1:01234567, was refs/x@sha1:01234567"
        );
        assert_eq!(short_revisions("sha1:abc is no hash"), "sha1:abc is no hash");
        let command = format!("run: kubectl annotate ... coracle.dev/prune-confirm=main@sha1:{hash}");
        assert_eq!(short_revisions(&command), command);
    }

    #[test]
    fn ages_are_coarse() {
        let at = |seconds| {
            age(
                Some(Timestamp::UNIX_EPOCH),
                Timestamp::from_second(seconds).unwrap(),
            )
        };
        assert_eq!(
            [5, 130, 4000, 11_000, 50_000, 200_000, 900_000].map(at).join(" "),
            "5s 2m10s 66m 3h3m 13h 2d7h 10d"
        );
    }
}
