//! Requests of the matrix, by a builder. No I/O.
//!
//! In: a path such as `core("configmaps/a")`, what is sent. Out: a request, in which `${NAME}` stands for what an
//! earlier answer held, and `${ns}` for the namespace of the case.

use serde_json::Value;

/// A request that is not sent yet.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) accept: &'static str,
    pub(crate) body: Option<String>,
}

/// Accepts tables, as `kubectl get` does.
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
/// Accepts one object without its content.
const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
/// Accepts many objects without their content.
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
/// Accepts everything that is served in one document.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A path of the core group in the namespace of the case.
pub(crate) fn core(path: &str) -> String {
    format!("/api/v1/namespaces/${{ns}}/{path}")
}

/// A path of another group in the namespace of the case.
pub(crate) fn group(version: &str, path: &str) -> String {
    format!("/apis/{version}/namespaces/${{ns}}/{path}")
}

/// A path of `apps/v1` in the namespace of the case.
pub(crate) fn apps(path: &str) -> String {
    group("apps/v1", path)
}

impl Ask {
    fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            content_type: None,
            accept: "application/json",
            body: None,
        }
    }

    fn sending(self, media: &'static str, body: &Value) -> Self {
        Self {
            content_type: Some(media),
            body: Some(body.to_string()),
            ..self
        }
    }

    /// Adds to the query.
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Names the field manager.
    pub(crate) fn by(self, manager: &str) -> Self {
        self.query("fieldManager", manager)
    }

    /// Takes fields away from other appliers.
    pub(crate) fn force(self) -> Self {
        self.query("force", "true")
    }

    /// Asks what would happen.
    pub(crate) fn dry_run(self) -> Self {
        self.query("dryRun", "All")
    }

    /// Says what becomes of unknown fields: `Ignore`, `Warn` or `Strict`.
    pub(crate) fn validation(self, how: &str) -> Self {
        self.query("fieldValidation", how)
    }

    /// Asks for a table.
    pub(crate) fn table(self) -> Self {
        Self {
            accept: TABLE,
            ..self
        }
    }

    /// Asks for one object's metadata.
    pub(crate) fn metadata(self) -> Self {
        Self {
            accept: METADATA,
            ..self
        }
    }

    /// Asks for the metadata of many objects.
    pub(crate) fn metadata_list(self) -> Self {
        Self {
            accept: METADATA_LIST,
            ..self
        }
    }

    /// Asks for everything that is served in one document.
    pub(crate) fn aggregated(self) -> Self {
        Self {
            accept: AGGREGATED,
            ..self
        }
    }

    /// Accepts something else.
    pub(crate) fn accept(self, accept: &'static str) -> Self {
        Self { accept, ..self }
    }

    /// Sends this text.
    pub(crate) fn text(self, media: &'static str, body: &str) -> Self {
        Self {
            content_type: Some(media),
            body: Some(body.to_owned()),
            ..self
        }
    }

    /// The request line, as it is recorded.
    pub(crate) fn line(&self) -> String {
        let pairs: Vec<String> = self
            .query
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mark = if pairs.is_empty() { "" } else { "?" };
        format!("{} {}{mark}{}", self.method, self.path, pairs.join("&"))
    }
}

/// Reads.
pub(crate) fn get(path: impl Into<String>) -> Ask {
    Ask::new("GET", path)
}

/// Creates.
pub(crate) fn post(path: impl Into<String>, body: &Value) -> Ask {
    Ask::new("POST", path).sending("application/json", body)
}

/// Updates.
pub(crate) fn put(path: impl Into<String>, body: &Value) -> Ask {
    Ask::new("PUT", path).sending("application/json", body)
}

/// Deletes.
pub(crate) fn delete(path: impl Into<String>) -> Ask {
    Ask::new("DELETE", path)
}

/// Deletes with options.
pub(crate) fn delete_with(path: impl Into<String>, options: &Value) -> Ask {
    delete(path).sending("application/json", options)
}

/// Patches by a merge patch.
pub(crate) fn merge(path: impl Into<String>, patch: &Value) -> Ask {
    Ask::new("PATCH", path).sending("application/merge-patch+json", patch)
}

/// Patches by operations.
pub(crate) fn json_patch(path: impl Into<String>, patch: &Value) -> Ask {
    Ask::new("PATCH", path).sending("application/json-patch+json", patch)
}

/// Patches by a strategic merge patch.
pub(crate) fn strategic(path: impl Into<String>, patch: &Value) -> Ask {
    Ask::new("PATCH", path).sending("application/strategic-merge-patch+json", patch)
}

/// Applies as a field manager.
pub(crate) fn apply(path: impl Into<String>, manager: &str, wanted: &Value) -> Ask {
    Ask::new("PATCH", path)
        .sending("application/apply-patch+yaml", wanted)
        .by(manager)
}

/// Patches with a body of any media type.
pub(crate) fn patch(path: impl Into<String>, media: &'static str, body: &str) -> Ask {
    Ask::new("PATCH", path).text(media, body)
}

/// Watches.
pub(crate) fn watch(path: impl Into<String>) -> Ask {
    get(path).query("watch", "true")
}
