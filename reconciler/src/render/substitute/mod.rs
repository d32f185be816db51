//! Variables into text: the built YAML of one object and named values in, the text with every
//! `${...}` replaced out. Pure.
//!
//! The language is that of Flux's envsubst, with two bounds of our own: the text may not grow
//! beyond [`MAX_EXPANSION`], and nested references are parsed to a limited depth.

mod glob;
mod operators;
mod template;
pub mod unreplaced;

use std::collections::{BTreeMap, BTreeSet};

use template::{Call, Node};

/// The most bytes that one object, or one value on the way to it, may expand to.
pub const MAX_EXPANSION: usize = 8 * 1024 * 1024;

/// The label or annotation by which an object opts out; the value is `disabled`.
pub const SUBSTITUTE_KEY: &str = "kustomize.toolkit.fluxcd.io/substitute";

/// When to substitute, `spec.postBuild.substituteStrategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SubstituteStrategy {
    /// Only if there is at least one variable.
    #[default]
    WithVariables,
    /// Also without variables, for expressions that have defaults.
    Always,
}

/// The values of one `substituteFrom` entry, already read from the cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct VariableSource {
    /// How errors name it, such as `Secret/cluster-secrets`.
    pub name: String,
    /// Whether its values must be redacted wherever they show.
    pub secret: bool,
    /// Names and values.
    pub values: BTreeMap<String, String>,
}

/// `spec.postBuild` with its references resolved.
#[derive(Clone, PartialEq, Eq)]
pub struct Substitution {
    /// `substituteFrom`, in order; a later one wins.
    pub sources: Vec<VariableSource>,
    /// `substitute`, which wins over all sources.
    pub inline: BTreeMap<String, String>,
    /// Whether to substitute without variables.
    pub strategy: SubstituteStrategy,
    /// Whether a variable that is not set and has no default is an error (Flux 2.9 and later).
    pub strict: bool,
}

impl Default for Substitution {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            inline: BTreeMap::new(),
            strategy: SubstituteStrategy::WithVariables,
            strict: true,
        }
    }
}

/// Values by name, merged in order of precedence.
#[derive(Clone)]
pub struct Variables {
    values: BTreeMap<String, Variable>,
    strict: bool,
}

#[derive(Clone)]
struct Variable {
    value: String,
    secret: bool,
}

/// What a substitution produced.
#[derive(Clone, PartialEq, Eq)]
pub struct Substituted {
    /// The text, every expression replaced.
    pub text: String,
    /// Values from secret sources that were used.
    pub secrets: BTreeSet<String>,
}

/// Why text could not be substituted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubstituteError {
    /// A name that no expression could refer to.
    #[error(
        "the variable name `{name}` in {origin} is not valid: a name starts with a letter or `_` and goes on with letters, digits or `_`"
    )]
    InvalidName {
        /// The name.
        name: String,
        /// Where it was defined.
        origin: String,
    },
    /// Strict mode: variables without a value and without a default.
    #[error(
        "not set: {}; define it in spec.postBuild, give it a default as in `${{{}:=value}}`, or write `$${{` where the text is meant as it stands",
        .names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
        .names.first().map_or("NAME", String::as_str)
    )]
    NotSet {
        /// Every such variable of the text, in order.
        names: Vec<String>,
    },
    /// An expression that cannot be read, or that asks for too much.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// Offsets are in bytes, and one of them cut a character.
    #[error("an offset or a length cut a character in half: `${{v:position:length}}` counts bytes")]
    NotText,
}

/// An expression that cannot be read, or that asks for too much.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// An operator that is not one, or that is not finished.
    #[error(
        "bad substitution: an operator in `${{...}}` is unknown or incomplete (write `$${{` for a plain `${{`)"
    )]
    BadSubstitution,
    /// Something other than an operator or `}` follows the name.
    #[error(
        "`${{{variable}` has no closing brace, or an operator that Flux does not know (write `$${{` for a plain `${{`)"
    )]
    MissingClosingBrace {
        /// The name in front of it.
        variable: String,
    },
    /// No name follows `${`.
    #[error("`${{` is not followed by the name of a variable (write `$${{` for a plain `${{`)")]
    VariableName,
    /// An argument is missing or does not end.
    #[error("an argument within `${{...}}` is missing or does not end")]
    Argument,
    /// Nested too deep.
    #[error("`${{...}}` nested more than {limit} deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// A value that is too large for the operator, or becomes so.
    #[error("a value of more than {limit} bytes within `${{...}}`")]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
}

impl Substitution {
    /// The variables by name, or `None` if nothing is to be substituted.
    ///
    /// # Errors
    /// A name that is not valid, with the source that defines it.
    pub fn variables(&self) -> Result<Option<Variables>, SubstituteError> {
        let mut values = BTreeMap::new();
        for source in &self.sources {
            define(&mut values, &source.values, &source.name, source.secret)?;
        }
        define(&mut values, &self.inline, "spec.postBuild.substitute", false)?;
        if values.is_empty() && self.strategy == SubstituteStrategy::WithVariables {
            return Ok(None);
        }
        Ok(Some(Variables {
            values,
            strict: self.strict,
        }))
    }
}

fn define(
    values: &mut BTreeMap<String, Variable>,
    defined: &BTreeMap<String, String>,
    origin: &str,
    secret: bool,
) -> Result<(), SubstituteError> {
    for (name, value) in defined {
        if !is_name(name) {
            return Err(SubstituteError::InvalidName {
                name: name.clone(),
                origin: origin.to_owned(),
            });
        }
        // Flux takes the newlines out of every value, so that it cannot break the YAML around it.
        let value = value.replace('\n', "");
        values.insert(name.clone(), Variable { value, secret });
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let tail = |c: char| c == '_' || c.is_ascii_alphanumeric();
    name.starts_with(|c: char| tail(c) && !c.is_ascii_digit()) && name.chars().all(tail)
}

impl Variables {
    /// Whether `text` would come out changed; a text without any `$` never does.
    #[must_use]
    pub fn may_change(&self, text: &str) -> bool {
        text.contains('$')
    }

    /// Replaces every expression in `text`.
    ///
    /// # Errors
    /// See [`SubstituteError`]. In strict mode all variables that are not set are named at once.
    pub fn substitute(&self, text: &str) -> Result<Substituted, SubstituteError> {
        let template = template::parse(text)?;
        let mut evaluation = Evaluation {
            variables: self,
            missing: Vec::new(),
            secrets: BTreeSet::new(),
        };
        let output = evaluation.evaluate(&template)?;
        if !evaluation.missing.is_empty() {
            return Err(SubstituteError::NotSet {
                names: evaluation.missing,
            });
        }
        let text = String::from_utf8(output).map_err(|_| SubstituteError::NotText)?;
        Ok(Substituted {
            text,
            secrets: evaluation.secrets,
        })
    }
}

struct Evaluation<'a> {
    variables: &'a Variables,
    missing: Vec<String>,
    secrets: BTreeSet<String>,
}

impl Evaluation<'_> {
    fn evaluate(&mut self, nodes: &[Node]) -> Result<Vec<u8>, SyntaxError> {
        let mut output = Vec::new();
        for node in nodes {
            match node {
                Node::Text(text) => output.extend_from_slice(text.as_bytes()),
                Node::Call(call) => output.extend(self.call(call)?),
            }
            if output.len() > MAX_EXPANSION {
                return Err(SyntaxError::TooLong { limit: MAX_EXPANSION });
            }
        }
        Ok(output)
    }

    fn call(&mut self, call: &Call) -> Result<Vec<u8>, SyntaxError> {
        let arguments = call
            .arguments
            .iter()
            .map(|argument| self.evaluate(std::slice::from_ref(argument)))
            .collect::<Result<Vec<_>, _>>()?;
        let value = self.value(call);
        operators::apply(call.operator, value.as_bytes(), &arguments)
    }

    /// The variable's value, empty if it is not set; notes what is missing and what is secret.
    fn value(&mut self, call: &Call) -> String {
        let Some(variable) = self.variables.values.get(&call.variable) else {
            let excused = !self.variables.strict || call.operator.provides_default();
            if !excused && !self.missing.contains(&call.variable) {
                self.missing.push(call.variable.clone());
            }
            return String::new();
        };
        if variable.secret && !variable.value.is_empty() {
            self.secrets.insert(variable.value.clone());
        }
        variable.value.clone()
    }
}

#[cfg(test)]
mod tests;
