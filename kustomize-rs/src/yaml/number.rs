//! How numbers look: as Go's `encoding/json` writes them, then as go-yaml v2 prints those. Pure.

use serde_json::Number;

/// Writes a number as Go's `encoding/json` does.
pub(crate) fn json_number(number: &Number) -> String {
    if let Some(int) = number.as_i64() {
        return int.to_string();
    }
    if let Some(int) = number.as_u64() {
        return int.to_string();
    }
    json_float(number.as_f64().unwrap_or_default())
}

/// Writes a finite float as Go's `encoding/json` does: an exponent only when very small or very large.
pub(crate) fn json_float(float: f64) -> String {
    let magnitude = float.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{float:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
            _ => text,
        };
    }
    format!("{float}")
}

/// Writes a float as go-yaml v2 prints what `encoding/json` wrote: whole numbers lose their point.
pub(crate) fn yaml_float(float: f64) -> String {
    let magnitude = float.abs();
    if magnitude < 1e21 && float.fract() == 0.0 {
        if float == 0.0 {
            return "0".into();
        }
        let text = format!("{float}");
        if text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok() {
            return text;
        }
    }
    go_float(float)
}

/// Writes a float as Go does by itself: with an exponent when it is small, or has more than six digits before its point.
pub(crate) fn go_float(float: f64) -> String {
    let text = format!("{float:e}");
    let Some((digits, exponent)) = text.split_once('e') else {
        return text;
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return format!("{float}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}
