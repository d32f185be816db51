//! The main job, end to end: a merge reaches the cluster, a revert takes it back.

#[path = "../../../reconciler/tests/source/git_server/mod.rs"]
#[expect(dead_code, reason = "the fetch tests use more of it")]
mod git_server;

mod story;

use git_server::{GitServer, Upstream};
use tests::World;

/// A repository with its server, and a world around it.
pub(crate) struct Scene {
    pub(crate) upstream: Upstream,
    pub(crate) world: World,
    _server: GitServer,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let upstream = Upstream::empty();
        let server = GitServer::http(upstream.root()).await;
        let world = World::new(tempfile::tempdir().unwrap(), server.url("repo.git")).await;
        Self { upstream, world, _server: server }
    }
}

/// A ConfigMap in namespace `default` as YAML.
pub(crate) fn config_map(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: default\ndata:\n  key: {value}\n"
    )
}
