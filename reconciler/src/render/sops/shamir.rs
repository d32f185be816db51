//! Shamir's secret sharing over GF(2^8), as SOPS splits a data key over key groups. Pure.

/// Combines shares, each the values followed by one byte for its coordinate.
///
/// `None` if there are fewer than two, they differ in length, or two are the same.
pub(super) fn combine(shares: &[Vec<u8>]) -> Option<Vec<u8>> {
    let size = shares.first()?.len();
    if shares.len() < 2 || size < 2 || shares.iter().any(|share| share.len() != size) {
        return None;
    }
    let coordinates: Vec<u8> = shares.iter().map(|share| share[size - 1]).collect();
    let distinct = |(index, x): (usize, &u8)| !coordinates[..index].contains(x);
    if !coordinates.iter().enumerate().all(distinct) {
        return None;
    }
    let basis: Vec<u8> = (0..shares.len())
        .map(|index| basis_at_zero(&coordinates, index))
        .collect();
    let secret = (0..size - 1).map(|byte| {
        shares
            .iter()
            .zip(&basis)
            .fold(0, |sum, (share, basis)| sum ^ multiply(share[byte], *basis))
    });
    Some(secret.collect())
}

/// The Lagrange polynomial of one coordinate, at the origin.
fn basis_at_zero(coordinates: &[u8], index: usize) -> u8 {
    let own = coordinates[index];
    let others = coordinates
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != index);
    others.fold(1, |product, (_, x)| {
        multiply(product, multiply(*x, inverse(own ^ x)))
    })
}

/// Multiplies modulo x^8 + x^4 + x^3 + x + 1.
fn multiply(mut a: u8, b: u8) -> u8 {
    let mut product = 0;
    for bit in 0..8 {
        if b >> bit & 1 == 1 {
            product ^= a;
        }
        let carry = a & 0x80 != 0;
        a <<= 1;
        if carry {
            a ^= 0x1b;
        }
    }
    product
}

/// The inverse is the 254th power, since the group has 255 elements.
fn inverse(a: u8) -> u8 {
    (0..254).fold(1, |power, _| multiply(power, a))
}
