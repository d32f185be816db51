//! Which object is meant: group, kind, namespace and name, in Flux's inventory notation. Pure.

use std::fmt;

use serde_json::Value;

/// The identity of an object, whatever version it is written in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
}

/// Group, version and kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvk {
    /// API group; empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Kind.
    pub kind: String,
}

/// An inventory entry that does not name an object.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an inventory id: expected `<namespace>_<name>_<group>_<kind>`")]
pub struct InvalidObjectId(String);

impl Gvk {
    /// From `apiVersion` and `kind`.
    #[must_use]
    pub fn new(api_version: &str, kind: &str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
        }
    }

    /// Of an object.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
        Self::new(text("apiVersion"), text("kind"))
    }

    /// `group/version`, or the version alone in the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            return self.version.clone();
        }
        format!("{}/{}", self.group, self.version)
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version(), self.kind)
    }
}

impl ObjectId {
    /// An id from its parts; group and namespace may be empty.
    #[must_use]
    pub fn new(group: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            group: group.to_owned(),
            kind: kind.to_owned(),
        }
    }

    /// The id of an object; what is missing is empty.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let gvk = Gvk::of(object);
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
        Self::new(&gvk.group, &gvk.kind, text("namespace"), text("name"))
    }

    /// Its kind in an API version, given without the group.
    #[must_use]
    pub fn gvk(&self, version: &str) -> Gvk {
        Gvk {
            group: self.group.clone(),
            version: version.to_owned(),
            kind: self.kind.clone(),
        }
    }

    /// The id as it stands in `status.inventory.entries[].id`; a colon in a name (RBAC) is written `__`
    /// (fluxcd/cli-utils `pkg/object/objmetadata.go`).
    #[must_use]
    pub fn inventory_id(&self) -> String {
        let name = self.name.replace(':', "__");
        format!("{}_{name}_{}_{}", self.namespace, self.group, self.kind)
    }

    /// Reads an inventory id.
    ///
    /// # Errors
    /// When it has fewer than four parts.
    pub fn parse(id: &str) -> Result<Self, InvalidObjectId> {
        let invalid = || InvalidObjectId(id.to_owned());
        let (namespace, rest) = id.split_once('_').ok_or_else(invalid)?;
        let (rest, kind) = rest.rsplit_once('_').ok_or_else(invalid)?;
        let (name, group) = rest.rsplit_once('_').ok_or_else(invalid)?;
        if name.is_empty() || kind.is_empty() {
            return Err(invalid());
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.replace("__", ":"),
            group: group.to_owned(),
            kind: kind.to_owned(),
        })
    }

    /// Whether deleting it loses what cannot be made again from Git: stored data, or everything inside it.
    #[must_use]
    pub fn holds_data(&self) -> bool {
        matches!(
            (self.group.as_str(), self.kind.as_str()),
            ("", "PersistentVolumeClaim" | "PersistentVolume" | "Namespace")
                | ("apiextensions.k8s.io", "CustomResourceDefinition")
        )
    }
}

impl fmt::Display for ObjectId {
    /// `Kind/namespace/name`, or `Kind/name`, as Flux names objects in messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return write!(f, "{}/{}", self.kind, self.name);
        }
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(namespace: &str, name: &str, group: &str, kind: &str) -> ObjectId {
        ObjectId {
            namespace: namespace.into(),
            name: name.into(),
            group: group.into(),
            kind: kind.into(),
        }
    }

    #[test]
    fn an_inventory_id_reads_back_what_was_written() {
        for (object, text) in [
            (
                id("shop", "web", "apps", "Deployment"),
                "shop_web_apps_Deployment",
            ),
            (id("shop", "config", "", "ConfigMap"), "shop_config__ConfigMap"),
            (id("", "shop", "", "Namespace"), "_shop__Namespace"),
            (
                id("", "system:web", "rbac.authorization.k8s.io", "ClusterRole"),
                "_system__web_rbac.authorization.k8s.io_ClusterRole",
            ),
        ] {
            assert_eq!(object.inventory_id(), text);
            assert_eq!(ObjectId::parse(text), Ok(object));
        }
    }

    #[test]
    fn ids_are_written_as_flux_writes_them() {
        assert_eq!(
            id("web", "api", "apps", "Deployment").to_string(),
            "Deployment/web/api"
        );
        assert_eq!(id("", "web", "", "Namespace").to_string(), "Namespace/web");
    }

    #[test]
    fn an_entry_with_too_few_parts_is_refused() {
        for text in ["", "a", "a_b", "a_b_c", "___"] {
            assert!(ObjectId::parse(text).is_err(), "{text}");
        }
    }
}
