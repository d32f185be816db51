//! ConfigMaps and Secrets from literals and files. In: generator entries and files; out: resources. Reads
//! files through the layer that it is given.

mod hash;
mod sources;

use std::collections::BTreeMap;

use base64::Engine;

use crate::error::Error;
use crate::model::{GeneratorArgs, GeneratorOptions};
use crate::resource::{Behavior, Origin, Resource};
use crate::yaml::{Content, Mapping, Node, Tag};

pub(crate) use hash::name_hash;

type Result<T> = std::result::Result<T, Error>;

/// Which of the two kinds a generator makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    ConfigMap,
    Secret,
}

/// Reads a file that a generator entry names.
pub(crate) type ReadFile<'a> = dyn Fn(&str) -> Result<Vec<u8>> + 'a;

/// Makes the resource that a generator entry describes.
pub(crate) fn generate(
    kind: Kind,
    args: &GeneratorArgs,
    global: Option<&GeneratorOptions>,
    read: &ReadFile<'_>,
    origin: Origin,
) -> Result<Resource> {
    if args.name.is_empty() {
        return Err(Error::kustomization(
            "a generated ConfigMap or Secret must have a name",
        ));
    }
    let options = merge_options(args.options.as_ref(), global);
    let pairs = sources::pairs(args, read)?;
    let mut root = Mapping::default();
    root.insert("apiVersion", Node::plain("v1"));
    root.insert(
        "kind",
        Node::plain(if kind == Kind::Secret {
            "Secret"
        } else {
            "ConfigMap"
        }),
    );
    root.insert("metadata", metadata(args, &options));
    match kind {
        Kind::ConfigMap => {
            let is_text = |value: &[u8]| std::str::from_utf8(value).is_ok();
            let text = pairs.iter().filter(|(_, v)| is_text(v));
            let binary = pairs.iter().filter(|(_, v)| !is_text(v));
            let data: Vec<_> = text
                .map(|(k, v)| (k, String::from_utf8_lossy(v).into_owned()))
                .collect();
            let binary: Vec<_> = binary.map(|(k, v)| (k, encode_base64(v))).collect();
            for (field, values) in [("data", data), ("binaryData", binary)] {
                if !values.is_empty() {
                    root.insert(field, data_mapping(values));
                }
            }
        }
        Kind::Secret => {
            let secret_type = if args.secret_type.is_empty() {
                "Opaque"
            } else {
                &args.secret_type
            };
            root.insert("type", Node::string(secret_type));
            root.insert(
                "data",
                data_mapping(pairs.iter().map(|(k, v)| (k, encode_base64(v)))),
            );
        }
    }
    if options.immutable {
        root.insert(
            "immutable",
            Node {
                tag: Tag::Bool,
                ..Node::plain("true")
            },
        );
    }
    let node = Node {
        content: Content::Mapping(root),
        ..Node::default()
    };
    let mut resource = Resource::new(node, origin);
    resource.generated = true;
    resource.needs_hash = !options.disable_name_suffix_hash;
    resource.behavior = match args.behavior.as_str() {
        "create" => Behavior::Create,
        "replace" => Behavior::Replace,
        "merge" => Behavior::Merge,
        _ => Behavior::Unspecified,
    };
    Ok(resource)
}

fn metadata(args: &GeneratorArgs, options: &GeneratorOptions) -> Node {
    let mut metadata = Mapping::default();
    metadata.insert("name", Node::string(&args.name));
    if !args.namespace.is_empty() {
        metadata.insert("namespace", Node::string(&args.namespace));
    }
    for (field, map) in [("labels", &options.labels), ("annotations", &options.annotations)] {
        let entries = map
            .iter()
            .flatten()
            .map(|(k, v)| (Node::plain(k), Node::string(v)));
        let entries: Vec<_> = entries.collect();
        if !entries.is_empty() {
            metadata.insert(
                field,
                Node {
                    content: Content::Mapping(Mapping { entries }),
                    ..Node::default()
                },
            );
        }
    }
    Node {
        content: Content::Mapping(metadata),
        ..Node::default()
    }
}

/// What an entry says wins over what all entries share, except that either may switch something on.
fn merge_options(local: Option<&GeneratorOptions>, global: Option<&GeneratorOptions>) -> GeneratorOptions {
    let (local, global) = (
        local.cloned().unwrap_or_default(),
        global.cloned().unwrap_or_default(),
    );
    let merge = |local: Option<BTreeMap<String, String>>, global: Option<BTreeMap<String, String>>| {
        let mut merged = global.unwrap_or_default();
        merged.extend(local.unwrap_or_default());
        Some(merged)
    };
    GeneratorOptions {
        labels: merge(local.labels, global.labels),
        annotations: merge(local.annotations, global.annotations),
        disable_name_suffix_hash: local.disable_name_suffix_hash || global.disable_name_suffix_hash,
        immutable: local.immutable || global.immutable,
    }
}

/// The keys stay plain: one that reads as a number makes the output fail, as it does in kustomize.
fn data_mapping<'a>(values: impl IntoIterator<Item = (&'a String, String)>) -> Node {
    let mut entries: Vec<_> = values
        .into_iter()
        .map(|(k, v)| (Node::plain(k.as_str()), Node::string(v)))
        .collect();
    entries.sort_by(|(a, _), (b, _)| a.as_text().cmp(&b.as_text()));
    Node {
        content: Content::Mapping(Mapping { entries }),
        ..Node::default()
    }
}

/// Encodes in lines of 70 characters when there is more than one.
fn encode_base64(value: &[u8]) -> String {
    const LINE: usize = 70;
    let encoded = base64::engine::general_purpose::STANDARD.encode(value);
    if encoded.len() < LINE {
        return encoded;
    }
    let mut lines = String::with_capacity(encoded.len() + encoded.len() / LINE + 1);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(LINE.min(rest.len()));
        lines.push_str(line);
        lines.push('\n');
        rest = after;
    }
    lines
}
