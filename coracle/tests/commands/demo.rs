//! The demonstration, as `make demo ARGS=--once` runs it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use coracle::demo::repository::Repository;
use regex::Regex;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::terminal::{program, show};

/// How long processes may take to notice that their parent is gone, and the story to come to its next line.
const PATIENCE: Duration = Duration::from_secs(60);
/// Ctrl-C as a terminal sends it.
const CTRL_C: &[u8] = b"\x03";

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn demo(project: &Path, scratch: &Path) -> Command {
    let mut command = program("demo --once --source");
    command.arg(project).env("TMPDIR", scratch);
    command
}

/// What was told, without what differs from run to run: times, ports, names of pods and of settings, and which environment is first.
fn masked(shown: &str) -> String {
    let mut shown = shown.to_owned();
    for (varies, instead) in [
        (r"(?m)^ *\d+\.\d{3}s", "   0.000s"),
        (r"\b\d+ ms", "N ms"),
        (r"127\.0\.0\.1:\d+", "ADDRESS"),
        (r"\bweb-[0-9a-z]+-[0-9a-z]{5}\b", "web-POD"),
        (r"\bweb-settings-[0-9a-z]{10}\b", "web-settings-HASH"),
    ] {
        let varies = Regex::new(varies).unwrap();
        shown = varies.replace_all(&shown, instead).into_owned();
    }
    let mut lines: Vec<&str> = shown.lines().collect();
    let first = lines
        .iter()
        .position(|line| line.contains(" is up: "))
        .unwrap_or(0);
    let count = lines.iter().filter(|line| line.contains(" is up: ")).count();
    lines[first..first + count].sort_unstable();
    lines.join("\n")
}

#[test]
fn the_story_comes_true_and_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let shown = show(&mut demo(&project(), scratch.path()));
    insta::assert_snapshot!(masked(&shown), @r#"
       0.000s  A Kubernetes API, a Git server and the controller start on this machine.
                 API https://ADDRESS  Git http://ADDRESS/shop.git
       0.000s  The cluster is pointed at clusters/demo on the branch main. The environments come up.
       0.000s     dev is up: 18 objects, 1 of 1 web pods
       0.000s     prerelease is up: 18 objects, 1 of 1 web pods
       0.000s     production is up: 20 objects, 3 of 3 web pods
       0.000s     staging is up: 18 objects, 2 of 2 web pods
       0.000s  ok 4 environments after N ms
       0.000s  Somebody merges `Turn the search on or off` to the branch staging.
                 ConfigMap/shop-staging/web-settings-HASH created
                 Deployment/shop-staging/web configured
                 ConfigMap/shop-staging/web-settings-HASH deleted
       0.000s  ok applied N ms after the push, healthy after N ms
       0.000s  Somebody scales the front end of staging to 5 by hand.
                 Deployment/shop-staging/web configured
       0.000s  ok 2 replicas again after N ms
       0.000s  Somebody commits an image to staging that does not exist.
                 Deployment/shop-staging/web configured
                 HealthCheckFailed: failed early due to stalled resources: [Deployment/shop-staging/web status: 'Failed': pod web-POD: image "nginxinc/nginx-unprivileged:does-not-exist" of container "web" cannot be pulled: not found]
                 the 2 pods of the last good version serve on
       0.000s  ok failed with its reason after N ms, production untouched
       0.000s  `git revert` on staging.
                 Deployment/shop-staging/web configured
       0.000s  ok healthy again N ms after the push
       0.000s  Somebody removes network-policy.yaml on the branch dev.
                 NetworkPolicy/shop-dev/web deleted
                 NetworkPolicy/shop-dev/default-deny deleted
                 NetworkPolicy/shop-dev/database deleted
                 NetworkPolicy/shop-dev/api deleted
       0.000s  ok gone N ms after the push, staging keeps its own

    STEP                                 RESULT
    the environments come up             4 environments after N ms
    a merge goes live                    applied N ms after the push, healthy after N ms
    an edit by hand is put back          2 replicas again after N ms
    a broken image is explained          failed with its reason after N ms, production untouched
    a revert takes it back               healthy again N ms after the push
    a removed file removes its objects   gone N ms after the push, staging keeps its own
    [0]
    "#);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn a_story_that_comes_untrue_says_which_step_and_ends_with_1() {
    const STAGING: &str = "apps/shop/overlays/staging/kustomization.yaml";
    let (scratch, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = Repository::at(copy.path());
    for folder in ["apps", "clusters"] {
        files.copy(&project().join(folder), folder).unwrap();
    }
    // Here staging has no policy, which the last step says it keeps.
    let without = "patches:\n  - patch: '{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: web}, $patch: delete}'\n";
    let overlay = files.read(STAGING).unwrap();
    let changed = overlay.replace("patches:\n", without);
    assert_ne!(changed, overlay);
    files.write(STAGING, &changed).unwrap();

    let shown = masked(&show(&mut demo(copy.path(), scratch.path())));
    // What the controller logged follows.
    let end = shown.find("STEP ").unwrap();
    let (end, _) = shown[end..].split_once("\nhint: ").unwrap();
    insta::assert_snapshot!(end, @r"
    STEP                                 RESULT
    the environments come up             4 environments after N ms
    a merge goes live                    applied N ms after the push, healthy after N ms
    an edit by hand is put back          2 replicas again after N ms
    a broken image is explained          failed with its reason after N ms, production untouched
    a revert takes it back               healthy again N ms after the push
    a removed file removes its objects   failed
    error: the policy of staging is gone as well
    ");
    assert!(shown.ends_with("[1]"), "{shown}");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

/// A terminal that a program runs in: what it shows, and keys for it.
struct Screen {
    keys: File,
    lines: mpsc::Receiver<String>,
    shown: String,
}

impl Screen {
    /// Starts a program in a terminal of its own.
    fn of(command: &Command) -> (Self, Child) {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs = || {
            let opened = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty());
            Stdio::from(opened.unwrap())
        };
        // The keys of a terminal are signals for those whose terminal it is.
        let mut session = Command::new("setsid");
        session
            .arg("--ctty")
            .arg(command.get_program())
            .args(command.get_args());
        for (variable, value) in command.get_envs() {
            match value {
                Some(value) => session.env(variable, value),
                None => session.env_remove(variable),
            };
        }
        let child = session
            .stdin(theirs())
            .stdout(theirs())
            .stderr(theirs())
            .spawn()
            .unwrap();
        let keys = File::from(ours);
        let screen = BufReader::new(keys.try_clone().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // A terminal that nobody is left in answers with an error.
            for line in screen.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let shown = String::new();
        (Self { keys, lines, shown }, child)
    }

    /// Waits for a line with these words, and gives what follows them.
    fn until(&mut self, words: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no line has `{words}`:\n{}", self.shown)
            };
            self.shown.push_str(line.trim_end());
            self.shown.push('\n');
            if let Some((_, rest)) = line.trim_end().split_once(words) {
                return rest.to_owned();
            }
        }
    }
}

/// Command lines of the roles that run with their files in a folder.
fn roles_in(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        // One that ends meanwhile has none.
        .filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok())
        .filter(|line| line.contains(&*folder) && line.contains("--until-stdin-closes"))
        .map(|line| line.replace('\0', " "))
        .collect()
}

#[tokio::test]
async fn on_a_terminal_it_stays_up_tells_of_a_push_and_ends_with_ctrl_c() {
    let (scratch, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut command = program("demo --source");
    command
        .arg(project())
        .env("TMPDIR", scratch.path())
        .env("NO_COLOR", "1");
    let (mut screen, mut child) = Screen::of(&command);
    drop(command);

    let api = screen.until("API https://");
    let (api, git) = api.split_once("  Git ").unwrap();
    let (api, git): (SocketAddr, String) = (api.parse().unwrap(), git.to_owned());
    screen.until("It stays up until Ctrl-C.");
    let kubeconfig = screen.until("export KUBECONFIG=");
    assert!(
        std::fs::read_to_string(&kubeconfig)
            .unwrap()
            .contains(&api.to_string())
    );
    assert_eq!(screen.until("git clone -b staging "), format!("{git} && cd shop"));
    assert_eq!(
        roles_in(scratch.path()).len(),
        2,
        "the cluster and the controller"
    );

    let work = Repository::clone(&git, folder.path()).await.unwrap();
    work.checkout("staging").await.unwrap();
    let settings = "{\"featureSearch\": true, \"greeting\": \"Welcome aboard\"}\n";
    work.write("apps/shop/overlays/staging/settings.json", settings)
        .unwrap();
    let commit = work.commit("Greet whoever comes").await.unwrap();
    work.push("staging").await.unwrap();
    assert_eq!(
        screen.until("push: staging is at "),
        format!("{} `Greet whoever comes`", &commit[..8])
    );
    screen.until("kustomization/shop-staging:");
    screen.until("ConfigMap/shop-staging/web-settings-");
    screen.until("Deployment/shop-staging/web configured");

    screen.keys.write_all(CTRL_C).unwrap();
    let ended = tokio::task::spawn_blocking(move || child.wait()).await.unwrap();
    assert_eq!(ended.unwrap().code(), Some(0), "{}", screen.shown);
    assert_eq!(roles_in(scratch.path()), [] as [&str; 0]);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    let git: SocketAddr = git["http://".len()..].split_once('/').unwrap().0.parse().unwrap();
    for address in [api, git] {
        assert!(
            TcpStream::connect_timeout(&address, PATIENCE).is_err(),
            "{address}"
        );
    }
}

#[test]
fn its_processes_end_with_it_even_when_it_is_killed() {
    let scratch = tempfile::tempdir().unwrap();
    let mut child = demo(&project(), scratch.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let api = lines
        .find_map(|line| {
            let line = line.unwrap();
            let (_, rest) = line.split_once("https://")?;
            rest.split_whitespace().next()?.parse::<SocketAddr>().ok()
        })
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();

    let killed = Instant::now();
    while TcpStream::connect_timeout(&api, PATIENCE).is_ok() {
        assert!(
            killed.elapsed() < PATIENCE,
            "the cluster at {api} outlives its parent"
        );
        std::thread::yield_now();
    }
}

#[test]
fn without_its_files_it_says_where_to_run_it() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = program("demo --once");
    command.current_dir(scratch.path());
    let shown = show(&mut command).replace(
        &*scratch.path().canonicalize().unwrap().to_string_lossy(),
        "/here",
    );
    insta::assert_snapshot!(shown, @r"
    error: there is no `clusters/demo` and `apps/shop` in /here or above it
    hint: Run it in a clone of Coracle's repository, or say where that is with --source.
    [3]
    ");
}

#[test]
fn a_file_that_is_not_as_the_story_needs_it_is_named_before_anything_starts() {
    let scratch = tempfile::tempdir().unwrap();
    for folder in ["clusters/demo", "apps/shop/overlays/staging"] {
        std::fs::create_dir_all(scratch.path().join(folder)).unwrap();
    }
    std::fs::write(
        scratch.path().join("apps/shop/overlays/staging/settings.json"),
        "[]",
    )
    .unwrap();
    let mut command = program("demo --once");
    command.current_dir(scratch.path());
    insta::assert_snapshot!(show(&mut command), @r#"
    error: the story of the demo needs a JSON object with the settings, such as {"featureSearch": false}, in apps/shop/overlays/staging/settings.json
    hint: `git checkout -- apps clusters` brings the files back as they were.
    [5]
    "#);
}
