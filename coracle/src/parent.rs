//! The end of the process that started this one, which this one is not to outlive. Does I/O: reads standard input.

use std::io;

/// Waits until the parent closes this process's standard input, which also happens when it dies.
pub async fn stdin_closed() {
    let (sender, closed) = tokio::sync::oneshot::channel::<()>();
    // A thread of its own: a read that blocks would keep the runtime from ending.
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        drop(sender);
    });
    let _ = closed.await;
}
