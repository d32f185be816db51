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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::packet::PacketWriter;
    use super::super::packet::tests::{now, reader};
    use super::*;

    const ID: &str = "1111111111111111111111111111111111111111";
    const OTHER: &str = "2222222222222222222222222222222222222222";

    fn read(lines: &[&str]) -> Result<Server, SourceError> {
        let mut writer = PacketWriter::default();
        for line in lines {
            match *line {
                "" => writer.flush(),
                line => writer.line(line),
            }
        }
        now(Server::read(&mut reader(&writer.into_bytes(), 7, 10_000)))
    }

    fn reference(name: &str, id: &str, peeled: Option<&str>) -> RemoteRef {
        RemoteRef {
            name: name.to_owned(),
            id: id.parse().unwrap(),
            peeled: peeled.map(|peeled| peeled.parse().unwrap()),
        }
    }

    #[test]
    fn version_2_lists_capabilities_with_and_without_the_service_line() {
        let bare = read(&[
            "version 2",
            "agent=git/2",
            "ls-refs=unborn",
            "fetch=shallow filter",
            "",
        ])
        .unwrap();
        let announced = read(&[
            "# service=git-upload-pack",
            "",
            "version 2",
            "agent=git/2",
            "ls-refs=unborn",
            "fetch=shallow filter",
            "",
        ]);
        assert_eq!(announced.unwrap(), bare);
        let capabilities = bare.capabilities();
        assert!(capabilities.lists("fetch", "filter") && !capabilities.lists("fetch", "fil"));
        assert!(capabilities.has("ls-refs") && !capabilities.has("ls"));
    }

    #[test]
    fn versions_0_and_1_list_references_and_what_tags_stand_for() {
        let lines = [
            &format!("{ID} HEAD\0side-band-64k agent=git/2"),
            &format!("{ID} refs/heads/main"),
            &format!("{ID} refs/tags/v1"),
            &format!("{OTHER} refs/tags/v1^{{}}"),
            &format!("shallow {OTHER}"),
            "",
        ];
        let old = read(&lines).unwrap();
        let Server::V0 { capabilities, refs } = &old else {
            panic!("{old:?}")
        };
        assert!(capabilities.has("side-band-64k"));
        assert_eq!(
            refs,
            &[
                reference("HEAD", ID, None),
                reference("refs/heads/main", ID, None),
                reference("refs/tags/v1", ID, Some(OTHER)),
            ]
        );
        let mut with_version = vec!["version 1"];
        with_version.extend(lines);
        assert_eq!(read(&with_version).unwrap(), old);
    }

    #[test]
    fn an_empty_repository_has_no_references() {
        let line = format!("{} capabilities^{{}}\0side-band-64k", "0".repeat(40));
        let Server::V0 { refs, .. } = read(&[&line, ""]).unwrap() else {
            panic!()
        };
        assert!(refs.is_empty());
    }

    #[test]
    fn lines_of_a_listing_are_read() {
        let line = format!("{ID} refs/tags/v1 symref-target:refs/x peeled:{OTHER}");
        assert_eq!(
            parse_listed(line.as_bytes()),
            Some(Some(reference("refs/tags/v1", ID, Some(OTHER))))
        );
        assert_eq!(
            parse_listed(b"unborn HEAD symref-target:refs/heads/main"),
            Some(None)
        );
        assert_eq!(parse_listed(b"nonsense refs/x"), None);
        assert_eq!(parse_listed(format!("{ID} refs/x peeled:zz").as_bytes()), None);
    }

    proptest! {
        #[test]
        fn no_lines_make_it_panic(lines in prop::collection::vec("[ -~\0]{0,60}|[0-9a-f]{40} [a-z^{}]{0,9}", 0..6)) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let _ = read(&lines);
            for line in lines {
                let _ = parse_listed(line.as_bytes());
            }
        }
    }
}
