//! What the program adds to the library: bases in Git repositories, by running Git, and files by HTTP, if that feature
//! is on. Does I/O.

mod git;
#[cfg(feature = "http")]
mod http;

use std::path::PathBuf;
use std::time::Duration;

use kustomize_rs::{Checkout, Error, GitUrl, Remote};

/// Fetches over the network and keeps repositories by commit.
pub(crate) struct Fetcher {
    /// Where repositories are kept.
    cache: PathBuf,
    /// Nothing that is fetched may have more bytes.
    max_size: u64,
    /// How long a file may take; for repositories their URLs say it.
    #[cfg_attr(
        not(feature = "http"),
        expect(dead_code, reason = "there are no files without HTTP")
    )]
    timeout: Duration,
}

impl Fetcher {
    /// Fetches within kustomize's own limit of time, and up to a gigabyte.
    pub(crate) fn new(cache: PathBuf) -> Self {
        Self {
            cache,
            max_size: 1 << 30,
            timeout: Duration::from_secs(27),
        }
    }
}

impl Remote for Fetcher {
    #[cfg(feature = "http")]
    fn file(&self, url: &str) -> Result<Vec<u8>, Error> {
        http::get(url, self.timeout, self.max_size)
    }

    #[cfg(not(feature = "http"))]
    fn file(&self, url: &str) -> Result<Vec<u8>, Error> {
        let url = without_credentials(url);
        Err(Error::remote(format!(
            "{url}: this program was built without HTTP; copy the file into this repository"
        )))
    }

    fn repository(&self, url: &GitUrl) -> Result<Checkout, Error> {
        git::checkout(url, &self.cache, self.max_size)
    }
}

/// Takes names and passwords out of the URLs in a text.
fn without_credentials(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after
            .find(|c: char| c == '/' || c.is_whitespace() || c == '\'' || c == '"')
            .unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(at) => {
                out.push_str("***");
                &after[at..]
            }
            None => after,
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests;
