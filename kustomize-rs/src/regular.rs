//! Regular expressions as Go's `regexp` reads them, which takes some texts for literal that others refuse. Pure.

use regex::Regex;

/// Compiles a pattern of Go's syntax.
///
/// # Errors
/// When Go would refuse it, too, or for what only Go has.
pub(crate) fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&translate(pattern))
}

/// Writes a pattern of Go's syntax in that of the `regex` crate.
fn translate(pattern: &str) -> String {
    let chars: Vec<char> = pattern.chars().collect();
    let mut out = String::with_capacity(pattern.len());
    let mut at = 0;
    while at < chars.len() {
        at += match chars[at] {
            '\\' => escape(&chars[at..], &mut out, false),
            '[' => class(&chars[at..], &mut out),
            '{' if !is_repetition(&chars[at..]) => push(&mut out, "\\{"),
            c => push(&mut out, c.encode_utf8(&mut [0; 4])),
        };
    }
    out
}

/// Adds what one character became.
fn push(out: &mut String, text: &str) -> usize {
    out.push_str(text);
    1
}

/// Whether a brace starts `{2}`, `{2,}` or `{2,3}`; any other one stands for itself.
fn is_repetition(chars: &[char]) -> bool {
    let digits = |from: usize| chars[from..].iter().take_while(|c| c.is_ascii_digit()).count();
    let first = digits(1);
    let mut at = 1 + first;
    if first > 0 && chars.get(at) == Some(&',') {
        at += 1;
        at += digits(at);
    }
    first > 0 && chars.get(at) == Some(&'}')
}

/// Translates an escape and says how many characters it has. Classes of Go are of ASCII only.
fn escape(chars: &[char], out: &mut String, in_class: bool) -> usize {
    let Some(&c) = chars.get(1) else {
        return push(out, "\\");
    };
    let ascii = match c {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => "[\\t\\n\\x0c\\r ]",
        'S' => "[^\\t\\n\\x0c\\r ]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        'b' if !in_class => "(?-u:\\b)",
        'B' if !in_class => "(?-u:\\B)",
        '<' | '>' => {
            out.push(c);
            return 2;
        }
        'Q' if !in_class => {
            let rest: String = chars[2..].iter().collect();
            let quoted = rest.split("\\E").next().unwrap_or_default();
            out.push_str(&regex::escape(quoted));
            let closed = if quoted.len() < rest.len() { 2 } else { 0 };
            return 2 + quoted.chars().count() + closed;
        }
        _ => {
            out.push('\\');
            out.push(c);
            return 2;
        }
    };
    out.push_str(ascii);
    2
}

/// Translates a class, in which the crate would take some characters for operators on sets.
fn class(chars: &[char], out: &mut String) -> usize {
    out.push('[');
    let mut at = 1;
    if chars.get(at) == Some(&'^') {
        out.push('^');
        at += 1;
    }
    let first = at;
    while at < chars.len() {
        match chars[at] {
            ']' if at > first => {
                out.push(']');
                return at + 1;
            }
            '[' if chars.get(at + 1) == Some(&':') => {
                let name: String = chars[at..].iter().take_while(|c| **c != ']').collect();
                out.push_str(&name);
                at += name.chars().count();
                if at < chars.len() {
                    out.push(']');
                    at += 1;
                }
            }
            '\\' => at += escape(&chars[at..], out, true),
            c @ ('[' | ']' | '&' | '~') => {
                out.push('\\');
                at += push(out, c.encode_utf8(&mut [0; 4]));
            }
            c => at += push(out, c.encode_utf8(&mut [0; 4])),
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        compile(&format!("^(?:{pattern})$")).unwrap().is_match(text)
    }

    #[test]
    fn a_brace_that_repeats_nothing_stands_for_itself() {
        assert!(matches("pod-{{ .Index }}", "pod-{{ .Index }}"));
        assert!(matches("a{2}", "aa"));
        assert!(matches("a{,2}", "a{,2}"));
        assert!(matches("a{2,}b", "aaab"));
    }

    #[test]
    fn classes_are_of_ascii() {
        assert!(matches("\\w+", "abc_1"));
        assert!(!matches("\\w+", "é"));
        assert!(!matches("\\d", "٣"));
        assert!(matches("[\\w-]+", "a-b"));
    }

    #[test]
    fn brackets_and_ampersands_in_a_class_are_characters() {
        assert!(matches("[[a]", "["));
        assert!(matches("[a&&b]+", "a&b"));
        assert!(matches("[]a]+", "]a"));
        assert!(matches("[[:alpha:]]+", "abc"));
    }

    #[test]
    fn quoted_text_is_literal() {
        assert!(matches("\\Qa.b\\E.c", "a.b-c"));
        assert!(matches("\\<a", "<a"));
    }
}
