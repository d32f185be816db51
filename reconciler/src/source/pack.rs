//! Looks through a pack while it arrives, before libgit2 gets to see it: how many objects, and how large they
//! become. Pure.
//!
//! libgit2 bounds the number of bytes in nothing: it rebuilds the object that a delta stands for in memory, and
//! a delta of a few bytes can stand for gigabytes. So every object's announced size, and every delta's announced
//! base and result, is held against the bounds here (gitformat-pack(5)).

use flate2::{Decompress, FlushDecompress, Status};

use super::error::printable;
use super::excess::Excess;
use super::limits::Limits;

/// Why a pack is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PackProblem {
    /// It is no pack, or a damaged one.
    Invalid(String),
    /// It exceeds a bound.
    Excess(Excess),
}

impl From<Excess> for PackProblem {
    fn from(excess: Excess) -> Self {
        Self::Excess(excess)
    }
}

fn invalid(problem: impl Into<String>) -> PackProblem {
    PackProblem::Invalid(problem.into())
}

/// The length of a pack's header: `PACK`, version, number of objects.
const HEADER: usize = 12;
/// The longest run of bytes with 7 bits of a number each that is read.
const LONGEST_NUMBER: usize = 10;
/// The names of objects, in packs of repositories with SHA-1 names.
const NAME: usize = 20;
/// Unpacked data is looked at in pieces of this size.
const PIECE: usize = 32 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Blob,
    Commit,
    Tree,
    Tag,
    /// On an object earlier in the pack.
    OffsetDelta,
    /// On an object given by name.
    NameDelta,
}

impl Kind {
    fn is_delta(self) -> bool {
        matches!(self, Self::OffsetDelta | Self::NameDelta)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Blob => "a file",
            Self::Commit => "a commit",
            Self::Tree => "a directory",
            Self::Tag => "a tag",
            Self::OffsetDelta | Self::NameDelta => "a delta",
        }
    }
}

/// What is expected next.
enum State {
    Header,
    /// Kind and size of the next object, and what it builds on.
    Entry,
    Data(Data),
    /// The checksum and what may follow: libgit2's matter.
    Trailer,
}

struct Data {
    kind: Kind,
    size: u64,
    unpacked: u64,
    inflate: Box<Decompress>,
    /// The beginning of a delta, which has the sizes of base and result.
    beginning: Vec<u8>,
}

/// A pack as far as it has arrived.
pub(super) struct PackScan {
    limits: Limits,
    state: State,
    /// Bytes of a header or entry that is not complete.
    pending: Vec<u8>,
    /// Objects announced.
    announced: u32,
    /// Objects announced and not seen yet.
    remaining: u32,
    /// What all objects seen take, unpacked.
    unpacked: u64,
    piece: Vec<u8>,
}

impl PackScan {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            state: State::Header,
            pending: Vec::new(),
            announced: 0,
            remaining: 0,
            unpacked: 0,
            piece: vec![0; PIECE],
        }
    }

    /// Whether the header is there and announces no object at all.
    pub(super) fn is_empty_pack(&self) -> bool {
        self.is_complete() && self.announced == 0
    }

    /// Whether all announced objects have arrived.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.state, State::Trailer)
    }

    /// Looks at the next bytes.
    pub(super) fn feed(&mut self, mut input: &[u8]) -> Result<(), PackProblem> {
        while !input.is_empty() {
            input = match &mut self.state {
                State::Trailer => return Ok(()),
                State::Header => self.header(input)?,
                State::Entry => self.entry(input)?,
                State::Data(_) => self.data(input)?,
            };
        }
        Ok(())
    }

    fn header<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], PackProblem> {
        let (taken, rest) = input.split_at(input.len().min(HEADER - self.pending.len()));
        self.pending.extend_from_slice(taken);
        let Ok(header): Result<[u8; HEADER], _> = self.pending.as_slice().try_into() else {
            return Ok(rest);
        };
        let [p, a, c, k, v0, v1, v2, v3, n0, n1, n2, n3] = header;
        if [p, a, c, k] != *b"PACK" || !matches!(u32::from_be_bytes([v0, v1, v2, v3]), 2 | 3) {
            return Err(invalid(format!("it begins with '{}'", printable(&header))));
        }
        self.announced = u32::from_be_bytes([n0, n1, n2, n3]);
        self.remaining = self.announced;
        if self.announced > self.limits.objects {
            return Err(Excess::Objects {
                count: self.announced,
                limit: self.limits.objects,
            }
            .into());
        }
        self.next_entry();
        Ok(rest)
    }

    fn next_entry(&mut self) {
        self.pending.clear();
        self.state = match self.remaining.checked_sub(1) {
            Some(remaining) => {
                self.remaining = remaining;
                State::Entry
            }
            None => State::Trailer,
        };
    }

    /// Entries are short, so they are gathered byte by byte until they can be read.
    fn entry<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], PackProblem> {
        let mut rest = input;
        while let Some((byte, after)) = rest.split_first() {
            self.pending.push(*byte);
            rest = after;
            let Some((kind, size)) = parse_entry(&self.pending)? else {
                continue;
            };
            self.check(kind, size)?;
            self.state = State::Data(Data {
                kind,
                size,
                unpacked: 0,
                inflate: Box::new(Decompress::new(true)),
                beginning: Vec::new(),
            });
            break;
        }
        Ok(rest)
    }

    /// Files are written by libgit2 as they come, whatever their size; everything else is held in memory.
    fn check(&mut self, kind: Kind, size: u64) -> Result<(), PackProblem> {
        let limit = match kind {
            Kind::Blob => u64::MAX,
            Kind::Commit | Kind::Tree | Kind::Tag => self.limits.metadata_bytes,
            Kind::OffsetDelta | Kind::NameDelta => self.largest_rebuilt(),
        };
        within(kind.name(), size, limit)?;
        self.count(size)
    }

    fn largest_rebuilt(&self) -> u64 {
        self.limits.blob_bytes.max(self.limits.metadata_bytes)
    }

    fn count(&mut self, size: u64) -> Result<(), PackProblem> {
        self.unpacked = self.unpacked.saturating_add(size);
        if self.unpacked > self.limits.unpacked_bytes {
            return Err(Excess::UnpackedBytes {
                limit: self.limits.unpacked_bytes,
            }
            .into());
        }
        Ok(())
    }

    fn data<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], PackProblem> {
        let State::Data(data) = &mut self.state else {
            return Ok(input);
        };
        let (taken_before, given_before) = (data.inflate.total_in(), data.inflate.total_out());
        let status = data
            .inflate
            .decompress(input, &mut self.piece, FlushDecompress::None)
            .map_err(|error| invalid(format!("an object cannot be unpacked: {error}")))?;
        let taken = usize::try_from(data.inflate.total_in() - taken_before).unwrap_or(input.len());
        let given = usize::try_from(data.inflate.total_out() - given_before).unwrap_or(PIECE);
        data.unpacked += given as u64;
        if data.unpacked > data.size {
            return Err(invalid("an object is larger than it says"));
        }
        if data.kind.is_delta() && data.beginning.len() < 2 * LONGEST_NUMBER {
            let wanted = given.min(2 * LONGEST_NUMBER - data.beginning.len());
            data.beginning.extend_from_slice(&self.piece[..wanted]);
        }
        let rest = &input[taken..];
        match status {
            Status::StreamEnd => {
                if data.unpacked != data.size {
                    return Err(invalid("an object is smaller than it says"));
                }
                if data.kind.is_delta() {
                    let (base, result) =
                        parse_delta_sizes(&data.beginning).ok_or_else(|| invalid("a delta has no sizes"))?;
                    let limit = self.largest_rebuilt();
                    within("the base of a delta", base, limit)?;
                    within("the result of a delta", result, limit)?;
                    self.count(result)?;
                }
                self.next_entry();
            }
            // Neither input taken nor output given: there is no progress to be made, ever.
            Status::Ok | Status::BufError if taken == 0 && given == 0 => {
                return Err(invalid("an object cannot be unpacked"));
            }
            Status::Ok | Status::BufError => {}
        }
        Ok(rest)
    }
}

fn within(name: &str, size: u64, limit: u64) -> Result<(), PackProblem> {
    if size > limit {
        return Err(Excess::Object {
            name: name.to_owned(),
            size,
            limit,
        }
        .into());
    }
    Ok(())
}

/// Kind and size, once all bytes of an entry's header are there, with what a delta builds on.
fn parse_entry(bytes: &[u8]) -> Result<Option<(Kind, u64)>, PackProblem> {
    let Some(end) = bytes.iter().position(|byte| byte & 0x80 == 0) else {
        return if bytes.len() > LONGEST_NUMBER {
            Err(invalid("a size without end"))
        } else {
            Ok(None)
        };
    };
    let first = bytes[0];
    let kind = match first >> 4 & 7 {
        1 => Kind::Commit,
        2 => Kind::Tree,
        3 => Kind::Blob,
        4 => Kind::Tag,
        6 => Kind::OffsetDelta,
        7 => Kind::NameDelta,
        other => return Err(invalid(format!("an object of kind {other}"))),
    };
    let mut size = u64::from(first & 0x0f);
    for (index, byte) in bytes[1..=end].iter().enumerate() {
        let part = u64::from(byte & 0x7f);
        let shift = 4 + 7 * u32::try_from(index).unwrap_or(u32::MAX / 8);
        if part.leading_zeros() < shift {
            return Err(invalid("a size beyond 64 bits"));
        }
        size |= part << shift;
    }
    let base = &bytes[end + 1..];
    let is_whole = match kind {
        Kind::NameDelta => base.len() == NAME,
        Kind::OffsetDelta => {
            if base.len() > LONGEST_NUMBER {
                return Err(invalid("an offset without end"));
            }
            base.last().is_some_and(|byte| byte & 0x80 == 0)
        }
        Kind::Blob | Kind::Commit | Kind::Tree | Kind::Tag => true,
    };
    Ok(is_whole.then_some((kind, size)))
}

/// The sizes of base and result at the beginning of a delta.
fn parse_delta_sizes(bytes: &[u8]) -> Option<(u64, u64)> {
    let (base, rest) = parse_number(bytes)?;
    let (result, _) = parse_number(rest)?;
    Some((base, result))
}

fn parse_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(LONGEST_NUMBER) {
        let part = u64::from(byte & 0x7f);
        let shift = 7 * u32::try_from(index).ok()?;
        if part.leading_zeros() < shift {
            return None;
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Some((number, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use proptest::prelude::*;

    use super::*;

    fn packed(data: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    /// The header of an entry, followed by what it builds on.
    fn entry(kind: u8, mut size: u64, base: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind << 4 | (size & 0x0f) as u8];
        size >>= 4;
        while size > 0 {
            *bytes.last_mut().unwrap() |= 0x80;
            bytes.push((size & 0x7f) as u8);
            size >>= 7;
        }
        bytes.extend_from_slice(base);
        bytes
    }

    fn pack(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = b"PACK\0\0\0\x02".to_vec();
        bytes.extend_from_slice(&(entries.len() as u32).to_be_bytes());
        entries.iter().for_each(|entry| bytes.extend_from_slice(entry));
        bytes.extend_from_slice(&[0; 20]);
        bytes
    }

    fn object(kind: u8, data: &[u8]) -> Vec<u8> {
        [entry(kind, data.len() as u64, &[]), packed(data)].concat()
    }

    fn delta(base: &[u8], data: &[u8]) -> Vec<u8> {
        let kind = if base.len() == NAME { 7 } else { 6 };
        [entry(kind, data.len() as u64, base), packed(data)].concat()
    }

    fn number(mut value: u64) -> Vec<u8> {
        let mut bytes = vec![(value & 0x7f) as u8];
        value >>= 7;
        while value > 0 {
            *bytes.last_mut().unwrap() |= 0x80;
            bytes.push((value & 0x7f) as u8);
            value >>= 7;
        }
        bytes
    }

    fn scan(pack: &[u8], piece: usize) -> Result<bool, PackProblem> {
        let limits = Limits {
            objects: 10,
            blob_bytes: 1000,
            metadata_bytes: 500,
            unpacked_bytes: 5000,
            ..Limits::default()
        };
        let mut scan = PackScan::new(&limits);
        for piece in pack.chunks(piece) {
            scan.feed(piece)?;
        }
        Ok(scan.is_complete())
    }

    fn excess(name: &str, size: u64, limit: u64) -> Result<bool, PackProblem> {
        Err(Excess::Object {
            name: name.to_owned(),
            size,
            limit,
        }
        .into())
    }

    #[test]
    fn a_sound_pack_is_taken_in_pieces_of_any_size() {
        let sizes = [number(300), number(400), vec![0x90, 100]].concat();
        let pack = pack(&[
            object(1, b"tree 0000"),
            object(3, &[7; 2000]),
            delta(&[0x81, 0x05], &sizes),
            delta(&[9; 20], &sizes),
        ]);
        for piece in 1..pack.len() {
            assert_eq!(scan(&pack, piece), Ok(true), "{piece}");
        }
        for end in 0..pack.len() - 20 {
            assert_eq!(scan(&pack[..end], 7), Ok(false), "{end}");
        }
    }

    #[test]
    fn a_delta_that_would_become_too_large_is_refused_before_it_does() {
        let sizes = [number(10), number(1 << 40)].concat();
        assert_eq!(
            scan(&pack(&[delta(&[1], &sizes)]), 64),
            excess("the result of a delta", 1 << 40, 1000)
        );
        let sizes = [number(1001), number(1)].concat();
        assert_eq!(
            scan(&pack(&[delta(&[1], &sizes)]), 64),
            excess("the base of a delta", 1001, 1000)
        );
        assert_eq!(
            scan(&pack(&[entry(6, 1001, &[1])]), 64),
            excess("a delta", 1001, 1000)
        );
    }

    #[test]
    fn directories_are_bounded_more_tightly_than_files() {
        assert_eq!(
            scan(&pack(&[object(2, &[0; 501])]), 64),
            excess("a directory", 501, 500)
        );
        assert_eq!(scan(&pack(&[object(3, &[0; 501])]), 64), Ok(true));
    }

    #[test]
    fn many_objects_of_allowed_size_are_bounded_together() {
        let sizes = [number(10), number(900)].concat();
        let deltas: Vec<_> = (0..6).map(|_| delta(&[1], &sizes)).collect();
        assert_eq!(
            scan(&pack(&deltas), 64),
            Err(Excess::UnpackedBytes { limit: 5000 }.into())
        );
        let many: Vec<_> = (0..11).map(|_| object(3, b"")).collect();
        assert_eq!(
            scan(&pack(&many), 64),
            Err(Excess::Objects { count: 11, limit: 10 }.into())
        );
    }

    #[test]
    fn an_object_that_is_not_of_its_size_is_refused() {
        let larger = [entry(3, 5, &[]), packed(&[0; 6])].concat();
        assert_eq!(
            scan(&pack(&[larger]), 64),
            Err(invalid("an object is larger than it says"))
        );
        let smaller = [entry(3, 5, &[]), packed(&[0; 4])].concat();
        assert_eq!(
            scan(&pack(&[smaller]), 64),
            Err(invalid("an object is smaller than it says"))
        );
        let endless = vec![0xff; 30];
        assert!(matches!(
            scan(&pack(&[endless]), 64),
            Err(PackProblem::Invalid(_))
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_depend_on_the_pieces(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
            piece in 1_usize..50,
        ) {
            let mut whole = b"PACK\0\0\0\x02\0\0\0\x02".to_vec();
            whole.append(&mut bytes);
            let (one, other) = (scan(&whole, whole.len()), scan(&whole, piece));
            prop_assert_eq!(one.is_ok(), other.is_ok());
        }
    }
}
