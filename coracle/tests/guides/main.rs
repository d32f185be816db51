//! What the README and the guides tell people to type is typed: each command of theirs is run, or is listed here with
//! the reason why it is not.

#![expect(clippy::unwrap_used, reason = "the functions that tests share fail the test")]

mod desk;
mod documents;

use std::net::TcpListener;

use clap::Parser as _;
use coracle::cli::Cli;

use desk::Desk;
use documents::{Command, all, commands, read, yaml};

/// What is done with a command of a document.
enum Typed {
    /// It is run and has to end with this code.
    Ends(i32),
    /// It is run, and what it creates may be there from another document.
    Creates,
    /// It is not typed, for the reason that stands above it. Command lines of `coracle` and targets of `make` are
    /// compared with what there is all the same, by tests of their own; those of other programs are not.
    Left,
}

/// Commands that do not simply have to work, by how they begin.
const OTHERWISE: &[(&str, Typed)] = &[
    // Builds this project.
    ("make ", Typed::Left),
    ("cargo ", Typed::Left),
    // The desk has its environment.
    ("export ", Typed::Left),
    // Programs of others: a daemon, and keys, for which that of the demo stands.
    ("docker ", Typed::Left),
    ("sudo k3s ", Typed::Left),
    ("age-keygen ", Typed::Left),
    ("sops ", Typed::Left),
    // Needs a terminal, or goes on until Ctrl-C.
    ("coracle install | less", Typed::Left),
    ("coracle get kustomizations --watch", Typed::Left),
    ("coracle controller ", Typed::Left),
    ("coracle embedded-cluster ", Typed::Left),
    ("kubectl -n flux-system create secret ", Typed::Creates),
    ("kubectl -n flux-system create serviceaccount ", Typed::Creates),
    ("kubectl create clusterrolebinding ", Typed::Creates),
    ("coracle uninstall --dry-run", Typed::Ends(0)),
    // Nobody is there to ask.
    ("coracle uninstall", Typed::Ends(2)),
];

/// Commands with the programs of the guide itself.
const WORKED_THROUGH: &str = "docs/guides/try.md";

fn typed(command: &Command) -> &'static Typed {
    OTHERWISE
        .iter()
        .find(|(start, _)| command.text.starts_with(start))
        .map_or(&Typed::Ends(0), |(_, typed)| typed)
}

#[test]
fn every_command_line_of_coracle_in_the_documents_is_one_that_it_understands() {
    let mut seen = 0;
    for document in all() {
        for command in commands(&document) {
            let parts = command.text.split(['|', '&', ';', '>']).map(str::trim);
            for line in parts.filter(|part| part.starts_with("coracle ")) {
                let words = line.split_whitespace().map(|word| word.trim_matches('"'));
                if let Err(error) = Cli::try_parse_from(words) {
                    panic!("{}: {line}\n{error}", command.place);
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "only {seen} were found");
}

#[test]
fn every_target_of_make_in_the_documents_is_one_of_the_makefile() {
    let makefile = read("Makefile");
    for document in all() {
        for command in commands(&document) {
            let Some(words) = command.text.strip_prefix("make ") else {
                continue;
            };
            let target = words.split_whitespace().next().unwrap();
            assert!(
                makefile
                    .lines()
                    .any(|line| line.starts_with(&format!("{target}:"))),
                "{}: {target}",
                command.place
            );
        }
    }
}

#[test]
fn nothing_is_listed_here_that_no_document_says() {
    let said: Vec<Command> = all().iter().flat_map(|document| commands(document)).collect();
    for (start, _) in OTHERWISE {
        assert!(
            said.iter().any(|command| command.text.starts_with(start)),
            "{start}"
        );
    }
}

/// The guide from an empty directory to a change that goes live, word for word but for the ports.
#[test]
fn the_guide_to_trying_it_can_be_worked_through() {
    let mut desk = Desk::new();
    let ports: Vec<(&str, String)> = ["8000", "6443", "8080", "9090"]
        .map(|port| (port, format!("127.0.0.1:{}", free_port())))
        .to_vec();
    let mut last = String::new();
    for command in commands(WORKED_THROUGH) {
        let mut text = command.text.clone();
        for (port, free) in &ports {
            text = text.replace(&format!("127.0.0.1:{port}"), free);
        }
        let serves = ["git-server", "embedded-cluster", "controller"];
        if serves
            .iter()
            .any(|it| text.starts_with(&format!("coracle {it} ")))
        {
            desk.serve(".", &text);
        } else {
            let ended = desk.run(".", &text);
            assert_eq!(
                ended.code,
                0,
                "{}: {text}\n{}\n{}",
                command.place,
                ended.printed,
                desk.logs()
            );
            last = ended.printed;
        }
    }
    assert_eq!(last, "welcome");
}

/// The other documents, on a cluster that follows this project's own folders.
#[test]
fn the_commands_of_the_other_documents_do_what_they_are_said_to_do() {
    let mut desk = Desk::new();
    desk.clone_of_this_project();
    let git = desk.serve("repositories", "coracle git-server .");
    let kubeconfig = "coracle embedded-cluster --kubeconfig-out kubeconfig";
    desk.serve(".", kubeconfig);
    desk.works(
        ".",
        "coracle install --image coracle:0.1.0 | kubectl apply --server-side -f -",
    );
    follow_this_project(&mut desk, &format!("{git}/shop/.git"));

    let mut documents = all();
    documents.retain(|document| document != WORKED_THROUGH);
    // Going back to Flux is the end of it.
    documents.sort_by_key(|document| document.ends_with("from-flux.md"));
    for document in documents {
        let folder = match document.as_str() {
            "README.md" => ".",
            _ => "repositories/shop",
        };
        for command in commands(&document) {
            let text = command
                .text
                .replace("http://127.0.0.1:.../shop.git", &format!("{git}/shop/.git"));
            let typed = typed(&command);
            let code = match typed {
                Typed::Left => continue,
                Typed::Creates => 0,
                Typed::Ends(code) => *code,
            };
            let ended = desk.run(folder, &text);
            if matches!(typed, Typed::Creates) && ended.printed.contains("already exists") {
                continue;
            }
            assert_eq!(
                ended.code,
                code,
                "{}: {text}\n{}\n{}",
                command.place,
                ended.printed,
                desk.logs()
            );
        }
    }
}

/// Points the cluster at the repository, with the objects of the README, and waits until the environments are up.
fn follow_this_project(desk: &mut Desk, url: &str) {
    let root = yaml("README.md").remove(0);
    let root = root
        .replace("https://git.example.org/acme/shop.git", url)
        .replace("./clusters/production", "./clusters/demo");
    let variables = format!("  postBuild:\n    substitute:\n      git_url: {url}\n");
    std::fs::write(desk.path("root.yaml"), root + &variables).unwrap();
    std::fs::copy(
        documents::root().join("clusters/demo/sops-demo.agekey"),
        desk.path("repositories/shop/production.agekey"),
    )
    .unwrap();
    for deployment in ["source-controller", "kustomize-controller"] {
        let stopped = format!(
            "kubectl -n flux-system create deployment {deployment} --image=x --replicas=0 --dry-run=client -o yaml | kubectl apply -f -"
        );
        desk.works(".", &stopped);
    }
    desk.serve(
        ".",
        "coracle controller --storage-path data --metrics-addr 127.0.0.1:0 --storage-addr 127.0.0.1:0",
    );
    desk.works(
        "repositories/shop",
        "kubectl -n flux-system create secret generic sops-age --from-file=production.agekey --dry-run=client -o yaml | kubectl apply -f -",
    );
    desk.works(
        ".",
        "kubectl apply -f root.yaml && coracle reconcile coracle --with-source",
    );
    for environment in ["staging", "production"] {
        let up = format!(
            "kubectl -n flux-system wait --for=condition=Ready --timeout=60s kustomization/shop-{environment}"
        );
        let ended = desk.run(".", &up);
        assert_eq!(ended.code, 0, "{}\n{}", ended.printed, desk.logs());
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
