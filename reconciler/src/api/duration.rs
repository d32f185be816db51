//! Durations as Go prints and parses them (`1h5m0s`), which is how Flux's objects carry them. No I/O.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The pattern that Flux's CRDs ask of a duration.
const DURATION_PATTERN: &str = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$";

/// The longest duration that Go has, in seconds: 292 years. No time of day that is added to it overflows.
const LONGEST: f64 = i64::MAX as f64 / 1e9;

/// A duration in Go's notation, as `metav1.Duration` reads and writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(pub Duration);

/// A text that is not a duration in Go's notation.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a duration: expected numbers with units, such as `30s`, `10m` or `1h30m`")]
pub struct ParseDurationError(String);

const UNITS: [(&str, f64); 7] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("\u{b5}s", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];

impl FromStr for GoDuration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || ParseDurationError(text.to_owned());
        if text == "0" {
            return Ok(Self::default());
        }
        let mut rest = text;
        let mut seconds = 0.0;
        while !rest.is_empty() {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit() && c != '.')
                .ok_or_else(invalid)?;
            let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
            rest = &rest[digits..];
            let unit_end = rest
                .find(|c: char| c.is_ascii_digit() || c == '.')
                .unwrap_or(rest.len());
            let (_, scale) = UNITS
                .iter()
                .find(|(unit, _)| *unit == &rest[..unit_end])
                .ok_or_else(invalid)?;
            seconds += number * scale;
            rest = &rest[unit_end..];
        }
        if text.is_empty() || seconds > LONGEST {
            return Err(invalid());
        }
        Duration::try_from_secs_f64(seconds)
            .map(Self)
            .map_err(|_| invalid())
    }
}

impl fmt::Display for GoDuration {
    /// Prints as Go's `time.Duration.String`: the largest unit first, trailing zeros of a fraction dropped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        if nanos == 0 {
            return f.write_str("0s");
        }
        if nanos < 1_000_000_000 {
            let (unit, scale) = match nanos {
                0..1_000 => ("ns", 1),
                1_000..1_000_000 => ("\u{b5}s", 1_000),
                _ => ("ms", 1_000_000),
            };
            return write!(f, "{}{unit}", fraction(nanos, scale));
        }
        let seconds = self.0.as_secs();
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        write!(f, "{}s", fraction(nanos % 60_000_000_000, 1_000_000_000))
    }
}

fn fraction(nanos: u128, scale: u128) -> String {
    let width = scale.ilog10() as usize;
    if nanos.is_multiple_of(scale) {
        return (nanos / scale).to_string();
    }
    let digits = format!("{:0width$}", nanos % scale);
    format!("{}.{}", nanos / scale, digits.trim_end_matches('0'))
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for GoDuration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": DURATION_PATTERN })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_and_printed_as_go_does() {
        for (text, printed) in [
            ("10m", "10m0s"),
            ("1h", "1h0m0s"),
            ("1h30m", "1h30m0s"),
            ("90s", "1m30s"),
            ("500ms", "500ms"),
            ("1.5s", "1.5s"),
            ("1m0.25s", "1m0.25s"),
            ("0", "0s"),
        ] {
            assert_eq!(text.parse::<GoDuration>().unwrap().to_string(), printed, "{text}");
        }
    }

    #[test]
    fn what_is_longer_than_go_can_say_is_refused() {
        assert_eq!(
            "2562047h47m".parse::<GoDuration>().unwrap().to_string(),
            "2562047h47m0s"
        );
        for text in ["2562048h", "9999999999999999h"] {
            assert!(text.parse::<GoDuration>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_text_without_units_is_refused_with_an_example() {
        for text in ["", "10", "m", "1x", "1h 2m", "-1s"] {
            assert!(text.parse::<GoDuration>().is_err(), "{text}");
        }
        assert_eq!(
            "10".parse::<GoDuration>().unwrap_err().to_string(),
            "`10` is not a duration: expected numbers with units, such as `30s`, `10m` or `1h30m`"
        );
    }
}
