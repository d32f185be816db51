//! Files that the program `sops` encrypted, as they are read here; and what is said about those that cannot be.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

fn fixture(path: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/sops")
        .join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn keyring(names: &[&str]) -> Keyring {
    let file = |name: &&str| format!("test-only-{name}.agekey");
    let data = names
        .iter()
        .map(|name| (file(name), fixture(&file(name))))
        .collect();
    Keyring::from_secret("Secret/flux-system/sops-age", &data).expect("the test keys are identities")
}

fn encrypted(name: &str) -> String {
    String::from_utf8(fixture(&format!("encrypted/{name}"))).expect("sops writes text")
}

fn decrypt(name: &str, text: &str) -> Result<Option<Plain>, SopsError> {
    decrypt_file(text.as_bytes(), Format::of_name(name), &keyring(&["a"]))
}

/// The plain text of an intact file, as text.
fn decrypted(name: &str) -> String {
    let plain = decrypt(name, &encrypted(name))
        .expect("it decrypts")
        .expect("it is a SOPS file");
    String::from_utf8(plain.text).expect("text")
}

/// What is wrong with a file after `change`, which has to change something.
fn refusal(name: &str, change: impl Fn(&str) -> String) -> String {
    let intact = encrypted(name);
    let changed = change(&intact);
    assert_ne!(changed, intact, "the change did something");
    match decrypt(name, &changed) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("a changed file was accepted"),
    }
}

/// The line of `text` that starts with `start`.
fn line<'t>(text: &'t str, start: &str) -> &'t str {
    text.lines()
        .find(|line| line.trim_start().starts_with(start))
        .expect("there is such a line")
}

const MAC: &str = "the file was changed after sops encrypted it: its MAC does not match. Values that are not encrypted count too; if the change is meant, run `sops edit --ignore-mac` on the file and save it";

#[test]
fn files_of_every_format_decrypt_to_the_bytes_that_sops_gives() {
    for name in [
        "config.json",
        "secret.json",
        "app.env",
        "app.ini",
        "token.txt",
        "blob.bin",
    ] {
        let plain = decrypt(name, &encrypted(name))
            .expect("it decrypts")
            .expect("it is a SOPS file");
        let expected = fixture(&format!("decrypted/{name}"));
        assert_eq!(
            String::from_utf8_lossy(&plain.text),
            String::from_utf8_lossy(&expected),
            "{name}"
        );
        assert_eq!(plain.text, expected, "{name}");
    }
}

#[test]
fn yaml_files_decrypt_to_the_text_that_sops_gives_under_every_rule() {
    for name in [
        "types.yaml",
        "strings.yaml",
        "documents.yaml",
        "secret.yaml",
        "mac-only.yaml",
        "encrypted-suffix.yaml",
        "unencrypted-suffix.yaml",
        "unencrypted-regex.yaml",
        "two-recipients.yaml",
    ] {
        let expected = String::from_utf8(fixture(&format!("decrypted/{name}"))).expect("text");
        assert_same_lines(name, &decrypted(name), &expected);
    }
}

/// Shows the first line that differs: the files are long.
fn assert_same_lines(name: &str, actual: &str, expected: &str) {
    for (number, (actual, expected)) in actual.lines().zip(expected.lines()).enumerate() {
        assert_eq!(actual, expected, "{name}, line {}", number + 1);
    }
    assert_eq!(actual, expected, "{name}");
}

#[test]
fn a_yaml_file_that_is_not_laid_out_as_by_sops_decrypts_to_the_same_values() {
    let flow = "{\"a\": 1,\n \"b\": [2, {}]}";
    assert!(decrypt("a.yaml", flow).expect("readable").is_none());
    let quoted = encrypted("two-recipients.yaml")
        .lines()
        .map(|line| match line.split_once(": ENC[") {
            Some((key, rest)) if !key.ends_with("mac") => format!("{key}: \"ENC[{rest}\"\n"),
            _ => format!("{line}\n"),
        })
        .collect::<String>();
    let plain = decrypt("a.yaml", &quoted)
        .expect("it decrypts")
        .expect("it is a SOPS file");
    let text = String::from_utf8(plain.text).expect("text");
    assert!(
        text.starts_with(r#"{"apiVersion": "v1","kind": "Secret""#),
        "{text}"
    );
    assert!(
        text.contains(r#""password": "planted-password""#) && !text.contains("ENC["),
        "{text}"
    );
}

#[test]
fn shares_of_two_key_groups_open_a_file_that_needs_two_of_three() {
    let open =
        |keys: &[&str]| decrypt_file(encrypted("groups.yaml").as_bytes(), Format::Yaml, &keyring(keys));
    for keys in [&["a", "b"][..], &["a", "c"], &["b", "c"], &["a", "b", "c"]] {
        assert!(open(keys).expect("it decrypts").is_some(), "{keys:?}");
    }
    let error = open(&["b"]).err().expect("one group is not enough").to_string();
    assert!(
        error.contains("in key groups of which 2 are needed and 1 could be opened"),
        "{error}"
    );
}

#[test]
fn a_file_for_somebody_else_names_its_recipients_and_what_the_secret_holds() {
    let file = encrypted("to-b.yaml");
    let recipient = line(&file, "recipient:").rsplit(' ').next().expect("a value");
    let held = keyring(&["a"]).public_keys().remove(0);
    let error = decrypt_file(file.as_bytes(), Format::Yaml, &keyring(&["a"]))
        .err()
        .expect("no key");
    assert_eq!(
        error.to_string(),
        format!(
            "no key for it: it is encrypted to {recipient}; Secret/flux-system/sops-age holds the identity of {held}. \
             Put the identity of a recipient there, in a key that ends in `.agekey`, or encrypt the file to what is there"
        )
    );
}

#[test]
fn without_a_secret_the_error_says_where_to_name_one() {
    let error = decrypt_file(
        encrypted("to-b.yaml").as_bytes(),
        Format::Yaml,
        &Keyring::default(),
    )
    .err()
    .expect("no key");
    assert!(error.to_string().ends_with(
        "; name a Secret in spec.decryption.secretRef that holds the identity of one of them in a key that ends in `.agekey`"
    ));
}

#[test]
fn a_changed_cipher_text_is_refused_and_its_path_named() {
    let error = refusal("secret.yaml", |text| {
        text.replacen(
            "password: ENC[AES256_GCM,data:",
            "password: ENC[AES256_GCM,data:AAAA",
            1,
        )
    });
    assert_eq!(
        error,
        "the value at `stringData.password` cannot be decrypted: it was changed, moved from another key, or encrypted with another data key"
    );
}

#[test]
fn a_value_moved_to_another_key_is_refused() {
    let error = refusal("secret.yaml", |text| {
        let username = line(text, "username:")
            .trim_start()
            .trim_start_matches("username: ");
        let password = line(text, "password:")
            .trim_start()
            .trim_start_matches("password: ");
        text.replace(username, "@")
            .replace(password, username)
            .replace('@', password)
    });
    assert!(
        error.starts_with("the value at `stringData.username` cannot be decrypted"),
        "{error}"
    );
}

#[test]
fn a_plain_text_in_place_of_an_encrypted_value_is_refused() {
    let error = refusal("secret.yaml", |text| {
        text.replace(line(text, "password:"), "    password: plain")
    });
    assert_eq!(
        error,
        "the value at `stringData.password` cannot be decrypted: not of the form ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]"
    );
}

#[test]
fn a_changed_value_that_is_not_encrypted_fails_the_mac() {
    assert_eq!(
        refusal("secret.yaml", |text| text
            .replace("name: database", "name: other")),
        MAC
    );
    assert_eq!(
        refusal("unencrypted-regex.yaml", |text| text
            .replace("host: db", "host: evil")),
        MAC
    );
}

#[test]
fn a_file_whose_mac_covers_only_encrypted_values_may_change_elsewhere() {
    let text = encrypted("mac-only.yaml").replace("name: mac-only", "name: other");
    let plain = decrypt("mac-only.yaml", &text)
        .expect("it decrypts")
        .expect("it is a SOPS file");
    assert!(
        String::from_utf8(plain.text)
            .expect("text")
            .contains("name: other")
    );
    assert_eq!(
        refusal("mac-only.yaml", |text| text
            .replace("mac_only_encrypted: true", "mac_only_encrypted: false")),
        MAC
    );
}

#[test]
fn reordered_removed_and_added_values_fail_the_mac() {
    let reordered = |text: &str| {
        let (username, password) = (line(text, "username:"), line(text, "password:"));
        text.replace(username, "@")
            .replace(password, username)
            .replace('@', password)
    };
    assert_eq!(refusal("secret.yaml", reordered), MAC);
    assert_eq!(
        refusal("secret.yaml", |text| text
            .replace(&format!("{}\n", line(text, "password:")), "")),
        MAC
    );
    assert_eq!(
        refusal("secret.yaml", |text| text
            .replace("type: Opaque", "type: Opaque\nadded: value")),
        MAC
    );
}

#[test]
fn a_document_dropped_from_a_file_of_several_fails_the_mac() {
    let first = |text: &str| {
        text.split_inclusive("\n---\n")
            .next()
            .expect("a document")
            .to_owned()
    };
    assert_eq!(refusal("documents.yaml", first), MAC);
}

#[test]
fn a_mac_from_another_time_or_file_and_a_missing_mac_are_refused() {
    let other = encrypted("to-b.yaml");
    assert_eq!(
        refusal("secret.yaml", |text| text
            .replace(line(text, "mac:"), line(&other, "mac:"))),
        MAC
    );
    assert_eq!(
        refusal("secret.yaml", |text| text.replace(line(text, "mac:"), "")),
        MAC
    );
    let later = |text: &str| {
        text.replace(
            line(text, "lastmodified:"),
            "    lastmodified: \"2030-01-01T00:00:00Z\"",
        )
    };
    assert_eq!(refusal("secret.yaml", later), MAC);
}

#[test]
fn a_file_cut_off_at_any_line_is_refused_unless_every_value_is_still_there() {
    for name in ["secret.yaml", "app.env", "app.ini", "config.json"] {
        let text = encrypted(name);
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        for count in 1..lines.len() {
            if let Ok(Some(plain)) = decrypt(name, &lines[..count].concat()) {
                assert_eq!(
                    String::from_utf8(plain.text).expect("text"),
                    decrypted(name),
                    "{name} cut to {count} lines"
                );
            }
        }
    }
}

#[test]
fn a_file_without_sops_metadata_is_not_a_sops_file() {
    for (name, text) in [
        ("a.yaml", "a: 1\n"),
        ("a.json", "{\"a\": 1}"),
        ("a.env", "A=1\n"),
        ("a.ini", "[a]\nb = 1\n"),
    ] {
        assert!(decrypt(name, text).expect("readable").is_none(), "{name}");
    }
    assert!(!may_be_encrypted(b"apiVersion: v1\nkind: Secret\n"));
    assert!(may_be_encrypted(encrypted("secret.yaml").as_bytes()));
}

#[test]
fn a_file_beyond_five_mebibytes_is_refused() {
    let text = format!("{}# {}\n", encrypted("secret.yaml"), "x".repeat(MAX_FILE));
    let error = decrypt("secret.yaml", &text).err().expect("too large");
    assert_eq!(
        error.to_string(),
        "larger than the limit of 5242880 bytes for encrypted files"
    );
}

#[test]
fn decrypted_values_are_reported_for_redaction_with_what_they_encode() {
    let plain = decrypt("secret.yaml", &encrypted("secret.yaml"))
        .expect("it decrypts")
        .expect("it is a SOPS file");
    let secrets: Vec<&str> = plain.secrets.iter().collect();
    assert_eq!(
        secrets,
        [
            "cGxhbnRlZC10b2tlbg==",
            "planted-password",
            "planted-token",
            "shop"
        ]
    );
    assert_eq!(format!("{:?}", plain.secrets), "SecretValues(4 redacted)");
}

#[test]
fn a_secret_without_an_agekey_names_the_keys_that_look_like_one() {
    let refused = |keys: &[(&str, &str)]| {
        let data = keys
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
            .collect();
        Keyring::from_secret("Secret/default/sops", &data)
            .expect_err("no identity")
            .to_string()
    };
    assert_eq!(
        refused(&[
            ("age.key", "AGE-SECRET-KEY-1X"),
            ("identity", "AGE-SECRET-KEY-1X"),
            ("other", "x")
        ]),
        "Secret/default/sops has no key that ends in `.agekey`, as age identities need; \
         `age.key`, `identity` looks like one: rename it to end in `.agekey`"
    );
    assert_eq!(
        refused(&[("pgp.asc", "-----BEGIN PGP PRIVATE KEY BLOCK-----")]),
        "Secret/default/sops has no key that ends in `.agekey`, as age identities need; \
         `pgp.asc` is of a kind that is not supported: only age is"
    );
    assert_eq!(
        refused(&[]),
        "Secret/default/sops has no key that ends in `.agekey`, as age identities need"
    );
    assert_eq!(
        refused(&[("a.agekey", "# comment\nage1abc\n")]),
        "Secret/default/sops: line 2 of `a.agekey` is not an age identity (AGE-SECRET-KEY-1…): that is a public key, which encrypts only"
    );
}

#[test]
fn neither_errors_nor_debug_show_an_identity() {
    let keyring = keyring(&["a", "b"]);
    let secret = keyring.secret_keys().remove(0);
    assert!(secret.starts_with("AGE-SECRET-KEY-1"));
    assert!(!format!("{keyring:?}").contains("AGE-SECRET-KEY"));
    let data = std::collections::BTreeMap::from([("a.agekey".to_owned(), secret.as_bytes()[..30].to_vec())]);
    let error = Keyring::from_secret("Secret/s", &data).expect_err("cut off");
    assert!(!error.to_string().contains(&secret[..30]));
}

#[test]
fn manifests_keep_their_lines_when_some_of_them_are_decrypted() {
    let plain = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: open\n";
    let text = format!(
        "{plain}---\n{}---\n{}---\n{plain}",
        encrypted("secret.yaml"),
        encrypted("mac-only.yaml")
    );
    let decrypted = yaml::decrypt_manifests(&text, &keyring(&["a"]))
        .expect("it decrypts")
        .expect("encrypted");
    let decrypted = String::from_utf8(decrypted.text).expect("text");
    assert!(decrypted.starts_with(plain) && decrypted.ends_with(plain));
    let lines = |text: &str| {
        text.lines()
            .enumerate()
            .filter(|(_, l)| *l == "---")
            .map(|(i, _)| i)
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(&decrypted), lines(&text));
    assert!(!decrypted.contains("ENC["));
    assert!(decrypted.contains("planted-password"));
}

#[test]
fn a_manifest_in_json_is_decrypted_like_one_in_yaml() {
    let text = encrypted("secret.json");
    let plain = yaml::decrypt_manifests(&text, &keyring(&["a"]))
        .expect("it decrypts")
        .expect("encrypted");
    let plain = String::from_utf8(plain.text).expect("text");
    assert_eq!(
        plain.trim_end(),
        r#"{"apiVersion": "v1","kind": "Secret","metadata": {"name": "json"},"stringData": {"password": "planted-password"}}"#
    );
    assert_eq!(plain.lines().count(), text.lines().count());
}

#[test]
fn a_file_with_more_recipients_than_anybody_has_is_refused() {
    let entry = "        - recipient: age1x\n          enc: x\n".repeat(300);
    let error = refusal("secret.yaml", |text| {
        text.replace("    age:\n", &format!("    age:\n{entry}"))
    });
    assert_eq!(
        error,
        "its sops metadata cannot be used: it has more than 256 recipients"
    );
}

#[test]
fn manifests_that_opted_out_stay_encrypted() {
    let text = encrypted("mac-only.yaml").replace(
        "name: mac-only",
        "name: mac-only\n    annotations:\n        kustomize.toolkit.fluxcd.io/decrypt: Disabled",
    );
    assert!(
        yaml::decrypt_manifests(&text, &keyring(&["a"]))
            .expect("readable")
            .is_none()
    );
}

proptest! {
    #[test]
    fn no_change_of_one_character_in_the_encrypted_part_goes_unnoticed(
        place in 0.0..1.0_f64,
        replacement in "[A-Za-z0-9+/=:,\\[\\] \n]",
    ) {
        let intact = encrypted("secret.yaml");
        let start = intact.find("\ndata:").expect("data") + 1;
        let end = intact.find("\nsops:").expect("metadata");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a small text")]
        let place = start + ((end - start) as f64 * place) as usize;
        let changed = format!("{}{replacement}{}", &intact[..place], &intact[place + 1..]);
        if let Ok(Some(plain)) = decrypt("secret.yaml", &changed) {
            let value = |text: &str| {
                let node = kustomize_rs::yaml::load(text).expect("YAML");
                kustomize_rs::yaml::to_value(&node, kustomize_rs::yaml::Schema::GoYamlV3).expect("a value")
            };
            prop_assert_eq!(value(&String::from_utf8(plain.text).expect("text")), value(&decrypted("secret.yaml")));
        }
    }

    #[test]
    fn every_text_reads_back_as_it_was_spelled(text in r"[a-z0-9:# \n\t'\x22,\[\]{}&*!|>%@?`\\.~\-=<éÄ😀\u{feff}\u{85}\r]{1,24}|yes|No|null|0o17|1:30|2024-01-01|-.inf|<<|---|1e3") {
        // go-yaml writes a block that begins with blanks and a tab so that it cannot read it again itself.
        prop_assume!(!(text.starts_with([' ', '\t', '\n']) && text.contains('\t')));
        let spelled = format!("key:\n    deep: {}\nnext: 1\n", spelling::spell_text(&text, 8));
        let node = kustomize_rs::yaml::load(&spelled).map_err(|error| TestCaseError::fail(format!("{error}: {spelled:?}")))?;
        prop_assert_eq!(node.at(&["key", "deep"]).and_then(kustomize_rs::yaml::Node::as_text), Some(text.as_str()), "{:?}", spelled);
        prop_assert!(node.get("next").is_some());
    }
}
