//! Values that must not show outside of the objects that hold them. Pure.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The shortest value, in bytes, that is redacted.
const MIN_REDACTED: usize = 6;

/// Secret values that a render came across, for the one place that redacts output.
///
/// Its `Debug` says only how many there are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretValues(BTreeSet<String>);

impl fmt::Debug for SecretValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretValues({} redacted)", self.0.len())
    }
}

impl SecretValues {
    /// Every value, the empty text never among them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `text` with every value replaced by asterisks, and every line of a value of several. Short
    /// ones stay: a user name or a port that is masked everywhere makes a message unreadable.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let mut values: BTreeSet<&str> = self.iter().chain(self.iter().flat_map(str::lines)).collect();
        values.retain(|value| value.len() >= MIN_REDACTED);
        // The longest first: one value may contain another.
        let mut values: Vec<&str> = values.into_iter().collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values
            .into_iter()
            .fold(text.to_owned(), |text, value| text.replace(value, "***"))
    }

    /// Adds a value, and what it encodes if it is base64 of a text, as the data of Secrets is.
    pub(super) fn insert(&mut self, value: String) {
        if value.is_empty() {
            return;
        }
        if let Ok(decoded) = STANDARD.decode(&value)
            && let Ok(text) = String::from_utf8(decoded)
            && !text.is_empty()
        {
            self.0.insert(text);
        }
        self.0.insert(value);
    }

    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }
}

impl FromIterator<String> for SecretValues {
    fn from_iter<I: IntoIterator<Item = String>>(values: I) -> Self {
        let mut collected = Self::default();
        values.into_iter().for_each(|value| collected.insert(value));
        collected
    }
}
