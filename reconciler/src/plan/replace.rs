//! Whether a rejected apply can be carried out by deleting the object and creating it anew. Pure.
//!
//! Rule 18: only when the server names immutable fields as the cause of all that it rejects; Flux takes any
//! 409 or 422 for that, and so deletes objects whose replacement is refused as well.

use serde_json::Value;

use super::{ObjectId, ownership::has_mark};

/// The immutable fields that a change was rejected for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImmutableFields(pub Vec<String>);

/// Reads a `Status` of code 422: the fields, if every cause is about a field that cannot change.
#[must_use]
pub fn immutable_fields(status: &Value) -> Option<ImmutableFields> {
    if status.get("code").and_then(Value::as_u64) != Some(422) {
        return None;
    }
    let causes = status.pointer("/details/causes").and_then(Value::as_array)?;
    let fields: Option<Vec<String>> = causes.iter().map(immutable_field).collect();
    fields.filter(|fields| !fields.is_empty()).map(ImmutableFields)
}

const PHRASES: [&str; 5] = [
    "field is immutable",
    "may not change once set",
    "is immutable after creation",
    "updates to statefulset spec for fields other than",
    "may not be changed",
];

fn immutable_field(cause: &Value) -> Option<String> {
    let message = cause.get("message").and_then(Value::as_str)?;
    if !PHRASES.iter().any(|phrase| message.contains(phrase)) {
        return None;
    }
    Some(
        cause
            .get("field")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
    )
}

/// Whether an object may be deleted to be created anew: `force` of the Kustomization or of the object; an
/// object that holds data only by an annotation on itself.
#[must_use]
pub(crate) fn may_recreate(id: &ObjectId, wanted: &Value, force: bool) -> bool {
    let marked = has_mark(wanted, "force", "enabled");
    marked || (force && !id.holds_data())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rejection(causes: &[(&str, &str)]) -> Value {
        let causes: Vec<_> = causes
            .iter()
            .map(|(field, message)| json!({"field": field, "message": message}))
            .collect();
        json!({"code": 422, "reason": "Invalid", "details": {"causes": causes}})
    }

    #[test]
    fn a_changed_selector_can_be_carried_out_by_recreating() {
        let status = rejection(&[("spec.selector", "Invalid value: {}: field is immutable")]);
        assert_eq!(
            immutable_fields(&status),
            Some(ImmutableFields(vec!["spec.selector".into()]))
        );
    }

    #[test]
    fn a_validation_error_beside_it_cannot() {
        let status = rejection(&[
            ("spec.selector", "Invalid value: {}: field is immutable"),
            (
                "spec.replicas",
                "Invalid value: -1: must be greater than or equal to 0",
            ),
        ]);
        assert_eq!(immutable_fields(&status), None);
    }
}
