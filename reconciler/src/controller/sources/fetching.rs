//! A fetch as a GitRepository asks for it: its reference, its credentials, and what keeps it from being fetched. Does I/O.

use super::super::build::decode;
use super::keeper::Keeper;
use super::learned_as;
use super::status::Failure;
use crate::api::{GitProvider, GitRepository, LocalReference, Reason};
use crate::causes::chain;
use crate::cluster::Kind;
use crate::plan::ObjectId;
use crate::source::{Fetched, Reference, ReferenceFields, Remote, SecretData, Source, SourceError};

/// Keys of a Git Secret that are no secrets, and that messages may quote.
const PUBLIC_KEYS: [&str; 4] = ["known_hosts", "ca.crt", "caFile", "tls.crt"];

impl Keeper {
    /// Looks at the repository, with the credentials that stand in the cluster now.
    pub(super) async fn fetch(&mut self, object: &GitRepository) -> Result<Fetched, Failure> {
        if let Some(fields) = unserved(object) {
            return Err(Failure {
                reason: Reason::InvalidSpec,
                message: format!("not supported yet: {fields}; remove it to have this fetched"),
                stalled: true,
            });
        }
        let spec = &object.spec;
        let reference = match suspended_commit(object) {
            Some(reference) => reference,
            None => {
                let fields = spec.reference.clone().unwrap_or_default();
                Reference::try_from(ReferenceFields {
                    branch: fields.branch,
                    tag: fields.tag,
                    semver: fields.semver,
                    name: fields.name,
                    commit: fields.commit,
                })
                .map_err(|error| source_failure(&error))?
            }
        };
        let remote = self.remote(object).await?;
        let source = Source {
            remote,
            reference,
            ignore: spec.ignore.clone(),
            timeout: spec.timeout.map(|timeout| timeout.0),
        };
        self.store
            .fetch(&source, self.held.as_ref())
            .await
            .map_err(|error| source_failure(&error))
    }

    async fn remote(&mut self, object: &GitRepository) -> Result<Remote, Failure> {
        let spec = &object.spec;
        self.secrets.clear();
        let credentials = self.secret(spec.secret_ref.as_ref(), "spec.secretRef").await?;
        let proxy = self
            .secret(spec.proxy_secret_ref.as_ref(), "spec.proxySecretRef")
            .await?;
        let fields = credentials.iter().chain(&proxy).flatten();
        let secrets = fields
            .filter(|(key, _)| !PUBLIC_KEYS.contains(&key.as_str()))
            .map(|(_, value)| value);
        let in_url = url::Url::parse(&spec.url).ok();
        let in_url = in_url.iter().filter_map(|url| url.password()).map(str::as_bytes);
        let secrets = secrets.map(Vec::as_slice).chain(in_url);
        self.cx.redactor.learn(&learned_as(&self.key), secrets);
        Remote::from_secrets(&spec.url, credentials.as_ref(), proxy.as_ref()).map_err(|error| {
            let failure = source_failure(&error);
            let named = spec
                .secret_ref
                .as_ref()
                .map(|secret| format!("secret '{}/{}': ", self.key.0, secret.name));
            Failure {
                message: format!("{}{}", named.unwrap_or_default(), failure.message),
                ..failure
            }
        })
    }

    /// The values of a Secret in the namespace of the GitRepository; any change of it from here on ends the sleep.
    async fn secret(
        &mut self,
        reference: Option<&LocalReference>,
        field: &str,
    ) -> Result<Option<SecretData>, Failure> {
        let Some(reference) = reference else {
            return Ok(None);
        };
        let name = format!("{}/{}", self.key.0, reference.name);
        let kind = Kind::fixed("v1", "Secret", "secrets", true);
        let id = ObjectId {
            namespace: self.key.0.clone(),
            name: reference.name.clone(),
            group: String::new(),
            kind: kind.gvk.kind.clone(),
        };
        let failure = |message: String| Failure {
            reason: Reason::AuthenticationFailed,
            message,
            stalled: false,
        };
        self.secrets.push(
            self.cx
                .configs
                .subscribe(("Secret", id.namespace.clone(), id.name.clone())),
        );
        self.cx.configs.ensure("Secret", &id.namespace).await;
        match self.cx.api.get(&kind, &id).await {
            Ok(Some(object)) => Ok(Some(decode(&object, true))),
            Ok(None) => Err(failure(format!(
                "secret '{name}' not found, which {field} names; create it there"
            ))),
            Err(error) => Err(failure(format!("failed to get secret '{name}': {error}"))),
        }
    }
}

/// A suspended source stays at the revision that its status names, also after a restart.
pub(super) fn suspended_commit(object: &GitRepository) -> Option<Reference> {
    if !object.spec.suspend {
        return None;
    }
    let artifact = object.status.as_ref()?.artifact.as_ref()?;
    let (pointer, commit) = artifact.revision.rsplit_once("sha1:")?;
    let branch = pointer
        .strip_suffix('@')
        .filter(|branch| !branch.is_empty())
        .map(ToOwned::to_owned);
    Some(Reference::Commit {
        id: commit.parse().ok()?,
        branch,
    })
}

/// What of a spec is not served.
fn unserved(object: &GitRepository) -> Option<String> {
    let spec = &object.spec;
    let fields = [
        (spec.verify.is_some(), "spec.verify"),
        (spec.recurse_submodules, "spec.recurseSubmodules"),
        (!spec.include.is_empty(), "spec.include"),
        (!spec.sparse_checkout.is_empty(), "spec.sparseCheckout"),
        (
            spec.provider
                .is_some_and(|provider| provider != GitProvider::Generic),
            "spec.provider other than generic",
        ),
        (spec.service_account_name.is_some(), "spec.serviceAccountName"),
    ];
    let refused: Vec<&str> = fields
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, field)| *field)
        .collect();
    (!refused.is_empty()).then(|| refused.join(", "))
}

fn source_failure(error: &SourceError) -> Failure {
    use crate::source::Reason as Why;
    let reason = match error.reason() {
        Why::AuthenticationFailed => Reason::AuthenticationFailed,
        Why::UrlInvalid => Reason::UrlInvalid,
        Why::InvalidProviderConfiguration => Reason::InvalidProviderConfiguration,
        Why::EmptyGitRepository => Reason::EmptyGitRepository,
        _ => Reason::GitOperationFailed,
    };
    Failure {
        reason,
        stalled: error.is_stalled(),
        message: chain(error),
    }
}
