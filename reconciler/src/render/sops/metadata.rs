//! The `sops` part of a file: recipients, rules and the MAC. In: a tree; out: typed fields. Pure.

use regex::Regex;

use super::SopsError;
use super::tree::{Item, Rule, Value};

/// Leaves below a key with this ending stay plain unless a file says otherwise.
const DEFAULT_UNENCRYPTED_SUFFIX: &str = "_unencrypted";

/// Each recipient costs an attempt to unwrap its key.
const MAX_RECIPIENTS: usize = 256;

/// Lists of recipients other than age's, with the field that names one.
const OTHER_RECIPIENTS: [(&str, &str); 6] = [
    ("pgp", "fp"),
    ("kms", "arn"),
    ("gcp_kms", "resource_id"),
    ("azure_kv", "vault_url"),
    ("hc_vault", "vault_address"),
    ("hckms", "key_id"),
];

/// What SOPS writes about a file into it.
#[derive(Debug, Clone)]
pub(super) struct Metadata {
    /// Each group can open one share of the data key, or all of it if there is only one.
    pub(super) groups: Vec<KeyGroup>,
    /// How many groups are needed if there are several.
    pub(super) threshold: usize,
    pub(super) rule: Rule,
    pub(super) mac: String,
    pub(super) only_encrypted: bool,
    /// Authenticated with the MAC, as Go prints RFC 3339.
    pub(super) last_modified: String,
}

#[derive(Debug, Clone, Default)]
pub(super) struct KeyGroup {
    pub(super) age: Vec<AgeRecipient>,
    /// Recipients of other kinds, to be named in errors.
    pub(super) others: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) struct AgeRecipient {
    pub(super) public_key: String,
    /// The data key or a share of it, encrypted and armored.
    pub(super) encrypted: String,
}

impl Metadata {
    /// Reads the mapping below `sops`.
    pub(super) fn read(value: &Value) -> Result<Self, SopsError> {
        let text = |key: &str| {
            value
                .get(key)
                .and_then(Value::as_text)
                .filter(|text| !text.is_empty())
        };
        let groups = key_groups(value);
        if groups.is_empty() {
            return Err(SopsError::Metadata(
                "it names no recipients; is the file cut off?".to_owned(),
            ));
        }
        if groups.iter().map(|group| group.age.len()).sum::<usize>() > MAX_RECIPIENTS {
            return Err(SopsError::Metadata(format!(
                "it has more than {MAX_RECIPIENTS} recipients"
            )));
        }
        let last_modified = text("lastmodified").ok_or_else(|| {
            SopsError::Metadata("`lastmodified` is missing; is the file cut off?".to_owned())
        })?;
        let threshold = match text("shamir_threshold").map(|text| text.parse()) {
            None => groups.len(),
            Some(Ok(0)) => groups.len(),
            Some(Ok(threshold)) => threshold,
            Some(Err(_)) => {
                return Err(SopsError::Metadata(
                    "`shamir_threshold` is not a number".to_owned(),
                ));
            }
        };
        Ok(Self {
            groups,
            threshold,
            rule: rule(&text)?,
            mac: text("mac").unwrap_or_default(),
            only_encrypted: text("mac_only_encrypted").is_some_and(|text| text == "true"),
            last_modified: normalized_time(&last_modified),
        })
    }

    /// Every recipient as errors name it.
    pub(super) fn recipients(&self) -> Vec<String> {
        let age = self
            .groups
            .iter()
            .flat_map(|group| group.age.iter().map(|r| r.public_key.clone()));
        age.chain(self.groups.iter().flat_map(|group| group.others.iter().cloned()))
            .collect()
    }
}

fn key_groups(value: &Value) -> Vec<KeyGroup> {
    let top = key_group(value);
    if !top.age.is_empty() || !top.others.is_empty() {
        return vec![top];
    }
    value
        .get("key_groups")
        .map(Value::items)
        .unwrap_or_default()
        .iter()
        .map(key_group)
        .collect()
}

fn key_group(value: &Value) -> KeyGroup {
    let entries = |name: &str| value.get(name).map(Value::items).unwrap_or_default();
    let field = |entry: &Value, name: &str| entry.get(name).and_then(Value::as_text).unwrap_or_default();
    let age = entries("age")
        .iter()
        .map(|entry| AgeRecipient {
            public_key: field(entry, "recipient"),
            encrypted: field(entry, "enc"),
        })
        .collect();
    let others = OTHER_RECIPIENTS
        .iter()
        .flat_map(|(kind, name)| {
            entries(kind)
                .iter()
                .map(move |entry| format!("{kind} {}", field(entry, name)))
        })
        .collect();
    KeyGroup { age, others }
}

fn rule(text: &dyn Fn(&str) -> Option<String>) -> Result<Rule, SopsError> {
    for field in ["encrypted_comment_regex", "unencrypted_comment_regex"] {
        if text(field).is_some() {
            return Err(SopsError::Unsupported(format!("`{field}`, a rule by comments")));
        }
    }
    let regex = |pattern: String| {
        Regex::new(&pattern)
            .map_err(|_| SopsError::Metadata(format!("the regular expression {pattern:?} is not valid")))
    };
    let mut rules = Vec::new();
    rules.extend(text("unencrypted_suffix").map(|suffix| Ok(Rule::UnencryptedSuffix(suffix))));
    rules.extend(text("encrypted_suffix").map(|suffix| Ok(Rule::EncryptedSuffix(suffix))));
    rules.extend(text("unencrypted_regex").map(|pattern| regex(pattern).map(Rule::UnencryptedRegex)));
    rules.extend(text("encrypted_regex").map(|pattern| regex(pattern).map(Rule::EncryptedRegex)));
    if rules.len() > 1 {
        return Err(SopsError::Metadata(
            "it has more than one rule for what is encrypted".to_owned(),
        ));
    }
    rules
        .pop()
        .unwrap_or_else(|| Ok(Rule::UnencryptedSuffix(DEFAULT_UNENCRYPTED_SUFFIX.to_owned())))
}

/// Go parses the time and prints it again before it authenticates it.
fn normalized_time(text: &str) -> String {
    let (whole, zone) = text.split_at(text.len().min(19));
    let zone = zone.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let zone = if matches!(zone, "+00:00" | "-00:00") {
        "Z"
    } else {
        zone
    };
    format!("{whole}{zone}")
}

/// Takes the metadata out of the documents of a file; that of the first one counts.
pub(super) fn extract(documents: &mut [Value]) -> Option<Value> {
    let mut found = None;
    for document in documents {
        let Value::Map(items) = document else { continue };
        let is_metadata = |item: &Item| matches!(item, Item::Entry(key, Value::Map(_)) if key == "sops");
        while let Some(index) = items.iter().position(is_metadata) {
            let Item::Entry(_, value) = items.remove(index) else {
                continue;
            };
            found.get_or_insert(value);
        }
    }
    found
}
