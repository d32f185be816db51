//! A way to the API server that can be closed for one client while it stays open for others. Does I/O on loopback.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::ControlPlane;

/// A port that leads to the API server, unless it is closed.
pub struct Road {
    address: SocketAddr,
    open: watch::Sender<bool>,
    gate: JoinHandle<()>,
}

impl Road {
    /// Opens one.
    ///
    /// # Panics
    /// When no port can be listened on.
    pub async fn to(control_plane: &ControlPlane) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, is_open) = watch::channel(true);
        let gate = tokio::spawn(keep(
            listener,
            (Ipv4Addr::LOCALHOST, control_plane.port).into(),
            is_open,
        ));
        Self { address, open, gate }
    }

    /// The same kubeconfig, by this road.
    #[must_use]
    pub fn kubeconfig(&self, control_plane: &ControlPlane, kubeconfig: &str) -> String {
        kubeconfig.replace(&control_plane.server, &format!("https://{}", self.address))
    }

    /// Cuts what is on the road; who comes is turned away.
    pub fn close(&self) {
        self.open.send_replace(false);
    }

    /// Lets everybody pass again.
    pub fn open(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Road {
    fn drop(&mut self) {
        self.gate.abort();
    }
}

async fn keep(listener: TcpListener, to: SocketAddr, is_open: watch::Receiver<bool>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let mut closed = is_open.clone();
        tokio::spawn(async move {
            let drive = async {
                let mut server = TcpStream::connect(to).await?;
                copy_bidirectional(&mut client, &mut server).await
            };
            tokio::select! {
                _ = closed.wait_for(|open| !open) => {}
                // Either end hung up.
                _ = drive => {}
            }
        });
    }
}
