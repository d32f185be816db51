//! Watches: the events of a story, selector edges, bookmarks, versions, and the end.

use serde_json::{Value, json};

use super::shapes::{config_map, labelled};
use crate::case::{Case, Last, Row, case, open, read, row};
use crate::request::{apply, core, delete, get, merge, post, watch};

pub(super) fn cases() -> Vec<Case> {
    vec![
        everything(),
        edges(),
        initial_events(),
        field_edges(),
        versions(),
        forms(),
        silence(),
        finalizers(),
    ]
}

fn made(name: &'static str, object: &str, labels: &Value) -> Row {
    row(name, post(core("configmaps"), &labelled(object, labels)))
}

fn everything() -> Case {
    case(
        "a watch tells what happens in order",
        [
            made("an object before the watch", "a", &json!({})).keep("version", "/metadata/resourceVersion"),
            open(
                "a watch from a version",
                "all",
                watch(core("configmaps")).query("resourceVersion", "${version}"),
            ),
            made("an object is added", "b", &json!({})),
            row(
                "an object is modified",
                merge(core("configmaps/a"), &json!({ "data": { "k": "1" } })),
            ),
            row("an object is deleted", delete(core("configmaps/b"))),
            made("an object is added again", "b", &json!({})),
            made("an end of the story", "end", &json!({})),
            read(
                "added, modified, deleted and added again are told",
                "all",
                Last::Named("end"),
            ),
        ],
    )
}

fn edges() -> Case {
    case(
        "an object comes and goes as it crosses a selector",
        [
            made("an object outside of the selector", "a", &json!({ "app": "db" }))
                .keep("version", "/metadata/resourceVersion"),
            open(
                "a watch of a selector",
                "web",
                watch(core("configmaps"))
                    .query("resourceVersion", "${version}")
                    .query("labelSelector", "app=web"),
            ),
            row(
                "a change outside of the selector",
                merge(core("configmaps/a"), &json!({ "data": { "k": "1" } })),
            ),
            row(
                "an object enters the selector",
                merge(
                    core("configmaps/a"),
                    &json!({ "metadata": { "labels": { "app": "web" } } }),
                ),
            ),
            row(
                "a change inside of the selector",
                merge(core("configmaps/a"), &json!({ "data": { "k": "2" } })),
            ),
            row(
                "an object leaves the selector",
                merge(
                    core("configmaps/a"),
                    &json!({ "metadata": { "labels": { "app": "db" } }, "data": { "k": "3" } }),
                ),
            ),
            row(
                "an object enters the selector again",
                merge(
                    core("configmaps/a"),
                    &json!({ "metadata": { "labels": { "app": "web" } } }),
                ),
            ),
            row(
                "an object inside of the selector is deleted",
                delete(core("configmaps/a")),
            ),
            made("one outside is created", "b", &json!({ "app": "db" })),
            row("one outside is deleted", delete(core("configmaps/b"))),
            made("an end inside of the selector", "end", &json!({ "app": "web" })),
            read("entering is added, leaving is deleted", "web", Last::Named("end")),
        ],
    )
}

fn initial_events() -> Case {
    case(
        "a watch begins with what is there",
        [
            made("the first that is there", "a", &json!({})),
            made("the second that is there", "b", &json!({})),
            open(
                "a watch of everything with a bookmark",
                "all",
                watch(core("configmaps"))
                    .query("sendInitialEvents", "true")
                    .query("resourceVersionMatch", "NotOlderThan")
                    .query("allowWatchBookmarks", "true"),
            ),
            read(
                "all that is there, and then a bookmark",
                "all",
                Last::Type("BOOKMARK"),
            ),
            made("one that comes later", "c", &json!({})),
            read("then what comes", "all", Last::Named("c")),
            open(
                "a watch from version 0",
                "zero",
                watch(core("configmaps")).query("resourceVersion", "0"),
            ),
            read("version 0 begins with what is there", "zero", Last::Named("c")),
            open("a watch from no version", "none", watch(core("configmaps"))),
            read("no version begins with what is there", "none", Last::Named("c")),
            open(
                "initial events need a match",
                "refused",
                watch(core("configmaps")).query("sendInitialEvents", "true"),
            ),
            open(
                "a match needs initial events",
                "refused",
                watch(core("configmaps")).query("resourceVersionMatch", "NotOlderThan"),
            ),
            open(
                "initial events need bookmarks or not",
                "unmarked",
                watch(core("configmaps"))
                    .query("sendInitialEvents", "true")
                    .query("resourceVersionMatch", "NotOlderThan"),
            ),
            read(
                "initial events without bookmarks are told",
                "unmarked",
                Last::Named("c"),
            ),
            row(
                "initial events are for watches only",
                get(core("configmaps"))
                    .query("sendInitialEvents", "true")
                    .query("resourceVersionMatch", "NotOlderThan"),
            ),
            open(
                "a watch without initial events",
                "later",
                watch(core("configmaps"))
                    .query("sendInitialEvents", "false")
                    .query("resourceVersionMatch", "NotOlderThan"),
            ),
            made("one that comes last", "d", &json!({})),
            read(
                "without initial events only what comes is told",
                "later",
                Last::Named("d"),
            ),
        ],
    )
}

fn field_edges() -> Case {
    case(
        "one object is watched by its name",
        [
            made("the one that is watched", "a", &json!({})).keep("version", "/metadata/resourceVersion"),
            open(
                "a watch of a name",
                "one",
                watch(core("configmaps"))
                    .query("fieldSelector", "metadata.name=a")
                    .query("resourceVersion", "${version}"),
            ),
            row(
                "an object is read at its path, also when it is asked to be watched",
                watch(core("configmaps/a")),
            ),
            made("another one", "b", &json!({})),
            row(
                "the one is changed",
                merge(core("configmaps/a"), &json!({ "data": { "k": "1" } })),
            ),
            row("the one is deleted", delete(core("configmaps/a"))),
            made("the one comes again", "a", &json!({})),
            row(
                "the one ends",
                merge(core("configmaps/a"), &json!({ "data": { "k": "end" } })),
            ),
            row("the one is deleted at last", delete(core("configmaps/a"))).keep("end", "/details/uid"),
            read(
                "a watch by name tells of one object: changed",
                "one",
                Last::Named("a"),
            ),
            read(
                "a watch by name tells of one object: deleted",
                "one",
                Last::Type("DELETED"),
            ),
            read(
                "a watch by name tells of one object: added again and ended",
                "one",
                Last::Type("DELETED"),
            ),
        ],
    )
}

fn versions() -> Case {
    case(
        "a watch ends, or is refused",
        [
            made("an object for watched versions", "a", &json!({})),
            open(
                "a watch from no number is refused",
                "refused",
                watch(core("configmaps")).query("resourceVersion", "x"),
            ),
            open(
                "a watch has an end",
                "short",
                watch(core("configmaps")).query("timeoutSeconds", "1"),
            ),
            read("a watch ends without a word", "short", Last::End),
            open(
                "a watch of a kind that is not served",
                "refused",
                watch(core("widgets")),
            ),
            open(
                "a watch with a selector that cannot be read",
                "refused",
                watch(core("configmaps")).query("labelSelector", "a b"),
            ),
        ],
    )
}

fn forms() -> Case {
    case(
        "a watch may tell less than the whole objects",
        [
            made("the first in another form", "a", &json!({})).keep("version", "/metadata/resourceVersion"),
            open(
                "a watch of metadata",
                "metadata",
                watch(core("configmaps"))
                    .query("resourceVersion", "${version}")
                    .metadata(),
            ),
            open(
                "a watch of rows",
                "rows",
                watch(core("configmaps"))
                    .query("resourceVersion", "${version}")
                    .table(),
            ),
            open(
                "a watch of metadata with initial events",
                "initial",
                watch(core("configmaps"))
                    .query("sendInitialEvents", "true")
                    .query("resourceVersionMatch", "NotOlderThan")
                    .query("allowWatchBookmarks", "true")
                    .metadata(),
            ),
            read(
                "a bookmark in the form of metadata",
                "initial",
                Last::Type("BOOKMARK"),
            ),
            row(
                "the first is changed",
                merge(core("configmaps/a"), &json!({ "data": { "k": "1" } })),
            ),
            row("the first is deleted", delete(core("configmaps/a"))),
            read(
                "events in the form of metadata",
                "metadata",
                Last::Type("DELETED"),
            ),
            read("events in the form of tables", "rows", Last::Type("DELETED")),
        ],
    )
}

fn silence() -> Case {
    let applied = |value: &str| config_map("a", &json!({ "k": value }));
    case(
        "what changes nothing is not told",
        [
            row(
                "an apply before the watch",
                apply(core("configmaps/a"), "one", &applied("1")),
            )
            .keep("version", "/metadata/resourceVersion"),
            open(
                "a watch of what is silent",
                "all",
                watch(core("configmaps")).query("resourceVersion", "${version}"),
            ),
            row(
                "an apply that changes nothing",
                apply(core("configmaps/a"), "one", &applied("1")),
            ),
            row(
                "a patch that changes nothing",
                merge(core("configmaps/a"), &json!({ "data": { "k": "1" } })),
            ),
            row(
                "a dry run",
                apply(core("configmaps/a"), "one", &applied("2")).dry_run(),
            ),
            row(
                "an apply that is refused",
                apply(core("configmaps/a"), "two", &applied("2")),
            ),
            row(
                "an apply that changes owners only",
                apply(core("configmaps/a"), "two", &applied("1")),
            ),
            made("an end of the silence", "end", &json!({})),
            read("only the change of owners is told", "all", Last::Named("end")),
        ],
    )
}

fn finalizers() -> Case {
    case(
        "an object with a finalizer is modified before it is deleted",
        [
            row("an object that holds on", post(core("configmaps"), &json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a", "finalizers": ["example.com/hold"] } }))).keep("version", "/metadata/resourceVersion"),
            open("a watch of one that holds on", "all", watch(core("configmaps")).query("resourceVersion", "${version}")),
            row("one that holds on is deleted", delete(core("configmaps/a"))),
            row("one that holds on lets go", merge(core("configmaps/a"), &json!({ "metadata": { "finalizers": null } }))),
            made("an end after letting go", "end", &json!({})),
            read("modified twice or once, then deleted", "all", Last::Named("end")),
        ],
    )
}
