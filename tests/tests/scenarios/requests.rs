//! Which requests of the controller a scenario counts, holds or fails.

use embedded_cluster::{Match, Verb};

/// Every request of the controller.
pub(crate) fn requests() -> Match {
    Match::default().user_agent("coracle")
}

/// Looks at single objects of a kind.
pub(crate) fn looks(group: &str, plural: &str) -> Match {
    requests().verb(Verb::Get).resource(group, plural)
}

/// Applies that are not to be written: what would they do?
pub(crate) fn previews() -> Match {
    requests().verb(Verb::Patch).dry_run(true)
}

/// Applies of objects.
pub(crate) fn applies() -> Match {
    requests().verb(Verb::Patch).dry_run(false)
}

/// Deletions of objects of a kind of the core group.
pub(crate) fn deletes(plural: &str) -> Match {
    requests().verb(Verb::Delete).resource("", plural)
}

/// Writes of the status of a Kustomization.
pub(crate) fn statuses() -> Match {
    requests()
        .resource("kustomize.toolkit.fluxcd.io", "kustomizations")
        .subresource("status")
}
