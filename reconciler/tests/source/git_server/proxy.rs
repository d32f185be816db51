//! An HTTP proxy that only tunnels (`CONNECT`).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A running proxy; it ends with the runtime of the test.
pub(crate) struct TunnelProxy {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl TunnelProxy {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(tunnel(stream, Arc::clone(&seen)));
            }
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The lines of all requests so far: the request itself and its headers.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn tunnel(stream: TcpStream, seen: Arc<Mutex<Vec<String>>>) {
    let mut client = BufReader::new(stream);
    let mut target = None;
    loop {
        let mut line = String::new();
        client.read_line(&mut line).await.unwrap();
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        seen.lock().unwrap().push(line.to_owned());
        if let Some(rest) = line.strip_prefix("CONNECT ") {
            target = Some(rest.split(' ').next().unwrap().to_owned());
        }
    }
    let mut server = TcpStream::connect(target.expect("a proxy is asked to CONNECT"))
        .await
        .unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    // Either side may leave when it is done.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}
