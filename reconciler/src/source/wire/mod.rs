//! Git's wire protocol, client side: lists references and receives packs over HTTP(S) and SSH.
//!
//! Comes in: a [`Remote`](super::Remote). Goes out: references, and the bytes of a pack. Does network I/O, and
//! nothing on disk. Protocol version 2 is asked for; servers that answer in version 0 or 1 are understood.
//!
//! ```text
//! http.rs, ssh.rs --bytes--> packet.rs --packets--> conversation.rs --references, pack-->
//! ```

mod advertisement;
mod conversation;
mod http;
mod known_hosts;
mod packet;
mod ssh;
mod trust;

pub(super) use conversation::{Conversation, FetchRequest, ServerMemory};

/// What is kept open between polls.
#[derive(Default)]
pub(super) struct Connections {
    http: http::HttpClients,
    ssh: ssh::SshConnections,
}
