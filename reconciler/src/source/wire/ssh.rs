//! Git over SSH with russh: connects, checks the host key, signs in with a key, runs `git-upload-pack`. Does
//! network I/O.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use russh::client::{self, Handle};
use russh::keys::ssh_key::PrivateKey;
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, decode_secret_key};
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Preferred};

use super::super::SourceError;
use super::super::credentials::{Auth, Secret};
use super::super::error::{chain_text, printable};
use super::super::remote::{ConnectionId, Remote, decoded_path};
use super::known_hosts::KnownHost;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// After so long without a byte a connection closes itself; while it sends a pack, a server has more to say.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long an open connection may take to show that it still works.
const REUSE_TIMEOUT: Duration = Duration::from_secs(5);
/// What is kept of the server's words on standard error.
const MOST_COMPLAINT: usize = 4096;
/// Packets that wait between network and pack; more of them only cost memory.
const CHANNEL_PACKETS: usize = 16;

/// The SSH connections of this process, one for each server, user, key and set of known hosts. Each poll is a
/// channel of its own on it; a connection that rests for a while closes itself.
#[derive(Default)]
pub(in super::super) struct SshConnections {
    open: Mutex<HashMap<ConnectionId, Arc<Session>>>,
}

type Session = Handle<HostKeyCheck>;

impl SshConnections {
    fn get(&self, id: ConnectionId) -> Option<Arc<Session>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| !session.is_closed());
        open.get(&id).cloned()
    }

    fn insert(&self, id: ConnectionId, session: Arc<Session>) {
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, session);
    }

    fn remove(&self, id: ConnectionId) {
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
    }
}

/// The writing side of a running `git-upload-pack`.
pub(super) struct SshChannel {
    url: String,
    write: Arc<ChannelWriteHalf<client::Msg>>,
    /// The connection lives as long as its handle.
    _session: Arc<Session>,
}

impl Drop for SshChannel {
    /// Closes the channel, or the server would wait for the next request as long as the connection lives.
    fn drop(&mut self) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (write, session) = (Arc::clone(&self.write), Arc::clone(&self._session));
            runtime.spawn(async move {
                // The connection may be gone, and with it the channel.
                let _ = write.close().await;
                drop(session);
            });
        }
    }
}

/// The reading side.
pub(in super::super) struct SshReader {
    read: ChannelReadHalf,
    complaint: Vec<u8>,
}

impl SshChannel {
    /// Starts `git-upload-pack`, asking for version 2 of the protocol, on the connection that is open, or on a new
    /// one.
    pub(super) async fn open(
        remote: &Remote,
        connections: &SshConnections,
    ) -> Result<(Self, SshReader), SourceError> {
        let id = remote.connection();
        if let Some(session) = connections.get(id) {
            // The server may have gone without a word, or allow no more channels.
            let started = tokio::time::timeout(REUSE_TIMEOUT, Self::start(remote, session)).await;
            if let Ok(Ok(channel)) = started {
                return Ok(channel);
            }
            connections.remove(id);
        }
        let session = Arc::new(sign_in(remote).await?);
        let channel = Self::start(remote, Arc::clone(&session)).await?;
        connections.insert(id, session);
        Ok(channel)
    }

    async fn start(remote: &Remote, session: Arc<Session>) -> Result<(Self, SshReader), SourceError> {
        let url = remote.to_string();
        let failed = |error: russh::Error| interrupted(&url, error);
        let channel = session.channel_open_session().await.map_err(&failed)?;
        // Servers that do not take the variable answer in version 0, which is understood as well.
        channel
            .set_env(false, "GIT_PROTOCOL", "version=2")
            .await
            .map_err(&failed)?;
        let command = format!("git-upload-pack {}", quoted(&upload_path(remote)));
        channel.exec(false, command).await.map_err(&failed)?;
        let (read, write) = channel.split();
        let reader = SshReader {
            read,
            complaint: Vec::new(),
        };
        Ok((
            Self {
                url,
                write: Arc::new(write),
                _session: session,
            },
            reader,
        ))
    }

    pub(super) async fn write(&self, message: Bytes) -> Result<(), SourceError> {
        self.write
            .data_bytes(message)
            .await
            .map_err(|error| interrupted(&self.url, error))
    }
}

impl SshReader {
    /// The next bytes of standard output, `None` at its end.
    pub(super) async fn chunk(&mut self) -> Option<Bytes> {
        loop {
            match self.read.wait().await? {
                ChannelMsg::Data { data } => return Some(data),
                ChannelMsg::ExtendedData { data, .. } => {
                    let room = MOST_COMPLAINT.saturating_sub(self.complaint.len());
                    self.complaint.extend_from_slice(&data[..data.len().min(room)]);
                }
                ChannelMsg::Close => return None,
                // After the end of standard output, standard error may still say why.
                _ => {}
            }
        }
    }

    /// What the server said on standard error, as an error.
    pub(super) fn complaint(&self, url: &str) -> Option<SourceError> {
        if self.complaint.trim_ascii().is_empty() {
            return None;
        }
        let url = url.to_owned();
        let message = printable(&self.complaint);
        let lower = message.to_lowercase();
        let says = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
        Some(
            if says(&[
                "not found",
                "does not appear to be a git repository",
                "does not exist",
                "no such",
            ]) {
                SourceError::RepositoryNotFound {
                    url,
                    problem: format!("the server says '{message}'"),
                }
            } else if says(&["permission", "denied", "not allowed", "access", "unauthorized"]) {
                SourceError::AuthenticationFailed {
                    url,
                    problem: format!("the server says '{message}'"),
                }
            } else {
                SourceError::Refused { url, message }
            },
        )
    }
}

/// Connects, and proves who asks.
async fn sign_in(remote: &Remote) -> Result<Session, SourceError> {
    let url = remote.to_string();
    let Auth::Ssh {
        identity,
        password,
        known_hosts,
    } = remote.auth()
    else {
        return Err(SourceError::CredentialsInvalid {
            url,
            problem: "an ssh:// URL needs a Secret with 'identity' and 'known_hosts'".to_owned(),
        });
    };
    if remote.proxy().is_some() {
        return Err(SourceError::ConnectionSettingsInvalid {
            url,
            problem: "a proxy is supported for http:// and https:// only".to_owned(),
        });
    }
    let key = read_identity(&url, identity.clone(), password.clone()).await?;
    let session = connect(remote, known_hosts).await?;
    authenticate(remote, session, key).await
}

/// Decoding an encrypted key is meant to take long, so it happens on a thread of its own.
async fn read_identity(
    url: &str,
    identity: Secret,
    password: Option<Secret>,
) -> Result<PrivateKey, SourceError> {
    let invalid = |problem: String| SourceError::CredentialsInvalid {
        url: url.to_owned(),
        problem,
    };
    let decoded = tokio::task::spawn_blocking(move || {
        let password = password
            .as_ref()
            .map(Secret::expose)
            .filter(|password| !password.is_empty());
        let decoded = decode_secret_key(identity.expose(), password);
        (
            decoded,
            password.is_some(),
            identity.expose().contains("PRIVATE KEY-----"),
        )
    })
    .await;
    match decoded {
        Err(_) => Err(SourceError::Abandoned { url: url.to_owned() }),
        Ok((Ok(key), _, _)) => Ok(key),
        Ok((Err(russh::keys::Error::KeyIsEncrypted), _, _)) => Err(invalid(
            "'identity' is encrypted; put its passphrase into 'password' of the Secret".to_owned(),
        )),
        Ok((Err(_), true, true)) => Err(invalid(
            "'identity' cannot be read; check that 'password' is its passphrase".to_owned(),
        )),
        Ok((Err(error), _, true)) => Err(invalid(format!(
            "'identity' cannot be read: {}",
            chain_text(&error)
        ))),
        Ok((Err(_), _, false)) => Err(invalid(
            "'identity' is not a private key; expected '-----BEGIN OPENSSH PRIVATE KEY-----' (the file \
             without '.pub')"
                .to_owned(),
        )),
    }
}

async fn connect(remote: &Remote, known_hosts: &str) -> Result<Session, SourceError> {
    let (host, port) = (remote.host(), remote.port());
    let unreachable = |error: io::Error| SourceError::Unreachable {
        host: format!("{host}:{port}"),
        problem: match error.kind() {
            io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            io::ErrorKind::TimedOut => "no answer in time".to_owned(),
            _ => error.to_string(),
        },
        cause: Some(Box::new(error)),
    };
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, tokio::net::TcpStream::connect((host, port)))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(&unreachable)?;
    // Only a delay would be lost.
    let _ = stream.set_nodelay(true);

    let known = KnownHost::read(known_hosts, host, port);
    let config = client::Config {
        preferred: Preferred {
            key: Cow::Owned(known.algorithms(&Preferred::DEFAULT.key)),
            ..Preferred::DEFAULT
        },
        inactivity_timeout: Some(IDLE_TIMEOUT),
        channel_buffer_size: CHANNEL_PACKETS,
        ..client::Config::default()
    };
    client::connect_stream(Arc::new(config), stream, HostKeyCheck { known })
        .await
        .map_err(|error| match error {
            HandshakeError::HostKey(error) => *error,
            HandshakeError::Ssh(russh::Error::NoCommonAlgo { kind, theirs, .. }) => SourceError::Protocol {
                url: remote.to_string(),
                problem: format!(
                    "no common SSH algorithm ({kind:?}); the server offers {}; if it changed its host key, \
                 'known_hosts' needs the new one",
                    printable(theirs.join(", ").as_bytes())
                ),
            },
            HandshakeError::Ssh(error) => interrupted(&remote.to_string(), error),
        })
}

async fn authenticate(
    remote: &Remote,
    mut session: Session,
    key: PrivateKey,
) -> Result<Session, SourceError> {
    let url = remote.to_string();
    let failed = |error: russh::Error| interrupted(&url, error);
    // Asking waits for the server's answer; only RSA keys have a choice of signatures.
    let hash = match key.algorithm().is_rsa() {
        true => session
            .best_supported_rsa_hash()
            .await
            .map_err(&failed)?
            .flatten(),
        false => None,
    };
    let fingerprint = key.fingerprint(russh::keys::HashAlg::Sha256);
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
    let answer = session
        .authenticate_publickey(remote.user(), key)
        .await
        .map_err(&failed)?;
    if answer.success() {
        return Ok(session);
    }
    Err(SourceError::AuthenticationFailed {
        url,
        problem: format!(
            "the server does not accept the key {fingerprint} for user '{}'; add its public key as a deploy key",
            remote.user()
        ),
    })
}

fn interrupted(url: &str, error: russh::Error) -> SourceError {
    SourceError::Interrupted {
        url: url.to_owned(),
        during: "during the SSH exchange",
        received: 0,
        cause: Some(Box::new(error)),
    }
}

/// The path for `git-upload-pack`; `/~user` is relative to a home directory, as git has it.
fn upload_path(remote: &Remote) -> String {
    let path = decoded_path(remote.url());
    match path.strip_prefix('/') {
        Some(home) if home.starts_with('~') => home.to_owned(),
        _ => path,
    }
}

/// Quoted for the server's shell.
fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', r"'\''").replace('!', r"'\!'"))
}

struct HostKeyCheck {
    known: KnownHost,
}

#[derive(Debug)]
enum HandshakeError {
    Ssh(russh::Error),
    HostKey(Box<SourceError>),
}

impl From<russh::Error> for HandshakeError {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl client::Handler for HostKeyCheck {
    type Error = HandshakeError;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, HandshakeError> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else {
            // Certificates are not asked for.
            return Ok(false);
        };
        match self.known.check(key) {
            Ok(()) => Ok(true),
            Err(error) => Err(HandshakeError::HostKey(Box::new(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_leave_its_quotes() {
        assert_eq!(quoted("/a b/it's!.git"), r"'/a b/it'\''s'\!'.git'");
    }
}
