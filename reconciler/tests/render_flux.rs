//! Whole renders against Flux's own code: every case below `fixtures/flux-build` must come out to
//! the byte, digest included. The goldens are made by `make.sh` there.

#![expect(clippy::expect_used, reason = "a test panics to fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kustomize_rs::fs::{Fs, MemoryFs, ReadSet};
use kustomize_rs::yaml;
use reconciler::render::substitute::{SubstituteStrategy, Substitution};
use reconciler::render::{
    CommonMetadata, Image, Overlay, Patch, RenderError, Rendered, Request, Target, render,
};
use serde_json::Value;

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/flux-build");
    let entries = std::fs::read_dir(folder)
        .expect("the fixtures are there")
        .map(|entry| entry.expect("readable").path());
    let mut cases: Vec<PathBuf> = entries.filter(|path| path.join("spec.yaml").exists()).collect();
    cases.sort();
    cases
}

/// The files below a folder of this machine, by their paths in a tree with that folder as its root.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let inside = Path::new("/").join(path.strip_prefix(folder).expect("below"));
            files.insert(inside, std::fs::read(&path).expect("a file"));
        }
    }
    files
}

fn tree(files: &BTreeMap<PathBuf, Vec<u8>>) -> MemoryFs {
    files.iter().fold(MemoryFs::new(), |fs, (path, content)| {
        fs.with_file(path, content.clone())
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

fn map(value: &Value) -> BTreeMap<String, String> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}

fn overlay(spec: &Value) -> Overlay {
    let optional = |field: &str| spec[field].as_str().map(str::to_owned);
    let list = |field: &str| spec[field].as_array().cloned().unwrap_or_default();
    let target = |target: &Value| Target {
        group: text(&target["group"]),
        version: text(&target["version"]),
        kind: text(&target["kind"]),
        name: text(&target["name"]),
        namespace: text(&target["namespace"]),
        label_selector: text(&target["labelSelector"]),
        annotation_selector: text(&target["annotationSelector"]),
    };
    let patch = |value: &Value| Patch {
        patch: text(&value["patch"]),
        target: value.get("target").map(target),
    };
    let image = |value: &Value| Image {
        name: text(&value["name"]),
        new_name: text(&value["newName"]),
        new_tag: text(&value["newTag"]),
        digest: text(&value["digest"]),
    };
    Overlay {
        target_namespace: optional("targetNamespace"),
        name_prefix: optional("namePrefix"),
        name_suffix: optional("nameSuffix"),
        patches: list("patches").iter().map(patch).collect(),
        images: list("images").iter().map(image).collect(),
        components: texts(&spec["components"]),
        ignore_missing_components: spec["ignoreMissingComponents"] == true,
        build_metadata: texts(&spec["buildMetadata"]),
    }
}

fn rendered(case: &Path) -> Result<Rendered, RenderError> {
    rendered_from(case, &files(&case.join("tree")))
}

fn rendered_from(case: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) -> Result<Rendered, RenderError> {
    let spec = std::fs::read_to_string(case.join("spec.yaml")).expect("the case has a spec");
    let spec = yaml::to_value(&yaml::load(&spec).expect("YAML"), yaml::Schema::GoYamlV2).expect("values");
    let fs = tree(files);
    let path = text(&spec["path"]);
    let mut request = Request::new(&fs, &path);
    request.overlay = overlay(&spec);
    request.common_metadata = CommonMetadata {
        labels: map(&spec["commonMetadata"]["labels"]),
        annotations: map(&spec["commonMetadata"]["annotations"]),
    };
    request.substitution = spec.get("postBuild").map(|build| Substitution {
        inline: map(&build["substitute"]),
        strategy: match build["substituteStrategy"].as_str() {
            Some("Always") => SubstituteStrategy::Always,
            _ => SubstituteStrategy::WithVariables,
        },
        ..Substitution::default()
    });
    render(&request)
}

/// Flux annotates the origin of generated objects if the kustomization file has no resources, only
/// to keep kustomize from calling the file empty. We do not.
const WITHOUT_ORIGIN: [&str; 1] = ["generators-only"];

fn without_origin(text: &str) -> String {
    let values = yaml::load_all(text).expect("YAML").into_iter().map(|document| {
        let mut value = yaml::to_value(&document, yaml::Schema::GoYamlV3).expect("a value");
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.remove("annotations");
        }
        yaml::emit(&value)
    });
    values.collect::<Vec<_>>().join("---\n")
}

fn shown(rendered: &Rendered) -> String {
    let objects: Vec<String> = rendered
        .objects
        .iter()
        .map(|object| yaml::emit(&object.value) + "---\n")
        .collect();
    format!("# {}\n{}", rendered.digest, objects.concat())
}

#[test]
fn every_case_renders_as_flux_renders_it() {
    let cases = cases();
    assert!(cases.len() >= 25, "the cases are there");
    let mut wrong = Vec::new();
    for case in cases {
        let name = case.file_name().expect("a name").to_string_lossy().into_owned();
        let result = rendered(&case);
        match (std::fs::read_to_string(case.join("expected.yaml")), result) {
            (Ok(expected), Ok(rendered)) if shown(&rendered) == expected => {}
            (Ok(expected), Ok(rendered)) if WITHOUT_ORIGIN.contains(&name.as_str()) => {
                assert_eq!(
                    without_origin(&shown(&rendered)),
                    without_origin(&expected),
                    "{name}"
                );
            }
            (Ok(expected), Ok(rendered)) => {
                wrong.push(format!("{name}: expected\n{expected}\ngot\n{}", shown(&rendered)));
            }
            (Ok(_), Err(error)) => wrong.push(format!("{name}: {error}")),
            (Err(_), Err(_)) => {}
            (Err(_), Ok(rendered)) => {
                wrong.push(format!("{name}: Flux refuses it, we gave\n{}", shown(&rendered)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_flux_refuses_is_refused_with_the_file_and_the_reason() {
    let errors: Vec<String> = cases()
        .iter()
        .filter(|case| case.join("expected-error.txt").exists())
        .map(|case| {
            let name = case.file_name().expect("a name").to_string_lossy().into_owned();
            format!("{name}: {}", rendered(case).expect_err("refused"))
        })
        .collect();
    insta::assert_snapshot!(errors.join("\n"), @r#"
    components-missing-refused: spec.components: "../gone" is no directory
    components-remote-refused: spec.components: `https://example.com/c` has to be a path in the same source, relative to spec.path
    duplicate: in resources entry "./b.yaml": b.yaml:1:1: may not add resource with an already registered id: ConfigMap.v1.[noGrp]/same.[noNs]; the first one is in a.yaml, line 1
    patch-without-a-match: spec.patches: applying the inline patch: no resource matches the strategic merge patch for ConfigMap.v1.[noGrp]/other.[noNs]
    resource-missing: kustomization.yaml:3:3: resources entry "gone.yaml": no such file or directory
    substitute-bad-name: spec.postBuild: the variable name `a-b` in spec.postBuild.substitute is not valid: a name starts with a letter or `_` and goes on with letters, digits or `_`
    substitute-bad-syntax: a.yaml:1: variables in ConfigMap/a: `${y` has no closing brace, or an operator that Flux does not know (write `$${` for a plain `${`)
    substitute-breaks-yaml: a.yaml:1: ConfigMap/a with its variables replaced is no YAML object: 3:7: mapping values are not allowed in this context (quote the `${...}`, or mind what its value contains)
    substitute-two-become-one: ConfigMap/a is rendered twice: by a.yaml:1 and by a.yaml:6; remove one of them
    substitute-unset: a.yaml:1: variables in ConfigMap/a: not set: `y`; define it in spec.postBuild, give it a default as in `${y:=value}`, or write `$${` where the text is meant as it stands
    walk-no-name: in resources entry "./a.yaml": a.yaml:1:1: missing metadata.name in object of kind ConfigMap
    walk-not-an-object: in resources entry "./values.yaml": values.yaml:1:1: missing kind in object
    "#);
}

/// What `fs` answers to everything that a render asked.
fn answers(read: &ReadSet, fs: &MemoryFs) -> Vec<String> {
    let files = read.files.iter().map(|path| format!("{:?}", fs.read(path).ok()));
    let folders = read
        .directories
        .iter()
        .map(|path| format!("{:?}", fs.list(path).ok()));
    let entries = read
        .entries
        .keys()
        .map(|path| format!("{:?}", fs.entry(path).ok()));
    let resolved = read
        .resolved
        .keys()
        .map(|path| format!("{:?}", fs.resolve(path).ok()));
    files.chain(folders).chain(entries).chain(resolved).collect()
}

/// Rule 9: a render may be skipped if everything that it asked has the same answer.
#[test]
fn a_tree_that_answers_the_read_set_alike_renders_alike() {
    let mut same = 0;
    for case in cases() {
        let Ok(before) = rendered(&case) else { continue };
        let files = files(&case.join("tree"));
        let answered = answers(&before.read_set, &tree(&files));
        let folders: BTreeSet<&Path> = files.keys().flat_map(|path| path.ancestors().skip(1)).collect();
        let added = folders
            .iter()
            .flat_map(|folder| ADDED.iter().map(move |name| folder.join(name)));
        for path in files.keys().cloned().chain(added) {
            let mut changed = files.clone();
            if changed.remove(&path).is_none() {
                changed.insert(
                    path.clone(),
                    b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: added}\n".to_vec(),
                );
            }
            if answers(&before.read_set, &tree(&changed)) != answered {
                continue;
            }
            same += 1;
            let after = rendered_from(&case, &changed)
                .map(|after| shown(&after))
                .map_err(|error| error.to_string());
            assert_eq!(
                after,
                Ok(shown(&before)),
                "{}: {}",
                case.display(),
                path.display()
            );
        }
    }
    assert!(same > 10, "some changes are none of a render's business");
}

/// Names of files that may change what a folder renders to.
const ADDED: [&str; 4] = [
    "added.yaml",
    "kustomization.yaml",
    "kustomization.yml",
    "Kustomization",
];
