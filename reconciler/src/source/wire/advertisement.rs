//! What a server says first: its protocol version, its capabilities and, before version 2, its references.
//! Parses packets, does no I/O of its own besides reading them.

use super::super::SourceError;
use super::super::error::printable;
use super::super::object_id::ObjectId;
use super::super::reference::RemoteRef;
use super::packet::{Packet, PacketReader};

/// The capabilities of a server, as sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Capabilities(Vec<String>);

impl Capabilities {
    /// Whether a capability is there, with or without a value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The value of a capability; empty if it has none.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find_map(|capability| match capability.strip_prefix(name)? {
                "" => Some(""),
                rest => rest.strip_prefix('='),
            })
    }

    /// Whether the value of a capability lists a feature, as in `fetch=shallow filter`.
    pub(super) fn lists(&self, name: &str, feature: &str) -> bool {
        self.value(name)
            .is_some_and(|value| value.split(' ').any(|word| word == feature))
    }
}

/// How the server speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Server {
    /// Version 2: references are asked for.
    V2(Capabilities),
    /// Versions 0 and 1: all references came at once.
    V0 {
        capabilities: Capabilities,
        refs: Vec<RemoteRef>,
    },
}

impl Server {
    /// Reads the advertisement.
    pub(super) async fn read(reader: &mut PacketReader) -> Result<Self, SourceError> {
        let mut first = reader.expect().await?;
        if matches!(&first, Packet::Data(data) if data.starts_with(b"# service=")) {
            // Only HTTP servers announce the service, and end that with a flush.
            reader.expect().await?;
            first = reader.expect().await?;
        }
        let server = match &first {
            Packet::Data(data) if data.trim_ascii_end() == b"version 2" => {
                let mut capabilities = Vec::new();
                while let Some(line) = reader.line().await? {
                    capabilities.push(String::from_utf8_lossy(&line).into_owned());
                }
                Self::V2(Capabilities(capabilities))
            }
            Packet::Data(data) if data.trim_ascii_end() == b"version 1" => {
                let first = reader.expect().await?;
                Self::read_references(first, reader).await?
            }
            _ => Self::read_references(first, reader).await?,
        };
        server.check_object_format(reader)?;
        Ok(server)
    }

    async fn read_references(first: Packet, reader: &mut PacketReader) -> Result<Self, SourceError> {
        let mut capabilities = Capabilities::default();
        let mut refs: Vec<RemoteRef> = Vec::new();
        let mut next = first;
        while let Packet::Data(line) = next {
            let line = line.trim_ascii_end();
            let (line, announced) = match line.iter().position(|byte| *byte == 0) {
                Some(end) => (&line[..end], Some(&line[end + 1..])),
                None => (line, None),
            };
            if let Some(announced) = announced {
                let words = String::from_utf8_lossy(announced).into_owned();
                capabilities = Capabilities(words.split(' ').map(str::to_owned).collect());
            }
            let (id, name) = parse_reference(line)
                .ok_or_else(|| reader.protocol(format!("expected a reference, got '{}'", printable(line))))?;
            match name.strip_suffix("^{}") {
                Some(name) => {
                    if let Some(tag) = refs.last_mut().filter(|tag| tag.name == name) {
                        tag.peeled = Some(id);
                    }
                }
                None if name == "capabilities^{}" || id.is_zero() => {}
                None if line.starts_with(b"shallow ") => {}
                None => refs.push(RemoteRef {
                    name,
                    id,
                    peeled: None,
                }),
            }
            next = reader.expect().await?;
        }
        Ok(Self::V0 { capabilities, refs })
    }

    pub(super) fn capabilities(&self) -> &Capabilities {
        match self {
            Self::V2(capabilities) | Self::V0 { capabilities, .. } => capabilities,
        }
    }

    fn check_object_format(&self, reader: &PacketReader) -> Result<(), SourceError> {
        match self.capabilities().value("object-format") {
            None | Some("sha1") => Ok(()),
            Some(other) => Err(reader.protocol(format!(
                "its objects are named by '{}'; only repositories with SHA-1 names are supported",
                printable(other.as_bytes())
            ))),
        }
    }
}

/// `<id> <name>`, or `shallow <id>` of which only the form is checked.
fn parse_reference(line: &[u8]) -> Option<(ObjectId, String)> {
    if let Some(id) = line.strip_prefix(b"shallow ") {
        return Some((ObjectId::from_hex(id)?, String::new()));
    }
    let name = line.get(40..)?.strip_prefix(b" ")?;
    Some((
        ObjectId::from_hex(&line[..40])?,
        String::from_utf8_lossy(name).into_owned(),
    ))
}

/// One line of an `ls-refs` answer: `<id|unborn> <name>[ <attribute>]*`; `None` within if it is not born yet.
pub(super) fn parse_listed(line: &[u8]) -> Option<Option<RemoteRef>> {
    let text = String::from_utf8_lossy(line);
    let mut words = text.split(' ');
    let id = words.next()?;
    let name = words.next()?.to_owned();
    if id == "unborn" {
        return Some(None);
    }
    let id = id.parse().ok()?;
    let peeled = match words.find_map(|word| word.strip_prefix("peeled:")) {
        Some(peeled) => Some(peeled.parse().ok()?),
        None => None,
    };
    Some(Some(RemoteRef { name, id, peeled }))
}
