//! What the program adds to the library: bases in Git repositories, by running Git, and files by HTTP, if that feature
//! is on. Does I/O.

mod git;
#[cfg(feature = "http")]
mod http;

use std::path::PathBuf;

use kustomize_rs::{Checkout, Error, GitUrl, Remote};

/// Nothing that is fetched may be larger.
const MAX_SIZE: u64 = 1 << 30;

/// Fetches over the network and keeps repositories by commit.
pub(crate) struct Fetcher {
    /// Where repositories are kept.
    pub(crate) cache: PathBuf,
}

impl Remote for Fetcher {
    #[cfg(feature = "http")]
    fn file(&self, url: &str) -> Result<Vec<u8>, Error> {
        http::get(url)
    }

    #[cfg(not(feature = "http"))]
    fn file(&self, url: &str) -> Result<Vec<u8>, Error> {
        let url = without_credentials(url);
        Err(Error::remote(format!(
            "{url}: this program was built without HTTP; copy the file into this repository"
        )))
    }

    fn repository(&self, url: &GitUrl) -> Result<Checkout, Error> {
        git::checkout(url, &self.cache)
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
mod tests {
    use super::*;

    #[test]
    fn no_message_has_a_password_in_it() {
        let message = "fatal: unable to access 'https://me:secret@host/o/r/': no https://t@x";
        let shown = "fatal: unable to access 'https://***@host/o/r/': no https://***@x";
        assert_eq!(without_credentials(message), shown);
        assert_eq!(without_credentials("git@github.com:o/r"), "git@github.com:o/r");
    }
}
