//! The kill test: whenever the controller dies, what carries our labels, what the inventory says and what Git
//! wants are the same in the end.
//!
//! The controller is a process of its own and is killed with SIGKILL at request k, for every k of a run that
//! creates, changes, recreates and prunes.

use std::fs::File;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use embedded_cluster::HoldAt;
use serde_json::json;
use tests::World;
use tests::world::CONTROLLER_LOG;

use crate::requests::requests;
use crate::{Needs, Scene, config_map, held};

/// More requests than any run here makes.
const MAX_REQUESTS: u64 = 80;

/// The controller, killed when it is dropped.
struct Controller(Child);

impl Controller {
    fn start(world: &World) -> Self {
        let kubeconfig = world.directory().join("kubeconfig");
        std::fs::write(&kubeconfig, world.cluster.kubeconfig()).unwrap();
        let log = File::options()
            .create(true)
            .append(true)
            .open(world.directory().join(CONTROLLER_LOG))
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_controller"))
            .arg(kubeconfig)
            .arg(world.directory().join("storage"))
            .stdin(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        Self(child)
    }

    /// From now on no write of an earlier process can arrive.
    fn let_late_writes_expire(&mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // SIGKILL; it has ended already if it panicked, which the scenario sees by what is missing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One of two sides of the application. From one to the other an object is created, one changed, one recreated
/// and one pruned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
        }
    }

    fn commit(self, scene: &Scene) -> String {
        let name = self.name();
        let sealed = format!("{}immutable: true\n", config_map("sealed", name));
        let _ = std::fs::remove_file(
            scene
                .upstream
                .work()
                .join(format!("app/{}.yaml", self.other().name())),
        );
        scene.commit(&[
            ("changed.yaml", &config_map("changed", name)),
            ("sealed.yaml", &sealed),
            (&format!("{name}.yaml"), &config_map(name, name)),
        ])
    }

    /// The objects of this side, sorted.
    fn names(self) -> [&'static str; 3] {
        ["changed", self.name(), "sealed"]
    }

    fn ids(self) -> [String; 3] {
        self.names().map(|name| format!("default_{name}__ConfigMap"))
    }

    /// Waits until everything that is recorded is as Git has it, and finds the objects so too.
    async fn settled(self, scene: &Scene, controller: &mut Controller, commit: &str) {
        let ids = self.ids();
        scene.world.until_applied("app", commit).await;
        controller.let_late_writes_expire();
        scene
            .world
            .until_inventory("app", &ids.each_ref().map(String::as_str))
            .await;
        assert_eq!(scene.world.labelled(), ids);
        for name in self.names() {
            assert_eq!(scene.data(name)["key"], self.name(), "{name}");
        }
    }

    /// Waits until the objects are as Git has them again.
    async fn repaired(self, scene: &Scene) {
        let as_wanted = |world: &World| {
            let value = |name: &&str| world.value(name, "key");
            let values_are = |name| value(name).as_deref() == Some(self.name());
            world.labelled() == self.ids() && self.names().iter().all(values_are)
        };
        let look = |world: &World| as_wanted(world).then_some(());
        scene
            .world
            .when("v1", "ConfigMap", "the objects of the commit", look)
            .await;
    }
}

async fn scene() -> (Scene, String) {
    let scene = Scene::with(Needs::Faults).empty().await;
    let commit = Side::Left.commit(&scene);
    scene.world.git_repository("app", "main");
    scene
        .world
        .kustomization("app", "app", "./app", &json!({"force": true}));
    (scene, commit)
}

/// Everything leaves Git: nothing may stay.
async fn nothing_is_left(scene: &Scene, controller: &mut Controller) {
    std::fs::remove_dir_all(scene.upstream.work().join("app")).unwrap();
    let commit = scene.push(&[("kustomization.yaml", "namespace: default\n")]);
    scene.world.confirm_prune("app", &commit);
    scene.world.until_applied("app", &commit).await;
    controller.let_late_writes_expire();
    scene.world.until_inventory("app", &[]).await;
    assert_eq!(scene.world.labelled(), Vec::<String>::new());
}

/// Kills at each request of a run in turn; `at` says whether it was carried out by then.
async fn killed_at_every_request(at: HoldAt) {
    let (scene, commit) = scene().await;
    let mut controller = Controller::start(&scene.world);
    let mut side = Side::Left;
    side.settled(&scene, &mut controller, &commit).await;
    for k in 1..MAX_REQUESTS {
        side = side.other();
        let mut holding = scene.faults().hold(requests().nth(k), at);
        let commit = side.commit(&scene);
        scene.world.poll("app", &commit);
        let done = tokio::select! {
            request = held(&mut holding) => {
                drop(controller);
                request.cut();
                controller = Controller::start(&scene.world);
                false
            }
            _ = scene.world.until_applied("app", &commit) => true,
        };
        // A request may be held that the end of the run did not wait for; it goes with this.
        drop(holding);
        scene.faults().clear();
        side.settled(&scene, &mut controller, &commit).await;
        if done {
            assert!(k > 12, "the run was shorter than what it has to do: {k} requests");
            nothing_is_left(&scene, &mut controller).await;
            return;
        }
    }
    panic!("the run did not end within {MAX_REQUESTS} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_any_request_it_ends_as_git_has_it() {
    killed_at_every_request(HoldAt::Before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_any_request_was_carried_out_and_before_its_answer_it_ends_as_git_has_it() {
    killed_at_every_request(HoldAt::After).await;
}

/// Kills at each write in turn, which is carried out only after the next process has settled. With `revert`
/// that one finds the commit taken back, so that the late write is one that nobody wants any more.
async fn a_write_arrives_late(revert: bool) {
    let (scene, commit) = scene().await;
    let mut controller = Controller::start(&scene.world);
    let mut side = Side::Left;
    side.settled(&scene, &mut controller, &commit).await;
    for k in 1..MAX_REQUESTS {
        side = side.other();
        let writes = requests().namespace("default").writes();
        let mut holding = scene.faults().hold(writes.nth(k), HoldAt::Before);
        let commit = side.commit(&scene);
        scene.world.poll("app", &commit);
        let late = tokio::select! {
            request = held(&mut holding) => request,
            _ = scene.world.until_applied("app", &commit) => {
                drop(holding);
                assert!(k > 5, "the run was shorter than what it has to do: {k} writes");
                scene.faults().clear();
                side.settled(&scene, &mut controller, &commit).await;
                nothing_is_left(&scene, &mut controller).await;
                return;
            }
        };
        drop(controller);
        scene.faults().clear();
        let commit = if revert {
            side = side.other();
            side.commit(&scene)
        } else {
            commit
        };
        scene.world.poll("app", "after");
        controller = Controller::start(&scene.world);
        scene.world.until_applied("app", &commit).await;
        late.carried_out().await;
        controller.let_late_writes_expire();
        side.repaired(&scene).await;
        side.settled(&scene, &mut controller, &commit).await;
    }
    panic!("the run did not end within {MAX_REQUESTS} writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_arrives_after_the_restart_changes_nothing_in_the_end() {
    a_write_arrives_late(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_arrives_after_the_restart_and_after_a_revert_changes_nothing_in_the_end() {
    a_write_arrives_late(true).await;
}
