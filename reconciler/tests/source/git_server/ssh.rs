//! OpenSSH's `sshd` as a user process on a free port, with keys made for one test by `ssh-keygen`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::sync::watch;

/// Kinds of host keys.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HostKey {
    Ed25519,
    Ecdsa,
    Rsa,
}

impl HostKey {
    fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Ecdsa => "ecdsa",
            Self::Rsa => "rsa",
        }
    }
}

/// A user's key pair.
pub(crate) struct UserKey {
    /// The private key in the format of OpenSSH.
    pub(crate) private: String,
    /// The line for `authorized_keys`.
    pub(crate) public: String,
}

impl UserKey {
    /// A new key; `passphrase` may be empty.
    pub(crate) fn generate(kind: &str, passphrase: &str) -> Self {
        Self::generate_with(kind, passphrase, &[])
    }

    /// A new key with more options for `ssh-keygen`.
    pub(crate) fn generate_with(kind: &str, passphrase: &str, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        keygen(kind, passphrase, &path, options);
        Self {
            private: fs::read_to_string(&path).unwrap(),
            public: fs::read_to_string(path.with_extension("pub")).unwrap(),
        }
    }
}

fn keygen(kind: &str, passphrase: &str, path: &Path, options: &[&str]) {
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "made for a test", "-f"])
        .arg(path)
        .args(options)
        .status()
        .expect("ssh-keygen is installed");
    assert!(status.success());
}

/// A running server; it is killed when this value is dropped.
pub(crate) struct SshServer {
    child: Child,
    directory: TempDir,
    port: u16,
    key: HostKey,
    accepted: watch::Receiver<usize>,
}

impl SshServer {
    /// Starts a server that lets the keys in for the user who runs the test.
    pub(crate) fn start(key: HostKey, users: &[&UserKey]) -> Self {
        Self::start_with(key, users, "AcceptEnv GIT_PROTOCOL\n")
    }

    /// The same, with other settings.
    pub(crate) fn start_with(key: HostKey, users: &[&UserKey], settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        keygen(key.name(), "", &at.join("host_key"), &[]);
        let authorized: String = users.iter().map(|user| user.public.as_str()).collect();
        fs::write(at.join("authorized_keys"), authorized).unwrap();
        // The port is free now; that nobody takes it before sshd does is all that can be had.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {at}/host_key\nAuthorizedKeysFile {at}/authorized_keys\n\
             PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin yes\nLogLevel VERBOSE\n{settings}",
            at = at.display()
        );
        fs::write(at.join("sshd_config"), config).unwrap();
        // As root, sshd insists on the folder that it would confine its unprivileged half to.
        let _ = fs::create_dir_all("/run/sshd");
        let mut child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(at.join("sshd_config"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("OpenSSH's server is installed (openssh-server)");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = log
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains("Server listening"));
        assert!(listening, "sshd does not start");
        // Its log is read on, so that it never waits for a reader.
        let (counter, accepted) = watch::channel(0);
        std::thread::spawn(move || {
            let lines = log.map_while(Result::ok);
            lines
                .filter(|line| line.contains("Accepted publickey"))
                .for_each(|_| {
                    counter.send_modify(|accepted| *accepted += 1);
                });
        });
        Self {
            child,
            directory,
            port,
            key,
            accepted,
        }
    }

    /// The URL of a path on this machine, as the user who runs the test.
    pub(crate) fn url(&self, path: &Path) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", user(), self.port, path.display())
    }

    /// The host's line for `known_hosts`.
    pub(crate) fn known_hosts(&self) -> String {
        let public = fs::read_to_string(self.directory.path().join("host_key.pub")).unwrap();
        format!("[127.0.0.1]:{} {public}", self.port)
    }

    /// The same line with the host hashed by `ssh-keygen`.
    pub(crate) fn hashed_known_hosts(&self) -> String {
        let path = self.directory.path().join("known_hosts");
        fs::write(&path, self.known_hosts()).unwrap();
        let status = Command::new("ssh-keygen")
            .args(["-q", "-H", "-f"])
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success());
        fs::read_to_string(path).unwrap()
    }

    /// The host key's fingerprint, as `ssh-keygen` prints it.
    pub(crate) fn fingerprint(&self) -> String {
        let path = self.directory.path().join("host_key.pub");
        let output = Command::new("ssh-keygen").arg("-lf").arg(path).output().unwrap();
        String::from_utf8(output.stdout)
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .to_owned()
    }

    /// How many connections it has let in, once there are as many as that.
    pub(crate) async fn accepted(&self, at_least: usize) -> usize {
        *self
            .accepted
            .clone()
            .wait_for(|accepted| *accepted >= at_least)
            .await
            .unwrap()
    }

    /// Ends all connections, as a restart of the server would.
    pub(crate) fn disconnect(&self) {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        for child in children.split_whitespace() {
            let status = Command::new("kill").args(["-KILL", child]).status().unwrap();
            assert!(status.success());
        }
    }

    pub(crate) fn kind(&self) -> HostKey {
        self.key
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
