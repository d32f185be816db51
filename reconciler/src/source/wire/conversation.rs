//! One exchange with one server: connects, lists references, receives a pack. Does network I/O.

use tokio::sync::mpsc;
use url::Url;

use super::super::SourceError;
use super::super::error::printable;
use super::super::limits::Limits;
use super::super::object_id::ObjectId;
use super::super::reference::RemoteRef;
use super::super::remote::{Remote, Scheme};
use super::super::repository::PackPart;
use super::Connections;
use super::advertisement::{Capabilities, Server, parse_listed};
use super::http::HttpEndpoint;
use super::packet::{ByteSource, Packet, PacketReader, PacketWriter, Phase};
use super::ssh::SshChannel;

const AGENT: &str = concat!("agent=coracle/", env!("CARGO_PKG_VERSION"));

/// What is remembered of an HTTP server that speaks version 2, so that the next listing is one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct ServerMemory {
    /// Where the server's redirects led.
    base: Url,
    capabilities: Capabilities,
}

enum Transport {
    Http(Box<HttpEndpoint>),
    Ssh(SshChannel),
}

/// What to receive.
#[derive(Debug)]
pub(in super::super) struct FetchRequest {
    pub(in super::super) want: ObjectId,
    /// Commits that are held with all their objects, without their history.
    pub(in super::super) held: Vec<ObjectId>,
    /// Only the commit itself, without history.
    pub(in super::super) shallow: bool,
}

/// An exchange with a server.
pub(in super::super) struct Conversation {
    url: String,
    transport: Transport,
    reader: PacketReader,
    server: Server,
    limits: Limits,
}

impl Conversation {
    /// Connects and reads what the server says first.
    pub(in super::super) async fn open(
        remote: &Remote,
        connections: &Connections,
        limits: &Limits,
    ) -> Result<Self, SourceError> {
        let url = remote.to_string();
        let phase = Phase::Listing {
            limit: limits.listing_bytes,
        };
        let (transport, source) = match remote.scheme() {
            Scheme::Http | Scheme::Https => {
                let mut endpoint = HttpEndpoint::new(remote, &connections.http)?;
                let body = endpoint.discover().await?;
                (Transport::Http(Box::new(endpoint)), ByteSource::Http(body))
            }
            Scheme::Ssh => {
                let (channel, reader) = SshChannel::open(remote, &connections.ssh).await?;
                (Transport::Ssh(channel), ByteSource::Ssh(reader))
            }
        };
        let mut reader = PacketReader::new(&url, source, phase);
        let server = Server::read(&mut reader).await?;
        reader.finish().await;
        Ok(Self {
            url,
            transport,
            reader,
            server,
            limits: limits.clone(),
        })
    }

    /// Goes on with a server that is known, without asking it anything. Only for HTTP.
    pub(in super::super) fn resume(
        remote: &Remote,
        connections: &Connections,
        limits: &Limits,
        memory: ServerMemory,
    ) -> Result<Self, SourceError> {
        let url = remote.to_string();
        let mut endpoint = HttpEndpoint::new(remote, &connections.http)?;
        endpoint.set_base(memory.base);
        let phase = Phase::Listing {
            limit: limits.listing_bytes,
        };
        let reader = PacketReader::new(&url, ByteSource::Nothing, phase);
        Ok(Self {
            url,
            transport: Transport::Http(Box::new(endpoint)),
            reader,
            server: Server::V2(memory.capabilities),
            limits: limits.clone(),
        })
    }

    /// What to remember for [`Conversation::resume`].
    pub(in super::super) fn memory(&self) -> Option<ServerMemory> {
        match (&self.transport, &self.server) {
            (Transport::Http(endpoint), Server::V2(capabilities)) => Some(ServerMemory {
                base: endpoint.base().clone(),
                capabilities: capabilities.clone(),
            }),
            _ => None,
        }
    }

    /// Whether the server gives out any commit by its name, not only the tips of references.
    pub(in super::super) fn serves_any_commit(&self) -> bool {
        match &self.server {
            Server::V2(_) => true,
            Server::V0 { capabilities, .. } => {
                capabilities.has("allow-reachable-sha1-in-want") || capabilities.has("allow-any-sha1-in-want")
            }
        }
    }

    /// The references whose names begin with one of the prefixes, and perhaps others.
    pub(in super::super) async fn list(
        &mut self,
        prefixes: &[String],
    ) -> Result<Vec<RemoteRef>, SourceError> {
        let capabilities = match &self.server {
            Server::V0 { refs, .. } => return Ok(refs.clone()),
            Server::V2(capabilities) => capabilities,
        };
        let mut request = command("ls-refs", capabilities);
        request.delimiter();
        request.line("peel");
        for prefix in prefixes {
            request.line(&format!("ref-prefix {prefix}"));
        }
        request.flush();
        self.send(
            request,
            Phase::Listing {
                limit: self.limits.listing_bytes,
            },
        )
        .await?;

        let mut refs = Vec::new();
        while let Some(line) = self.reader.line().await? {
            let listed = parse_listed(&line).ok_or_else(|| {
                self.reader
                    .protocol(format!("expected a reference, got '{}'", printable(&line)))
            })?;
            refs.extend(listed);
        }
        self.reader.finish().await;
        Ok(refs)
    }

    /// Receives a pack into `sink`, in order and unchanged. The caller checks what is in it.
    pub(in super::super) async fn fetch(
        &mut self,
        request: &FetchRequest,
        sink: &mpsc::Sender<PackPart>,
    ) -> Result<(), SourceError> {
        let phase = Phase::Pack {
            limit: self.limits.pack_bytes,
        };
        match &self.server {
            Server::V2(capabilities) => {
                let message = request_v2(request, capabilities);
                self.send(message, phase).await?;
                self.skip_to_pack_v2().await?;
                self.receive(None, sink).await?;
            }
            Server::V0 { capabilities, .. } => {
                let deepens = request.shallow && capabilities.has("shallow");
                let message = self.request_v0(request, capabilities)?;
                self.send(message, phase).await?;
                let first = self.skip_to_pack_v0(deepens).await?;
                self.receive(Some(first), sink).await?;
            }
        }
        self.reader.finish().await;
        // If nobody listens any more, the listener knows why.
        let _ = sink.send(PackPart::End).await;
        Ok(())
    }

    async fn send(&mut self, message: PacketWriter, phase: Phase) -> Result<(), SourceError> {
        let message = message.into_bytes();
        match &mut self.transport {
            Transport::Http(endpoint) => {
                let version = matches!(self.server, Server::V2(_)).then_some(2);
                let body = endpoint.post(message, version).await?;
                self.reader = PacketReader::new(&self.url, ByteSource::Http(body), phase);
            }
            Transport::Ssh(channel) => {
                channel.write(message).await?;
                self.reader.enter(phase);
            }
        }
        Ok(())
    }

    fn request_v0(
        &self,
        request: &FetchRequest,
        capabilities: &Capabilities,
    ) -> Result<PacketWriter, SourceError> {
        if !capabilities.has("side-band-64k") {
            return Err(self
                .reader
                .protocol("the server has no 'side-band-64k' (Git before 1.5)".to_owned()));
        }
        let mut asked = vec!["side-band-64k"];
        let thin = (!request.held.is_empty()).then_some("thin-pack");
        let wished = ["ofs-delta", "no-progress"].into_iter().chain(thin);
        asked.extend(wished.filter(|name| capabilities.has(name)));
        // Some servers answer only those who acknowledge in detail; all these lines are skipped alike.
        asked.extend(
            ["multi_ack_detailed", "multi_ack"]
                .into_iter()
                .find(|name| capabilities.has(name)),
        );
        if capabilities.has("agent") {
            asked.push(AGENT);
        }
        let mut message = PacketWriter::default();
        message.line(&format!("want {} {}", request.want, asked.join(" ")));
        if request.shallow && capabilities.has("shallow") {
            for held in &request.held {
                message.line(&format!("shallow {held}"));
            }
            message.line("deepen 1");
        }
        message.flush();
        for held in &request.held {
            message.line(&format!("have {held}"));
        }
        message.line("done");
        Ok(message)
    }

    /// Skips the sections before the pack.
    async fn skip_to_pack_v2(&mut self) -> Result<(), SourceError> {
        loop {
            let Some(section) = self.reader.line().await? else {
                return Err(self.reader.protocol("the answer has no pack".to_owned()));
            };
            if section == "packfile" {
                return Ok(());
            }
            if !matches!(
                &section[..],
                b"shallow-info" | b"acknowledgments" | b"wanted-refs"
            ) {
                return Err(self.reader.protocol(format!(
                    "expected a section before the pack, got '{}'",
                    printable(&section)
                )));
            }
            while self.reader.line().await?.is_some() {}
        }
    }

    /// Skips shallow lines and acknowledgements; the first packet after them is the pack's.
    async fn skip_to_pack_v0(&mut self, deepens: bool) -> Result<Packet, SourceError> {
        if deepens {
            while let Some(line) = self.reader.line().await? {
                if !line.starts_with(b"shallow ") && !line.starts_with(b"unshallow ") {
                    return Err(self
                        .reader
                        .protocol(format!("expected shallow commits, got '{}'", printable(&line))));
                }
            }
        }
        loop {
            match self.reader.expect().await? {
                Packet::Data(line) if line.starts_with(b"ACK ") || line.starts_with(b"NAK") => {}
                packet => return Ok(packet),
            }
        }
    }

    /// Receives the side band: pack data to the sink, progress to nobody, errors as errors.
    async fn receive(
        &mut self,
        first: Option<Packet>,
        sink: &mpsc::Sender<PackPart>,
    ) -> Result<(), SourceError> {
        let mut next = match first {
            Some(packet) => packet,
            None => self.reader.expect().await?,
        };
        loop {
            match next {
                Packet::Data(data) => match data.split_first() {
                    Some((1, _)) => {
                        if sink.send(PackPart::Data(data.slice(1..))).await.is_err() {
                            // The receiver ended early and knows why; its error is the one to report.
                            return Ok(());
                        }
                    }
                    Some((2, _)) | None => {}
                    Some((3, message)) => {
                        return Err(SourceError::Refused {
                            url: self.url.clone(),
                            message: printable(message),
                        });
                    }
                    Some((band, _)) => {
                        return Err(self.reader.protocol(format!("data on side band {band}")));
                    }
                },
                Packet::Flush | Packet::ResponseEnd => return Ok(()),
                Packet::Delimiter => {}
            }
            next = self.reader.expect().await?;
        }
    }
}

fn command(name: &str, capabilities: &Capabilities) -> PacketWriter {
    let mut message = PacketWriter::default();
    message.line(&format!("command={name}"));
    if capabilities.has("agent") {
        message.line(AGENT);
    }
    if capabilities.has("object-format") {
        message.line("object-format=sha1");
    }
    message
}

fn request_v2(request: &FetchRequest, capabilities: &Capabilities) -> PacketWriter {
    let mut message = command("fetch", capabilities);
    message.delimiter();
    message.line("no-progress");
    message.line("ofs-delta");
    if !request.held.is_empty() {
        // Only for thin packs does git leave out what a held commit has, when the wanted one is cut off from it.
        message.line("thin-pack");
    }
    if request.shallow && capabilities.lists("fetch", "shallow") {
        for held in &request.held {
            message.line(&format!("shallow {held}"));
        }
        message.line("deepen 1");
    }
    message.line(&format!("want {}", request.want));
    for held in &request.held {
        message.line(&format!("have {held}"));
    }
    message.line("done");
    message.flush();
    message
}
