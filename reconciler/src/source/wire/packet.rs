//! pkt-line framing (gitprotocol-common): lengths in, packets out. Reads from the network, bounded.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;

use super::super::SourceError;
use super::super::error::{Cause, printable};
use super::super::excess::Excess;
use super::ssh::SshReader;

/// One packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Data(Bytes),
    Flush,
    Delimiter,
    ResponseEnd,
}

/// Where bytes come from.
pub(super) enum ByteSource {
    Http(hyper::body::Incoming),
    Ssh(SshReader),
    /// Before the first answer.
    Nothing,
    /// What a test has written down.
    #[cfg(test)]
    Chunks(std::collections::VecDeque<Bytes>),
}

impl ByteSource {
    /// The next bytes, `None` at the end.
    async fn chunk(&mut self) -> Result<Option<Bytes>, Cause> {
        match self {
            Self::Http(body) => loop {
                match body.frame().await {
                    None => return Ok(None),
                    Some(Err(error)) => return Err(Box::new(error)),
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Ok(Some(data));
                        }
                    }
                }
            },
            Self::Ssh(reader) => Ok(reader.chunk().await),
            Self::Nothing => Ok(None),
            #[cfg(test)]
            Self::Chunks(chunks) => Ok(chunks.pop_front()),
        }
    }
}

/// What is being received, and how much of it is allowed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Phase {
    Listing { limit: u64 },
    Pack { limit: u64 },
}

impl Phase {
    fn excess(self, received: u64) -> Option<Excess> {
        match self {
            Self::Listing { limit } if received > limit => Some(Excess::ListingBytes { limit }),
            Self::Pack { limit } if received > limit => Some(Excess::PackBytes { limit }),
            _ => None,
        }
    }

    fn during(self) -> &'static str {
        match self {
            Self::Listing { .. } => "while it listed its references",
            Self::Pack { .. } => "while it sent the pack",
        }
    }
}

/// The largest payload of a packet.
const LARGEST_PACKET: usize = 65520;

/// How long the end of an answer may take after its last packet.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// Reads packets, counting what it receives against the bound of the phase.
pub(super) struct PacketReader {
    url: String,
    source: ByteSource,
    buffer: BytesMut,
    phase: Phase,
    received: u64,
}

impl PacketReader {
    pub(super) fn new(url: &str, source: ByteSource, phase: Phase) -> Self {
        Self {
            url: url.to_owned(),
            source,
            buffer: BytesMut::new(),
            phase,
            received: 0,
        }
    }

    /// Begins another phase on the same stream.
    pub(super) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.received = 0;
    }

    /// The next packet, or `None` at the end of the stream.
    ///
    /// # Errors
    /// `Interrupted`, `Protocol`, `TooLarge`, and `Refused` for an `ERR` packet.
    pub(super) async fn next(&mut self) -> Result<Option<Packet>, SourceError> {
        if !self.fill(4).await? {
            return if self.buffer.is_empty() {
                Ok(None)
            } else {
                Err(self.interrupted(None))
            };
        }
        let Some(length) = length(&self.buffer[..4]) else {
            return Err(self.protocol(format!(
                "expected a packet, got '{}'",
                printable(&self.buffer[..self.buffer.len().min(80)])
            )));
        };
        let packet = match length {
            0 => Packet::Flush,
            1 => Packet::Delimiter,
            2 => Packet::ResponseEnd,
            3 => return Err(self.protocol("a packet of length 3".to_owned())),
            length if length > LARGEST_PACKET => {
                return Err(self.protocol(format!("a packet of {length} bytes")));
            }
            length => {
                if !self.fill(length).await? {
                    return Err(self.interrupted(None));
                }
                let mut data = self.buffer.split_to(length).freeze();
                data.advance(4);
                return match data.strip_prefix(b"ERR ") {
                    Some(message) => Err(SourceError::Refused {
                        url: self.url.clone(),
                        message: printable(message),
                    }),
                    None => Ok(Some(Packet::Data(data))),
                };
            }
        };
        self.buffer.advance(4);
        Ok(Some(packet))
    }

    /// The next packet, where the stream must not end.
    pub(super) async fn expect(&mut self) -> Result<Packet, SourceError> {
        match self.next().await? {
            Some(packet) => Ok(packet),
            None => Err(self.ended()),
        }
    }

    /// The next line without its newline, `None` for anything but data.
    pub(super) async fn line(&mut self) -> Result<Option<Bytes>, SourceError> {
        Ok(match self.expect().await? {
            Packet::Data(data) => Some(trimmed(data)),
            Packet::Flush | Packet::Delimiter | Packet::ResponseEnd => None,
        })
    }

    /// Reads what is left of an HTTP answer, so that its connection can be used again. An answer that does not
    /// end here costs its connection, nothing else.
    pub(super) async fn finish(&mut self) {
        if matches!(self.source, ByteSource::Http(_)) {
            let _ = tokio::time::timeout(FINISH_TIMEOUT, self.source.chunk()).await;
            self.source = ByteSource::Nothing;
        }
    }

    /// Whether the buffer holds `wanted` bytes, after reading as far as the stream allows.
    async fn fill(&mut self, wanted: usize) -> Result<bool, SourceError> {
        while self.buffer.len() < wanted {
            match self.source.chunk().await {
                Ok(None) => return Ok(false),
                Ok(Some(data)) => {
                    self.received += data.len() as u64;
                    if let Some(excess) = self.phase.excess(self.received) {
                        return Err(SourceError::TooLarge {
                            url: self.url.clone(),
                            excess,
                        });
                    }
                    self.buffer.extend_from_slice(&data);
                }
                Err(cause) => return Err(self.interrupted(Some(cause))),
            }
        }
        Ok(true)
    }

    /// The error for a stream that ended early: the server's own words if it left any on standard error.
    fn ended(&mut self) -> SourceError {
        if let ByteSource::Ssh(reader) = &self.source
            && let Some(error) = reader.complaint(&self.url)
        {
            return error;
        }
        self.interrupted(None)
    }

    fn interrupted(&self, cause: Option<Cause>) -> SourceError {
        SourceError::Interrupted {
            url: self.url.clone(),
            during: self.phase.during(),
            received: self.received,
            cause,
        }
    }

    pub(super) fn protocol(&self, problem: String) -> SourceError {
        SourceError::Protocol {
            url: self.url.clone(),
            problem,
        }
    }
}

fn length(hex: &[u8]) -> Option<usize> {
    hex.iter().try_fold(0, |length, digit| {
        Some(length * 16 + (*digit as char).to_digit(16)? as usize)
    })
}

fn trimmed(mut data: Bytes) -> Bytes {
    if data.ends_with(b"\n") {
        data.truncate(data.len() - 1);
    }
    data
}

/// Collects packets of a request.
#[derive(Debug, Default)]
pub(super) struct PacketWriter(Vec<u8>);

impl PacketWriter {
    /// Adds a line; a newline is appended. Lines are commands and names, all far below the limit of a packet.
    pub(super) fn line(&mut self, text: &str) {
        self.0
            .extend_from_slice(format!("{:04x}{text}\n", text.len() + 5).as_bytes());
    }

    pub(super) fn delimiter(&mut self) {
        self.0.extend_from_slice(b"0001");
    }

    pub(super) fn flush(&mut self) {
        self.0.extend_from_slice(b"0000");
    }

    pub(super) fn into_bytes(self) -> Bytes {
        self.0.into()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A reader of bytes that arrive in pieces.
    pub(in super::super) fn reader(bytes: &[u8], piece: usize, limit: u64) -> PacketReader {
        let chunks = bytes.chunks(piece.max(1)).map(Bytes::copy_from_slice).collect();
        PacketReader::new("url", ByteSource::Chunks(chunks), Phase::Listing { limit })
    }

    /// Runs a future that never waits.
    pub(in super::super) fn now<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    fn packets(bytes: &[u8], piece: usize) -> Result<Vec<Packet>, SourceError> {
        let mut reader = reader(bytes, piece, 1000);
        now(async {
            let mut packets = Vec::new();
            while let Some(packet) = reader.next().await? {
                packets.push(packet);
            }
            Ok(packets)
        })
    }

    #[test]
    fn packets_are_read_however_the_bytes_arrive() {
        let bytes = b"0009hello00000001000200040006a\n";
        let data = |text: &'static [u8]| Packet::Data(Bytes::from_static(text));
        let expected = [
            data(b"hello"),
            Packet::Flush,
            Packet::Delimiter,
            Packet::ResponseEnd,
            data(b""),
            data(b"a\n"),
        ];
        for piece in 1..=bytes.len() {
            assert_eq!(packets(bytes, piece).unwrap(), expected, "{piece}");
        }
    }

    #[test]
    fn an_end_within_a_packet_is_an_interruption() {
        let bytes = b"0009hello";
        for end in 1..bytes.len() {
            let error = packets(&bytes[..end], 3).unwrap_err();
            assert!(
                matches!(error, SourceError::Interrupted { received, .. } if received == end as u64),
                "{end}"
            );
        }
    }

    #[test]
    fn what_is_no_packet_is_shown_without_control_characters() {
        assert_eq!(
            packets(b"\x1b[31mno packet", 100).unwrap_err().to_string(),
            "unexpected answer from 'url': expected a packet, got '[31mno packet'"
        );
        assert!(packets(b"0003", 4).is_err());
        assert!(packets(b"fff1", 4).is_err());
    }

    #[test]
    fn bytes_are_counted_against_the_bound_as_they_arrive() {
        let mut reader = reader(b"0009hello0009world", 6, 10);
        let error = now(async { (reader.next().await, reader.next().await) });
        assert!(matches!(
            error,
            (
                Err(SourceError::TooLarge {
                    excess: Excess::ListingBytes { limit: 10 },
                    ..
                }),
                _
            )
        ));
    }

    #[test]
    fn requests_are_framed() {
        let mut writer = PacketWriter::default();
        writer.line("command=ls-refs");
        writer.delimiter();
        writer.line("peel");
        writer.flush();
        assert_eq!(
            writer.into_bytes(),
            &b"0014command=ls-refs\n00010009peel\n0000"[..]
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), piece in 1_usize..20) {
            let _ = packets(&bytes, piece);
        }
    }
}
