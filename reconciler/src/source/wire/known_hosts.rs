//! Lines of OpenSSH's `known_hosts` (sshd(8)), held against the key that a server presents. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use russh::keys::ssh_key::{HashAlg, PublicKey};
use russh::keys::{Algorithm, parse_public_key_base64};
use sha1::Sha1;

use super::super::SourceError;

/// What the lines say about a server.
#[derive(Debug)]
pub(super) struct KnownHost {
    /// The host as such lines name it: `host`, or `[host]:port` for another port than 22.
    name: String,
    keys: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    number: usize,
    revoked: bool,
    key: PublicKey,
}

impl KnownHost {
    /// Picks the lines for a server: plain, with wildcards and exclusions, or hashed. Lines of certificate
    /// authorities and lines that cannot be read are passed over.
    pub(super) fn read(lines: &str, host: &str, port: u16) -> Self {
        let name = match port {
            22 => host.to_owned(),
            port => format!("[{host}]:{port}"),
        };
        let keys = lines
            .lines()
            .enumerate()
            .filter_map(|(index, line)| parse(line, &name, index + 1))
            .collect();
        Self { name, keys }
    }

    /// The algorithms to ask the server for: those whose keys are recorded, or all where none is.
    pub(super) fn algorithms(&self, supported: &[Algorithm]) -> Vec<Algorithm> {
        let recorded = |algorithm: &&Algorithm| {
            self.keys.iter().filter(|line| !line.revoked).any(|line| {
                // An RSA key can sign in several ways, each an algorithm of its own.
                matches!(
                    (line.key.algorithm(), algorithm),
                    (Algorithm::Rsa { .. }, Algorithm::Rsa { .. })
                ) || line.key.algorithm() == **algorithm
            })
        };
        let known: Vec<Algorithm> = supported.iter().filter(recorded).cloned().collect();
        if known.is_empty() {
            supported.to_vec()
        } else {
            known
        }
    }

    /// Accepts the key only if a line has it and none revokes it.
    pub(super) fn check(&self, key: &PublicKey) -> Result<(), SourceError> {
        let same = |line: &&Line| line.key.key_data() == key.key_data();
        let algorithm = key.algorithm().to_string();
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        if let Some(line) = self.keys.iter().filter(same).find(|line| line.revoked) {
            return Err(SourceError::HostKeyMismatch {
                host: self.name.clone(),
                problem: format!("line {} of 'known_hosts' revokes it", line.number),
                algorithm,
                fingerprint,
            });
        }
        if self.keys.iter().any(|line| same(&line)) {
            return Ok(());
        }
        if let Some(line) = self.keys.iter().find(|line| !line.revoked) {
            return Err(SourceError::HostKeyMismatch {
                host: self.name.clone(),
                problem: format!(
                    "line {} of 'known_hosts' has {} {}",
                    line.number,
                    line.key.algorithm(),
                    line.key.fingerprint(HashAlg::Sha256)
                ),
                algorithm,
                fingerprint,
            });
        }
        let key = key.to_openssh().unwrap_or_default();
        let key = key.split(' ').take(2).collect::<Vec<_>>().join(" ");
        Err(SourceError::HostKeyUnknown {
            host: self.name.clone(),
            algorithm,
            fingerprint,
            line: format!("{} {key}", self.name),
        })
    }
}

fn parse(line: &str, name: &str, number: usize) -> Option<Line> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let mut words = line.split_whitespace();
    let mut hosts = words.next()?;
    let revoked = match hosts {
        "@revoked" => true,
        "@cert-authority" => return None,
        _ => false,
    };
    if revoked {
        hosts = words.next()?;
    }
    let _algorithm = words.next()?;
    let key = parse_public_key_base64(words.next()?).ok()?;
    names(hosts, name).then_some(Line { number, revoked, key })
}

/// Whether a comma-separated list of patterns names the host; a pattern with `!` excludes it.
fn names(patterns: &str, name: &str) -> bool {
    if let Some(hash) = patterns.strip_prefix("|1|") {
        return hash_matches(hash, name).unwrap_or(false);
    }
    let mut named = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(excluded) if matches(excluded.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => named |= matches(pattern.as_bytes(), name.as_bytes()),
        }
    }
    named
}

/// `<salt>|<HMAC-SHA1 of the host's name>`, both in Base64.
fn hash_matches(hash: &str, name: &str) -> Option<bool> {
    let (salt, expected) = hash.split_once('|')?;
    let mac = Hmac::<Sha1>::new_from_slice(&BASE64.decode(salt).ok()?).ok()?;
    Some(
        mac.chain_update(name)
            .verify_slice(&BASE64.decode(expected).ok()?)
            .is_ok(),
    )
}

/// `*` stands for any characters, `?` for one; letters match without case.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where the last `*` stands and how far it reaches; a later one can take what an earlier one could.
    let mut star = None;
    while n < name.len() || p < pattern.len() {
        let fits = n < name.len()
            && pattern
                .get(p)
                .is_some_and(|c| *c == b'?' || c.eq_ignore_ascii_case(&name[n]));
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, n));
            p += 1;
        } else if fits {
            p += 1;
            n += 1;
        } else {
            match star {
                Some((at, reach)) if reach < name.len() => {
                    star = Some((at, reach + 1));
                    p = at + 1;
                    n = reach + 1;
                }
                _ => return false,
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    // Keys made for these tests with ssh-keygen; nothing uses them.
    const ED25519: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const OTHER: &str = "AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";

    fn key(base64: &str) -> PublicKey {
        parse_public_key_base64(base64).unwrap()
    }

    fn check(lines: &str, host: &str, port: u16) -> Result<(), SourceError> {
        KnownHost::read(lines, host, port).check(&key(ED25519))
    }

    #[test]
    fn a_recorded_key_is_accepted_by_name_pattern_and_port() {
        assert!(check(&format!("host ssh-ed25519 {ED25519} me"), "host", 22).is_ok());
        assert!(check(&format!("a,HOST ssh-ed25519 {ED25519}"), "host", 22).is_ok());
        assert!(
            check(
                &format!("*.example.org ssh-ed25519 {ED25519}"),
                "git.example.org",
                22
            )
            .is_ok()
        );
        assert!(check(&format!("[host]:2222 ssh-ed25519 {ED25519}"), "host", 2222).is_ok());
        assert!(check(&format!("host ssh-ed25519 {ED25519}"), "host", 2222).is_err());
        assert!(check(&format!("*.org,!git.org ssh-ed25519 {ED25519}"), "git.org", 22).is_err());
    }

    #[test]
    fn an_unknown_key_names_its_fingerprint_and_the_line_to_add() {
        let error = check("# nothing\nother ssh-ed25519 garbage", "host", 2222).unwrap_err();
        let fingerprint = key(ED25519).fingerprint(HashAlg::Sha256);
        assert_eq!(
            error.to_string(),
            format!(
                "the host key of [host]:2222 is unknown: the server presents ssh-ed25519 {fingerprint}; if that \
                 is its key, add this line to 'known_hosts' in the Secret: [host]:2222 ssh-ed25519 {ED25519}"
            )
        );
    }

    #[test]
    fn a_changed_key_is_told_from_an_unknown_one() {
        let error = check(&format!("host ssh-ed25519 {OTHER}"), "host", 22).unwrap_err();
        assert!(matches!(error, SourceError::HostKeyMismatch { .. }), "{error}");
        assert!(
            error
                .to_string()
                .contains("line 1 of 'known_hosts' has ssh-ed25519 SHA256:"),
            "{error}"
        );
    }

    #[test]
    fn a_revoked_key_is_refused_even_if_another_line_has_it() {
        let lines = format!("host ssh-ed25519 {ED25519}\n@revoked * ssh-ed25519 {ED25519}");
        let error = check(&lines, "host", 22).unwrap_err();
        assert!(
            error.to_string().contains("line 2 of 'known_hosts' revokes it"),
            "{error}"
        );
    }

    #[test]
    fn the_algorithms_asked_for_are_those_recorded() {
        let supported = [
            Algorithm::Ed25519,
            Algorithm::Rsa {
                hash: Some(HashAlg::Sha512),
            },
        ];
        let known = KnownHost::read(&format!("host ssh-ed25519 {ED25519}"), "host", 22);
        assert_eq!(known.algorithms(&supported), [Algorithm::Ed25519]);
        assert_eq!(KnownHost::read("", "host", 22).algorithms(&supported), supported);
    }
}
