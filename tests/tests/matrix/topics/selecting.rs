//! Label and field selectors, pages, and versions that are too old or too new.

use serde_json::{Value, json};

use super::shapes::{config_map, labelled, one_container, pod};
use crate::case::{Case, Condition, Row, case, row, until};
use crate::request::{core, delete, delete_with, get, post};

pub(super) fn cases() -> Vec<Case> {
    vec![labels(), fields(), pages(), collections(), too_old()]
}

fn made(name: &'static str, object: &str, labels: &Value) -> Row {
    row(name, post(core("configmaps"), &labelled(object, labels)))
}

fn labels() -> Case {
    let select = |selector: &str| {
        get(core("configmaps"))
            .query("labelSelector", selector)
            .metadata_list()
    };
    case(
        "objects are selected by labels",
        [
            made(
                "the first of the selected",
                "a",
                &json!({ "app": "web", "tier": "front" }),
            ),
            made(
                "the second of the selected",
                "b",
                &json!({ "app": "web", "tier": "back" }),
            ),
            made("the third of the selected", "c", &json!({ "app": "db" })),
            made("one without labels", "d", &json!({})),
            row("a label is equal", select("app=web")),
            row("a label is equal with two signs", select("app==web")),
            row("a label is not equal", select("app!=web")),
            row("a label is in a set", select("app in (web,db)")),
            row("a label is not in a set", select("app notin (web)")),
            row("a label is there", select("tier")),
            row("a label is not there", select("!tier")),
            row("requirements are all to hold", select("app=web,tier=back")),
            row("an empty value is a value", select("app=")),
            row("a number is compared", select("app>1")),
            row("an empty selector selects all", select("")),
            row("a selector that cannot be read is refused", select("app in web")),
            row("a selector without an operator is refused", select("a b")),
            row("a value of a selector is checked", select("app=a/b")),
            row("a key of a selector is checked", select("-a=b")),
        ],
    )
}

fn fields() -> Case {
    let select = |selector: &str| {
        get(core("configmaps"))
            .query("fieldSelector", selector)
            .metadata_list()
    };
    case(
        "objects are selected by fields",
        [
            row(
                "the first ConfigMap for fields",
                post(core("configmaps"), &config_map("a", &json!({}))),
            ),
            row(
                "the second ConfigMap for fields",
                post(core("configmaps"), &config_map("b", &json!({}))),
            ),
            row("a name is equal", select("metadata.name=a")),
            row("a name is not equal", select("metadata.name!=a")),
            row("a namespace is equal", select("metadata.namespace=${ns}")),
            row("a field that cannot be selected is refused", select("data.k=1")),
            row(
                "a field selector that cannot be read is refused",
                select("metadata.name"),
            ),
            row(
                "a Pod for fields",
                post(core("pods"), &pod("p", &one_container())),
            ),
            row(
                "pods are selected by phase",
                get(core("pods"))
                    .query("fieldSelector", "status.phase=Pending")
                    .metadata_list(),
            ),
            row(
                "pods are selected by node",
                get(core("pods"))
                    .query("fieldSelector", "spec.nodeName=nowhere")
                    .metadata_list(),
            ),
            row(
                "pods without a node are selected",
                get(core("pods"))
                    .query("fieldSelector", "spec.nodeName=")
                    .metadata_list(),
            ),
            row(
                "pods are selected by policy",
                get(core("pods"))
                    .query("fieldSelector", "spec.restartPolicy=Always")
                    .metadata_list(),
            ),
            row(
                "secrets are selected by type",
                get(core("secrets")).query("fieldSelector", "type=Opaque"),
            ),
            row(
                "events are selected by what they are about",
                get(core("events")).query("fieldSelector", "involvedObject.kind=Pod,involvedObject.name=p"),
            ),
            row(
                "namespaces are selected by name",
                get("/api/v1/namespaces").query("fieldSelector", "metadata.name=${ns}"),
            ),
            row(
                "a label and a field are both to hold",
                get(core("configmaps"))
                    .query("fieldSelector", "metadata.name=a")
                    .query("labelSelector", "app=x"),
            ),
        ],
    )
}

fn pages() -> Case {
    let all = || get(core("configmaps")).metadata_list();
    case(
        "a list is read page by page",
        [
            made("the first of the pages", "a", &json!({ "app": "web" })),
            made("the second of the pages", "b", &json!({ "app": "web" })),
            made("the third of the pages", "c", &json!({ "app": "web" })),
            made("the fourth of the pages", "d", &json!({ "app": "db" })),
            made("the fifth of the pages", "e", &json!({ "app": "web" })),
            row("the first page says how many remain", all().query("limit", "2"))
                .keep("next", "/metadata/continue"),
            made("one that comes between two pages", "bb", &json!({})),
            row(
                "the second page is of the same version",
                all().query("limit", "2").query("continue", "${next}"),
            )
            .keep("last", "/metadata/continue"),
            row(
                "the last page has no token",
                all().query("limit", "2").query("continue", "${last}"),
            ),
            row(
                "a page as long as the list has no token",
                all().query("limit", "6"),
            ),
            row(
                "a page longer than the list has no token",
                all().query("limit", "60"),
            ),
            row(
                "a page of a selection does not say how many remain",
                all().query("limit", "1").query("labelSelector", "app=web"),
            )
            .keep("selected", "/metadata/continue"),
            row(
                "a page of a selection goes on",
                all()
                    .query("limit", "5")
                    .query("labelSelector", "app=web")
                    .query("continue", "${selected}"),
            ),
            row(
                "a token that cannot be read is refused",
                all().query("limit", "2").query("continue", "x"),
            ),
            row(
                "a token that is no base64 is refused",
                all().query("limit", "2").query("continue", "%%%"),
            ),
            row(
                "a token takes no version beside it",
                all()
                    .query("limit", "2")
                    .query("continue", "${next}")
                    .query("resourceVersion", "1"),
            ),
            row("a limit below zero is all", all().query("limit", "-1")),
            row(
                "pages of whole objects",
                get(core("configmaps")).query("limit", "1"),
            ),
        ],
    )
}

fn collections() -> Case {
    case(
        "a collection is deleted by a selector",
        [
            made("the first of a collection", "a", &json!({ "app": "web" })),
            made("the second of a collection", "b", &json!({ "app": "web" })),
            made("the third of a collection", "c", &json!({ "app": "db" })),
            row(
                "a dry run of a deletion of many deletes nothing",
                delete(core("configmaps"))
                    .query("labelSelector", "app=web")
                    .dry_run(),
            ),
            row("all are still there", get(core("configmaps")).metadata_list()),
            row(
                "those of a selector are deleted",
                delete(core("configmaps")).query("labelSelector", "app=web"),
            ),
            row("the others are left", get(core("configmaps")).metadata_list()),
            row(
                "a collection is deleted by a field",
                delete(core("configmaps")).query("fieldSelector", "metadata.name=c"),
            ),
            row(
                "an empty collection is deleted",
                delete_with(
                    core("configmaps"),
                    &json!({ "apiVersion": "v1", "kind": "DeleteOptions" }),
                ),
            ),
            row(
                "namespaces are not deleted together",
                delete("/api/v1/namespaces"),
            ),
        ],
    )
}

fn too_old() -> Case {
    case(
        "a version that is not known is refused",
        [
            row(
                "an object for versions",
                post(core("configmaps"), &config_map("a", &json!({}))),
            ),
            until(
                "a token of a version long gone is too old",
                get(core("configmaps")).query("limit", "1").query(
                    "continue",
                    "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhXHUwMDAwIn0",
                ),
                Condition::Code(410),
            ),
            row(
                "an exact version that is too old is gone",
                get(core("configmaps"))
                    .query("resourceVersion", "1")
                    .query("resourceVersionMatch", "Exact"),
            ),
        ],
    )
}
