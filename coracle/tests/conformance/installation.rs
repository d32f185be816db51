//! A control plane with everything that `coracle install` prints, and a controller beside it that acts as the
//! ServiceAccount that was installed.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coracle::demo::repository::Repository;
use coracle::demo::stage;
use coracle::demo::world::World;
use coracle::git_server::{Access, GitServer};
use coracle::objects::Summary;
use embedded_cluster::RequestKey;
use serde_json::Value;
use tests::control_plane::{Audited, ControlPlane, Node};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// How often is asked for what no event tells.
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// Everything that a test needs; it ends when it is dropped.
pub(crate) struct Installation {
    controller: Option<Controller>,
    pub(crate) world: World,
    pub(crate) git: GitServer,
    pub(crate) work: Repository,
    node: Option<Node>,
    /// The last one: it removes the folder of all that is above.
    pub(crate) control_plane: ControlPlane,
}

/// The controller, killed when it is dropped.
struct Controller {
    child: Child,
    log: PathBuf,
}

impl Drop for Controller {
    #[expect(
        clippy::print_stderr,
        reason = "a test that fails shows what the controller did"
    )]
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let mut lines: Vec<&str> = log.lines().rev().take(30).collect();
            lines.reverse();
            eprintln!("the controller's last lines:\n{}", lines.join("\n"));
        }
    }
}

impl Installation {
    /// Starts a control plane with a node, installs Coracle with these options and serves the project's `clusters/`
    /// and `apps/` from a Git server; the controller is not started.
    pub(crate) async fn new(options: &str) -> Self {
        let control_plane = ControlPlane::start().await;
        let node = Node::join(control_plane.client().await).await;
        let mut installation = Self::on(control_plane, options).await;
        installation.node = Some(node);
        installation
    }

    /// The same on a control plane that runs already, with what nodes it has.
    pub(crate) async fn on(control_plane: ControlPlane, options: &str) -> Self {
        let root = folder(&control_plane);
        let served = root.join("served");
        std::fs::create_dir_all(&served).unwrap();
        std::fs::write(root.join("kubeconfig"), control_plane.kubeconfig()).unwrap();
        let world = World::reach(&control_plane.kubeconfig()).await.unwrap();
        let git = GitServer::start(&served, ([127, 0, 0, 1], 0).into(), Access::ReadAndPush)
            .await
            .unwrap();
        Repository::create_bare(&served.join("shop.git")).await.unwrap();
        let work = stage::seed(&project(), &root.join("work"), &git.url("shop"))
            .await
            .unwrap();
        let installation = Self {
            controller: None,
            world,
            git,
            work,
            node: None,
            control_plane,
        };
        let manifests = installation.succeeds(&format!("install {options}"));
        installation.kubectl_apply(&manifests);
        installation
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> PathBuf {
        folder(&self.control_plane)
    }

    /// Starts the controller as the ServiceAccount `coracle`, with the flags that its Deployment has.
    pub(crate) fn start(&mut self) {
        let token = self.kubectl("create token coracle --namespace flux-system --duration 1h");
        let kubeconfig = self.control_plane.kubeconfig_of(token.trim());
        self.start_with(&kubeconfig);
    }

    /// The same, reaching the API server by this kubeconfig.
    pub(crate) fn start_with(&mut self, kubeconfig: &str) {
        let path = self.folder().join("coracle.kubeconfig");
        std::fs::write(&path, kubeconfig).unwrap();
        let deployment: Value = serde_json::from_str(
            &self.kubectl("get deployment coracle --namespace flux-system --output json"),
        )
        .unwrap();
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let installed = container["args"].as_array().unwrap().iter();
        // Addresses and folders are those of the pod; here they are the test's own.
        let flags = installed
            .filter_map(Value::as_str)
            .filter(|flag| !flag.starts_with("--storage"));
        let log = self.controller_log();
        let child = program("")
            .args(flags)
            .arg(format!("--kubeconfig={}", path.display()))
            .arg(format!("--storage-path={}", self.folder().join("data").display()))
            .args(["--metrics-addr=127.0.0.1:0", "--storage-addr=127.0.0.1:0"])
            .arg("--failure-grace=1s")
            .arg("--log-level=debug")
            .arg("--until-stdin-closes")
            .env("RUNTIME_NAMESPACE", "flux-system")
            .env("POD_NAME", "coracle-0")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        self.controller = Some(Controller { child, log });
    }

    /// What the controller said so far.
    pub(crate) fn controller_log(&self) -> PathBuf {
        self.folder().join("controller.log")
    }

    /// Tells the controller to end and waits until it has.
    pub(crate) fn stop(&mut self) {
        let mut controller = self.controller.take().unwrap();
        drop(controller.child.stdin.take());
        assert!(controller.child.wait().unwrap().success());
    }

    /// Points the cluster at its folder in Git.
    pub(crate) async fn point_at_git(&self) {
        for object in stage::root_objects(&project(), &self.git.url("shop")).unwrap() {
            self.world.apply(&object).await.unwrap();
        }
    }

    /// Where the work tree is.
    pub(crate) fn work_tree(&self) -> PathBuf {
        self.folder().join("work")
    }

    /// Runs `coracle` as an administrator; what it prints, and its exit code in brackets.
    pub(crate) fn run(&self, line: &str) -> String {
        let output = self.command(line).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, errors) = (text(&output.stdout), text(&output.stderr));
        format!("{out}{errors}[{}]", output.status.code().unwrap_or(-1))
    }

    /// Runs `coracle` as an administrator and gives what it prints.
    pub(crate) fn succeeds(&self, line: &str) -> String {
        output(&mut self.command(line))
    }

    fn command(&self, line: &str) -> Command {
        let mut command = program(line);
        command
            .env("KUBECONFIG", self.folder().join("kubeconfig"))
            .current_dir(self.folder().join("work"));
        command
    }

    /// Runs upstream's kubectl and gives what it prints.
    pub(crate) fn kubectl(&self, line: &str) -> String {
        output(self.control_plane.kubectl().args(line.split(' ')))
    }

    /// Applies manifests as the README says; a warning of the API server fails.
    fn kubectl_apply(&self, manifests: &str) {
        let mut kubectl = self.control_plane.kubectl();
        kubectl.args(["apply", "--server-side", "--warnings-as-errors", "-f", "-"]);
        feed(&mut kubectl, manifests);
    }

    /// Applies an object as a person would who is no administrator.
    pub(crate) fn kubectl_apply_as(&self, user: &str, object: &Value) {
        let mut kubectl = self.control_plane.kubectl();
        kubectl.args(["apply", "--as", user, "-f", "-"]);
        feed(&mut kubectl, &object.to_string());
    }

    /// Waits until a Kustomization of `flux-system` is ready.
    pub(crate) async fn ready(&self, name: &str) {
        let ready = |state: &Summary| (state.ready == "True").then_some(());
        let what = format!("{name} to be ready");
        self.world.until_kustomization(name, &what, ready).await.unwrap();
    }

    /// What the ServiceAccount `coracle` was not allowed to do, as itself or as another account.
    pub(crate) fn refused(&self) -> Vec<RequestKey> {
        let requests = self.requests().into_iter().map(|audited| audited.request);
        requests.filter(|request| request.code == 403).collect()
    }

    /// Waits until the API server does not take a token any more.
    pub(crate) async fn until_unknown(&self, token: &str) {
        let kubeconfig = self.control_plane.kubeconfig_of(token);
        let client = tests::world::client(&kubeconfig, "test").await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match client.apiserver_version().await {
                Err(kube::Error::Api(status)) if status.code == 401 => return,
                answer => assert!(Instant::now() < deadline, "the token is taken: {answer:?}"),
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until the controller has logged this.
    pub(crate) async fn until_logged(&self, part: &str) {
        let log = self.controller_log();
        let logged = || std::fs::read_to_string(&log).is_ok_and(|log| log.contains(part));
        until(part, logged).await;
    }

    /// The controller that was started runs, and nobody took its leases, not even itself.
    pub(crate) fn still_leads(&self) {
        for lease in [
            "source-controller-leader-election",
            "kustomize-controller-leader-election",
        ] {
            let spec: Value = serde_json::from_str(&self.kubectl(&format!(
                "get lease {lease} --namespace flux-system --output jsonpath={{.spec}}"
            )))
            .unwrap();
            assert_eq!(
                (&spec["holderIdentity"], &spec["leaseTransitions"]),
                (&"coracle-0".into(), &0.into())
            );
        }
        let log = std::fs::read_to_string(self.controller_log()).unwrap();
        assert_eq!(log.matches("leading: reconciliation starts").count(), 1);
    }

    /// What the controller has written in a namespace since a mark, but for what it says itself.
    pub(crate) fn written(&self, namespace: &str, mark: u64) -> Vec<String> {
        let account = "system:serviceaccount:flux-system:coracle";
        let of_its_own = ["kustomizations", "gitrepositories", "events"];
        let audited = self.control_plane.audited_since(mark).into_iter();
        audited
            .filter(|audited| audited.user == account)
            .map(|audited| audited.request)
            .filter(|request| request.writes() && request.namespace == namespace)
            .filter(|request| !of_its_own.contains(&request.resource.as_str()))
            .map(|request| request.to_string())
            .collect()
    }

    /// What the ServiceAccount `coracle` asked the API server for until now.
    pub(crate) fn requests(&self) -> Vec<Audited> {
        let account = "system:serviceaccount:flux-system:coracle";
        let audited = self.control_plane.audited_since(0).into_iter();
        audited.filter(|audited| audited.user == account).collect()
    }
}

/// Waits for what no event tells.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "this did not come: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// The program with these words, and nothing of this machine's environment that it reads.
fn program(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
    command.args(line.split_whitespace()).env("HOME", "/nonexistent");
    for name in ["KUBECONFIG", "RUNTIME_NAMESPACE", "POD_NAME"] {
        command.env_remove(name);
    }
    command
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program that reads this.
fn feed(command: &mut Command, input: &str) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

fn folder(control_plane: &ControlPlane) -> PathBuf {
    control_plane.folder().join("installation")
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
