//! The keys and values of a generator entry. In: env files, literals, files; out: pairs. Reads files
//! through the layer that it is given.

use super::{ReadFile, Result};
use crate::error::Error;
use crate::model::GeneratorArgs;

pub(super) fn pairs(args: &GeneratorArgs, read: &ReadFile<'_>) -> Result<Vec<(String, Vec<u8>)>> {
    let mut pairs = Vec::new();
    for path in &args.envs {
        env_file(&read(path)?, path, &mut pairs)?;
    }
    for literal in &args.literals {
        pairs.push(parse_literal(literal)?);
    }
    for file in &args.files {
        let (key, path) = parse_file(file)?;
        pairs.push((key.to_string(), read(path)?));
    }
    let mut seen = std::collections::HashSet::new();
    for (key, _) in &pairs {
        if !seen.insert(key.as_str()) {
            let message = format!(
                "{} repeats the key {key:?}: each key may be given once",
                args.name
            );
            return Err(Error::kustomization(message));
        }
    }
    Ok(pairs)
}

fn parse_literal(literal: &str) -> Result<(String, Vec<u8>)> {
    match literal.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_string(), unquote(value).as_bytes().to_vec())),
        _ => Err(Error::kustomization(format!(
            "invalid literal {literal:?}: expected key=value"
        ))),
    }
}

/// Removes one layer of quotes that are the same at both ends.
fn unquote(value: &str) -> &str {
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|v| v.strip_suffix(quote));
    quoted('"').or_else(|| quoted('\'')).unwrap_or(value)
}

fn parse_file(source: &str) -> Result<(&str, &str)> {
    let wrong = |message: &str| Err(Error::kustomization(format!("file source {source:?}: {message}")));
    let Some((key, path)) = source.split_once('=') else {
        let name = source.trim_end_matches('/').rsplit('/').next().unwrap_or(source);
        return Ok((name, source));
    };
    match (key, path) {
        (_, path) if path.contains('=') => wrong("the key or the path contains '='"),
        ("", _) => wrong("the key before '=' is missing"),
        (_, "") => wrong("the path after '=' is missing"),
        pair => Ok(pair),
    }
}

/// Reads an env file: one `key=value` a line, values as they stand.
fn env_file(content: &[u8], path: &str, pairs: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    // Go's line scanner gives up on longer lines; what came before them counts, the rest is ignored.
    const MAX_LINE: usize = 64 * 1024;
    for (i, line) in content.split(|&b| b == b'\n').enumerate() {
        if line.len() >= MAX_LINE {
            return Ok(());
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(Error::kustomization(format!(
                "env file {path}, line {}: not UTF-8",
                i + 1
            )));
        };
        let line = if i == 0 {
            line.strip_prefix('\u{feff}').unwrap_or(line)
        } else {
            line
        };
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        if !key.is_empty() {
            pairs.push((key.to_string(), value.as_bytes().to_vec()));
        }
    }
    Ok(())
}
