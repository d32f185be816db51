#!/usr/bin/env python3
"""Builds random kustomizations with the real kustomize and with ours, and keeps those that come out differently.

Usage: fuzz.py MODE SECONDS|CASESx KEEP [SEED]

MODE is yaml (random documents), trees (random kustomizations that mix all fields), deep (trees that go into one part
each, see fuzz_fields.py), or the name of one of those parts. KUSTOMIZE and KUSTOMIZE_RS name the two programs.
Cases that differ are left in the directory KEEP, one folder each.
"""
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

KUSTOMIZE = os.environ.get("KUSTOMIZE", "kustomize")
OURS = os.environ.get("KUSTOMIZE_RS", "kustomize-rs")


# --- random documents ---------------------------------------------------------------------------------------

SCALARS = """a b web 1 0 -1 1.5 1e3 0x1F 0777 08 1_000 .5 5. yes no on off y n true False ~ null 2020-01-01 12:30 1:2:3 .inf
'' "" 'x' "x" 'it''s' "a\\tb" "a\\nb" "\\u00e9" "\\x41" "é" é 日本 😀 "😀" - -- --- ... -a :a a: a:b ?a a? #a a#b @a `a` %a !a &a *a |a >a
a,b [a] {a:b} "a: b" 'a: b' "# x" '# x' "- a" ' a' 'a ' "" !!str !!int !!float !!bool << = 1.0 0.0 -0 1e400 1e-7 123456789.5""".split()
MORE = ["a b", "a: b", "a #b", "hello world foo", "x" * 90, "word " * 30, "a\tb", "!!str 1", "!!int '5'", "!foo a",
        "&x a", "*x", "|", ">", "|-", ">-", "|+", "|2", ">2-", "- a", "? a", ": a", "[a, b]", "{a: b}", "[a, {b: c}, ]",
        "{a: 1, b: [x, y], c}", "{}", "[]", "[[a], [b]]", "{a: , b: ~}", "[a: b]", "'a\n  b'", '"a\n  b"', '"a\\\n   b"', "# c",
        "{? a : b}", "{'a':b}", '{"a":b}', "[a,b,]", "[,]", "{,}", "&a {k: v}", "{<<: {a: b}}", "{<<: [{a: b}, {c: d}]}"]
KEYS = ["a", "b", "c", "k1", "k2", "k10", '"q"', "'s'", "x y", "1", "true", "yes", "y", "<<", "? z", "é", '"1"', "a.b/c", "-x", "key"]


def scalar(r):
    return r.choice(SCALARS) if r.random() < 0.7 else r.choice(MORE)


def block(r, indent, depth):
    """Lines of a random node at an indentation."""
    pad = " " * indent
    kind = r.random()
    if depth <= 0 or kind < 0.15:
        return [pad + scalar(r)]
    lines = []
    if kind < 0.6:
        for _ in range(r.randint(1, 4)):
            lines += entry(r, pad + (r.choice(KEYS) if r.random() < 0.4 else r.choice("abcdefgh") + str(r.randint(0, 12))) + ":", indent, depth)
    else:
        for _ in range(r.randint(1, 4)):
            lines += entry(r, pad + "-", indent, depth)
    return lines


def entry(r, head, indent, depth):
    kind = r.random()
    if kind < 0.45:
        return [head + " " + scalar(r)]
    if kind < 0.5:
        return [head]
    if kind < 0.65:
        header = r.choice(["|", ">", "|-", ">-", "|+", ">+", "|2", ">1", "| # c"])
        pad = " " * (indent + r.choice([1, 2, 2, 2, 4]))
        body = [r.choice(["", pad + "x", pad + "text here", pad + " more", pad + "a: b", pad + "# h", pad + "- z", pad + "t ", "", pad + "\tt"]) for _ in range(r.randint(0, 5))]
        return [head + " " + header] + body
    if kind < 0.7:
        return [head + r.choice([" # c", "", " &n", " !!map", " !t"])] + block(r, indent + 2, depth - 1)
    step = r.choice([2, 2, 2, 2, 0, 1, 3, 4])
    if head.endswith("-") and r.random() < 0.5:
        inner = block(r, indent + 2, depth - 1)
        return [head + " " + inner[0].lstrip()] + inner[1:]
    return [head] + block(r, indent + step, depth - 1)


def document(r):
    lines = ["apiVersion: v1", "kind: ConfigMap", "metadata: {name: c}"]
    lines += ["spec:"] + block(r, 2, r.randint(1, 4))
    if r.random() < 0.2:
        lines.insert(r.randint(0, len(lines)), r.choice(["# c", "", "---", "...", "  # c", "\t# x", "--- # x"]))
    text = "\n".join(lines) + r.choice(["\n", "", "\n\n", "\n...\n", "\n---\n"])
    if r.random() < 0.15:
        at = r.randint(0, len(text) - 1)
        text = text[:at] + r.choice(["\t", " ", ":", "-", "#", "'", '"', "\n", "{", "]", ",", "&", "*", "!", "?", "\r\n", "\u0085", "\u2028", "\\"]) + text[at + r.choice([0, 1]):]
    return text


def yaml_case(r, root):
    write(root, "kustomization.yaml", "resources: [r.yaml]\n" + r.choice(["", "", "", "namePrefix: p-\n", "commonLabels: {a: b}\n"]))
    write(root, "r.yaml", document(r))
    return root


# --- random kustomizations ----------------------------------------------------------------------------------

NAMES = ["web", "api", "db", "cfg"]


def container(r, name=None):
    c = {"name": name or r.choice(["main", "side", "init"]), "image": r.choice(["nginx", "nginx:1.0", "r.io:5000/app:2", "busybox@sha256:abc"])}
    if r.random() < 0.5:
        c["env"] = [r.choice([{"name": "A", "value": r.choice(["1", "x"])},
                              {"name": "B", "valueFrom": {"configMapKeyRef": {"name": r.choice(NAMES), "key": "k"}}},
                              {"name": "C", "valueFrom": {"secretKeyRef": {"name": r.choice(NAMES), "key": "k"}}}]) for _ in range(r.randint(1, 3))]
    if r.random() < 0.4:
        c["envFrom"] = [r.choice([{"configMapRef": {"name": r.choice(NAMES)}}, {"secretRef": {"name": r.choice(NAMES)}}])]
    if r.random() < 0.4:
        c["ports"] = [dict({"containerPort": r.choice([80, 443])}, **r.choice([{}, {"protocol": r.choice(["TCP", "UDP"])}, {"name": "p"}])) for _ in range(r.randint(1, 3))]
    if r.random() < 0.3:
        c["volumeMounts"] = [{"name": "v", "mountPath": r.choice(["/a", "/b"])} for _ in range(r.randint(1, 2))]
    if r.random() < 0.3:
        c["args"] = ["--x", r.choice(["a=b", "1"])]
    return c


def pod_spec(r):
    spec = {"containers": [container(r, n) for n in r.sample(["main", "side", "third"], r.randint(1, 3))]}
    if r.random() < 0.3:
        spec["initContainers"] = [container(r, "init")]
    if r.random() < 0.3:
        spec["serviceAccountName"] = r.choice(NAMES)
    if r.random() < 0.4:
        spec["volumes"] = [r.choice([{"name": "v", "configMap": {"name": r.choice(NAMES)}}, {"name": "w", "secret": {"secretName": r.choice(NAMES)}},
                                     {"name": "x", "persistentVolumeClaim": {"claimName": r.choice(NAMES)}}, {"name": "y", "emptyDir": {}}]) for _ in range(r.randint(1, 2))]
    if r.random() < 0.2:
        spec["imagePullSecrets"] = [{"name": r.choice(NAMES)}]
    if r.random() < 0.15:
        spec["topologySpreadConstraints"] = [{"topologyKey": "z", "labelSelector": {"matchLabels": {"app": "x"}}}]
    return spec


def resource(r):
    kind = r.choice(["Deployment", "Deployment", "Service", "ConfigMap", "Secret", "ServiceAccount", "StatefulSet", "Ingress", "RoleBinding", "ClusterRole",
                     "ClusterRoleBinding", "HorizontalPodAutoscaler", "CronJob", "Job", "Namespace", "PersistentVolumeClaim", "Foo", "NetworkPolicy", "CustomResourceDefinition", "DaemonSet", "Role", "ValidatingWebhookConfiguration"])
    name = r.choice(NAMES)
    meta = {"name": name}
    if r.random() < 0.2:
        meta["namespace"] = r.choice(["default", "one", "two"])
    if r.random() < 0.4:
        meta["labels"] = {r.choice(["app", "tier", "app", "tier", "1"]): r.choice(["x", "y1"])}
    if r.random() < 0.2:
        meta["annotations"] = {"note": r.choice(["n", 1, True])}
    labels = {"app": name}
    template = {"metadata": {"labels": dict(labels)}, "spec": pod_spec(r)}
    api = {"Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "Ingress": "networking.k8s.io/v1", "NetworkPolicy": "networking.k8s.io/v1",
           "RoleBinding": "rbac.authorization.k8s.io/v1", "ClusterRole": "rbac.authorization.k8s.io/v1", "Role": "rbac.authorization.k8s.io/v1", "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
           "HorizontalPodAutoscaler": r.choice(["autoscaling/v2", "autoscaling/v1"]), "CronJob": "batch/v1", "Job": "batch/v1", "Foo": "x.io/v1", "CustomResourceDefinition": "apiextensions.k8s.io/v1",
           "ValidatingWebhookConfiguration": "admissionregistration.k8s.io/v1"}.get(kind, "v1")
    o = {"apiVersion": api, "kind": kind, "metadata": meta}
    subjects = [{"kind": "ServiceAccount", "name": r.choice(NAMES + ["default"]), **r.choice([{}, {"namespace": r.choice(["one", "two", "default"])}])} for _ in range(r.randint(1, 2))]
    o.update({
        "Deployment": lambda: {"spec": {"replicas": r.choice([1, 2]), "selector": {"matchLabels": labels}, "template": template}},
        "DaemonSet": lambda: {"spec": {"selector": {"matchLabels": labels}, "template": template}},
        "StatefulSet": lambda: {"spec": {"serviceName": r.choice(NAMES), "selector": {"matchLabels": labels}, "template": template, "volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": {"storageClassName": "s"}}]}},
        "Job": lambda: {"spec": {"template": template}},
        "CronJob": lambda: {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}}},
        "Service": lambda: {"spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]}},
        "ConfigMap": lambda: {"data": {"k": r.choice(["v", "1", "a\nb\n", "x: 1\ny: 2\n", '{"a": 1}'])}},
        "Secret": lambda: {"stringData": {"k": "v"}},
        "Ingress": lambda: {"spec": {"rules": [{"host": "h", "http": {"paths": [{"path": "/", "backend": {"service": {"name": r.choice(NAMES), "port": {"number": 80}}}}]}}], "tls": [{"secretName": r.choice(NAMES)}]}},
        "RoleBinding": lambda: {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": r.choice(["Role", "ClusterRole"]), "name": r.choice(NAMES)}, "subjects": subjects},
        "ClusterRoleBinding": lambda: {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": r.choice(NAMES)}, "subjects": subjects},
        "ClusterRole": lambda: {"rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [r.choice(NAMES)]}]},
        "Role": lambda: {"rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [r.choice(NAMES)]}]},
        "HorizontalPodAutoscaler": lambda: {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": r.choice(NAMES)}}},
        "PersistentVolumeClaim": lambda: {"spec": {"volumeName": r.choice(NAMES)}},
        "NetworkPolicy": lambda: {"spec": {"podSelector": {"matchLabels": {"app": "x"}}, "ingress": [{"from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}]}},
        "Foo": lambda: {"spec": {"containers": [{"name": "a", "image": "nginx"}], "ref": r.choice(NAMES), "list": [{"name": "a", "v": 1}, {"name": "b"}], "n": r.choice([1.0, 1.5, None, True, "yes", 10000000])}},
        "ValidatingWebhookConfiguration": lambda: {"webhooks": [{"name": "w", "clientConfig": {"service": {"name": r.choice(NAMES), "namespace": r.choice(["one", "default"])}}}]},
    }.get(kind, dict)())
    return o


def selector(r):
    s = {}
    if r.random() < 0.7:
        s["kind"] = r.choice(["Deployment", "Service", "ConfigMap", "Foo", "Deploy.*", "StatefulSet|Deployment"])
    if r.random() < 0.3:
        s["name"] = r.choice(NAMES + ["w.*", ".*"])
    if r.random() < 0.15:
        s["labelSelector"] = r.choice(["app=x", "app", "!app", "app in (x, y1)"])
    if r.random() < 0.1:
        s["namespace"] = r.choice(["default", "one", "pre"])
    return s


def strategic(r, existing):
    base = r.choice(existing) if existing and r.random() < 0.98 else resource(r)
    o = {"apiVersion": base["apiVersion"], "kind": base["kind"], "metadata": {"name": base["metadata"]["name"]}}
    if "namespace" in base["metadata"]:
        o["metadata"]["namespace"] = base["metadata"]["namespace"]
    what = r.random()
    if what < 0.05:
        o["$patch"] = "delete"
    elif what < 0.2:
        o["metadata"]["labels"] = {"app": r.choice([None, "z"]), "new": "l"}
    elif base["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
        spec = pod_spec(r)
        for c in spec["containers"]:
            if r.random() < 0.15:
                c["$patch"] = r.choice(["delete", "replace", "merge"])
            if r.random() < 0.1:
                del c["name"]
        o["spec"] = {"template": {"spec": spec}}
        if r.random() < 0.2:
            o["spec"]["replicas"] = r.choice([None, 5, "6"])
        if r.random() < 0.1:
            spec["containers"].append({"$patch": "replace"})
    elif base["kind"] == "Service":
        o["spec"] = {"ports": [{"port": r.choice([80, 81]), "protocol": "TCP", "name": "x"}]}
    elif base["kind"] == "ConfigMap":
        o["data"] = {"k": r.choice([None, "w"]), "new": "1"}
    else:
        o["spec"] = {"list": [{"name": "a", "v": 2}], "extra": {"a": None, "b": 1}}
    return o


def operations(r):
    if r.random() < 0.6:
        return [
            r.choice([{"op": "add", "path": "/metadata/annotations/p", "value": "q"}, {"op": "replace", "path": "/metadata/name", "value": "renamed" + str(r.randint(0, 9))}, {"op": "add", "path": "/extra", "value": {"a": 1.0, "b": [None, "x"]}}])]
    return [r.choice([
        {"op": "add", "path": "/metadata/annotations/p", "value": "q"}, {"op": "add", "path": "/metadata/labels/p", "value": "q"}, {"op": "replace", "path": "/spec/replicas", "value": 9},
        {"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "added", "image": "nginx"}}, {"op": "remove", "path": "/spec/template/spec/containers/0"},
        {"op": "replace", "path": "/metadata/name", "value": "renamed"}, {"op": "remove", "path": "/spec/selector"}, {"op": "test", "path": "/kind", "value": "Deployment"},
        {"op": "copy", "from": "/metadata/name", "path": "/metadata/labels"}, {"op": "add", "path": "/spec/template/spec/containers/0/env", "value": []}]) for _ in range(r.randint(1, 2))]


def generator(r, secret, overlay):
    g = {"name": r.choice(NAMES + ["gen"]), "literals": [f"{r.choice(['a', 'b', 'k'])}={r.choice(['1', 'x y', '', 'q=r', 'é'])}"]}
    if r.random() < 0.3:
        g["files"] = [r.choice(["f.txt", "key=f.txt"])]
    if r.random() < 0.2:
        g["envs"] = ["e.env"]
    if overlay and r.random() < 0.4:
        g["behavior"] = r.choice(["merge", "merge", "replace", "create"])
        if GENERATED and r.random() < 0.9:
            g["name"] = r.choice(sorted(GENERATED))
            g.pop("namespace", None)
    else:
        g["name"] += str(len(GENERATED)) if r.random() < 0.7 else ""
    GENERATED.add(g["name"])
    if r.random() < 0.2:
        g["options"] = r.choice([{"disableNameSuffixHash": True}, {"labels": {"g": "h"}}, {"immutable": True}, {"annotations": {"g": "1"}}])
    if r.random() < 0.1:
        g["namespace"] = r.choice(["one", "pre"])
    if secret and r.random() < 0.2:
        g["type"] = "x/y"
    return g


def replacement(r):
    return {"source": {"kind": r.choice(["ConfigMap", "Service", "Deployment"]), "name": r.choice(NAMES), **r.choice([{}, {"fieldPath": "data.k"}, {"fieldPath": "metadata.name"}, {"fieldPath": "spec.template.spec.containers.0.image", "options": {"delimiter": ":", "index": 0}}])},
            "targets": [{"select": selector(r), **r.choice([{}, {"reject": [{"name": "web"}]}]),
                         "fieldPaths": [r.choice(["metadata.labels.app", "spec.template.spec.containers.*.image", "spec.template.spec.containers.[name=main].image", "metadata.annotations.new", "data.k", "spec.replicas"])],
                         **r.choice([{}, {"options": {"create": True}}, {"options": {"delimiter": ":", "index": r.choice([-1, 0, 1, 5])}}])}]}


def layer(r, root, name, children, components, overlay):
    """Writes one directory; returns the objects in it."""
    k, objects = {}, []
    files = []
    for i in range(r.randint(0 if children else 1, 2 if children else 3)):
        items = []
        for _ in range(r.randint(1, 2)):
            item = resource(r)
            key = lambda o: (o["apiVersion"], o["kind"], o["metadata"]["name"])
            taken = objects + [o for c in LAYERS.values() for o in c]
            if r.random() < 0.05 or key(item) not in map(key, taken):
                items.append(item)
                objects.append(item)
        if not items:
            continue
        write(root, f"{name}/r{i}.yaml", "---\n".join(dump(o, r) for o in items))
        files.append(f"r{i}.yaml")
    if not files and not children:
        k["commonAnnotations"] = {"only": "this"}
    k["resources"] = files + [f"../{c}" for c in children]
    if components:
        k["components"] = [f"../{c}" for c in components]
    known = objects + [o for c in children for o in LAYERS[c]]

    def maybe(chance, key, value):
        if r.random() < chance:
            k[key] = value()

    maybe(0.3, "namePrefix", lambda: r.choice(["p-", "q-"]))
    maybe(0.2, "nameSuffix", lambda: r.choice(["-s", "-t"]))
    maybe(0.25, "namespace", lambda: r.choice(["pre", "one", "default"]))
    maybe(0.2, "labels", lambda: [{"pairs": {"team": r.choice(["a", "1", "true"])}, **r.choice([{}, {"includeSelectors": True}, {"includeTemplates": True}])}])
    maybe(0.15, "commonLabels", lambda: {"common": "l"})
    maybe(0.15, "commonAnnotations", lambda: {"anno": r.choice(["x", "2"])})
    maybe(0.2, "images", lambda: [{"name": r.choice(["nginx", "busybox", "r.io:5000/app"]), **r.choice([{"newTag": "9"}, {"newName": "n.io/x"}, {"digest": "sha256:d"}, {"tagSuffix": "-x"}])} for _ in range(r.randint(1, 2))])
    maybe(0.03, "replicas", lambda: [{"name": r.choice(NAMES), "count": 4}])
    maybe(0.3, "configMapGenerator", lambda: [generator(r, False, overlay) for _ in range(r.randint(1, 2))])
    maybe(0.2, "secretGenerator", lambda: [generator(r, True, overlay)])
    maybe(0.1, "generatorOptions", lambda: r.choice([{"disableNameSuffixHash": True}, {"labels": {"o": "p"}}]))
    maybe(0.08, "replacements", lambda: [replacement(r)])
    maybe(0.15, "patchesStrategicMerge", lambda: [dump(strategic(r, known), r)])
    maybe(0.05, "buildMetadata", lambda: r.sample(["originAnnotations", "transformerAnnotations", "managedByLabel"], r.randint(1, 3)))
    maybe(0.05, "sortOptions", lambda: {"order": r.choice(["fifo", "legacy"])})
    patches = []
    for _ in range(r.choice([0, 0, 1, 2])):
        if r.random() < 0.5:
            patches.append({"patch": dump(strategic(r, known), r)})
            if r.random() < 0.3:
                patches[-1]["target"] = selector(r)
            if r.random() < 0.1:
                # The hash of a generated object that a patch made another kind of is that of kustomize's own memory.
                patches[-1]["options"] = {"allowNameChange": True} if GENERATED or overlay else r.choice([{"allowNameChange": True}, {"allowKindChange": True}])
        else:
            patches.append({"target": selector(r), "patch": dump(operations(r), r)})
    if patches:
        k["patches"] = patches
    if name.startswith("comp"):
        k["apiVersion"], k["kind"] = "kustomize.config.k8s.io/v1alpha1", "Component"
    if r.random() < 0.05:
        k["transformers"] = [dump({"apiVersion": "builtin", "kind": r.choice(["PrefixTransformer", "SuffixTransformer"]), "metadata": {"name": "t"}, "prefix": "t-", "suffix": "-t", "fieldSpecs": [{"path": "metadata/name"}]}, r)]
    write(root, f"{name}/f.txt", r.choice(["hello\n", "a\nb\n", "x" * 100]))
    write(root, f"{name}/e.env", "E=1\n# c\nF=x y\n")
    write(root, f"{name}/kustomization.yaml", dump(k, r))
    LAYERS[name] = known
    return known


LAYERS = {}
GENERATED = set()


def tree_case(r, root):
    LAYERS.clear()
    GENERATED.clear()
    bases = [f"base{i}" for i in range(r.choice([1, 1, 2]))]
    for base in bases:
        layer(r, root, base, [], [], False)
    components = []
    if r.random() < 0.3:
        components = ["comp"]
        layer(r, root, "comp", [], [], True)
    if r.random() < 0.3:
        layer(r, root, "middle", bases, [], True)
        bases = ["middle"]
    layer(r, root, "overlay", bases, components, True)
    return os.path.join(root, "overlay")


def dump(value, r, indent=0):
    """Writes YAML in a style that varies."""
    pad = " " * indent
    if isinstance(value, dict) and value:
        if indent > 4 and r.random() < 0.15:
            return pad + flow(value) + "\n"
        out = ""
        for key, v in value.items():
            if isinstance(v, (dict, list)) and v:
                out += f"{pad}{quote(key)}:\n" + dump(v, r, indent + (2 if isinstance(v, dict) else r.choice([0, 2])))
            else:
                out += f"{pad}{quote(key)}: {inline(v, r, indent)}\n"
        return out
    if isinstance(value, list) and value:
        out = ""
        for v in value:
            if isinstance(v, (dict, list)) and v:
                inner = dump(v, r, indent + 2)
                out += pad + "- " + inner[indent + 2:]
            else:
                out += f"{pad}- {inline(v, r, indent)}\n"
        return out
    return pad + inline(value, r, indent) + "\n"


def inline(v, r, indent):
    if isinstance(v, str) and "\n" in v:
        return "|\n" + "".join((" " * (indent + 2) + line if line else "") + "\n" for line in v.rstrip("\n").split("\n")).rstrip("\n")
    return flow(v)


def quote(text):
    plain = text and text[0].isalpha() and all(c.isalnum() or c in "-_./" for c in text) and text.lower() not in ("yes", "no", "on", "off", "y", "n", "true", "false", "null")
    return text if plain else "'" + text.replace("'", "''") + "'"


def flow(v):
    if v is None:
        return "null"
    if v is True or v is False:
        return str(v).lower()
    if isinstance(v, (int, float)):
        return repr(v)
    if isinstance(v, str):
        return quote(v) if "\n" not in v else '"' + v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(v, dict):
        return "{" + ", ".join(f"{quote(k)}: {flow(x)}" for k, x in v.items()) + "}"
    return "[" + ", ".join(flow(x) for x in v) + "]"


# --- the comparison -----------------------------------------------------------------------------------------

def write(root, path, text):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", newline="") as f:
        f.write(text)


def run(program, directory):
    try:
        p = subprocess.run([program, "build", directory], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20)
    except subprocess.TimeoutExpired:
        return "timeout", b"", b""
    return p.returncode == 0, p.stdout, p.stderr


def main():
    mode, limit, keep = sys.argv[1], sys.argv[2], sys.argv[3]
    # `600x` is 600 cases, the same ones each time; `600` is ten minutes.
    cases = int(limit[:-1]) if limit.endswith("x") else float("inf")
    seconds = float("inf") if limit.endswith("x") else float(limit)
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else int(time.time())
    make = {"yaml": yaml_case, "trees": tree_case, "deep": fuzz_fields.deep_case, **fuzz_fields.MODES}[mode]
    end, tried, built, wrong = time.time() + seconds, 0, 0, 0
    root = os.path.join(tempfile.mkdtemp(prefix="kustomize-fuzz-"), "tree")
    os.makedirs(keep, exist_ok=True)
    while time.time() < end and tried < cases:
        shutil.rmtree(root, ignore_errors=True)
        r = random.Random(seed + tried)
        directory = make(r, root)
        theirs, ours = run(KUSTOMIZE, directory), run(OURS, directory)
        tried += 1
        built += theirs[0] is True
        if theirs[:2] != ours[:2]:
            wrong += 1
            case = os.path.join(keep, f"{mode}-{seed + tried - 1}")
            shutil.rmtree(case, ignore_errors=True)
            shutil.copytree(root, case)
            write(case, "theirs", theirs[1].decode() + theirs[2].decode(errors="replace"))
            write(case, "ours", ours[1].decode() + ours[2].decode(errors="replace"))
            print(f"{case}: theirs {'builds' if theirs[0] else 'fails'}, ours {'builds' if ours[0] else 'fails'}", flush=True)
    print(f"{mode}: {tried} tried from seed {seed}, {built} of them build, {wrong} differ")
    return wrong > 0


if __name__ == "__main__":
    sys.modules["fuzz"] = sys.modules["__main__"]
    import fuzz_fields

    sys.exit(main())
