#!/usr/bin/env python3
"""Writes schemas.json, descriptions.json, resources.json and messages.txt from what upstream Kubernetes publishes.

    python3 generate.py

Needs Go (for its module proxy client); no other tool. What is read: api/openapi-spec/v3 and api/discovery of
the module k8s.io/kubernetes, and the field tags of the Go types in its parts (Apache-2.0, Copyright The
Kubernetes Authors). The tags say what OpenAPI does not: which fields of an object are left out when they are
zero, and which are always there (`x-go`: `drop`, `zero` or `null`). They also number the fields of protobuf bodies.
"""

import json
import pathlib
import re
import subprocess

VERSION = "v1.36.3"
PARTS = {
    "io.k8s.api.": ("k8s.io/api", ""),
    "io.k8s.apimachinery.pkg.apis.": ("k8s.io/apimachinery", "pkg/apis"),
    "io.k8s.apiextensions-apiserver.pkg.apis.": ("k8s.io/apiextensions-apiserver", "pkg/apis"),
    "io.k8s.kube-aggregator.pkg.apis.": ("k8s.io/kube-aggregator", "pkg/apis"),
}
FIELD = re.compile(r'^\s+(?:(\w+)\s+)?(\S+)\s+`([^`]*)`', re.M)
JSON_TAG = re.compile(r'\bjson:"([^"]*)"')
PROTOBUF_TAG = re.compile(r'\bprotobuf:"(\w+),(\d+),')
STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.M | re.S)
# Served by default in a cluster of that version: what is alpha or beta upstream stays out.
STABLE = {"v1", "v2"}
HERE = pathlib.Path(__file__).parent
PREFIX = "#/components/schemas/"


def module_dir(module, version):
    out = subprocess.run(
        ["go", "mod", "download", "-json", f"{module}@{version}"],
        check=True, capture_output=True, text=True, cwd="/",
    ).stdout
    return pathlib.Path(json.loads(out)["Dir"])


def go_struct(name, cache={}):
    """The fields of the Go type behind an OpenAPI name: (Go name, Go type, JSON tag, number in protobuf)."""
    prefix = next((prefix for prefix in PARTS if name.startswith(prefix)), None)
    if prefix is None:
        return []
    module, folder = PARTS[prefix]
    *package, kind = name.removeprefix(prefix).split(".")
    key = (module, folder, *package)
    if key not in cache:
        path = module_dir(module, VERSION.replace("v1.", "v0.")) / folder / pathlib.Path(*package)
        text = "\n".join(file.read_text() for file in sorted(path.glob("*types*.go")))
        cache[key] = {struct: FIELD.findall(body) for struct, body in STRUCT.findall(text)}
    found = []
    for go_name, go_type, tags in cache[key].get(kind, []):
        if tag := JSON_TAG.search(tags):
            number = PROTOBUF_TAG.search(tags)
            found.append((go_name or go_type.split(".")[-1], go_type, tag[1], number and number[2]))
    return found


def go_fields(name):
    """The same fields with those of inlined types: JSON name to (Go type, options)."""
    kind = name.split(".")[-1]
    found = {}
    for _, go_type, tag, _ in go_struct(name):
        json_name, *options = tag.split(",")
        if "inline" in options and "." not in go_type:
            found.update(go_fields(name.removesuffix(kind) + go_type))
        elif json_name and json_name != "-":
            found[json_name] = (go_type, options)
    return found


def mark(name, schema):
    """Says of each field what Go's encoder does with its zero value."""
    fields = go_fields(name)
    for field, value in schema.get("properties", {}).items():
        if field not in fields:
            continue
        go_type, options = fields[field]
        omit = "omitempty" in options or "omitzero" in options
        listed = value.get("type") == "array" or "additionalProperties" in value or value.get("format") == "byte"
        if go_type.startswith("*"):
            word = None if omit else "null"
        elif listed:
            word = "drop" if omit else "null"
        elif "$ref" in value:
            word = "drop" if "omitzero" in options else "zero"
        else:
            word = "drop" if omit else "zero"
        if word:
            value["x-go"] = word


# Messages that are a value in JSON; the decoder knows them.
VALUES = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int-or-string",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "micro-time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "raw",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "raw",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": "raw",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": "schema-or-bool",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": "schema-or-array",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "schema-or-texts",
}
SCALARS = {"string": "text", "integer": "integer", "boolean": "boolean", "number": "double"}


def wire_type(schema):
    """How a field of this schema is sent: a word of the decoder or the name of a message, `[]` and `{}` before it."""
    if "$ref" in schema:
        return VALUES.get(schema["$ref"], schema["$ref"])
    if schema["type"] == "array":
        return "[]" + wire_type(schema["items"])
    if "additionalProperties" in schema:
        return "{}" + wire_type(schema["additionalProperties"])
    return "bytes" if schema.get("format") == "byte" else SCALARS[schema["type"]]


def messages(kept, schemas):
    """Of each type that protobuf bodies may hold: its fields as `NUMBER:NAME:TYPE`.

    A type that Go inlines has no schema of its own and is a message all the same: its field has no name. `*` before
    the type says that zero is told from nothing, and `/GoName` after the name what messages call the field.
    """
    found = {}

    def add(name, properties):
        fields = []
        for go_name, go_type, tag, number in go_struct(name):
            json_name, *options = tag.split(",")
            if number is None or json_name == "-":
                continue
            if "inline" in options and not json_name:
                inlined = name.removesuffix(name.split(".")[-1]) + go_type.lstrip("*")
                add(inlined, properties)
                fields.append(f"{number}:/{go_name}:{inlined}")
                continue
            alias = "" if json_name[:1].upper() + json_name[1:] == go_name else f"/{go_name}"
            pointer = "*" if go_type.startswith("*") else ""
            fields.append(f"{number}:{json_name}{alias}:{pointer}{wire_type(properties[json_name])}")
        found[name] = fields

    for name in kept:
        if name not in VALUES:
            add(name, schemas[name].get("properties", {}))
    return found


def slim(schema):
    """Drops prose and what says nothing (`default: {}`), and unwraps `allOf` with one element."""
    if not isinstance(schema, dict):
        return schema
    if len(schema.get("allOf", [])) == 1:
        rest = {k: v for k, v in schema.items() if k != "allOf"}
        return slim({**schema["allOf"][0], **rest})
    out = {}
    for key, value in schema.items():
        if key == "description" or (key == "default" and value == {}):
            continue
        if key == "properties":
            out[key] = {name: slim(field) for name, field in value.items()}
        elif key == "$ref" and isinstance(value, str):
            out[key] = value.removeprefix(PREFIX)
        elif key == "x-kubernetes-group-version-kind":
            continue
        else:
            out[key] = slim(value)
    return out


def references(schema, found):
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                found.add(value)
            else:
                references(value, found)
    elif isinstance(schema, list):
        for value in schema:
            references(value, found)


def reachable(schemas, roots):
    todo, seen = list(roots), set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        found = set()
        references(schemas[name], found)
        todo.extend(found)
    return seen


def resource(entry):
    out = {
        "plural": entry["resource"],
        "singular": entry["singularResource"],
        "kind": entry["responseKind"]["kind"],
        "namespaced": entry["scope"] == "Namespaced",
        "verbs": entry["verbs"],
    }
    for key in ("shortNames", "categories"):
        if entry.get(key):
            out[key] = entry[key]
    if entry.get("subresources"):
        out["subresources"] = [
            {
                "name": sub["subresource"],
                "group": (sub.get("responseKind") or {}).get("group", ""),
                "version": (sub.get("responseKind") or {}).get("version", ""),
                "kind": (sub.get("responseKind") or {}).get("kind", ""),
                "verbs": sub["verbs"],
            }
            for sub in entry["subresources"]
        ]
    return out


def main():
    root = module_dir("k8s.io/kubernetes", VERSION) / "api"
    documents = {}
    for path in (root / "openapi-spec" / "v3").glob("*_openapi.json"):
        documents[path.name] = json.loads(path.read_text())

    def of_document(document):
        return document.get("components", {}).get("schemas", {})

    schemas, prose, by_gvk = {}, {}, {}
    for document in documents.values():
        for name, schema in of_document(document).items():
            schemas[name] = slim(schema)
            texts = {}
            if schema.get("description"):
                texts[""] = schema["description"]
            for field, value in schema.get("properties", {}).items():
                if value.get("description"):
                    texts[field] = value["description"]
            prose[name] = texts
            for gvk in schema.get("x-kubernetes-group-version-kind", []):
                if name.endswith("." + gvk["kind"]):
                    by_gvk[(gvk["group"], gvk["version"], gvk["kind"])] = name

    groups, roots = [], {"io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
                         "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
                         "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"}
    core = json.loads((root / "discovery" / "api__v1.json").read_text())
    aggregated = json.loads((root / "discovery" / "aggregated_v2.json").read_text())["items"]
    listed = [("", [("v1", legacy(core))])]
    for group in aggregated:
        versions = [(v["version"], [resource(r) for r in v["resources"]])
                    for v in group["versions"] if v["version"] in STABLE]
        if versions:
            listed.append((group["metadata"]["name"], versions))
    for group, versions in listed:
        out = {"group": group, "versions": []}
        for version, resources in versions:
            for r in resources:
                name = by_gvk.get((group, version, r["kind"]))
                if name:
                    r["schema"] = name
                    roots.add(name)
                for sub in r.get("subresources", []):
                    target = by_gvk.get((sub["group"] or group, sub["version"] or version, sub["kind"]))
                    if target:
                        roots.add(target)
            out["versions"].append({"version": version, "resources": resources})
        groups.append(out)

    kept = reachable(schemas, roots)
    for name in kept:
        mark(name, schemas[name])
    write("schemas.json", {name: schemas[name] for name in sorted(kept)})
    write("descriptions.json", {name: prose[name] for name in sorted(kept) if prose[name]})
    write("resources.json", groups)
    roots = {gvk: name for gvk, name in by_gvk.items() if name in kept and gvk[2] != "DeleteOptions"}
    lines = [f"= {group}/{version} {kind} {name}".replace("= /", "= ") for (group, version, kind), name in roots.items()]
    lines += [" ".join([name, *fields]) for name, fields in messages(kept, schemas).items() if fields]
    (HERE / "messages.txt").write_text("\n".join(sorted(lines)) + "\n")


def legacy(document):
    """The core group is described by an APIResourceList only: subresources are its entries with a slash."""
    found = {}
    for entry in document["resources"]:
        if "/" in entry["name"]:
            continue
        found[entry["name"]] = {
            "resource": entry["name"],
            "singularResource": entry["singularName"],
            "responseKind": {"kind": entry["kind"]},
            "scope": "Namespaced" if entry["namespaced"] else "Cluster",
            "verbs": entry["verbs"],
            "shortNames": entry.get("shortNames"),
            "categories": entry.get("categories"),
            "subresources": [],
        }
    for entry in document["resources"]:
        if "/" not in entry["name"]:
            continue
        parent, name = entry["name"].split("/", 1)
        if parent in found:
            found[parent]["subresources"].append({
                "subresource": name,
                "responseKind": {"group": entry.get("group", ""), "version": entry.get("version", ""),
                                 "kind": entry["kind"]},
                "verbs": entry["verbs"],
            })
    return [resource(entry) for entry in found.values()]


def write(name, value):
    """One top-level entry a line: small, and still a readable difference when upstream changes."""
    compact = lambda v: json.dumps(v, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    if isinstance(value, dict):
        lines = [f"{json.dumps(k)}:{compact(v)}" for k, v in value.items()]
        text = "{\n" + ",\n".join(lines) + "\n}\n"
    else:
        text = "[\n" + ",\n".join(compact(v) for v in value) + "\n]\n"
    (HERE / name).write_text(text)


main()
