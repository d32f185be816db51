//! The part of JSONPath that CRDs' printer columns use.
//!
//! In: an object, a path. Out: a value. No I/O.

use serde_json::Value;

/// Follows the simple form that CRDs use: `.status.conditions[?(@.type=="Ready")].status`.
pub(crate) fn json_path(value: &Value, path: &str) -> Value {
    let mut at = vec![value];
    let mut rest = path.trim_start_matches('$');
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("[?(@.") {
            let Some((test, after)) = after.split_once(")]") else {
                return Value::Null;
            };
            let Some((field, wanted)) = test.split_once("==") else {
                return Value::Null;
            };
            let wanted = wanted.trim().trim_matches(['"', '\'']);
            at = at
                .into_iter()
                .flat_map(|value| value.as_array().into_iter().flatten())
                .filter(|item| item.get(field.trim()).and_then(Value::as_str) == Some(wanted))
                .collect();
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let Some((index, after)) = after.split_once(']') else {
                return Value::Null;
            };
            let key = index.trim_matches(['"', '\'']);
            at = at
                .into_iter()
                .flat_map(|value| match index.parse::<usize>() {
                    Ok(index) => value.get(index).into_iter().collect::<Vec<_>>(),
                    Err(_) if index == "*" => value.as_array().into_iter().flatten().collect(),
                    Err(_) => value.get(key).into_iter().collect(),
                })
                .collect();
            rest = after;
        } else {
            let name = rest.trim_start_matches('.');
            let mut end = name.len();
            let mut escaped = false;
            for (place, c) in name.char_indices() {
                if !escaped && matches!(c, '.' | '[') {
                    end = place;
                    break;
                }
                escaped = c == '\\';
            }
            let (name, after) = name.split_at(end);
            let name = name.replace('\\', "");
            at = at.into_iter().filter_map(|value| value.get(&name)).collect();
            rest = after;
        }
    }
    match at.as_slice() {
        [] => Value::Null,
        [one] => (*one).clone(),
        many => many
            .iter()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), String::from))
            .collect::<Vec<_>>()
            .join(",")
            .into(),
    }
}
