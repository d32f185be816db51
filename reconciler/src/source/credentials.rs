//! How to get into a repository: credentials, trust, proxy, and how a `GitRepository`'s Secrets tell them, by the
//! keys that Flux documents. Pure.

use std::collections::BTreeMap;
use std::fmt;

use super::SourceError;
use super::remote::{Remote, Scheme, check_url, without_user};

/// Text that must not be shown: passwords, tokens, private keys. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// How to prove to the server who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Anonymously.
    None,
    /// HTTP basic authentication.
    Basic {
        /// The user's name.
        username: String,
        /// The password or token.
        password: Secret,
    },
    /// HTTP bearer token.
    Bearer {
        /// The token.
        token: Secret,
    },
    /// SSH key.
    Ssh {
        /// The private key: OpenSSH, PKCS#8, PKCS#1 or SEC 1, in PEM.
        identity: Secret,
        /// The passphrase of an encrypted identity; without an identity's need of one, the user's password.
        password: Option<Secret>,
        /// The lines of `known_hosts` that the server's key is checked against.
        known_hosts: String,
    },
}

/// A client certificate for mutual TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate chain in PEM.
    pub certificates: String,
    /// The private key in PEM.
    pub key: Secret,
}

/// An HTTP proxy that tunnels (`CONNECT`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The proxy's address, `http://host:port`.
    pub address: String,
    /// The user's name and password, if the proxy wants them.
    pub credentials: Option<(String, Secret)>,
}

impl Auth {
    /// Checks that the credentials are of a kind that the URL's protocol takes; those inside an HTTP URL are taken
    /// where there are no others.
    pub(super) fn fitting(
        self,
        scheme: Scheme,
        user: &str,
        password: Option<String>,
        shown: &str,
    ) -> Result<Auth, SourceError> {
        let unfit = |problem: &str| SourceError::CredentialsInvalid {
            url: shown.to_owned(),
            problem: problem.to_owned(),
        };
        match (scheme, self) {
            (Scheme::Ssh, Auth::Ssh { identity, .. }) if identity.expose().trim().is_empty() => {
                Err(unfit("'identity' is empty; put the private key into it"))
            }
            (Scheme::Ssh, Auth::Ssh { known_hosts, .. }) if known_hosts.trim().is_empty() => Err(unfit(
                "'known_hosts' is empty; put the server's line into it ('ssh-keyscan <host>')",
            )),
            (Scheme::Ssh, auth @ Auth::Ssh { .. }) => Ok(auth),
            (Scheme::Ssh, _) => Err(unfit(
                "an ssh:// URL needs a Secret with 'identity' (the private key) and 'known_hosts'",
            )),
            (_, Auth::Ssh { .. }) => Err(unfit(
                "an http(s):// URL takes 'username' and 'password', or 'bearerToken', not an SSH key",
            )),
            (_, Auth::None) if !user.is_empty() => Ok(Auth::Basic {
                username: user.to_owned(),
                password: Secret::new(password.unwrap_or_default()),
            }),
            (_, auth) => Ok(auth),
        }
    }
}

/// The decoded `data` of a Secret.
pub type SecretData = BTreeMap<String, Vec<u8>>;

impl Remote {
    /// Puts a remote together from `spec.url`, the Secret of `spec.secretRef` and that of `spec.proxySecretRef`.
    ///
    /// For `ssh://`: `identity`, `known_hosts`, `password` (the identity's passphrase). For `http(s)://`:
    /// `bearerToken`, or `username` and `password`; `ca.crt` (or `caFile`); `tls.crt` and `tls.key`. For a proxy:
    /// `address`, `username`, `password`.
    ///
    /// # Errors
    /// [`SourceError::UrlInvalid`], [`SourceError::CredentialsInvalid`],
    /// [`SourceError::ConnectionSettingsInvalid`].
    pub fn from_secrets(
        url: &str,
        secret: Option<&SecretData>,
        proxy: Option<&SecretData>,
    ) -> Result<Self, SourceError> {
        // Whatever is wrong with the URL is said first; and only a sound one is fit to be shown.
        let (parsed, scheme) = check_url(url)?;
        let shown = without_user(&parsed);
        let fields = Fields {
            url: &shown,
            data: secret,
        };
        let auth = match scheme {
            Scheme::Ssh => ssh(&fields)?,
            Scheme::Http | Scheme::Https => http(&fields)?,
        };
        let mut remote = Self::new(url, auth)?;
        if let Some(ca) = fields.text("ca.crt")?.or(fields.text("caFile")?) {
            remote = remote.with_ca(ca);
        }
        match (fields.text("tls.crt")?, fields.text("tls.key")?) {
            (Some(certificates), Some(key)) => {
                let key = Secret::new(key);
                remote = remote.with_client_certificate(ClientCertificate { certificates, key });
            }
            (None, None) => {}
            (Some(_), None) => return Err(fields.invalid("'tls.crt' needs 'tls.key'")),
            (None, Some(_)) => return Err(fields.invalid("'tls.key' needs 'tls.crt'")),
        }
        match proxy {
            Some(proxy) => Ok(remote.with_proxy(read_proxy(&shown, proxy)?)),
            None => Ok(remote),
        }
    }
}

struct Fields<'a> {
    url: &'a str,
    data: Option<&'a SecretData>,
}

impl Fields<'_> {
    fn invalid(&self, problem: impl Into<String>) -> SourceError {
        SourceError::CredentialsInvalid {
            url: self.url.to_owned(),
            problem: problem.into(),
        }
    }

    /// A field's text; an empty one counts as absent.
    fn text(&self, key: &str) -> Result<Option<String>, SourceError> {
        let Some(value) = self
            .data
            .and_then(|data| data.get(key))
            .filter(|value| !value.is_empty())
        else {
            return Ok(None);
        };
        String::from_utf8(value.clone())
            .map(Some)
            .map_err(|_| self.invalid(format!("'{key}' of the Secret is not text (encoded twice?)")))
    }

    fn required(&self, key: &str) -> Result<String, SourceError> {
        self.text(key)?.ok_or_else(|| {
            self.invalid(match self.data {
                None => format!("an ssh:// URL needs spec.secretRef, a Secret with '{key}'"),
                Some(_) => format!("the Secret has no '{key}', which an ssh:// URL needs"),
            })
        })
    }
}

fn ssh(fields: &Fields<'_>) -> Result<Auth, SourceError> {
    Ok(Auth::Ssh {
        identity: Secret::new(fields.required("identity")?),
        known_hosts: fields.required("known_hosts")?,
        password: fields.text("password")?.map(Secret::new),
    })
}

fn http(fields: &Fields<'_>) -> Result<Auth, SourceError> {
    if let Some(token) = fields.text("bearerToken")? {
        return Ok(Auth::Bearer {
            token: Secret::new(token),
        });
    }
    match (fields.text("username")?, fields.text("password")?) {
        (None, None) => Ok(Auth::None),
        (None, Some(_)) => Err(fields.invalid("the Secret has a 'password' and no 'username'")),
        (Some(username), password) => Ok(Auth::Basic {
            username,
            password: Secret::new(password.unwrap_or_default()),
        }),
    }
}

fn read_proxy(url: &str, data: &SecretData) -> Result<Proxy, SourceError> {
    let fields = Fields {
        url,
        data: Some(data),
    };
    let Some(address) = fields.text("address")? else {
        return Err(SourceError::ConnectionSettingsInvalid {
            url: url.to_owned(),
            problem: "the proxy's Secret has no 'address'".to_owned(),
        });
    };
    let password = Secret::new(fields.text("password")?.unwrap_or_default());
    let credentials = fields.text("username")?.map(|username| (username, password));
    Ok(Proxy { address, credentials })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(fields: &[(&str, &str)]) -> SecretData {
        fields
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
            .collect()
    }

    fn remote(url: &str, fields: &[(&str, &str)]) -> Result<Remote, SourceError> {
        Remote::from_secrets(url, Some(&data(fields)), None)
    }

    fn problem(url: &str, fields: &[(&str, &str)]) -> String {
        remote(url, fields).unwrap_err().to_string()
    }

    #[test]
    fn a_bearer_token_beats_a_password() {
        let fields = [("bearerToken", "t"), ("username", "u"), ("password", "p")];
        let both = remote("https://host/x", &fields).unwrap();
        assert_eq!(
            both.auth(),
            &Auth::Bearer {
                token: Secret::new("t")
            }
        );
        let basic = remote("https://host/x", &fields[1..]).unwrap();
        assert_eq!(
            basic.auth(),
            &Auth::Basic {
                username: "u".to_owned(),
                password: Secret::new("p")
            }
        );
        assert_eq!(remote("https://host/x", &[]).unwrap().auth(), &Auth::None);
    }

    #[test]
    fn ca_crt_beats_ca_file() {
        let both = remote("https://host/x", &[("ca.crt", "one"), ("caFile", "two")]).unwrap();
        assert_eq!(both.ca(), Some("one"));
        assert_eq!(
            remote("https://host/x", &[("caFile", "two")]).unwrap().ca(),
            Some("two")
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(
            problem("ssh://git@host/x", &[("identity", "key")]),
            "unusable credentials for 'ssh://git@host/x': the Secret has no 'known_hosts', which an ssh:// URL \
             needs"
        );
        assert_eq!(
            Remote::from_secrets("ssh://git@host/x", None, None)
                .unwrap_err()
                .to_string(),
            "unusable credentials for 'ssh://git@host/x': an ssh:// URL needs spec.secretRef, a Secret with \
             'identity'"
        );
        assert!(problem("https://host/x", &[("password", "p")]).ends_with("a 'password' and no 'username'"));
        assert!(problem("https://host/x", &[("tls.crt", "c")]).ends_with("'tls.crt' needs 'tls.key'"));
    }

    #[test]
    fn a_url_that_is_none_is_said_before_what_a_secret_lacks() {
        let error = Remote::from_secrets("git@host:x", None, None).unwrap_err();
        assert!(matches!(error, SourceError::UrlInvalid { .. }), "{error}");
    }

    #[test]
    fn a_proxy_comes_from_its_own_secret() {
        let proxy = data(&[
            ("address", "http://proxy:3128"),
            ("username", "u"),
            ("password", "p"),
        ]);
        let remote = Remote::from_secrets("https://host/x", None, Some(&proxy)).unwrap();
        let expected = Proxy {
            address: "http://proxy:3128".to_owned(),
            credentials: Some(("u".to_owned(), Secret::new("p"))),
        };
        assert_eq!(remote.proxy(), Some(&expected));
        let error = Remote::from_secrets("https://host/x", None, Some(&data(&[]))).unwrap_err();
        assert_eq!(error.reason().as_str(), "InvalidProviderConfiguration");
    }
}
