//! Where a repository is, and what identifies it and those who ask. Values and their validation, no I/O.

use std::fmt;

use sha2::{Digest, Sha256};
use url::Url;

use super::SourceError;
use super::credentials::{Auth, ClientCertificate, Proxy, Secret};

/// The protocol of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
    Ssh,
}

/// A repository on a server, with everything needed to reach it.
#[derive(Clone, PartialEq, Eq)]
pub struct Remote {
    /// Without user information.
    url: Url,
    scheme: Scheme,
    /// The user of an SSH URL.
    user: String,
    auth: Auth,
    ca: Option<String>,
    client_certificate: Option<ClientCertificate>,
    proxy: Option<Proxy>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("url", &self.to_string())
            .finish_non_exhaustive()
    }
}

/// The URL as it may be shown: without password, and without user unless it is an SSH URL.
impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.scheme, self.url.as_str().split_once("://")) {
            (Scheme::Ssh, Some((scheme, rest))) if !self.user.is_empty() => {
                write!(f, "{scheme}://{}@{rest}", self.user)
            }
            _ => f.write_str(self.url.as_str()),
        }
    }
}

/// The user whom SSH servers of Git providers expect when the URL names none.
const DEFAULT_SSH_USER: &str = "git";

impl Remote {
    /// Checks the URL (`http`, `https`, `ssh`) and that the credentials fit it. Credentials inside an HTTP URL
    /// are used when `auth` is [`Auth::None`], and never shown.
    ///
    /// # Errors
    /// [`SourceError::UrlInvalid`], [`SourceError::CredentialsInvalid`].
    pub fn new(url: &str, auth: Auth) -> Result<Self, SourceError> {
        let (mut parsed, scheme) = check_url(url)?;
        let shown = without_user(&parsed);
        let (user, password) = user_information(&parsed);
        let auth = auth.fitting(scheme, &user, password, &shown)?;
        // The URL type refuses user information only for URLs without a host, which were refused above.
        let _ = parsed.set_password(None);
        let _ = parsed.set_username("");
        let user = match (scheme, user.is_empty()) {
            (Scheme::Ssh, false) => user,
            (Scheme::Ssh, true) => DEFAULT_SSH_USER.to_owned(),
            _ => String::new(),
        };
        Ok(Self {
            url: parsed,
            scheme,
            user,
            auth,
            ca: None,
            client_certificate: None,
            proxy: None,
        })
    }

    /// Trusts these certificates (PEM) besides the system's.
    #[must_use]
    pub fn with_ca(mut self, pem: impl Into<String>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// Presents this certificate to the server.
    #[must_use]
    pub fn with_client_certificate(mut self, certificate: ClientCertificate) -> Self {
        self.client_certificate = Some(certificate);
        self
    }

    /// Connects through this proxy.
    #[must_use]
    pub fn with_proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    pub(super) fn auth(&self) -> &Auth {
        &self.auth
    }

    pub(super) fn ca(&self) -> Option<&str> {
        self.ca.as_deref()
    }

    pub(super) fn client_certificate(&self) -> Option<&ClientCertificate> {
        self.client_certificate.as_ref()
    }

    pub(super) fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// The host as `known_hosts` and messages name it.
    pub(super) fn host(&self) -> &str {
        self.url
            .host_str()
            .unwrap_or_default()
            .trim_start_matches('[')
            .trim_end_matches(']')
    }

    pub(super) fn port(&self) -> u16 {
        self.url.port().unwrap_or(match self.scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
            Scheme::Ssh => 22,
        })
    }

    /// The name of the repository's directory in the cache: the same for the same URL and SSH user, whatever
    /// the credentials.
    pub(super) fn cache_name(&self) -> String {
        let digest = Sha256::digest(self.to_string());
        hex(&digest[..16])
    }

    /// Who asks: differs whenever URL, credentials, trust or way differ. A digest, safe to keep.
    pub(super) fn caller(&self) -> CallerId {
        let mut digest = Parts::default();
        digest.add(&self.to_string());
        self.add_credentials(&mut digest);
        self.add_connection(&mut digest);
        CallerId(digest.0.finalize().into())
    }

    /// Whom to trust and which way to go, and for SSH where to and as whom: remotes that agree on these can share
    /// connections. A digest.
    pub(super) fn connection(&self) -> ConnectionId {
        let mut digest = Parts::default();
        if let Auth::Ssh { .. } = &self.auth {
            digest.add(self.host());
            digest.add(&self.port().to_string());
            digest.add(&self.user);
            self.add_credentials(&mut digest);
        }
        self.add_connection(&mut digest);
        ConnectionId(digest.0.finalize().into())
    }

    fn add_credentials(&self, digest: &mut Parts) {
        match &self.auth {
            Auth::None => digest.add("none"),
            Auth::Basic { username, password } => {
                digest.add("basic");
                digest.add(username);
                digest.add(password.expose());
            }
            Auth::Bearer { token } => {
                digest.add("bearer");
                digest.add(token.expose());
            }
            Auth::Ssh {
                identity,
                password,
                known_hosts,
            } => {
                digest.add("ssh");
                digest.add(identity.expose());
                digest.add(password.as_ref().map_or("", Secret::expose));
                digest.add(known_hosts);
            }
        }
    }

    fn add_connection(&self, digest: &mut Parts) {
        digest.add(self.ca.as_deref().unwrap_or_default());
        if let Some(certificate) = &self.client_certificate {
            digest.add("certificate");
            digest.add(&certificate.certificates);
            digest.add(certificate.key.expose());
        }
        if let Some(proxy) = &self.proxy {
            digest.add("proxy");
            digest.add(&proxy.address);
            if let Some((user, password)) = &proxy.credentials {
                digest.add(user);
                digest.add(password.expose());
            }
        }
    }
}

/// A digest of texts that keeps them apart.
#[derive(Default)]
struct Parts(Sha256);

impl Parts {
    fn add(&mut self, text: &str) {
        self.0.update(text.len().to_le_bytes());
        self.0.update(text);
    }
}

/// See [`Remote::connection`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ConnectionId([u8; 32]);

/// See [`Remote::caller`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct CallerId([u8; 32]);

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Parses a URL, and refuses what cannot be fetched from.
pub(super) fn check_url(url: &str) -> Result<(Url, Scheme), SourceError> {
    let parsed = parse_url(url)?;
    let shown = without_user(&parsed);
    let scheme = match parsed.scheme() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        "ssh" => Scheme::Ssh,
        other => {
            return Err(SourceError::UrlInvalid {
                url: shown,
                problem: format!("the scheme '{other}' is not supported, expected http, https or ssh"),
            });
        }
    };
    if parsed.host_str().is_none_or(str::is_empty) {
        return Err(SourceError::UrlInvalid {
            url: shown,
            problem: "it has no host".to_owned(),
        });
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(SourceError::UrlInvalid {
            url: shown,
            problem: "a query ('?') or fragment ('#') is not part of a Git URL; \
                      put branch or tag into spec.ref"
                .to_owned(),
        });
    }
    Ok((parsed, scheme))
}

fn parse_url(url: &str) -> Result<Url, SourceError> {
    let invalid = |problem: String| SourceError::UrlInvalid {
        url: hide_user(url),
        problem,
    };
    if let Some(suggestion) = scp_as_url(url) {
        return Err(invalid(format!(
            "the short SSH form is not supported; write '{suggestion}' instead"
        )));
    }
    Url::parse(url).map_err(|error| {
        invalid(format!(
            "{error}; expected http://, https:// or ssh:// with a host and a path"
        ))
    })
}

/// What `user@host:path` would be as a URL, if the text has that form.
fn scp_as_url(url: &str) -> Option<String> {
    if url.contains("://") {
        return None;
    }
    let (host, path) = url.split_once(':')?;
    if host.is_empty() || host.contains('/') || path.is_empty() {
        return None;
    }
    Some(format!("ssh://{}/{}", host, path.trim_start_matches('/')))
}

/// For texts that are no URL: hides what stands before an `@`, unless it is a plain SSH user.
fn hide_user(url: &str) -> String {
    let (scheme, rest) = url
        .split_once("://")
        .map_or(("", url), |(scheme, rest)| (scheme, rest));
    let shown = match rest.split_once('@') {
        Some((user, host)) if user.contains(':') => host,
        _ if scheme.starts_with("http") => rest.split_once('@').map_or(rest, |(_, host)| host),
        _ => rest,
    };
    if scheme.is_empty() {
        shown.to_owned()
    } else {
        format!("{scheme}://{shown}")
    }
}

/// A URL as it may be shown.
pub(super) fn without_user(url: &Url) -> String {
    let mut shown = url.clone();
    let _ = shown.set_password(None);
    if shown.scheme() != "ssh" {
        let _ = shown.set_username("");
    }
    shown.to_string()
}

fn user_information(url: &Url) -> (String, Option<String>) {
    (
        percent_decoded(url.username()),
        url.password().map(percent_decoded),
    )
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        decoded.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The path of an SSH URL as the server's shell is to get it.
pub(super) fn decoded_path(url: &Url) -> String {
    percent_decoded(url.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(url: &str) -> String {
        Remote::new(url, Auth::None).unwrap_err().to_string()
    }

    fn ssh() -> Auth {
        Auth::Ssh {
            identity: Secret::new("key"),
            password: None,
            known_hosts: "host key".to_owned(),
        }
    }

    #[test]
    fn a_short_ssh_form_is_refused_with_the_url_to_write() {
        assert_eq!(
            message("git@github.com:org/repo.git"),
            "invalid Git URL 'git@github.com:org/repo.git': the short SSH form is not supported; \
             write 'ssh://git@github.com/org/repo.git' instead"
        );
    }

    #[test]
    fn other_schemes_are_refused() {
        assert_eq!(
            message("file:///etc"),
            "invalid Git URL 'file:///etc': the scheme 'file' is not supported, expected http, https or ssh"
        );
        assert!(message("git://host/x").contains("'git' is not supported"));
        assert!(message("nonsense").contains("expected http://, https:// or ssh://"));
    }

    #[test]
    fn queries_and_missing_hosts_are_refused() {
        assert!(message("https://host/x?ref=main").contains("put branch or tag into spec.ref"));
        assert!(message("https://").contains("host"));
        assert!(message("ssh:///path").contains("no host"));
    }

    #[test]
    fn credentials_in_a_url_are_used_and_never_shown() {
        let remote = Remote::new("https://me:p%40ss@host/x.git", Auth::None).unwrap();
        assert_eq!(
            remote.auth(),
            &Auth::Basic {
                username: "me".to_owned(),
                password: Secret::new("p@ss")
            }
        );
        assert_eq!(remote.to_string(), "https://host/x.git");
        let shown = format!("{remote:?} {:?}", remote.auth());
        assert!(!shown.contains("p@ss") && !shown.contains("p%40ss"), "{shown}");
        assert!(!message("ftp://me:hunter2@host/x").contains("hunter2"));
        assert!(!message("https://me:hunter2@host:port/x").contains("hunter2"));
    }

    #[test]
    fn an_ssh_url_without_user_means_git() {
        let remote = Remote::new("ssh://host:2222/x.git", ssh()).unwrap();
        assert_eq!(remote.to_string(), "ssh://git@host:2222/x.git");
        assert_eq!(
            (remote.host(), remote.port(), remote.user()),
            ("host", 2222, "git")
        );
    }

    #[test]
    fn credentials_must_fit_the_scheme() {
        assert!(message("ssh://git@host/x").contains("needs a Secret with 'identity'"));
        let error = Remote::new("https://host/x", ssh()).unwrap_err();
        assert!(error.to_string().contains("not an SSH key"), "{error}");
        assert_eq!(error.reason().as_str(), "AuthenticationFailed");
    }

    #[test]
    fn the_cache_is_shared_by_url_and_the_caller_is_told_apart_by_credentials() {
        let anonymous = Remote::new("https://host/x.git", Auth::None).unwrap();
        let token = Auth::Bearer {
            token: Secret::new("t"),
        };
        let known = Remote::new("https://host/x.git", token).unwrap();
        assert_eq!(anonymous.cache_name(), known.cache_name());
        assert_ne!(anonymous.caller(), known.caller());
    }
}
