//! Lists whose items are merged by key, as kyaml does it, item by item in the same steps. Pure.
//!
//! The steps matter: an item without its key makes kyaml drop the items that have one, and users' trees
//! depend on what comes out.

use super::Result;
use super::schema::Field;
use super::strategic::Merge;
use crate::error::Error;
use crate::yaml::{Content, Node};

impl<'s> Merge<'s> {
    /// Merges the items of a patch (in front, in its order) with those of the target. Without keys the items
    /// are scalars.
    pub(super) fn merge_list(
        self,
        mut target: Node,
        patch: Option<&Node>,
        keys: &[&str],
        items: Option<Field<'s>>,
    ) -> Result<Option<Node>> {
        let Content::Sequence(list) = &mut target.content else {
            return Ok(Some(target));
        };
        // The items change on the way: a directive counts for the first time that its item is met.
        let mut patch_items = patch.and_then(Node::as_sequence).map(<[Node]>::to_vec);
        let primitive = [""];
        let keys: &[&str] = if keys.is_empty() { &primitive } else { keys };
        let mut values_list = Vec::new();
        for source in [patch_items.as_deref(), Some(list.as_slice())]
            .into_iter()
            .flatten()
        {
            for values in source.iter().map(|item| values_of(item, keys)) {
                if !values_list.contains(&values) {
                    values_list.push(values);
                }
            }
        }
        if keys.len() > 1 {
            unite(&mut values_list);
        }
        let mut added = Vec::new();
        let mut valid_keys = keys.to_vec();
        for values in &values_list {
            let valid_values;
            (valid_keys, valid_values) = valid(&values_list, values, keys);
            let patch_items = patch_items.as_deref_mut();
            let merged = self.merge_item(list, patch_items, &valid_keys, &valid_values, items)?;
            let Some(mut merged) = merged.filter(|n| !crate::set::is_empty(n)) else {
                set_item(list, None, &valid_keys, &valid_values)?;
                continue;
            };
            if let Some(mapping) = merged.as_mapping_mut() {
                for (key, value) in valid_keys.iter().zip(&valid_values) {
                    if mapping.get(key).is_none() && !value.is_empty() {
                        mapping.insert(key, Node::plain(value));
                    }
                }
            }
            set_item(&mut added, Some(merged), &valid_keys, &valid_values)?;
        }
        if !values_list.is_empty() {
            append(&mut added, list, &valid_keys)?;
            *list = added;
        }
        Ok(Some(target))
    }

    /// Merges the items of both sides that have these keys; the target's own item changes with it, except when
    /// the patch replaces it.
    fn merge_item(
        self,
        list: &mut [Node],
        patch: Option<&mut [Node]>,
        keys: &[&str],
        values: &[String],
        items: Option<Field<'s>>,
    ) -> Result<Option<Node>> {
        let alone = [values.to_vec()];
        let (keys, values) = valid(&alone, values, keys);
        let old = find_item(list, &keys, &values);
        // A list that is merged with itself is one: what was taken out of it is gone on both sides.
        let (source, at) = match patch {
            Some(_) if self.with_itself => (Some(&mut *list), old),
            Some(patch) => {
                let at = find_item(patch, &keys, &values);
                (Some(patch), at)
            }
            None => (None, None),
        };
        let mut source = source.zip(at);
        let new = source.as_ref().map(|(items, at)| items[*at].clone());
        let directive = new
            .as_ref()
            .and_then(|n| n.get("$patch"))
            .and_then(Node::as_text)
            .map(str::to_string);
        if let (Some((items, at)), Some(_)) = (&mut source, &directive)
            && let Some(mapping) = items[*at].as_mapping_mut()
        {
            mapping.remove("$patch");
        }
        let old_item = match (old, self.with_itself) {
            (Some(_), true) if new.is_some() => new.clone(),
            (old, _) => old.map(|i| list[i].clone()),
        };
        let merged = self.merge(old_item, new.as_ref(), items)?;
        let replaced = directive.as_deref() == Some("replace");
        if let (Some(i), Some(merged), false) = (old, &merged, replaced && !self.with_itself) {
            list[i] = merged.clone();
        }
        Ok(merged)
    }
}

fn values_of(item: &Node, keys: &[&str]) -> Vec<String> {
    let text = |node: &Node| node.as_text().unwrap_or_default().to_string();
    if keys == [""] {
        return vec![text(item)];
    }
    keys.iter()
        .map(|key| {
            item.get(key)
                .filter(|n| !n.is_null())
                .map(text)
                .unwrap_or_default()
        })
        .collect()
}

/// Items that agree on one key, and where the other key is missing on one side, are the same item.
fn unite(values_list: &mut [Vec<String>]) {
    for i in 0..values_list.len() {
        // What the item was before it was united with others is compared with all of them.
        let first = values_list[i].clone();
        for j in 0..values_list.len() {
            if let Some(united) = unite_two(&first, &values_list[j]) {
                values_list[i].clone_from(&united);
                values_list[j] = united;
            }
        }
    }
}

fn unite_two(a: &[String], b: &[String]) -> Option<Vec<String>> {
    let conflict = a
        .iter()
        .zip(b)
        .any(|(x, y)| x != y && !x.is_empty() && !y.is_empty());
    let common = a.iter().zip(b).any(|(x, y)| x == y);
    let either = |(x, y): (&String, &String)| if x.is_empty() { y.clone() } else { x.clone() };
    (!conflict && common && a.len() == b.len()).then(|| a.iter().zip(b).map(either).collect())
}

/// Leaves out the keys that no item has.
fn valid<'k>(
    values_list: &[Vec<String>],
    values: &[String],
    keys: &[&'k str],
) -> (Vec<&'k str>, Vec<String>) {
    let used: Vec<bool> = (0..keys.len())
        .map(|i| {
            values_list
                .iter()
                .any(|v| v.get(i).is_some_and(|v| !v.is_empty()))
        })
        .collect();
    if !used.contains(&true) {
        return (keys.to_vec(), values.to_vec());
    }
    let keys = keys
        .iter()
        .zip(&used)
        .filter(|(_, used)| **used)
        .map(|(key, _)| *key)
        .collect();
    let values = values
        .iter()
        .zip(&used)
        .filter(|(v, used)| **used || !v.is_empty())
        .map(|(v, _)| v.clone())
        .collect();
    (keys, values)
}

/// Finds the first item whose keys have exactly these values.
fn find_item(list: &[Node], keys: &[&str], values: &[String]) -> Option<usize> {
    if keys.first().is_none_or(|key| key.is_empty()) {
        let value = values.first().map_or("", String::as_str);
        return list
            .iter()
            .position(|item| item.as_text().unwrap_or_default() == value);
    }
    let matches = |item: &Node| {
        keys.iter().zip(values).all(|(key, value)| {
            item.get(key)
                .is_some_and(|field| field.as_text().unwrap_or_default() == value)
        })
    };
    list.iter()
        .position(|item| item.as_mapping().is_some() && keys.len() == values.len() && matches(item))
}

/// Replaces the items that have these keys by `element`, or removes them; a new element goes to the end.
fn set_item(list: &mut Vec<Node>, element: Option<Node>, keys: &[&str], values: &[String]) -> Result<()> {
    let mapping_wanted =
        keys.first().is_some_and(|k| !k.is_empty()) && values.first().is_some_and(|v| !v.is_empty());
    let mut kept = Vec::with_capacity(list.len() + 1);
    let mut found = false;
    for item in std::mem::take(list) {
        if crate::set::is_empty(&item) {
            continue;
        }
        if mapping_wanted && item.as_mapping().is_none() {
            kept.push(item);
            continue;
        }
        // Keys without a value are not looked at, as long as there is one with a value.
        let matches = !values.is_empty() && has_values(&item, keys, values)?;
        if !matches {
            if !values.is_empty() {
                kept.push(item);
            }
            continue;
        }
        found = true;
        kept.extend(element.clone());
    }
    if !found {
        kept.extend(element);
    }
    *list = kept;
    Ok(())
}

/// As [`find_item`] compares, except that an empty value stands for any.
fn has_values(item: &Node, keys: &[&str], values: &[String]) -> Result<bool> {
    for (key, value) in keys.iter().zip(values) {
        if key.is_empty() {
            let Some(text) = item.as_text() else {
                return Err(not_a("scalar", item));
            };
            if text != value {
                return Ok(false);
            }
            continue;
        }
        if item.as_mapping().is_none() {
            return Err(not_a("mapping", item));
        }
        let field = item.get(key);
        if field.is_none_or(|f| !value.is_empty() && f.as_text().unwrap_or_default() != value) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn not_a(kind: &str, item: &Node) -> Error {
    Error::resource(format!("expected a {kind} at line {}", item.position.line))
}

/// Adds the target's items behind those of the patch.
fn append(added: &mut Vec<Node>, list: &[Node], keys: &[&str]) -> Result<()> {
    for item in list {
        if keys.first() == Some(&"") {
            let value = item.as_text().unwrap_or_default().to_string();
            set_item(added, Some(item.clone()), &[""], &[value])?;
            continue;
        }
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            if item.as_mapping().is_none() && !item.is_null() {
                return Err(not_a("mapping", item));
            }
            match item.get(key) {
                Some(value) => values.push(value.as_text().unwrap_or_default().to_string()),
                None => added.push(item.clone()),
            }
        }
        if keys.len() > 1 {
            set_item(added, None, keys, &values)?;
        }
        set_item(added, Some(item.clone()), keys, &values)?;
    }
    Ok(())
}
