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

/// Sorts entries by their keys.
///
/// The comparison has cycles (`9` < `10` < `1a` < `9`), for which Rust's own sort may panic; Go's result for
/// them follows from the order of a hash map, so that any result is as good.
pub(super) fn sort_entries<T>(entries: &mut Vec<T>, key: impl Fn(&T) -> &str + Copy) {
    const SHORT: usize = 16;
    if entries.len() <= SHORT {
        for end in 1..entries.len() {
            let mut at = end;
            while at > 0 && compare_keys(key(&entries[at]), key(&entries[at - 1])) == Ordering::Less {
                entries.swap(at, at - 1);
                at -= 1;
            }
        }
        return;
    }
    let mut right = entries.split_off(entries.len() / 2);
    sort_entries(entries, key);
    sort_entries(&mut right, key);
    let mut merged = Vec::with_capacity(entries.len() + right.len());
    let mut left = std::mem::take(entries).into_iter().peekable();
    let mut right = right.into_iter().peekable();
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let from_right = compare_keys(key(b), key(a)) == Ordering::Less;
        merged.extend(if from_right { right.next() } else { left.next() });
    }
    merged.extend(left);
    merged.extend(right);
    *entries = merged;
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
