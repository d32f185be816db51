//! Requests to the API server, as the controller or as an impersonated ServiceAccount. Does I/O.
//!
//! Bodies go out and come back as values; every answer is an object or an [`ApiError`].

mod send;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{ApiError, Kind, Permit};
use crate::plan::{ObjectId, Owner};

const JSON: &str = "application/json";
pub(super) const PARTIAL_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// The ServiceAccount that requests are made as.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service_account: String,
}

impl Identity {
    fn user(&self) -> String {
        format!(
            "system:serviceaccount:{}:{}",
            self.namespace, self.service_account
        )
    }
}

/// How an apply is carried out.
#[derive(Clone, Copy, Debug, Default)]
pub struct ApplyOptions<'a> {
    /// Nothing is stored.
    pub dry_run: bool,
    /// Fields of other managers are taken.
    pub force: bool,
    /// The field manager.
    pub manager: &'a str,
    /// Of the answer only metadata is of use.
    pub metadata_only: bool,
}

/// The answer to an apply.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Whether the object did not exist (201).
    pub created: bool,
    /// The object as it is, or would be, stored; nothing of one that a dry run would create.
    pub object: Value,
    /// An earlier attempt got no answer, and may still be carried out.
    pub repeated: bool,
}

/// What must hold of the object for a delete to be carried out.
#[derive(Clone, Debug, Default)]
pub struct Preconditions {
    /// `metadata.uid`.
    pub uid: Option<String>,
    /// `metadata.resourceVersion`.
    pub resource_version: Option<String>,
}

/// A client with an identity. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    client: Client,
    impersonate: Option<Arc<str>>,
    permit: Option<Permit>,
    gate: Arc<Semaphore>,
}

impl Api {
    /// A client that acts as itself; at most `in_flight` requests are under way at once.
    #[must_use]
    pub fn new(client: Client, in_flight: usize) -> Self {
        Self {
            client,
            impersonate: None,
            permit: None,
            gate: Arc::new(Semaphore::new(in_flight)),
        }
    }

    /// The same client, acting as a ServiceAccount.
    #[must_use]
    pub fn impersonating(&self, identity: Option<&Identity>) -> Self {
        Self {
            impersonate: identity.map(|identity| identity.user().into()),
            ..self.clone()
        }
    }

    /// The same client, whose writes are sent only while a permit holds.
    #[must_use]
    pub fn under(&self, permit: Permit) -> Self {
        Self {
            permit: Some(permit),
            ..self.clone()
        }
    }

    /// The client underneath, for watches.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Reads an object; nothing when there is none.
    ///
    /// # Errors
    /// Any answer but the object or 404.
    pub async fn get(&self, kind: &Kind, id: &ObjectId) -> Result<Option<Value>, ApiError> {
        absent_as_none(self.json(Method::GET, &kind.path(id), JSON, None).await)
    }

    /// Reads an object's metadata only; nothing when there is none.
    ///
    /// # Errors
    /// Any answer but the object or 404.
    pub async fn get_metadata(&self, kind: &Kind, id: &ObjectId) -> Result<Option<Value>, ApiError> {
        absent_as_none(self.json(Method::GET, &kind.path(id), PARTIAL, None).await)
    }

    /// Lists objects of a namespace by label selector, at most `limit`.
    ///
    /// # Errors
    /// Any answer but the list.
    pub async fn list(
        &self,
        kind: &Kind,
        namespace: &str,
        label_selector: &str,
        limit: usize,
    ) -> Result<Vec<Value>, ApiError> {
        let path = kind.collection(namespace);
        let selector = encode(label_selector);
        let list = self
            .json(
                Method::GET,
                &format!("{path}?labelSelector={selector}&limit={limit}"),
                JSON,
                None,
            )
            .await?;
        match list {
            Value::Object(mut list) => match list.remove("items") {
                Some(Value::Array(items)) => Ok(items),
                _ => Ok(Vec::new()),
            },
            _ => Ok(Vec::new()),
        }
    }

    /// The names of all objects of a kind.
    ///
    /// # Errors
    /// Any answer but the list.
    pub async fn names(&self, kind: &Kind) -> Result<Vec<String>, ApiError> {
        let list = self
            .json(Method::GET, &kind.collection(""), PARTIAL_LIST, None)
            .await?;
        let items = list["items"].as_array().into_iter().flatten();
        let name = |item: &Value| item["metadata"]["name"].as_str().map(ToOwned::to_owned);
        Ok(items.filter_map(name).collect())
    }

    /// Server-side apply.
    ///
    /// # Errors
    /// Any answer but the object.
    pub async fn apply(
        &self,
        kind: &Kind,
        id: &ObjectId,
        object: &Value,
        options: ApplyOptions<'_>,
    ) -> Result<Applied, ApiError> {
        let mut path = format!(
            "{}?fieldManager={}&force={}",
            kind.path(id),
            encode(options.manager),
            options.force
        );
        if options.dry_run {
            path.push_str("&dryRun=All");
        }
        let body = Bytes::from(object.to_string());
        let answer = self
            .bytes(
                Method::PATCH,
                &path,
                if options.metadata_only { PARTIAL } else { JSON },
                Some(("application/apply-patch+yaml", body)),
            )
            .await?;
        let created = answer.status == StatusCode::CREATED;
        let mut object = Value::Null;
        if !(created && options.dry_run) {
            object = parse(&answer.body)?;
        }
        if let (true, Value::Object(fields)) = (options.metadata_only, &mut object) {
            // Metadata comes as an object of a kind of its own.
            fields.insert("apiVersion".to_owned(), kind.gvk.api_version().into());
            fields.insert("kind".to_owned(), kind.gvk.kind.as_str().into());
        }
        Ok(Applied {
            created,
            object,
            repeated: answer.repeated,
        })
    }

    /// A JSON patch, optionally of a subresource.
    ///
    /// # Errors
    /// Any answer but the object.
    pub async fn json_patch(
        &self,
        kind: &Kind,
        id: &ObjectId,
        patch: &Value,
        manager: &str,
    ) -> Result<Value, ApiError> {
        self.patch(&kind.path(id), "application/json-patch+json", patch, manager)
            .await
    }

    /// A merge patch of the `status` subresource.
    ///
    /// # Errors
    /// Any answer but the object.
    pub async fn merge_status(
        &self,
        kind: &Kind,
        id: &ObjectId,
        patch: &Value,
        manager: &str,
    ) -> Result<Value, ApiError> {
        let path = format!("{}/status", kind.path(id));
        self.patch(&path, "application/merge-patch+json", patch, manager)
            .await
    }

    /// Of the answer only metadata is of use.
    async fn patch(
        &self,
        path: &str,
        content_type: &str,
        patch: &Value,
        manager: &str,
    ) -> Result<Value, ApiError> {
        let path = format!("{path}?fieldManager={}", encode(manager));
        let body = Bytes::from(patch.to_string());
        self.json(Method::PATCH, &path, PARTIAL, Some((content_type, body)))
            .await
    }

    /// Deletes an object in the background; `false` when there is none.
    ///
    /// # Errors
    /// Any answer but the object or 404.
    pub async fn delete(
        &self,
        kind: &Kind,
        id: &ObjectId,
        preconditions: &Preconditions,
    ) -> Result<bool, ApiError> {
        let mut conditions = serde_json::Map::new();
        if let Some(uid) = &preconditions.uid {
            conditions.insert("uid".into(), uid.as_str().into());
        }
        if let Some(version) = &preconditions.resource_version {
            conditions.insert("resourceVersion".into(), version.as_str().into());
        }
        let body = json!({
            "kind": "DeleteOptions", "apiVersion": "v1",
            "propagationPolicy": "Background", "preconditions": conditions,
        });
        let answer = self
            .json(
                Method::DELETE,
                &kind.path(id),
                PARTIAL,
                Some((JSON, body.to_string().into())),
            )
            .await;
        absent_as_none(answer).map(|found| found.is_some())
    }

    /// Creates an object in a namespace.
    ///
    /// # Errors
    /// Any answer but the object.
    pub async fn create(&self, kind: &Kind, namespace: &str, object: &Value) -> Result<Value, ApiError> {
        self.json(
            Method::POST,
            &kind.collection(namespace),
            JSON,
            Some((JSON, object.to_string().into())),
        )
        .await
    }

    /// Replaces an object; its resourceVersion must be the current one.
    ///
    /// # Errors
    /// Any answer but the object.
    pub async fn replace(&self, kind: &Kind, id: &ObjectId, object: &Value) -> Result<Value, ApiError> {
        self.json(
            Method::PUT,
            &kind.path(id),
            JSON,
            Some((JSON, object.to_string().into())),
        )
        .await
    }

    /// The last lines that a container wrote.
    ///
    /// # Errors
    /// Any answer but the text.
    pub async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        previous: bool,
        lines: u32,
    ) -> Result<String, ApiError> {
        let path = format!(
            "/api/v1/namespaces/{namespace}/pods/{pod}/log?container={}&previous={previous}&tailLines={lines}&limitBytes=16384",
            encode(container)
        );
        let answer = self.bytes(Method::GET, &path, "*/*", None).await?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Reads any path as JSON, with an `Accept` header of its own.
    ///
    /// # Errors
    /// Any answer but 2xx with JSON.
    pub async fn raw(&self, path: &str, accept: &str) -> Result<Value, ApiError> {
        self.json(Method::GET, path, accept, None).await
    }

    async fn json(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<(&str, Bytes)>,
    ) -> Result<Value, ApiError> {
        let answer = self.bytes(method, path, accept, body).await?;
        parse(&answer.body)
    }
}

impl From<&Owner> for ObjectId {
    /// The Kustomization itself.
    fn from(owner: &Owner) -> Self {
        Self {
            namespace: owner.namespace.clone(),
            name: owner.name.clone(),
            group: "kustomize.toolkit.fluxcd.io".to_owned(),
            kind: "Kustomization".to_owned(),
        }
    }
}

fn parse(body: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::Unreadable(error.to_string()))
}

fn absent_as_none(answer: Result<Value, ApiError>) -> Result<Option<Value>, ApiError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        // A path that is not served says nothing of the object.
        Err(error) if error.is_not_found() && !error.is_unserved() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Encodes a text for a query.
fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
