//! Edits of the application's files as the story makes them, whatever else a person wrote there. Pure.

use serde_json::{Map, Value};

/// Turns a feature of a file of settings on, or off if it is on; nothing when the file is no JSON object.
pub(super) fn flip(settings: &str, feature: &str) -> Option<String> {
    let mut settings: Map<String, Value> = serde_json::from_str(settings).ok()?;
    let is_on = settings.get(feature) == Some(&Value::Bool(true));
    settings.insert(feature.to_owned(), Value::Bool(!is_on));
    Some(format!("{}\n", Value::Object(settings)))
}

/// Has a kustomization give an image this tag.
pub(super) fn with_tag(kustomization: &str, image: &str, tag: &str) -> String {
    let mut lines: Vec<String> = kustomization.lines().map(ToOwned::to_owned).collect();
    let names_it = |line: &String| {
        let entry = line.trim_start().trim_start_matches("- ");
        ["name: ", "newName: "]
            .iter()
            .any(|key| entry.strip_prefix(key).is_some_and(|name| name.trim() == image))
    };
    let entry = lines.iter().position(names_it);
    let new = format!("    newTag: {tag}");
    match (entry, lines.iter().position(|line| line.trim_end() == "images:")) {
        (Some(at), _) => {
            // An entry begins with a dash, and ends where the next one does or the list.
            let begin = (0..=at).rev().find(|line| is_entry(&lines[*line])).unwrap_or(at);
            let rest = lines[begin + 1..]
                .iter()
                .position(|line| is_entry(line) || !line.starts_with(' '));
            let end = rest.map_or(lines.len(), |rest| begin + 1 + rest);
            match (begin..end).find(|line| lines[*line].trim_start().starts_with("newTag:")) {
                Some(old) => lines[old] = new,
                None => lines.insert(begin + 1, new),
            }
        }
        (None, Some(images)) => {
            lines.insert(images + 1, format!("  - name: {image}"));
            lines.insert(images + 2, new);
        }
        (None, None) => lines.extend(["images:".to_owned(), format!("  - name: {image}"), new]),
    }
    lines.join("\n") + "\n"
}

fn is_entry(line: &str) -> bool {
    line.trim_start().starts_with("- ")
}

/// Takes an entry out of the lists of a kustomization; nothing when there is none.
pub(super) fn without(kustomization: &str, entry: &str) -> Option<String> {
    let is_it = |line: &&str| {
        line.trim()
            .strip_prefix("- ")
            .is_some_and(|item| item.trim() == entry)
    };
    let kept: Vec<&str> = kustomization.lines().filter(|line| !is_it(line)).collect();
    (kept.len() < kustomization.lines().count()).then(|| kept.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_is_turned_to_what_it_is_not() {
        for (before, after) in [
            (r#"{"search":false,"a":1}"#, "{\"a\":1,\"search\":true}\n"),
            (r#"{"search":true}"#, "{\"search\":false}\n"),
            ("{}", "{\"search\":true}\n"),
        ] {
            let sorted = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            assert_eq!(sorted(&flip(before, "search").unwrap()), sorted(after));
        }
        assert_eq!(flip("[]", "search"), None);
    }

    #[test]
    fn an_image_gets_its_tag_whether_it_is_listed_or_not() {
        let listed =
            "images:\n  - name: web\n    newTag: \"1\"\n  - name: db\n    newTag: \"2\"\nreplicas: []\n";
        assert_eq!(
            with_tag(listed, "db", "x"),
            "images:\n  - name: web\n    newTag: \"1\"\n  - name: db\n    newTag: x\nreplicas: []\n"
        );
        assert_eq!(
            with_tag("images:\n  - newName: web\n    name: front\nx: 1\n", "web", "x"),
            "images:\n  - newName: web\n    newTag: x\n    name: front\nx: 1\n"
        );
        assert_eq!(
            with_tag("images:\n  - name: db\n", "web", "x"),
            "images:\n  - name: web\n    newTag: x\n  - name: db\n"
        );
        assert_eq!(
            with_tag("resources: [a]\n", "web", "x"),
            "resources: [a]\nimages:\n  - name: web\n    newTag: x\n"
        );
    }

    #[test]
    fn an_entry_is_taken_out() {
        let list = "resources:\n  - a.yaml\n  - b.yaml\n";
        assert_eq!(without(list, "a.yaml").unwrap(), "resources:\n  - b.yaml\n");
        assert_eq!(without(list, "c.yaml"), None);
    }
}
