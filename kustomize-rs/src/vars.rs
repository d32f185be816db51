//! `vars`: values of fields that stand as `$(NAME)` in others. In: the vars of all layers; out: resources with
//! the values filled in. Pure.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::error::Error;
use crate::fieldpath;
use crate::fieldspec::Create;
use crate::id::ResourceId;
use crate::layer::Accumulated;
use crate::model::Var;
use crate::resource::Resource;
use crate::yaml::{Content, Node, Resolved, Schema, Tag};

type Result<T> = std::result::Result<T, Error>;

/// Registers a var of this layer with the resource that it takes its value from.
pub(crate) fn register(into: &mut Accumulated, var: &Var) -> Result<()> {
    let wanted = ResourceId {
        gvk: var.target.clone(),
        name: var.target_name.clone(),
        namespace: var.target_namespace.clone(),
    };
    let exact = !wanted.namespace.is_empty() || wanted.gvk.is_cluster_scoped();
    let is_meant = |id: &ResourceId| {
        if exact {
            id.is_same_object(&wanted)
        } else {
            id.gvk == wanted.gvk && id.name == wanted.name
        }
    };
    let matches = |r: &Resource| is_meant(&r.id) || r.previous_ids().any(|id| is_meant(&id));
    let found: Vec<usize> = into
        .set
        .as_slice()
        .iter()
        .enumerate()
        .filter(|(_, r)| matches(r))
        .map(|(i, _)| i)
        .collect();
    match found.as_slice() {
        [] => {}
        [at] => into.set.as_mut_slice()[*at].var_names.push(var.name.clone()),
        _ => {
            let message = format!(
                "found {} resources for the var {} (unable to disambiguate)",
                found.len(),
                var.name
            );
            return Err(Error::kustomization(message));
        }
    }
    add(into, var.clone())
}

/// Adds a var of this layer or one below it.
pub(crate) fn add(into: &mut Accumulated, var: Var) -> Result<()> {
    if into.vars.iter().any(|known| known.name == var.name) {
        return Err(Error::kustomization(format!(
            "var '{}' already encountered",
            var.name
        )));
    }
    into.vars.push(var);
    Ok(())
}

/// A value that a var can have.
enum Value {
    Text(String),
    Typed(String, Tag),
    /// A mapping or a list, which cannot stand in a text.
    Collection,
}

/// Fills in the values of all vars; gives the names of those that nobody used.
pub(crate) fn resolve(resources: &mut [Resource], vars: &[Var], config: &Config) -> Result<Vec<String>> {
    if vars.is_empty() {
        return Ok(Vec::new());
    }
    let mut values = BTreeMap::new();
    for var in vars {
        values.insert(var.name.clone(), value_of(resources, var)?);
    }
    let mut used = std::collections::BTreeSet::new();
    for resource in resources {
        let gvk = resource.id.gvk.clone();
        let updated = config
            .var_references
            .apply(&gvk, &mut resource.node, Create::Never, &mut |node| {
                replace_in(node, &values, &mut used)
            });
        updated.map_err(|e| {
            e.context(format!("{}: replacing vars", resource.id))
                .at(&resource.origin.path, None)
        })?;
        resource.refresh();
    }
    Ok(values.into_keys().filter(|name| !used.contains(name)).collect())
}

fn value_of(resources: &[Resource], var: &Var) -> Result<Value> {
    let resource = resources
        .iter()
        .find(|r| r.var_names.contains(&var.name))
        .ok_or_else(|| {
            Error::kustomization(format!(
                "var '{}' cannot be mapped to a field in the set of known resources",
                var.name
            ))
        })?;
    let path = if var.field_path.is_empty() {
        "metadata.name"
    } else {
        &var.field_path
    };
    let missing = || {
        let message = format!(
            "the field {path} of the var '{}' was not found in {}",
            var.name, resource.id
        );
        Error::resource(message).at(&resource.origin.path, None)
    };
    let parts = fieldpath::split(&with_index_parts(path));
    let address = fieldpath::lookup(&resource.node, &parts)?.ok_or_else(missing)?;
    let node = fieldpath::at(&resource.node, &address).ok_or_else(missing)?;
    let Some(text) = node.as_text() else {
        return Ok(Value::Collection);
    };
    // The text is read again, and only as decimal digits: `0777` is 777 here, and `0x1F` is refused.
    let unreadable = || {
        let message = format!(
            "the var '{}' cannot be {text:?}: write it in decimal digits",
            var.name
        );
        Error::resource(message).at(&resource.origin.path, Some(node.position))
    };
    Ok(match node.resolved(Schema::GoYamlV3) {
        Some(Resolved::Int(_) | Resolved::Uint(_)) => {
            let int: i64 = text.parse().map_err(|_| unreadable())?;
            Value::Typed(int.to_string(), Tag::Int)
        }
        Some(Resolved::Float(_)) => {
            let float: f64 = text.parse().map_err(|_| unreadable())?;
            Value::Typed(crate::yaml::number::go_float(float), Tag::Float)
        }
        Some(Resolved::Bool(_)) => Value::Typed(text.to_lowercase(), Tag::Bool),
        _ => Value::Text(text.to_string()),
    })
}

/// Older paths write the index of a list behind its name: `ports[0]`.
fn with_index_parts(path: &str) -> String {
    let mut out = String::new();
    for part in path.split('.') {
        if !out.is_empty() {
            out.push('.');
        }
        match part.strip_suffix(']').and_then(|p| p.split_once('[')) {
            Some((name, index)) if !name.is_empty() && index.parse::<usize>().is_ok() => {
                out.push_str(&format!("{name}.{index}"));
            }
            _ => out.push_str(part),
        }
    }
    out
}

type Values = BTreeMap<String, Value>;
type Used = std::collections::BTreeSet<String>;

fn replace_in(node: &mut Node, values: &Values, used: &mut Used) -> Result<()> {
    if node.is_null() {
        return Ok(());
    }
    match &mut node.content {
        Content::Scalar(_) => replace_text(node, values, used),
        Content::Mapping(mapping) => {
            for (key, value) in &mut mapping.entries {
                if !key.is_string() {
                    let message = format!(
                        "invalid map key {:?} at line {}",
                        key.as_text().unwrap_or_default(),
                        key.position.line
                    );
                    return Err(Error::resource(message));
                }
                if value.as_scalar().is_some() {
                    replace_text(value, values, used)?;
                }
            }
            Ok(())
        }
        Content::Sequence(items) => items.iter_mut().try_for_each(|item| {
            if !item.is_string() {
                return Err(Error::resource(format!(
                    "expected a string at line {}",
                    item.position.line
                )));
            }
            replace_text(item, values, used)
        }),
    }
}

fn replace_text(node: &mut Node, values: &Values, used: &mut Used) -> Result<()> {
    if !node.is_string() {
        return Ok(());
    }
    let Some(text) = node.as_text() else { return Ok(()) };
    let position = node.position;
    let mut new = Node {
        position,
        ..Node::string("")
    };
    match expand(text, values, used) {
        Expanded::Text(text) => new.set_string(text),
        Expanded::Whole(text, tag) => {
            new.set_text(text);
            new.tag = tag;
        }
    }
    *node = new;
    Ok(())
}

enum Expanded {
    Text(String),
    Whole(String, Tag),
}

/// Replaces `$(NAME)`; `$$` stands for one dollar sign.
fn expand(text: &str, values: &Values, used: &mut Used) -> Expanded {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$').filter(|at| at + 1 < rest.len()) {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let Some((name, after)) = rest.strip_prefix('(').and_then(|r| r.split_once(')')) else {
            out.push('$');
            let next = rest.chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[..next]);
            rest = &rest[next..];
            continue;
        };
        let whole = text == format!("$({name})");
        match values.get(name) {
            Some(Value::Text(value)) => {
                used.insert(name.to_string());
                out.push_str(value);
            }
            Some(Value::Typed(value, tag)) => {
                used.insert(name.to_string());
                if whole {
                    return Expanded::Whole(value.clone(), tag.clone());
                }
                out.push_str(value);
            }
            Some(Value::Collection) | None => out.push_str(&format!("$({name})")),
        }
        rest = after;
    }
    out.push_str(rest);
    Expanded::Text(out)
}
