//! Quantities (`500m`, `1Gi`) in their canonical form.
//!
//! In: a JSON text or number. Out: text, as k8s.io/apimachinery's `resource.Quantity` writes it. No I/O.

use serde_json::Value;

/// The canonical form; nothing if it is not a quantity.
pub(crate) fn canonical(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => canonical_text(&number.to_string()),
        Value::String(text) => canonical_text(text),
        _ => None,
    }
}

/// Why a JSON value is not a quantity, in upstream's words.
pub(crate) fn problem(value: &Value) -> Option<&'static str> {
    const FORMAT: &str =
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    if canonical(value).is_some() {
        return None;
    }
    let is_suffix = |suffix: &str| {
        let digits = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
        let digits = digits.strip_prefix(['-', '+']).unwrap_or(digits);
        digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let text = value.as_str().unwrap_or_default().trim();
    let number = text.strip_prefix(['-', '+']).unwrap_or(text);
    let suffix = number.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    if suffix.len() < number.len() && !suffix.is_empty() && is_suffix(suffix) {
        return Some("unable to parse quantity's suffix");
    }
    Some(FORMAT)
}

/// Whole units, rounded up; nothing if it is not a quantity or too large.
pub(crate) fn value(text: &str) -> Option<i128> {
    let (nanos, _, negative) = parse(text)?;
    let units = nanos / 1_000_000_000 + i128::from(nanos % 1_000_000_000 != 0);
    Some(if negative { -units } else { units })
}

/// Billionths of a unit, for comparisons.
pub(crate) fn nanos(text: &str) -> i128 {
    parse(text).map_or(0, |(nanos, _, negative)| if negative { -nanos } else { nanos })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Decimal,
    Binary,
    Exponent,
}

/// Nano-units, the way it was written, and whether it is negative.
fn parse(text: &str) -> Option<(i128, Format, bool)> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-')))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let (scale, format) = scale(suffix)?;
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let nanos = to_nanos(mantissa, u32::try_from(fraction.len()).ok()?, scale)?;
    Some((nanos, format, negative))
}

/// Writes with the largest fitting suffix.
fn canonical_text(text: &str) -> Option<String> {
    let (nanos, format, negative) = parse(text)?;
    let shown = match format {
        Format::Binary if nanos % 1_000_000_000 == 0 && nanos >= 1024 * 1_000_000_000 => {
            binary(nanos / 1_000_000_000)
        }
        Format::Exponent => exponent(nanos),
        Format::Binary | Format::Decimal => decimal(nanos),
    };
    Some(if negative && nanos != 0 {
        format!("-{shown}")
    } else {
        shown
    })
}

#[derive(Clone, Copy)]
enum Scale {
    /// Powers of ten.
    Ten(i32),
    /// Powers of two.
    Two(u32),
}

fn scale(suffix: &str) -> Option<(Scale, Format)> {
    let decimal = |power| Some((Scale::Ten(power), Format::Decimal));
    let binary = |power| Some((Scale::Two(power), Format::Binary));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let power = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            Some((Scale::Ten(power), Format::Exponent))
        }
    }
}

/// Rounds up to whole nano-units, as upstream does.
fn to_nanos(mantissa: i128, fraction: u32, scale: Scale) -> Option<i128> {
    let divide = |value: i128, by: u32| {
        let divisor = 10_i128.checked_pow(by)?;
        Some(value / divisor + i128::from(value % divisor != 0))
    };
    match scale {
        Scale::Two(power) => divide(
            mantissa
                .checked_mul(1_i128 << power)?
                .checked_mul(1_000_000_000)?,
            fraction,
        ),
        Scale::Ten(power) => {
            let shift = power + 9 - i32::try_from(fraction).ok()?;
            match u32::try_from(shift) {
                Ok(shift) => mantissa.checked_mul(10_i128.checked_pow(shift)?),
                Err(_) => divide(mantissa, shift.unsigned_abs()),
            }
        }
    }
}

fn decimal(nanos: i128) -> String {
    const SUFFIXES: [(i128, &str); 10] = [
        (1_000_000_000_000_000_000_000_000_000, "E"),
        (1_000_000_000_000_000_000_000_000, "P"),
        (1_000_000_000_000_000_000_000, "T"),
        (1_000_000_000_000_000_000, "G"),
        (1_000_000_000_000_000, "M"),
        (1_000_000_000_000, "k"),
        (1_000_000_000, ""),
        (1_000_000, "m"),
        (1_000, "u"),
        (1, "n"),
    ];
    if nanos == 0 {
        return "0".into();
    }
    let fits = SUFFIXES.iter().find(|(unit, _)| nanos % unit == 0);
    fits.map_or_else(
        || "0".into(),
        |(unit, suffix)| format!("{}{suffix}", nanos / unit),
    )
}

fn binary(units: i128) -> String {
    const SUFFIXES: [(u32, &str); 6] = [
        (60, "Ei"),
        (50, "Pi"),
        (40, "Ti"),
        (30, "Gi"),
        (20, "Mi"),
        (10, "Ki"),
    ];
    let fits = SUFFIXES.iter().find(|(power, _)| units % (1_i128 << power) == 0);
    fits.map_or_else(
        || units.to_string(),
        |(power, suffix)| format!("{}{suffix}", units >> power),
    )
}

fn exponent(nanos: i128) -> String {
    if nanos == 0 {
        return "0".into();
    }
    let mut power = -9_i32;
    let mut value = nanos;
    while value % 1000 == 0 {
        value /= 1000;
        power += 3;
    }
    if power == 0 {
        value.to_string()
    } else {
        format!("{value}e{power}")
    }
}

#[cfg(test)]
mod tests {
    use super::{canonical, value};

    #[test]
    fn quantities_take_the_largest_suffix_that_fits() {
        let pairs = [
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1000k", "1M"),
            ("0", "0"),
            ("1e3", "1e3"),
            ("-1000m", "-1"),
        ];
        for (given, wanted) in pairs {
            assert_eq!(canonical(&given.into()).as_deref(), Some(wanted), "{given}");
        }
        assert_eq!(canonical(&"1x".into()), None);
        assert_eq!(value("1Ki"), Some(1024));
    }
}
