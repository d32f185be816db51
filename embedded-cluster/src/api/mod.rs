//! The requests on objects: each verb, from a parsed request to an answer.
//!
//! In: requests. Out: answers. No I/O; the time comes from the clock of the cluster.

pub(crate) mod apply;
pub(crate) mod body;
mod complaints;
pub(crate) mod context;
pub(crate) mod delete;
pub(crate) mod options;
pub(crate) mod patch;
pub(crate) mod prepare;
pub(crate) mod read;
pub(crate) mod render;
pub(crate) mod scale;
pub(crate) mod selector;
pub(crate) mod strategic;
pub(crate) mod table;
mod token;
pub(crate) mod write;

use std::sync::Arc;

use crate::answer::ApiError;
use crate::clock::Clock;
use crate::request::{Request, Verb};
use crate::resource::Kind;
use crate::store::{Store, Stored};
use crate::tokens::Tokens;
use crate::watch::Watch;
use crate::workloads::Workloads;

/// The API of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) workloads: Arc<Workloads>,
    pub(crate) tokens: Arc<Tokens>,
}

/// What a request is answered with.
pub(crate) enum Answer {
    /// A body with its status code.
    Body {
        code: u16,
        body: Vec<u8>,
        warnings: Vec<String>,
    },
    /// A body of another media type than plain JSON.
    Document { body: Vec<u8>, media: &'static str },
    /// Plain text (logs).
    Text(String),
    /// Plain text, and nothing is there.
    NoPage,
    /// A stream of changes.
    Watch(Box<Watch>),
}

impl Answer {
    pub(crate) fn ok(body: Vec<u8>) -> Self {
        Self::Body {
            code: 200,
            body,
            warnings: Vec::new(),
        }
    }

    /// One object in the form the client asked for.
    pub(crate) fn object(code: u16, stored: &Stored, kind: &Kind, request: &Request) -> Self {
        let rendered = render::Rendered {
            stored,
            kind,
            in_list: false,
            form: request.form,
        };
        Self::Body {
            code,
            body: render::bytes(&rendered),
            warnings: Vec::new(),
        }
    }

    pub(crate) fn error(error: &ApiError) -> Self {
        if error.is_plain() {
            return Self::NoPage;
        }
        Self::Body {
            code: error.code,
            body: render::bytes(&error.body()),
            warnings: Vec::new(),
        }
    }

    pub(crate) fn code(&self) -> u16 {
        match self {
            Self::Body { code, .. } => *code,
            Self::NoPage => 404,
            Self::Document { .. } | Self::Text(_) | Self::Watch(_) => 200,
        }
    }
}

impl Api {
    /// Carries out a request on objects.
    pub(crate) fn handle(&self, request: &Request) -> Result<Answer, ApiError> {
        let kind = self.kind_of(request)?;
        let converted = body::as_json(request, &kind)?;
        let request = converted.as_ref().unwrap_or(request);
        let answer = self.answer(&kind, request);
        let Some(warning) = kind.custom.as_ref().and_then(|custom| custom.deprecation.clone()) else {
            return answer;
        };
        let answer = answer.unwrap_or_else(|error| Answer::error(&error));
        Ok(write::with_warnings(answer, vec![warning]))
    }

    fn answer(&self, kind: &Arc<Kind>, request: &Request) -> Result<Answer, ApiError> {
        match request.verb {
            Verb::Get => read::get(self, kind, request),
            Verb::List => read::list(self, kind, request),
            Verb::Watch => read::watch(self, kind, request),
            Verb::Create => write::create(self, kind, request),
            Verb::Update => write::update(self, kind, request),
            Verb::Patch => patch::patch(self, kind, request),
            Verb::Delete => delete::one(self, kind, request),
            Verb::DeleteCollection => delete::many(self, kind, request),
        }
    }

    fn kind_of(&self, request: &Request) -> Result<Arc<Kind>, ApiError> {
        let target = &request.target;
        let registry = Arc::clone(&self.store.lock().registry);
        if !registry.groups.iter().any(|group| group.name == target.group) {
            return Err(ApiError::not_a_page());
        }
        let found = registry.find(&target.group, &target.version, &target.plural);
        if found.is_none()
            && registry.is_custom_only(&target.group)
            && registry.version(&target.group, &target.version).is_none()
        {
            return Err(ApiError::not_a_page());
        }
        let kind = found.ok_or_else(ApiError::no_such_path)?;
        let subresource = target.subresource.split('/').next().unwrap_or_default();
        let verbs = match subresource {
            "" => &kind.verbs,
            name => match kind.subresource(name) {
                Some(found) => &found.verbs,
                None if kind.custom.is_some() => return Err(ApiError::not_found(kind.about(&target.name))),
                None => return Err(ApiError::no_such_path()),
            },
        };
        if !verbs.iter().any(|verb| verb == request.verb.name()) {
            return Err(ApiError::method_not_allowed());
        }
        let scope_fits = kind.namespaced || target.namespace.is_empty();
        let needs_namespace = kind.namespaced
            && target.namespace.is_empty()
            && !matches!(request.verb, Verb::List | Verb::Watch);
        if needs_namespace && target.name.is_empty() {
            return Err(ApiError::method_not_allowed());
        }
        if !scope_fits || needs_namespace {
            return Err(ApiError::no_such_path());
        }
        Ok(Arc::clone(kind))
    }
}
