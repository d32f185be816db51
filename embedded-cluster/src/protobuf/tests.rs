//! The decoder against what upstream's encoder writes (`data/bodies.txt`), and against what nobody should send.

use base64::Engine as _;

use super::*;

/// Kind, protobuf and JSON of an object of each built-in kind.
fn bodies() -> impl Iterator<Item = (&'static str, Vec<u8>, Value)> {
    include_str!("../../data/bodies.txt").lines().map(|line| {
        let mut words = line.splitn(3, ' ');
        let kind = words.next().unwrap();
        let body = words.next().unwrap();
        let body = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
        (kind, body, serde_json::from_str(words.next().unwrap()).unwrap())
    })
}

/// An object without zero values: on the wire nothing tells them from nothing.
fn without_zeros(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields
                .into_iter()
                .map(|(name, value)| (name, without_zeros(value)))
                .filter(|(_, value)| !is_zero(value) && !is_empty(value));
            Value::Object(fields.collect())
        }
        Value::Array(items) => items.into_iter().map(without_zeros).collect(),
        other => other,
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

#[test]
fn an_object_of_every_built_in_kind_is_read_as_upstream_writes_it_in_json() {
    let mut kinds = 0;
    for (kind, body, json) in bodies() {
        let read = to_json(&body, ("", "")).unwrap_or_else(|error| panic!("{kind}: {error:?}"));
        let (read, json) = (without_zeros(read), without_zeros(json));
        assert!(
            read == json,
            "{kind} differs:\n{read:#}\nis read from what upstream writes as\n{json:#}"
        );
        kinds += 1;
    }
    assert!(kinds > 60, "{kinds}");
}

#[test]
fn a_body_that_is_cut_or_changed_is_refused_or_read_but_never_ends_the_server() {
    for (_, body, _) in bodies() {
        for length in 0..body.len().min(2_000) {
            let _refused = to_json(&body[..length], ("v1", "Pod"));
        }
        for at in (0..body.len()).step_by(7) {
            let mut changed = body.clone();
            changed[at] ^= 1 << (at % 8);
            let _either = to_json(&changed, ("v1", "Pod"));
        }
    }
}

fn refused(body: &[u8]) -> String {
    match to_json(body, ("v1", "Namespace")) {
        Ok(value) => format!("read: {value}"),
        Err(Undecodable::Envelope(why)) => format!("envelope: {why}"),
        Err(Undecodable::Content { why, .. }) => format!("content: {why}"),
    }
}

/// A Namespace with these bytes as its content.
fn namespace(content: &[u8]) -> Vec<u8> {
    let mut body = b"k8s\0\n\x0f\n\x02v1\x12\tNamespace\x12".to_vec();
    body.push(content.len().try_into().unwrap());
    body.extend(content);
    body
}

/// The messages are those of kube-apiserver 1.36.3.
#[test]
fn an_envelope_that_is_none_is_refused_in_the_words_of_upstream() {
    assert_eq!(
        refused(b"garbage"),
        "envelope: provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    );
    assert_eq!(refused(b""), "envelope: empty data");
    assert_eq!(refused(b"k8s\0"), "envelope: empty body");
    assert_eq!(refused(b"k8s\0garbage"), "envelope: proto: illegal wireType 7");
    assert_eq!(
        refused(b"k8s\0\x08\x01\n\x0f\n\x02v1\x12\tNamespace\x12\x00"),
        "envelope: proto: wrong wireType = 0 for field TypeMeta"
    );
}

#[test]
fn content_that_is_none_is_refused_in_the_words_of_upstream() {
    assert_eq!(refused(&namespace(b"abcde")), "content: unexpected EOF");
    assert_eq!(refused(&namespace(b"\x0a\x7f")), "content: unexpected EOF");
    assert_eq!(
        refused(&namespace(b"\x0c")),
        "content: proto: Namespace: wiretype end group for non-group"
    );
    assert_eq!(
        refused(&namespace(b"\x08\x01")),
        "content: proto: wrong wireType = 0 for field ObjectMeta"
    );
    assert_eq!(
        refused(&namespace(b"\x00\x01")),
        "content: proto: Namespace: illegal tag 0 (wire type 0)"
    );
}

#[test]
fn an_envelope_without_a_kind_holds_the_expected_one_and_one_of_an_unknown_kind_only_its_name() {
    assert_eq!(
        refused(b"k8s\0\n\x00\x12\x00"),
        r#"read: {"apiVersion":"v1","kind":"Namespace"}"#
    );
    assert_eq!(
        refused(b"k8s\0\n\x0d\n\x02v1\x12\x07Nothing\x12\x02\x0c\x0c"),
        r#"read: {"apiVersion":"v1","kind":"Nothing"}"#
    );
}

#[test]
fn schemas_within_schemas_are_read_to_a_bounded_depth() {
    let definition = |depth: usize| {
        // `not` within `not`, then the definition around them: versions, schema, openAPIV3Schema.
        let mut content = Vec::new();
        let wrap = |tag: &[u8], content: &mut Vec<u8>| {
            let mut out = tag.to_vec();
            let mut length = content.len();
            while length >= 0x80 {
                out.push((length & 0x7f) as u8 | 0x80);
                length >>= 7;
            }
            out.push(length as u8);
            out.append(content);
            *content = out;
        };
        for _ in 0..depth {
            wrap(&[0xe2, 0x01], &mut content);
        }
        for tag in [&[0x0a_u8], &[0x22], &[0x3a], &[0x12], &[0x12]] {
            wrap(tag, &mut content);
        }
        [b"k8s\0".as_slice(), &content].concat()
    };
    let kind = ("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    let path = ["/spec/versions/0/schema/openAPIV3Schema", &"/not".repeat(50)].concat();
    let read = to_json(&definition(50), kind).unwrap();
    assert!(read.pointer(&path).is_some(), "{read}");
    let refused = to_json(&definition(10_000), kind).unwrap_err();
    assert!(
        matches!(&refused, Undecodable::Content { why, .. } if why == "proto: messages are nested too deeply"),
        "{refused:?}"
    );
}
