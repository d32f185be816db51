//! One control plane for all tests that break nothing which belongs to others: each has a namespace and a repository
//! of its own. Nodes are played by kwok, and a real scheduler fills them.

use std::path::Path;
use std::sync::LazyLock;

use tests::control_plane::{ControlPlane, Kwok, Setup};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::OnceCell;

use crate::installation::Installation;

/// How many nodes there are.
const NODES: usize = 3;

/// Outlives the runtimes of the tests. Nothing of it is dropped when they end; all of its processes end with this one,
/// and etcd takes the folder along.
static SHARED: OnceCell<Shared> = OnceCell::const_new();
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
});

struct Shared {
    installation: Installation,
    _kwok: Kwok,
}

/// What all share, started for the first who asks. The controller runs.
pub(crate) async fn installation() -> &'static Installation {
    let started = || async { RUNTIME.spawn(Shared::start()).await.unwrap() };
    &SHARED.get_or_init(started).await.installation
}

impl Shared {
    async fn start() -> Self {
        let setup = Setup {
            scheduler: true,
            ..Setup::default()
        };
        let control_plane = ControlPlane::with(setup).await;
        let stages = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/stages.yaml");
        let kwok = Kwok::join(&control_plane, NODES, &stages).await;
        let mut installation = Installation::on(control_plane, "").await;
        installation.start();
        Self {
            installation,
            _kwok: kwok,
        }
    }
}
