//! Real Git repositories behind real servers on loopback: made by `git`, served by `git http-backend` behind
//! hyper, and by OpenSSH.

mod http;
mod proxy;
mod ssh;
mod upstream;

pub(crate) use http::{Authority, Behaviour, GitServer};
pub(crate) use proxy::TunnelProxy;
pub(crate) use ssh::{HostKey, SshServer, UserKey};
pub(crate) use upstream::Upstream;
