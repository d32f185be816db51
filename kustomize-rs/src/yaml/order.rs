//! The order of keys in printed mappings, as go-yaml v2 sorts them. Pure.

use std::cmp::Ordering;

/// Compares two keys: letters by code point, other characters before letters, digits as numbers.
pub(super) fn compare_keys(a: &str, b: &str) -> Ordering {
    let common = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    if common == a.len() || common == b.len() {
        return a.len().cmp(&b.len());
    }
    // Step back to the start of the character in which the bytes differ.
    let start = (0..=common)
        .rev()
        .find(|&i| a.is_char_boundary(i) && b.is_char_boundary(i))
        .unwrap_or(0);
    let (x, y) = (first_char(&a[start..]), first_char(&b[start..]));
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => x.cmp(&y),
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => compare_numbers(a, b, start).then(x.cmp(&y)),
    }
}

fn first_char(text: &str) -> char {
    text.chars().next().unwrap_or('\0')
}

fn compare_numbers(a: &str, b: &str, start: usize) -> Ordering {
    let digits_before = a[..start].bytes().rev().take_while(u8::is_ascii_digit);
    let zero = a.as_bytes()[start] == b'0' || b.as_bytes()[start] == b'0';
    // After a digit other than zero a zero counts, and a number does not start here.
    let carried = i64::from(zero && digits_before.into_iter().any(|d| d != b'0'));
    let number = |text: &str| {
        let digits = text[start..].bytes().take_while(u8::is_ascii_digit);
        digits.fold((carried, 0), |(n, len), d| {
            (n.wrapping_mul(10).wrapping_add(i64::from(d - b'0')), len + 1)
        })
    };
    number(a).cmp(&number(b))
}
