//! Shell patterns of the trimming operators: `*`, `?`, `[a-z]` and `\`. No I/O.
//!
//! As in `github.com/fluxcd/pkg/envsubst/path`: Go's `path.Match`, except that `*` also matches
//! `/`. It works on bytes because values may have been cut within a character.

/// A pattern that ends inside a class or after a backslash.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadPattern;

/// The first character of `bytes` and its width; `U+FFFD` of width 1 where they are not UTF-8.
pub(super) fn decode(bytes: &[u8]) -> (char, usize) {
    let head = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default(),
    };
    valid
        .chars()
        .next()
        .map_or((char::REPLACEMENT_CHARACTER, 1), |c| (c, c.len_utf8()))
}

/// Whether the whole of `name` matches `pattern`.
pub(super) fn matches(mut pattern: &[u8], mut name: &[u8]) -> Result<bool, BadPattern> {
    'pattern: while !pattern.is_empty() {
        let (star, chunk, rest) = next_chunk(pattern);
        pattern = rest;
        if star && chunk.is_empty() {
            return Ok(true);
        }
        let last = pattern.is_empty();
        if let Some(remaining) = match_chunk(chunk, name)?
            && (remaining.is_empty() || !last)
        {
            name = remaining;
            continue;
        }
        if star {
            for skipped in 1..=name.len() {
                if let Some(remaining) = match_chunk(chunk, &name[skipped..])? {
                    if last && !remaining.is_empty() {
                        continue;
                    }
                    name = remaining;
                    continue 'pattern;
                }
            }
        }
        return Ok(false);
    }
    Ok(name.is_empty())
}

/// Whether the pattern starts with `*`, the part up to the next `*`, and what follows.
fn next_chunk(pattern: &[u8]) -> (bool, &[u8], &[u8]) {
    let stars = pattern.iter().take_while(|b| **b == b'*').count();
    let pattern = &pattern[stars..];
    let mut in_class = false;
    let mut end = 0;
    while end < pattern.len() {
        match pattern[end] {
            b'\\' if end + 1 < pattern.len() => end += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'*' if !in_class => break,
            _ => {}
        }
        end += 1;
    }
    (stars > 0, &pattern[..end], &pattern[end..])
}

/// What is left of `name` after `chunk` matched its beginning.
fn match_chunk<'n>(mut chunk: &[u8], mut name: &'n [u8]) -> Result<Option<&'n [u8]>, BadPattern> {
    while let Some(&first) = chunk.first() {
        if name.is_empty() {
            return Ok(None);
        }
        match first {
            b'[' => {
                let (c, width) = decode(name);
                name = &name[width..];
                let (matched, rest) = match_class(&chunk[1..], c)?;
                if !matched {
                    return Ok(None);
                }
                chunk = rest;
            }
            b'?' => {
                name = &name[decode(name).1..];
                chunk = &chunk[1..];
            }
            _ => {
                let literal = if first == b'\\' { &chunk[1..] } else { chunk };
                let expected = literal.first().ok_or(BadPattern)?;
                if *expected != name[0] {
                    return Ok(None);
                }
                name = &name[1..];
                chunk = &literal[1..];
            }
        }
    }
    Ok(Some(name))
}

/// Whether `c` is in the class, whose text starts behind its `[`, and what follows the class.
fn match_class(mut class: &[u8], c: char) -> Result<(bool, &[u8]), BadPattern> {
    let negated = class.first() == Some(&b'^');
    if negated {
        class = &class[1..];
    }
    let mut matched = false;
    let mut ranges = 0;
    loop {
        if ranges > 0 && class.first() == Some(&b']') {
            return Ok((matched != negated, &class[1..]));
        }
        let (low, rest) = class_character(class)?;
        class = rest;
        let mut high = low;
        if class[0] == b'-' {
            (high, class) = class_character(&class[1..])?;
        }
        matched |= (low..=high).contains(&c);
        ranges += 1;
    }
}

/// One character of a class; something has to follow it.
fn class_character(class: &[u8]) -> Result<(char, &[u8]), BadPattern> {
    let class = match class.first() {
        None | Some(b'-' | b']') => return Err(BadPattern),
        Some(b'\\') => &class[1..],
        Some(_) => class,
    };
    if class.is_empty() {
        return Err(BadPattern);
    }
    let (c, width) = decode(class);
    let invalid = c == char::REPLACEMENT_CHARACTER && width == 1;
    let rest = &class[width..];
    if invalid || rest.is_empty() {
        Err(BadPattern)
    } else {
        Ok((c, rest))
    }
}
