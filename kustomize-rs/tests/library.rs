//! What the library promises to the programs that use it: origins, read sets, errors that point at a place,
//! values without printing, parallel builds.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use kustomize_rs::fs::{EntryKind, MemoryFs, Recording};
use kustomize_rs::yaml::{self, Schema};
use kustomize_rs::{
    ErrorKind, LoadRestrictions, Options, Resource, build, parse_resources, read_kustomization, to_yaml,
};
use proptest::prelude::*;

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\ndata:\n  port: \"80\"\n";

fn tree(kustomization: &str) -> MemoryFs {
    MemoryFs::new()
        .with_file("/app/kustomization.yaml", kustomization)
        .with_file("/app/config.yaml", CONFIG)
}

fn build_at(fs: &MemoryFs, path: &str) -> Result<Vec<Resource>, String> {
    build(fs, Path::new(path), &Options::default()).map_err(|e| e.chain())
}

/// The whole message of a build that must fail.
fn failure(kustomization: &str) -> String {
    build_at(&tree(kustomization), "/app").unwrap_err()
}

#[test]
fn a_resource_knows_the_file_and_line_that_it_comes_from() {
    let text = format!(
        "# two objects\n{CONFIG}---\n{}",
        CONFIG.replace("settings", "more")
    );
    let fs = MemoryFs::new()
        .with_file(
            "/app/kustomization.yaml",
            "resources: [all.yaml]\nconfigMapGenerator:\n- name: made\n",
        )
        .with_file("/app/all.yaml", text);
    let resources = build_at(&fs, "/app").unwrap();
    let origins: Vec<_> = resources
        .iter()
        .map(|r| (r.origin().path.as_path(), r.origin().line))
        .collect();
    let all = Path::new("/app/all.yaml");
    assert_eq!(
        origins,
        [(all, 2), (all, 9), (Path::new("/app/kustomization.yaml"), 3)]
    );
}

#[test]
fn a_recording_names_what_was_read_and_what_was_not_there() {
    let fs = tree("resources: [config.yaml]\n");
    let recording = Recording::new(&fs);
    build(&recording, Path::new("/app"), &Options::default()).unwrap();
    let read = recording.into_read_set();
    let files: Vec<_> = read.files.iter().map(PathBuf::as_path).collect();
    assert_eq!(
        files,
        [
            Path::new("/app/config.yaml"),
            Path::new("/app/kustomization.yaml")
        ]
    );
    let missing: Vec<_> = read.missing().collect();
    assert_eq!(
        missing,
        [
            Path::new("/app/Kustomization"),
            Path::new("/app/kustomization.yml")
        ]
    );
    assert_eq!(read.entries[Path::new("/app/config.yaml")], EntryKind::File);
}

#[test]
fn a_misspelt_field_is_named_with_its_place_and_a_suggestion() {
    let error = failure("resources: [config.yaml]\nnameprefx: a-\n");
    assert_eq!(
        error,
        "/app/kustomization.yaml:2:1: unknown field \"nameprefx\"; did you mean \"namePrefix\"?"
    );
}

#[test]
fn a_missing_resource_is_named_with_its_place() {
    let error = failure("resources:\n- config.yaml\n- confg.yaml\n");
    assert_eq!(
        error,
        "/app/kustomization.yaml:3:3: resources entry \"confg.yaml\": no such file or directory"
    );
}

#[test]
fn a_text_that_is_no_yaml_is_named_with_its_place() {
    let fs = tree("resources: [broken.yaml]\n").with_file("/app/broken.yaml", "a: b\nc: [d\n");
    let error = build(&fs, Path::new("/app"), &Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Syntax);
    let location = error.location().unwrap();
    assert_eq!(location.path, Path::new("/app/broken.yaml"));
    assert_eq!(location.position.unwrap().line, 3);
}

#[test]
fn a_patch_for_nothing_suggests_a_resource_of_the_same_kind() {
    let patch = CONFIG.replace("settings", "setings").replace('\n', "\n    ");
    let error = failure(&format!(
        "resources: [config.yaml]\npatches:\n- patch: |\n    {patch}\n"
    ));
    assert!(error.ends_with("did you mean \"settings\"?"), "{error}");
}

#[test]
fn a_remote_base_is_refused_unless_something_can_fetch_it() {
    let error = failure("resources: [\"https://github.com/org/repo//base?ref=v1\"]\n");
    assert!(error.contains("remote bases are switched off"), "{error}");
}

#[test]
fn files_outside_are_refused_unless_the_restriction_is_lifted() {
    let fs = MemoryFs::new()
        .with_file("/app/kustomization.yaml", "resources: [../shared.yaml]\n")
        .with_file("/shared.yaml", CONFIG);
    let error = build(&fs, Path::new("/app"), &Options::default()).unwrap_err();
    assert!(error.chain().contains("security; file"), "{}", error.chain());
    let mut options = Options::default();
    options.load_restrictions = LoadRestrictions::None;
    assert_eq!(build(&fs, Path::new("/app"), &options).unwrap().len(), 1);
}

#[test]
fn a_link_that_leads_outside_is_refused() {
    let fs = MemoryFs::new()
        .with_file("/app/kustomization.yaml", "resources: [link.yaml]\n")
        .with_link("/app/link.yaml", "../secret.yaml")
        .with_file("/secret.yaml", CONFIG);
    assert!(build_at(&fs, "/app").unwrap_err().contains("security; file"));
}

#[test]
fn deprecated_fields_warn() {
    let warnings = Mutex::new(Vec::new());
    let warn = |line: &str| warnings.lock().unwrap().push(line.to_string());
    let mut options = Options::default();
    options.warn = Some(&warn);
    build(
        &tree("resources: [config.yaml]\ncommonLabels: {a: b}\n"),
        Path::new("/app"),
        &options,
    )
    .unwrap();
    let warnings = warnings.into_inner().unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("# Warning: 'commonLabels' is deprecated."),
        "{warnings:?}"
    );
}

#[test]
fn values_are_what_the_printed_yaml_says() {
    let resources = build_at(&tree("resources: [config.yaml]\nnamespace: x\n"), "/app").unwrap();
    let printed = yaml::load(&to_yaml(&resources).unwrap()).unwrap();
    assert_eq!(
        resources[0].to_value().unwrap(),
        yaml::to_value(&printed, Schema::GoYamlV3).unwrap()
    );
}

#[test]
fn a_text_of_several_documents_gives_resources() {
    let text = format!(
        "{CONFIG}---\n# nothing\n---\n{}",
        CONFIG.replace("settings", "more")
    );
    let resources = parse_resources(&text, Path::new("x.yaml")).unwrap();
    let names: Vec<_> = resources.iter().map(|r| r.id().name.as_str()).collect();
    assert_eq!(names, ["settings", "more"]);
}

#[test]
fn a_kustomization_file_can_be_read_as_json() {
    let (path, value) = read_kustomization(&tree("namePrefix: x-\n"), Path::new("/app"))
        .unwrap()
        .unwrap();
    assert_eq!(path, Path::new("/app/kustomization.yaml"));
    assert_eq!(value, serde_json::json!({"namePrefix": "x-"}));
    assert!(
        read_kustomization(&MemoryFs::new(), Path::new("/"))
            .unwrap()
            .is_none()
    );
}

#[test]
fn builds_run_in_parallel_and_do_not_meet() {
    let names: Vec<String> = (0..16).map(|i| format!("n{i}-")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(move || {
                let resources = build_at(
                    &tree(&format!("resources: [config.yaml]\nnamePrefix: {name}\n")),
                    "/app",
                )
                .unwrap();
                assert_eq!(resources[0].id().name, format!("{name}settings"));
            });
        }
    });
}

#[test]
fn aliases_that_multiply_are_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let list = vec![format!("*a{}", i - 1); 10].join(", ");
        text.push_str(&format!("a{i}: &a{i} [{list}]\n"));
    }
    assert!(
        yaml::load(&text)
            .unwrap_err()
            .to_string()
            .contains("excessive aliasing")
    );
}

#[test]
fn deep_nesting_is_refused() {
    assert!(
        yaml::load(&"[".repeat(100_000))
            .unwrap_err()
            .to_string()
            .contains("nested too deep")
    );
    let deep: String = (0..5_000).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    assert!(
        yaml::load(&deep)
            .unwrap_err()
            .to_string()
            .contains("nested too deep")
    );
}

/// Any JSON value without the characters that go-yaml changes on the way.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let text = "[ -~\n\té日本😀]{0,40}";
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1e6..1e6_f64).prop_map(Into::into),
        text.prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map(text, inner, 0..6)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back_the_same(value in json()) {
        let printed = yaml::emit(&value);
        let node = yaml::load(&printed).unwrap();
        let read = yaml::to_value(&node, Schema::GoYamlV2).unwrap();
        prop_assert_eq!(yaml::emit(&read), printed);
        prop_assert_eq!(normalize(read), normalize(value));
    }

    #[test]
    fn no_text_makes_the_loader_panic(text in "[ -~\n\té]{0,200}") {
        for node in yaml::load_all(&text).unwrap_or_default() {
            let _ = yaml::to_value(&node, Schema::GoYamlV3);
        }
    }
}

/// Whole floats are integers once they were printed.
fn normalize(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Number(n) => match n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 1e15) {
            Some(float) => Value::from(float as i64),
            None => Value::Number(n),
        },
        Value::Array(items) => items.into_iter().map(normalize).collect(),
        Value::Object(map) => map.into_iter().map(|(k, v)| (k, normalize(v))).collect(),
        other => other,
    }
}
