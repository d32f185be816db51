//! A request as the API understands it: verb, target, options.
//!
//! In: method, path, query, headers. Out: typed values. No I/O.

use bytes::Bytes;
use jiff::Timestamp;

use crate::answer::ApiError;

/// What a request wants to do, in the words of Kubernetes' authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read many objects.
    List,
    /// Follow changes.
    Watch,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH, of any patch type.
    Patch,
    /// DELETE one object.
    Delete,
    /// DELETE many objects.
    DeleteCollection,
}

impl Verb {
    /// `get`, `deletecollection`, ...
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// Whether it changes objects.
    #[must_use]
    pub fn writes(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

/// Objects, or one object, or a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
    /// `/watch/` in the path, the old form.
    pub(crate) watch: bool,
}

impl Target {
    /// Reads `/api/v1/...` and `/apis/GROUP/VERSION/...`; nothing if the path is not one of objects.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let mut segments = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(percent_decoded);
        let mut target = Self::default();
        match segments.next()?.as_str() {
            "api" => target.version = segments.next()?,
            "apis" => {
                target.group = segments.next()?;
                target.version = segments.next()?;
            }
            _ => return None,
        }
        let mut rest: Vec<String> = segments.collect();
        if rest.first().is_some_and(|first| first == "watch") {
            target.watch = true;
            rest.remove(0);
        }
        let mut rest = rest.into_iter();
        let first = rest.next()?;
        let second = rest.next();
        let third = rest.next();
        match (first.as_str(), second, third) {
            // `/namespaces/NAME`, `/namespaces/NAME/status`, `/namespaces/NAME/PLURAL[/NAME[/SUB]]`
            ("namespaces", Some(namespace), Some(part))
                if !matches!(part.as_str(), "status" | "finalize") =>
            {
                target.namespace = namespace;
                target.plural = part;
                target.name = rest.next().unwrap_or_default();
                target.subresource = rest.collect::<Vec<_>>().join("/");
            }
            (plural, name, subresource) => {
                target.plural = plural.into();
                target.name = name.unwrap_or_default();
                target.subresource = subresource.unwrap_or_default();
            }
        }
        Some(target)
    }
}

/// The query part of a URL.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = |text: &str| percent_decoded(&text.replace('+', " "));
            (decoded(key), decoded(value))
        });
        Self(pairs.collect())
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        matches!(self.get(key), Some("true" | "1" | "True" | "TRUE" | "t" | "T"))
    }
}

/// Replaces `%XX`; what is not valid UTF-8 afterwards is replaced by U+FFFD.
fn percent_decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.into();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (byte, digit(ahead.next()), digit(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                bytes = ahead;
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// How an answer shall look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    #[default]
    Whole,
    /// `as=PartialObjectMetadata` or its list.
    Metadata,
    /// `as=Table`
    Table(TableForm),
}

/// How the rows of a table look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableForm {
    pub(crate) include: Include,
    /// Ages are told as of this time.
    pub(crate) now: Timestamp,
}

/// What of the object goes along with its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    None,
    Metadata,
    Object,
}

/// A request with everything that matters of its headers.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) verb: Verb,
    pub(crate) target: Target,
    pub(crate) query: Query,
    pub(crate) form: Form,
    pub(crate) content_type: String,
    pub(crate) user_agent: String,
    pub(crate) impersonated: Option<String>,
    pub(crate) body: Bytes,
}

impl Request {
    /// Decides the verb as upstream's `RequestInfo` does.
    pub(crate) fn verb_of(method: &http::Method, target: &Target, query: &Query) -> Result<Verb, ApiError> {
        let named = !target.name.is_empty();
        Ok(match *method {
            http::Method::GET | http::Method::HEAD
                // An object at a path of its own is read, whatever the query says.
                if target.watch || (query.flag("watch") && !named) =>
            {
                Verb::Watch
            }
            http::Method::GET | http::Method::HEAD if named => Verb::Get,
            http::Method::GET | http::Method::HEAD => Verb::List,
            http::Method::POST if !named || !target.subresource.is_empty() => Verb::Create,
            http::Method::PUT if named => Verb::Update,
            http::Method::PATCH if named => Verb::Patch,
            http::Method::DELETE if named => Verb::Delete,
            http::Method::DELETE => Verb::DeleteCollection,
            _ => {
                return Err(ApiError::method_not_allowed());
            }
        })
    }

    /// The manager of an update: the given one, or the first part of the user agent.
    pub(crate) fn manager(&self) -> String {
        match self.query.get("fieldManager") {
            Some(manager) => manager.into(),
            None => {
                let prefix = self.user_agent.split('/').next().unwrap_or_default();
                prefix.chars().filter(|c| !c.is_control()).take(128).collect()
            }
        }
    }
}

/// Reads the `Accept` header.
pub(crate) fn form(accept: &str, query: &Query, now: Timestamp) -> Form {
    for part in accept.split(',') {
        if part.contains("as=Table") {
            let include = match query.get("includeObject") {
                Some("None") => Include::None,
                Some("Object") => Include::Object,
                _ => Include::Metadata,
            };
            return Form::Table(TableForm { include, now });
        }
        if part.contains("as=PartialObjectMetadata") {
            return Form::Metadata;
        }
        if part.trim_start().starts_with("application/json") || part.trim_start().starts_with("*/*") {
            return Form::Whole;
        }
    }
    Form::Whole
}
