//! Bases and files on other machines: how they are named, and the trait that fetches them. In: the text of an entry;
//! out: repository, path and reference. Pure; this library fetches nothing itself.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;
use crate::fs::Fs;

/// How long kustomize waits for Git unless the URL says otherwise.
const TIMEOUT: Duration = Duration::from_secs(27);

/// Fetches what a kustomization names by URL. This library has no implementation: it knows no network. The program that
/// comes with it has one, which runs Git.
///
/// # Examples
/// ```
/// use kustomize_rs::{Checkout, Error, ErrorKind, GitUrl, Options, Remote, build, fs::MemoryFs};
///
/// /// Has one repository, in memory.
/// struct Mirror(MemoryFs);
///
/// impl Remote for Mirror {
///     fn file(&self, url: &str) -> Result<Vec<u8>, Error> {
///         Err(Error::remote(format!("{url}: only repositories are mirrored")))
///     }
///
///     fn repository(&self, url: &GitUrl) -> Result<Checkout, Error> {
///         assert_eq!(url.repository, "https://github.com/org/repo");
///         let (fs, root) = (Box::new(self.0.clone()), "/".into());
///         Ok(Checkout { fs, root })
///     }
/// }
///
/// let mirror = Mirror(MemoryFs::new()
///     .with_file("/base/kustomization.yaml", "resources: [c.yaml]\n")
///     .with_file("/base/c.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"));
/// let fs = MemoryFs::new().with_file("/kustomization.yaml", "resources: ['github.com/org/repo//base?ref=v1']\n");
/// let mut options = Options::default();
/// options.remote = Some(&mirror);
/// assert_eq!(build(&fs, "/".as_ref(), &options).unwrap()[0].id().name, "c");
/// ```
pub trait Remote: Sync {
    /// Gives the text behind an `http` or `https` URL of a file.
    ///
    /// # Errors
    /// When it cannot be fetched.
    fn file(&self, url: &str) -> Result<Vec<u8>, Error>;

    /// Gives the files of a Git repository at the commit that a URL names.
    ///
    /// # Errors
    /// When it cannot be fetched.
    fn repository(&self, url: &GitUrl) -> Result<Checkout, Error>;
}

/// The files of a repository.
pub struct Checkout {
    /// Where they are read from.
    pub fs: Box<dyn Fs>,
    /// The top of the repository in it; nothing outside of that is read.
    pub root: PathBuf,
}

/// What a URL of a remote base names.
///
/// # Examples
/// ```
/// use kustomize_rs::GitUrl;
///
/// let url = GitUrl::parse("https://github.com/org/repo//overlays/dev?ref=v1.2").unwrap();
/// assert_eq!(url.repository, "https://github.com/org/repo");
/// assert_eq!(url.directory, "overlays/dev");
/// assert_eq!(url.reference, "v1.2");
/// assert_eq!(GitUrl::parse("git@github.com:org/repo").unwrap().repository, "git@github.com:org/repo");
/// assert!(GitUrl::parse("../base").is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GitUrl {
    /// What Git clones.
    pub repository: String,
    /// The directory of the kustomization in the repository.
    pub directory: String,
    /// A branch, a tag or a commit; empty for the repository's own default.
    pub reference: String,
    /// How long a command of Git may take.
    pub timeout: Duration,
    /// Whether submodules are fetched, too.
    pub submodules: bool,
}

impl GitUrl {
    /// Reads a URL in any of the forms that kustomize takes; `None` for everything else, such as a path.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with('/') {
            return None;
        }
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let (host, path) = split_host(path)?;
        let (repository, directory) = split_path(path, host.starts_with("file://"))?;
        let leaves = crate::fs::normalize(directory.trim_start_matches('/').as_ref()).starts_with("..");
        if repository.is_empty() || leaves {
            return None;
        }
        let mut url = Self {
            repository: host + &repository,
            directory: directory.strip_prefix('/').unwrap_or(directory).to_string(),
            reference: String::new(),
            timeout: TIMEOUT,
            submodules: true,
        };
        url.read_query(query);
        Some(url)
    }

    fn read_query(&mut self, query: &str) {
        let values: Vec<(String, String)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_string(), decode(value)))
            .collect();
        let value = |key: &str| {
            let found = values.iter().find(|(k, _)| k == key);
            found.map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
        };
        self.reference = value("ref")
            .or_else(|| value("version"))
            .unwrap_or_default()
            .to_string();
        if let Some(timeout) = value("timeout").and_then(duration) {
            self.timeout = timeout;
        }
        let off = ["0", "f", "F", "false", "FALSE", "False"];
        self.submodules = value("submodules").is_none_or(|text| !off.contains(&text));
    }
}

/// Takes the part of a URL that names the host, in the form that Git gets; GitHub's is always written the same way.
fn split_host(text: &str) -> Option<(String, &str)> {
    let text = strip_any_case(text, "git::").unwrap_or(text);
    let schemes = ["ssh://", "https://", "http://", "file://"];
    let schemed = schemes
        .iter()
        .find_map(|scheme| Some((*scheme, strip_any_case(text, scheme)?)));
    let (scheme, rest) = schemed.unwrap_or(("", text));
    if scheme == "file://" {
        return Some((scheme.to_string(), rest));
    }
    let (user, rest) = split_user(rest);
    let github = ["github.com/", "github.com:"]
        .iter()
        .any(|host| strip_any_case(rest, host).is_some());
    let short = scheme.is_empty() && (!user.is_empty() || github);
    if scheme.is_empty() && !short {
        return None;
    }
    let slash = rest.find('/');
    let colon = rest.find(':').filter(|_| short);
    let end = match (slash, colon) {
        (Some(slash), Some(colon)) if colon > 0 && colon < slash => Some(colon),
        (None, colon) => colon,
        (slash, _) => slash,
    };
    let (host, path) = end.map_or((rest, ""), |end| rest.split_at(end + 1));
    if host.is_empty() {
        return None;
    }
    let host = match (github, scheme == "ssh://" || !user.is_empty()) {
        (true, true) => format!("{user}github.com:"),
        (true, false) => "https://github.com/".to_string(),
        (false, _) => format!("{scheme}{user}{host}"),
    };
    Some((host, path))
}

fn strip_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let start = text.get(..prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// Splits `user@` off.
fn split_user(text: &str) -> (&str, &str) {
    let Some(at) = text.find('@') else {
        return ("", text);
    };
    let name = &text[..at];
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if is_name {
        text.split_at(at + 1)
    } else {
        ("", text)
    }
}

/// Splits the path of a repository from the directory in it: at `_git/`, `//` or `.git`, or after two names.
fn split_path(path: &str, is_file: bool) -> Option<(String, &str)> {
    if let Some(at) = path.find("_git/") {
        let rest = &path[at + 5..];
        let (name, directory) = rest.split_once('/').unwrap_or((rest, ""));
        return Some((format!("{}{name}", &path[..at + 5]), directory));
    }
    if let Some((repository, directory)) = path.split_once("//") {
        return Some((repository.to_string(), directory));
    }
    if let Some(at) = path.find(".git") {
        return Some((path[..at + 4].to_string(), &path[at + 4..]));
    }
    if is_file {
        return Some((path.to_string(), ""));
    }
    let first = path.find('/')?;
    let end = path[first + 1..].find('/').map_or(path.len(), |i| first + 1 + i);
    Some((
        path[..end].to_string(),
        path[end..].strip_prefix('/').unwrap_or_default(),
    ))
}

/// Reads `%41` and `+` in a query.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text
            .get(at + 1..at + 3)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], code) {
            (b'%', Some(code)) => {
                out.push(code);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Reads seconds, or a duration as Go writes it (`1m30s`).
fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds)).filter(|d| !d.is_zero());
    }
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit_end = rest[end..]
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .map_or(rest.len(), |i| end + i);
        total += number
            * match &rest[end..unit_end] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    Duration::try_from_secs_f64(total).ok().filter(|d| !d.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Option<(String, String, String)> {
        GitUrl::parse(text).map(|url| (url.repository, url.directory, url.reference))
    }

    fn given(repository: &str, directory: &str, reference: &str) -> Option<(String, String, String)> {
        Some((repository.into(), directory.into(), reference.into()))
    }

    #[test]
    fn every_form_of_a_url_is_split_as_kustomize_splits_it() {
        let hub = "https://github.com/org/repo";
        for (text, expected) in [
            ("github.com/org/repo/a/b?ref=v1", given(hub, "a/b", "v1")),
            ("GitHub.com/org/repo", given(hub, "", "")),
            (
                "https://github.com/org/repo.git/a",
                given("https://github.com/org/repo.git", "a", ""),
            ),
            (
                "git::https://github.com/org/repo//a?version=x",
                given(hub, "a", "x"),
            ),
            (
                "git@github.com:org/repo/a",
                given("git@github.com:org/repo", "a", ""),
            ),
            (
                "ssh://git@github.com/org/repo",
                given("git@github.com:org/repo", "", ""),
            ),
            (
                "user@host.xz:path/repo.git/a",
                given("user@host.xz:path/repo.git", "a", ""),
            ),
            (
                "https://host/o/p/_git/repo/a?ref=b",
                given("https://host/o/p/_git/repo", "a", "b"),
            ),
            (
                "https://host:8080/o/r//a/b",
                given("https://host:8080/o/r", "a/b", ""),
            ),
            ("file:///srv/repo//a", given("file:///srv/repo", "a", "")),
            ("file:///srv/repo", given("file:///srv/repo", "", "")),
            ("../base", None),
            ("base", None),
            ("/srv/base", None),
            ("https://github.com/org", None),
            ("https://github.com/org/repo//../x", None),
            ("host.xz:path/repo", None),
        ] {
            assert_eq!(parts(text), expected, "{text}");
        }
    }

    #[test]
    fn the_query_says_how_long_and_whether_submodules() {
        let url =
            GitUrl::parse("github.com/o/r?timeout=1m30s&submodules=false").map(|u| (u.timeout, u.submodules));
        assert_eq!(url, Some((Duration::from_secs(90), false)));
        let url =
            GitUrl::parse("github.com/o/r?timeout=5&submodules=perhaps").map(|u| (u.timeout, u.submodules));
        assert_eq!(url, Some((Duration::from_secs(5), true)));
    }
}
