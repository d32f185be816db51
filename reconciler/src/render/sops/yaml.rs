//! SOPS trees as YAML: values typed as go-yaml v3 types them, in the order of the text. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kustomize_rs::yaml::{Content, Node, Resolved, Schema, Tag, load, load_all, split_documents};

use super::keys::Keyring;
use super::metadata::Metadata;
use super::tree::{Item, Value};
use super::{Plain, Secrets, SopsError, cipher, decrypt_documents, decrypt_with, json, metadata, spelling};

/// Opts an object out of decryption if its value is `disabled`, in any case.
pub(super) const DECRYPT_ANNOTATION: &str = "kustomize.toolkit.fluxcd.io/decrypt";

/// Decrypts a file whose documents were encrypted together.
pub(super) fn decrypt_text(text: &str, keyring: &Keyring) -> Result<Option<Plain>, SopsError> {
    let nodes = load_all(text).map_err(|error| syntax(&error))?;
    let mut documents = nodes.iter().map(of_node).collect::<Result<Vec<_>, _>>()?;
    let Some(metadata) = metadata::extract(&mut documents) else {
        return Ok(None);
    };
    let metadata = Metadata::read(&metadata)?;
    let key = keyring.data_key(&metadata)?;
    let secrets = decrypt_with(&key, &metadata, documents.iter_mut())?;
    let spelled = match spelling::respell(text, &nodes, &documents, &key) {
        Some(spelled) => spelled,
        None => {
            documents
                .iter()
                .map(json::emit_line)
                .collect::<Result<Vec<_>, _>>()?
                .join("\n---\n")
                + "\n"
        }
    };
    Ok(Some(Plain {
        text: spelled.into_bytes(),
        secrets,
    }))
}

/// Decrypts a file of Kubernetes objects, of which some may be encrypted, together or one by one.
///
/// The plain text of a document stands on the line where its cipher text started, and every other
/// document stays as it is, so that the lines that errors name are those of the file in Git.
pub(super) fn decrypt_manifests(text: &str, keyring: &Keyring) -> Result<Option<Plain>, SopsError> {
    let chunks = split_documents(text).map_err(|error| syntax(&error))?;
    let mut groups: Vec<Group<'_>> = Vec::new();
    for chunk in chunks.iter().filter(|chunk| chunk.text.contains(cipher::PREFIX)) {
        let mut document = [manifest(chunk.text)?];
        if is_opted_out(&document[0]) {
            continue;
        }
        let Some(metadata) = metadata::extract(&mut document) else {
            continue;
        };
        let [document] = document;
        match groups.last_mut() {
            Some(group) if group.is_of(&metadata) => group.documents.push((chunk.text, document)),
            _ => groups.push(Group {
                metadata,
                documents: vec![(chunk.text, document)],
            }),
        }
    }
    if groups.is_empty() {
        return Ok(None);
    }
    let mut secrets = Secrets::default();
    let mut plain = String::with_capacity(text.len());
    let mut copied = 0;
    for mut group in groups {
        secrets.extend(decrypt_documents(
            &group.metadata,
            group.documents.iter_mut().map(|(_, d)| d),
            keyring,
        )?);
        for (cipher_text, document) in &group.documents {
            let start = cipher_text.as_ptr() as usize - text.as_ptr() as usize;
            plain.push_str(&text[copied..start]);
            plain.push_str(&json::emit_line(document)?);
            plain.extend(std::iter::repeat_n(
                '\n',
                cipher_text.matches('\n').count().max(1),
            ));
            copied = start + cipher_text.len();
        }
    }
    plain.push_str(&text[copied..]);
    Ok(Some(Plain {
        text: plain.into_bytes(),
        secrets,
    }))
}

/// Documents that follow each other and have one MAC over all of them.
struct Group<'t> {
    metadata: Value,
    documents: Vec<(&'t str, Value)>,
}

impl Group<'_> {
    fn is_of(&self, metadata: &Value) -> bool {
        let mac = |metadata: &Value| metadata.get("mac").and_then(Value::as_text);
        mac(metadata).is_some() && mac(metadata) == mac(&self.metadata)
    }
}

fn manifest(text: &str) -> Result<Value, SopsError> {
    // JSON that sops indented by tabs is not YAML.
    if text.trim_start().starts_with('{')
        && let Ok(value) = json::load(text)
    {
        return Ok(value);
    }
    of_node(&load(text).map_err(|error| syntax(&error))?)
}

fn is_opted_out(document: &Value) -> bool {
    let annotation = document
        .get("metadata")
        .and_then(|metadata| metadata.get("annotations"))
        .and_then(|annotations| annotations.get(DECRYPT_ANNOTATION))
        .and_then(Value::as_text);
    annotation.is_some_and(|value| value.eq_ignore_ascii_case("disabled"))
}

fn syntax(error: &kustomize_rs::yaml::LoadError) -> SopsError {
    SopsError::Syntax {
        format: "YAML",
        message: error.to_string(),
    }
}

/// The loader bounds depth and aliases.
fn of_node(node: &Node) -> Result<Value, SopsError> {
    match &node.content {
        Content::Scalar(scalar) => of_scalar(node, &scalar.text),
        Content::Sequence(items) => Ok(Value::List(items.iter().map(of_node).collect::<Result<_, _>>()?)),
        Content::Mapping(mapping) => {
            let entry = |(key, value): &(Node, Node)| {
                let key = key.as_text().ok_or_else(|| SopsError::Syntax {
                    format: "YAML",
                    message: format!("{}: a key has to be a text", key.position),
                })?;
                Ok(Item::Entry(key.to_owned(), of_node(value)?))
            };
            Ok(Value::Map(
                mapping
                    .entries
                    .iter()
                    .map(entry)
                    .collect::<Result<_, SopsError>>()?,
            ))
        }
    }
}

fn of_scalar(node: &Node, text: &str) -> Result<Value, SopsError> {
    if node.tag == Tag::Binary {
        let joined: String = text.split_whitespace().collect();
        let bytes = STANDARD.decode(joined).map_err(|_| SopsError::NotText)?;
        return Ok(
            String::from_utf8(bytes).map_or_else(|error| Value::Bytes(error.into_bytes()), Value::Text)
        );
    }
    Ok(match node.resolved(Schema::GoYamlV3) {
        Some(Resolved::Null) => Value::Null,
        Some(Resolved::Bool(flag)) => Value::Bool(flag),
        Some(Resolved::Int(number)) => Value::Int(number),
        Some(Resolved::Uint(_)) => {
            let message = format!("{}: the number is too large", node.position);
            return Err(SopsError::Syntax {
                format: "YAML",
                message,
            });
        }
        Some(Resolved::Float(number)) => Value::Float(number),
        Some(Resolved::Timestamp(time)) => Value::Time(time),
        Some(Resolved::Str) | None => Value::Text(text.to_owned()),
    })
}
