"""Random trees that go deep into one part of kustomize each; fuzz.py runs them.

Where fuzz.py's own trees mix all fields, each generator here takes one part (replacements, vars, built-in plugins, merges,
JSON patches, name references, generators, the types of fields) and draws from the odd values that it has.
"""
import os

from fuzz import NAMES, container, dump, flow, quote, resource, selector, write

BASE = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web, tier: front}
  annotations: {config.io/path: /a/b, note: "1"}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
    spec:
      serviceAccountName: web
      initContainers:
      - {name: init, image: "busybox:1.0@sha256:abc"}
      containers:
      - name: main
        image: r.io:5000/app:1.2
        args: [--name=$(NAME), "$(PORT)", "--x=$$(NAME)", plain]
        command: ["$(NAME)"]
        env:
        - {name: A, value: "$(NAME)-$(PORT)"}
        - {name: B, valueFrom: {configMapKeyRef: {name: cfg, key: k}}}
        - {name: C, valueFrom: {secretKeyRef: {name: db, key: k}}}
        ports:
        - {containerPort: 80, name: http}
        - {containerPort: 443, protocol: TCP}
        volumeMounts: [{name: v, mountPath: /v}, {name: w, mountPath: /w/$(NAME)}]
      - name: side
        image: nginx
        envFrom: [{configMapRef: {name: cfg}}]
      volumes:
      - {name: v, configMap: {name: cfg}}
      - {name: w, secret: {secretName: db}}
---
apiVersion: v1
kind: Service
metadata: {name: web, annotations: {note: x}}
spec:
  selector: {app: web}
  ports:
  - {port: 80, targetPort: http, protocol: TCP, name: http}
  - {port: 443, targetPort: 8443, name: https}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: cfg, labels: {app: cfg}}
data:
  k: v
  number: "12"
  host: a.example.com:8080
  path: /x/y/z
  json: '{"a": {"b": [1, 2, {"c": "d"}]}, "e": true}'
  pretty: |
    {
      "a": 1,
      "list": ["x", "y"]
    }
  yaml: |
    a:
      b: 1   # one
      c: [x, y]
    d: "q"
  ini: "key=value"
---
apiVersion: v1
kind: Secret
metadata: {name: db, namespace: one}
stringData: {k: v}
---
apiVersion: x.io/v1
kind: Foo
metadata: {name: api}
spec:
  name: web
  ref: {kind: Deployment, name: web}
  refs: [web, cfg]
  maps: [{name: a, value: 1, tags: [p, q]}, {name: b, value: "2"}, {value: 3}]
  nested: {a.b/c: x, "8080": y, empty: {}, list: [], none: null, flag: true, float: 1.50, date: 2020-01-01, big: 12345678901234567890}
  matrix: [[1, 2], [3]]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: crb}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: web}
subjects:
- {kind: ServiceAccount, name: web, namespace: one}
- {kind: ServiceAccount, name: default}
- {kind: Group, name: g}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: one}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: db}
spec: {schedule: "* * * * *", jobTemplate: {spec: {template: {spec: {containers: [{name: main, image: "nginx:1", envFrom: [{secretRef: {name: db}}]}]}}}}}
"""

KINDS = ["Deployment", "Service", "ConfigMap", "Secret", "Foo", "ClusterRoleBinding", "ServiceAccount", "CronJob"]
PATHS = """metadata.name metadata.namespace metadata.labels.app metadata.labels.new metadata.annotations.note kind apiVersion
metadata.annotations.[config.io/path] metadata.annotations.config\\.io/path metadata.annotations.config.io/path metadata.annotations.[new.io/x]
spec.replicas spec.template.spec.containers spec.template.spec.containers.0.image spec.template.spec.containers.1 spec.template.spec.containers.2
spec.template.spec.containers.*.image spec.template.spec.containers.[name=main].image spec.template.spec.containers.[name=s.*].image
spec.template.spec.containers.[name=main].env.[name=A].value spec.template.spec.containers.*.env.*.name spec.template.spec.containers.[name=none].image
spec.template.spec.containers.[name=main].args.0 spec.template.spec.containers.[name=main].args.[=plain] spec.template.spec.containers.[name=main].args.-
spec.template.spec.containers.-1.image spec.template.spec.containers.-.image spec.template.spec.containers.[image=nginx].name
spec.template.spec.containers.[name=main].ports.[containerPort=80].name spec.template.spec.*.0.image spec.template.*.labels.app
spec.ports.0.port spec.ports.[name=https].targetPort spec.ports.*.name spec.selector.app spec.selector
data data.k data.number data.host data.path data.json data.json.a data.json.a.b.0 data.json.a.b.2.c data.json.new data.pretty.a data.pretty.list.1 data.yaml.a.b data.yaml.d data.yaml.a.c.1
data.yaml.new data.ini data.k.x data.missing
stringData.k spec.name spec.ref.name spec.ref spec.refs spec.refs.0 spec.refs.[=cfg] spec.maps.[name=a].value spec.maps.*.tags.0 spec.maps.*.value spec.maps.[value=3].name spec.maps.5.name spec.maps.3.name
spec.nested spec.nested.[a.b/c] spec.nested.a\\.b/c spec.nested.empty spec.nested.empty.x spec.nested.list spec.nested.list.0 spec.nested.none spec.nested.none.x spec.nested.flag spec.nested.float spec.nested.date spec.nested.big
spec.matrix.0.1 spec.matrix.*.0 subjects.0.name subjects.[kind=Group].name subjects.*.namespace roleRef.name spec.jobTemplate.spec.template.spec.containers.0.image
spec.template.spec.volumes.[name=v].configMap.name spec.template.spec.initContainers.0.image metadata.* * spec.* .metadata.name metadata..name ""
spec.template.spec.containers[0].image spec.[replicas=2] spec.template.spec.containers.[name=main] spec.template.spec.containers.[name=main].env spec/replicas""".split()


def path(r):
    return "" if (p := r.choice(PATHS)) == '""' else p


# Which paths lead somewhere in which kind, so that enough trees build.
ROOTS = {"Deployment": ("metadata.", "spec.template", "spec.replicas"), "Service": ("metadata.", "spec.ports", "spec.selector"), "ConfigMap": ("metadata.", "data"), "Secret": ("metadata.", "stringData"),
         "Foo": ("metadata.", "spec.n", "spec.ref", "spec.maps", "spec.matrix"), "ClusterRoleBinding": ("metadata.", "subjects", "roleRef"), "ServiceAccount": ("metadata.",), "CronJob": ("metadata.", "spec.jobTemplate")}


def path_in(r, kind):
    if r.random() < 0.1:
        return path(r)
    return r.choice([p for p in PATHS if p.startswith(ROOTS[kind]) and (not p.startswith("spec.n") or "ested" in p or p == "spec.name")])


def options(r, source=False):
    o = {}
    if r.random() < 0.5:
        o["delimiter"] = r.choice([":", "/", "=", "-", ".", "a", "://", " "])
    if r.random() < 0.5:
        o["index"] = r.choice([-1, 0, 0, 1, 1, 2, 5])
    if not source and r.random() < 0.5:
        o["create"] = r.choice([True, True, False])
    if r.random() < 0.03:
        o["encoding"] = "base64"
    return o


def target_selector(r):
    s = selector(r)
    if r.random() < 0.8:
        s = {"kind": r.choice(KINDS)}
    if r.random() < 0.1:
        s["group"] = r.choice(["apps", "", "x.io", "rbac.*"])
    if r.random() < 0.1:
        s["version"] = r.choice(["v1", "v.*"])
    if r.random() < 0.08:
        s["annotationSelector"] = r.choice(["note=x", "note", "note!=1"])
    return s


def deep_replacement(r):
    out = {}
    if r.random() < 0.93:
        source = {"kind": r.choice(KINDS)}
        if r.random() < 0.3:
            source["name"] = {"Secret": "db", "ConfigMap": "cfg", "Foo": "api", "ClusterRoleBinding": "crb", "CronJob": "db"}.get(source["kind"], "web") if r.random() < 0.9 else r.choice(NAMES)
        if r.random() < 0.1:
            source[r.choice(["namespace", "namespace", "group", "version"])] = r.choice(["one", "apps", "v1", "default"])
        if r.random() < 0.85:
            source["fieldPath"] = path_in(r, source["kind"])
        if r.random() < 0.15:
            source["options"] = options(r, True)
        out["source"] = source
    if r.random() < 0.08:
        out["sourceValue"] = r.choice(["plain", "1", "", "true", "a: b", "a\nb\n"])
    targets = []
    for _ in range(r.choice([1, 1, 2])):
        target = {"select": target_selector(r)}
        if r.random() < 0.2:
            target["reject"] = [target_selector(r)]
        if r.random() < 0.95:
            target["fieldPaths"] = [path_in(r, target["select"].get("kind", "Foo")) if target["select"].get("kind") in KINDS else path(r) for _ in range(r.choice([1, 1, 1, 2]))]
        if r.random() < 0.4:
            target["options"] = options(r)
        targets.append(target)
    out["targets"] = targets
    return out


def replacements_case(r, root):
    write(root, "base/r.yaml", BASE)
    base = {"resources": ["r.yaml"]}
    if r.random() < 0.3:
        base["namePrefix"] = "b-"
    top = {"resources": ["../base"], "replacements": [deep_replacement(r) for _ in range(r.choice([1, 1, 2]))]}
    if r.random() < 0.3:
        write(root, "top/rep.yaml", dump(r.choice([top["replacements"], top["replacements"][0]]), r))
        top["replacements"] = [{"path": "rep.yaml"}]
    if r.random() < 0.2:
        top["namespace"] = r.choice(["one", "two"])
    if r.random() < 0.2:
        top["nameSuffix"] = "-s"
    if r.random() < 0.2:
        top["configMapGenerator"] = [{"name": "gen", "literals": ["k=v", "host=h:1"]}]
    if r.random() < 0.15:
        component = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component", "replacements": top.pop("replacements")}
        write(root, "comp/kustomization.yaml", dump(component, r))
        if os.path.exists(os.path.join(root, "top/rep.yaml")):
            os.rename(os.path.join(root, "top/rep.yaml"), os.path.join(root, "comp/rep.yaml"))
        top["components"] = ["../comp"]
    write(root, "base/kustomization.yaml", dump(base, r))
    write(root, "top/kustomization.yaml", dump(top, r))
    return os.path.join(root, "top")


def var(r, name):
    kind = r.choice(KINDS)
    api = {"Deployment": "apps/v1", "Foo": "x.io/v1", "ClusterRoleBinding": "rbac.authorization.k8s.io/v1", "CronJob": "batch/v1"}.get(kind, "v1")
    objref = {"kind": kind, "name": {"ConfigMap": "cfg", "Secret": "db", "Foo": "api", "ClusterRoleBinding": "crb", "CronJob": "db"}.get(kind, "web")}
    if r.random() < 0.9:
        objref["apiVersion"] = api
    if kind in ("Secret", "ServiceAccount") and r.random() < 0.7:
        objref["namespace"] = "one"
    v = {"name": name, "objref": objref}
    if r.random() < 0.7:
        v["fieldref"] = {"fieldpath": path(r).replace("\\", "") if r.random() < 0.6 else r.choice(["metadata.name", "spec.replicas", "data.k", "spec.ports[0].port", "spec.template.spec.containers[0].image", "data['k']", "spec.nested.flag", "spec.maps"])}
    return v


def vars_case(r, root):
    write(root, "base/r.yaml", BASE)
    base = {"resources": ["r.yaml"], "vars": [var(r, n) for n in r.sample(["NAME", "PORT", "OTHER"], r.randint(1, 2))]}
    if r.random() < 0.3:
        base["namePrefix"] = "b-"
    if r.random() < 0.4:
        reference = {"varReference": [{"path": r.choice(["spec/name", "spec/refs", "data/k", "data", "spec/maps/name", "spec/ref", "metadata/annotations", "spec/template/spec/containers/env"]), **r.choice([{}, {"kind": r.choice(KINDS)}])}]}
        write(root, "base/config.yaml", dump(reference, r))
        base["configurations"] = ["config.yaml"]
    extra = f"---\napiVersion: x.io/v1\nkind: Bar\nmetadata: {{name: bar, annotations: {{a: {quote(r.choice(['$(NAME)', '$(PORT)x', '$$(NAME)', '$(NAME', '$NAME', '$(OTHER)$(NAME)', '$()', '$(NONE)']))}}}}}\n" if r.random() < 0.5 else ""
    write(root, "base/r.yaml", BASE + extra)
    write(root, "base/kustomization.yaml", dump(base, r))
    top = {"resources": ["../base"]}
    if r.random() < 0.5:
        top["vars"] = [var(r, r.choice(["NAME", "PORT", "OTHER", "TOP"]))]
    if r.random() < 0.4:
        top["namePrefix"] = "t-"
    if r.random() < 0.3:
        top["namespace"] = "two"
    if r.random() < 0.2:
        top["configMapGenerator"] = [{"name": "cfg", "behavior": "merge", "literals": ["k=$(NAME)", "more=1"]}]
    write(root, "top/kustomization.yaml", dump(top, r))
    return os.path.join(root, "top")


SPEC_PATHS = ["metadata/name", "metadata/labels", "metadata/labels/app", "metadata/annotations", "metadata/annotations/config.io\\/path", "spec/replicas", "spec/template/metadata/labels",
              "spec/template/spec/containers/image", "spec/template/spec/containers[]/image", "spec/template/spec/containers[]/name", "spec/new/deep", "spec/name", "spec/refs", "spec/ref/name", "spec/maps/name", "spec/maps[]/value",
              "data/k", "data", "spec/nested/empty", "spec/nested/none", "spec/nested/list", "spec/new[]/x", "subjects", "subjects/name", "spec/selector", "spec/selector/matchLabels", "roleRef/name", "spec/ports/port", "metadata/namespace", "spec/matrix", "kind", "apiVersion"]


def field_specs(r, least=0):
    specs = []
    for _ in range(r.randint(least, 2)):
        s = {"path": r.choice(SPEC_PATHS)}
        if r.random() < 0.4:
            s["kind"] = r.choice(KINDS)
        if r.random() < 0.15:
            s["group"] = r.choice(["apps", "x.io"])
        if r.random() < 0.1:
            s["version"] = "v1"
        if r.random() < 0.5:
            s["create"] = r.choice([True, True, False])
        specs.append(s)
    return specs


def plugin(r):
    kind = r.choice(["AnnotationsTransformer", "HashTransformer", "ImageTagTransformer", "LabelTransformer", "NamespaceTransformer", "NamespaceTransformer", "PatchJson6902Transformer", "PatchStrategicMergeTransformer", "PatchTransformer",
                     "PrefixSuffixTransformer", "PrefixTransformer", "SuffixTransformer", "ReplacementTransformer", "ReplicaCountTransformer", "ValueAddTransformer", "SortOrderTransformer", "LegacyOrderTransformer"])
    o = {"apiVersion": r.choice(["builtin"] * 9 + ["v1"]), "kind": kind, "metadata": {"name": r.choice(["t", "web"])}}
    if r.random() < 0.1:
        o["metadata"]["namespace"] = "plug"
    specs = field_specs(r, 0 if r.random() < 0.2 else 1)
    if kind not in ("AnnotationsTransformer", "LabelTransformer"):
        # Where kustomize keeps its own notes; what it makes of those is not compared.
        specs = [s for s in specs if s["path"] not in ("metadata/annotations", "kind")] or [{"path": "metadata/name"}]
    if kind == "AnnotationsTransformer":
        o.update(annotations={"a": r.choice(["x", "1", "true", ""])}, fieldSpecs=specs)
    elif kind == "LabelTransformer":
        o.update(labels={"l": r.choice(["x", "1", "true", ""])}, fieldSpecs=specs)
    elif kind == "ImageTagTransformer":
        o.update(imageTag={"name": r.choice(["nginx", "busybox", "r.io:5000/app"]), **r.choice([{"newTag": "9"}, {"newName": "n/x"}, {"digest": "sha256:1"}, {"tagSuffix": "-t"}])}, fieldSpecs=specs)
    elif kind == "NamespaceTransformer":
        o["metadata"]["namespace"] = r.choice(["plug", "one", "default", ""])
        if r.random() < 0.4:
            o["unsetOnly"] = r.choice([True, False])
        if r.random() < 0.5:
            o["setRoleBindingSubjects"] = r.choice(["defaultOnly", "allServiceAccounts", "none", "bogus", ""])
        if r.random() < 0.6:
            o["fieldSpecs"] = specs or [{"path": "metadata/namespace", "create": True}]
    elif kind == "PatchJson6902Transformer":
        o.update(target={"kind": r.choice(KINDS), "name": r.choice(["web", "cfg", "w.*"]), "version": "v1"}, jsonOp=dump(json_operations(r), r))
    elif kind == "PatchStrategicMergeTransformer":
        o[r.choice(["paths", "patches"])] = r.choice([["patch.yaml"], dump(merge_patch(r), r)])
    elif kind == "PatchTransformer":
        o["patch"] = dump(r.choice([merge_patch, json_operations])(r), r)
        if r.random() < 0.7:
            o["target"] = target_selector(r)
        if r.random() < 0.1:
            o["options"] = {r.choice(["allowNameChange", "allowKindChange"]): True}
    elif kind in ("PrefixSuffixTransformer", "PrefixTransformer", "SuffixTransformer"):
        o.update(prefix="p-", suffix="-s", fieldSpecs=specs)
    elif kind == "ReplacementTransformer":
        o["replacements"] = [deep_replacement(r)]
    elif kind == "ReplicaCountTransformer":
        o.update(replica={"name": r.choice(["web", "db", "none"]), "count": r.choice([0, 3])}, fieldSpecs=specs)
    elif kind == "ValueAddTransformer":
        o["value"] = r.choice(["added", "1", "a/b"])
        o["targets"] = [{"fieldPath": r.choice([p for p in SPEC_PATHS if p not in ("metadata/annotations", "kind")]), **r.choice([{}, {"filePathPosition": r.choice([0, 1, 2, 9])}]), **r.choice([{}, {"selector": target_selector(r)}])} for _ in range(r.randint(1, 2))]
    return o


def generator_plugin(r):
    kind = r.choice(["ConfigMapGenerator", "SecretGenerator", "IAMPolicyGenerator"])
    if kind == "IAMPolicyGenerator":
        return {"apiVersion": "builtin", "kind": kind, "metadata": {"name": "iam"}, "cloud": r.choice(["gke", "gke", "aws"]), "kubernetesService": {"name": "ksa", **r.choice([{}, {"namespace": "one"}])},
                "serviceAccount": {"name": "gsa", "projectId": "p1"}}
    o = {"apiVersion": "builtin", "kind": kind, "metadata": {"name": r.choice(["gen", "cfg"]), **r.choice([{}, {}, {"namespace": "one"}])}, "literals": ["a=b", "c='d'"]}
    if r.random() < 0.3:
        o["behavior"] = r.choice(["merge", "replace", "create", "bogus"])
    if r.random() < 0.3:
        o["options"] = r.choice([{"disableNameSuffixHash": True}, {"labels": {"x": "y"}}, {"immutable": True}])
    if r.random() < 0.3:
        o["files"] = ["patch.yaml"]
    return o


def plugins_case(r, root):
    write(root, "base/r.yaml", BASE)
    write(root, "base/kustomization.yaml", "resources: [r.yaml]\n" + r.choice(["", "namePrefix: b-\n"]))
    top = {"resources": ["../base"]}
    write(root, "top/patch.yaml", dump(merge_patch(r), r))
    plugins = [plugin(r) for _ in range(r.choice([1, 1, 2]))]
    if r.random() < 0.4:
        write(root, "top/t.yaml", "---\n".join(dump(p, r) for p in plugins))
        top["transformers"] = ["t.yaml"]
    elif r.random() < 0.2:
        write(root, "top/t/t.yaml", "---\n".join(dump(p, r) for p in plugins))
        write(root, "top/t/kustomization.yaml", "resources: [t.yaml]\n" + r.choice(["", "namePrefix: x-\n", "namespace: y\n"]))
        top["transformers"] = ["t"]
    else:
        top[r.choice(["transformers"] * 9 + ["validators"])] = [dump(p, r) for p in plugins]
    if r.random() < 0.4:
        top["generators"] = [dump(generator_plugin(r), r)]
    if r.random() < 0.2:
        top["namespace"] = "two"
    if r.random() < 0.15:
        top["buildMetadata"] = ["originAnnotations", "transformerAnnotations"]
    if r.random() < 0.2:
        top["configMapGenerator"] = [{"name": "cfg2", "literals": ["a=b"]}]
    write(root, "top/kustomization.yaml", dump(top, r))
    return os.path.join(root, "top")


JSON_PATHS = ["/metadata/name", "/metadata/labels", "/metadata/labels/app", "/metadata/labels/new", "/metadata/annotations", "/metadata/annotations/config.io~1path", "/metadata/namespace", "/spec", "/spec/replicas", "/spec/template/spec/containers", "/spec/template/spec/containers/-",
              "/spec/template/spec/containers/0", "/spec/template/spec/containers/1/image", "/spec/template/spec/containers/-1", "/spec/template/spec/containers/2", "/spec/template/spec/containers/0/env/0", "/spec/template/spec/containers/0/args/-", "/spec/maps/0/value", "/spec/maps/-", "/spec/matrix/0/1",
              "/spec/nested/a.b~1c", "/spec/nested/none", "/spec/nested/big", "/spec/nested/float", "/spec/nested/date", "/data/k", "/data/new", "/kind", "/apiVersion", "", "/", "metadata", "/spec/ports/0/port", "/spec/refs/1", "/subjects/0", "/status", "/spec/a~0b", "/spec/new/deep"]
VALUES = [1, "1", 1.5, 1.0, True, None, "x", "", {}, [], {"a": 1}, {"b": None, "c": [1, "2"]}, ["p"], "a\nb\n", 12345678901234567890, 1e21, "2020-01-01", "yes", {"name": "n", "image": "nginx"}, {"9000": "x", "yes": {"~": 1}}, "é", "😀", "x" * 90 + " " + "y" * 20, "a: b", " a", "a ", "a\tb", "- a", "'a'", '"a"']


def json_operations(r):
    out = []
    for _ in range(r.choice([1, 1, 2, 3])):
        op = r.choice(["add", "add", "replace", "replace", "remove", "move", "copy", "test"] + ["bogus"] * (r.random() < 0.05))
        o = {"op": op, "path": r.choice(JSON_PATHS)}
        if op in ("add", "replace", "test") and r.random() < 0.97:
            o["value"] = r.choice(VALUES)
        if op in ("move", "copy") and r.random() < 0.97:
            o["from"] = r.choice(JSON_PATHS)
        out.append(o)
    return out


def json_case(r, root):
    write(root, "r.yaml", BASE)
    write(root, "p.yaml", dump(json_operations(r), r) if r.random() < 0.7 else flow(json_operations(r)))
    k = {"resources": ["r.yaml"]}
    for _ in range(r.choice([1, 1, 2])):
        body = r.choice([{"path": "p.yaml"}, {"patch": dump(json_operations(r), r)}, {"patch": flow(json_operations(r))}])
        if r.random() < 0.5:
            k.setdefault("patchesJson6902", []).append({"target": {"kind": r.choice(KINDS), "name": r.choice(["web", "cfg", "api", "db", "crb"]), **r.choice([{}, {"version": "v1"}, {"group": "apps", "version": "v1"}])}, **body})
        else:
            k.setdefault("patches", []).append({"target": target_selector(r), **body})
    if r.random() < 0.3:
        k[r.choice(["namePrefix", "namespace"])] = "q-"
    write(root, "kustomization.yaml", dump(k, r))
    return root


def merge_value(r, depth):
    kind = r.random()
    if kind < 0.5 or depth <= 0:
        return r.choice(VALUES)
    if kind < 0.8:
        return {r.choice(["name", "value", "a", "b", "app", "$patch", "key", "9000", "yes", "null", "1.5"]): merge_value(r, depth - 1) for _ in range(r.randint(1, 3))}
    return [merge_value(r, depth - 1) for _ in range(r.randint(0, 3))]


def list_item(r, keys):
    item = {}
    for key, values in keys.items():
        if r.random() < 0.8:
            item[key] = r.choice(values)
    if r.random() < 0.12:
        item["$patch"] = r.choice(["delete", "replace", "merge", "bogus"])
    if r.random() < 0.5:
        item[r.choice(["x", "value", "image", "name"])] = r.choice(VALUES)
    return item


LISTS = {"containers": {"name": ["main", "side", "new"]}, "initContainers": {"name": ["init", "new"]}, "volumes": {"name": ["v", "w", "n"]}, "imagePullSecrets": {"name": ["a", "b"]}, "hostAliases": {"ip": ["1.1.1.1", "2.2.2.2"]},
         "tolerations": {"key": ["a", "b"]}, "topologySpreadConstraints": {"topologyKey": ["z", "h"], "whenUnsatisfiable": ["DoNotSchedule", "ScheduleAnyway"]}, "ephemeralContainers": {"name": ["e"]}}
INNER = {"env": {"name": ["A", "B", "N"]}, "ports": {"containerPort": [80, 443, 9000], "protocol": ["TCP", "UDP"]}, "volumeMounts": {"mountPath": ["/v", "/n"]}, "volumeDevices": {"devicePath": ["/dev/a"]}, "envFrom": {"prefix": ["p"]}, "args": {}}


def merge_patch(r):
    kind = r.choice(["Deployment", "Deployment", "Deployment", "Service", "ConfigMap", "Foo", "CronJob", "ClusterRoleBinding", "Secret"])
    api = {"Deployment": "apps/v1", "Foo": "x.io/v1", "ClusterRoleBinding": "rbac.authorization.k8s.io/v1", "CronJob": "batch/v1"}.get(kind, "v1")
    name = {"ConfigMap": "cfg", "Secret": "db", "Foo": "api", "ClusterRoleBinding": "crb", "CronJob": "db"}.get(kind, "web")
    o = {"apiVersion": api, "kind": kind, "metadata": {"name": name}}
    if kind == "Secret":
        o["metadata"]["namespace"] = "one"
    if r.random() < 0.08:
        o["$patch"] = r.choice(["delete", "replace", "merge", "bogus"])
    if r.random() < 0.3:
        field = r.choice(["labels", "annotations", "finalizers", "ownerReferences", "creationTimestamp"])
        # A list of an odd length for labels makes kustomize panic, or not, by the order of its look-ups.
        o["metadata"][field] = r.choice([None, {}, {"app": None}, {"new": "1", "app": "y"}, ["a", "b"]] + ([[{"uid": "1", "name": "x"}]] if "s" in field[-1] and field[0] in "fo" else []))
    if kind in ("Deployment", "CronJob"):
        spec = {}
        for field in r.sample(sorted(LISTS), r.randint(1, 2)):
            items = [list_item(r, LISTS[field]) for _ in range(r.randint(0, 3))]
            for item in items:
                if field.lower().endswith("containers") and r.random() < 0.7:
                    inner = r.choice(sorted(INNER))
                    item[inner] = [list_item(r, INNER[inner]) if INNER[inner] else r.choice(["x", 1]) for _ in range(r.randint(0, 3))] if r.random() < 0.95 else r.choice([None, {}, "x"])
            if r.random() < 0.1:
                items.append({"$patch": r.choice(["replace", "delete"])})
            spec[field] = items if r.random() < 0.95 else r.choice([None, {}, "x"])
        if r.random() < 0.1:
            spec["$setElementOrder/containers"] = [{"name": "side"}, {"name": "main"}]
        if r.random() < 0.05:
            spec["$patch"] = r.choice(["replace", "delete"])
        body = {"template": {"spec": spec}}
        o["spec"] = {"jobTemplate": {"spec": body}} if kind == "CronJob" else body
        if r.random() < 0.2:
            o["spec"][r.choice(["replicas", "selector", "strategy", "paused"])] = merge_value(r, 2)
    elif kind == "Service":
        o["spec"] = {"ports": [list_item(r, {"port": [80, 443, 1], "protocol": ["TCP", "UDP"]}) for _ in range(r.randint(0, 3))]}
    elif kind == "Foo":
        o["spec"] = {r.choice(["name", "ref", "refs", "maps", "nested", "matrix", "new"]): merge_value(r, 3) for _ in range(r.randint(1, 2))}
    elif kind == "ClusterRoleBinding":
        o["subjects"] = merge_value(r, 2)
    else:
        o[r.choice(["data", "stringData", "spec"])] = merge_value(r, 2) if r.random() < 0.5 else {r.choice(["9000", "k", "new", "true"]): r.choice(VALUES)}
    return o


def merge_case(r, root):
    write(root, "r.yaml", BASE)
    k = {"resources": ["r.yaml"]}
    for i in range(r.choice([1, 1, 2])):
        text = "---\n".join(dump(merge_patch(r), r) for _ in range(r.choice([1, 1, 1, 2])))
        how = r.random()
        if how < 0.3:
            k.setdefault("patchesStrategicMerge", []).append(text)
        elif how < 0.6:
            write(root, f"p{i}.yaml", text)
            k.setdefault("patches", []).append({"path": f"p{i}.yaml"})
        else:
            k.setdefault("patches", []).append({"patch": text, **r.choice([{}, {"target": target_selector(r)}])})
            if r.random() < 0.1:
                k["patches"][-1]["options"] = {"allowNameChange": True}
    if r.random() < 0.2:
        k["commonLabels"] = {"c": "l"}
    write(root, "kustomization.yaml", dump(k, r))
    return root


def references_case(r, root):
    """Equal names in several namespaces and layers, and fields that refer to them."""
    def some(count):
        return "---\n".join(dump(o, r) for o in unique([resource(r) for _ in range(count)]))

    write(root, "a/r.yaml", some(r.randint(2, 6)))
    write(root, "b/r.yaml", some(r.randint(2, 5)))
    for name in "ab":
        k = {"resources": ["r.yaml"]}
        if r.random() < 0.6:
            k[r.choice(["namePrefix", "nameSuffix"])] = f"{name}-"
        if r.random() < 0.5:
            k["namespace"] = r.choice(["one", "two", "default"])
        if r.random() < 0.4:
            k[r.choice(["configMapGenerator", "secretGenerator"])] = [{"name": r.choice(NAMES) + r.choice(["", "2"]), "literals": ["k=v"], **r.choice([{}, {"namespace": "one"}])}]
        if r.random() < 0.3:
            write(root, f"{name}/config.yaml", dump({"nameReference": [{"kind": r.choice(["ConfigMap", "Foo", "Service", "Deployment"]), **r.choice([{}, {"version": "v1"}, {"group": "x.io"}]), "fieldSpecs": [{"kind": r.choice(["Foo", "Deployment", "ConfigMap"]), "path": r.choice(["spec/ref", "spec/list/name", "spec/list", "metadata/annotations/note", "spec/template/spec/containers/args", "data/k"])}]}]}, r))
            k["configurations"] = ["config.yaml"]
        write(root, f"{name}/kustomization.yaml", dump(k, r))
    top = {"resources": ["../a", "../b"]}
    if r.random() < 0.5:
        top["namePrefix"] = "t-"
    if r.random() < 0.3:
        top["namespace"] = r.choice(["one", "three"])
    if r.random() < 0.3:
        write(root, "top/r.yaml", some(2))
        top["resources"].append("r.yaml")
    if r.random() < 0.2:
        top["transformers"] = [dump({"apiVersion": "builtin", "kind": "PrefixTransformer", "metadata": {"name": "t"}, "prefix": "x-", "fieldSpecs": [{"path": "metadata/name", "kind": r.choice(["ConfigMap", "Secret", "Service"])}]}, r)]
    if r.random() < 0.3:
        top["patches"] = [{"target": {"kind": r.choice(["ConfigMap", "Service", "Deployment"]), "name": ".*"}, "patch": dump([{"op": "replace", "path": "/metadata/" + r.choice(["name", "namespace"]), "value": "patched"}], r)}]
    write(root, "top/kustomization.yaml", dump(top, r))
    return os.path.join(root, "top")


def unique(objects):
    return list({(o["kind"], o["metadata"]["name"], o["metadata"].get("namespace")): o for o in objects}.values())


LITERALS = ["a=b", "a='b'", 'a="b"', "a=", "=b", "a", "a=b=c", "a='b", " a=b", "a =b", "a=b ", "a= b", "é=ü", "a.b-c_d=1", "a/b=c", "a=😀", "a=" + "x" * 100, "A=true", "1=2", "a=\"'b'\"", "a=x\\ny", "a=''", "a=tab\ty"]
FILES = ["f.txt", "k=f.txt", "b.bin", "k.bin=b.bin", "e.env", "dir/n.txt", "=f.txt", "k=", "none.txt", "x=y=f.txt", "long.txt", "crlf.txt", "empty.txt", "latin.txt", "./f.txt", "../out.txt", "tab.txt", "trail.txt"]


def generators_case(r, root):
    write(root, "app/f.txt", "hello\n")
    write(root, "app/long.txt", "\n".join("word " * r.randint(5, 40) for _ in range(3)) + r.choice(["", "\n", "\n\n"]))
    write(root, "app/crlf.txt", "a\r\nb\r\n")
    write(root, "app/empty.txt", "")
    write(root, "app/tab.txt", "\ta: b\n  c\n")
    write(root, "app/trail.txt", "a \nb  \n\n  c\n" + r.choice(["", "\n", " "]))
    write(root, "app/dir/n.txt", "nested")
    write(root, "out.txt", "outside")
    write(root, "app/e.env", r.choice(["A=1\nB=x y\n", "# c\n\nA='q'\n  B=2\n", "\ufeffA=1\n", "A\nB=\n", "A=1\r\nB=2\r\n", "A=1\nA=2\n", "=x\n", "export A=1\n", "a b=c\n", "A=1 # c\n"]))
    for name, content in (("b.bin", bytes(r.randrange(256) for _ in range(r.choice([3, 60, 200])))), ("latin.txt", b"caf\xe9\n")):
        with open(os.path.join(root, "app", name), "wb") as f:
            f.write(content)
    k = {}
    for _ in range(r.randint(1, 3)):
        g = {"name": r.choice(["a", "b", "c", "x.y", "UP", "1", ""]) if r.random() < 0.3 else "g" + str(r.randint(0, 99))}
        if r.random() < 0.6:
            g["literals"] = [r.choice(LITERALS) for _ in range(r.randint(0, 3))]
        if r.random() < 0.6:
            g["files"] = [r.choice(FILES) for _ in range(r.randint(0, 2))]
        if r.random() < 0.3:
            g[r.choice(["envs", "envs", "env"])] = "e.env"
            if "envs" in g:
                g["envs"] = ["e.env"]
        if r.random() < 0.3:
            g["options"] = {key: value for key, value in (("labels", {"a": r.choice(["b", "1"])}), ("annotations", {"c": "true"}), ("disableNameSuffixHash", r.choice([True, False])), ("immutable", r.choice([True, False]))) if r.random() < 0.5}
        if r.random() < 0.1:
            g["behavior"] = r.choice(["create", "merge", "replace", "bogus", ""])
        if r.random() < 0.1:
            g["namespace"] = "n"
        secret = r.random() < 0.4
        if r.random() < 0.2:
            g["type"] = r.choice(["kubernetes.io/tls", "", "1"])
        k.setdefault("secretGenerator" if secret else "configMapGenerator", []).append(g)
    if r.random() < 0.2:
        k["generatorOptions"] = r.choice([{"disableNameSuffixHash": True}, {"labels": {"a": "g"}, "annotations": {"z": "1"}}, {"immutable": True}])
    for key, value in (("namespace", "ns"), ("namePrefix", "p-"), ("commonAnnotations", {"x": "y"}), ("commonLabels", {"l": "1"})):
        if r.random() < 0.15:
            k[key] = value
    write(root, "app/kustomization.yaml", dump(k, r))
    return os.path.join(root, "app")


FIELDS = {
    "namePrefix": ["a-", "", 1, True, None, [], "1"], "nameSuffix": ["-a", None, 1.5], "namespace": ["ns", "", None, 5, "a b", "default"],
    "commonLabels": [{"a": "b"}, {"a": 1}, {"a": None}, {"a": ""}, {"a": True}, [], None, {"a.b/c": "d"}, {1: "x"}, {"1": "x"}, {"null": "x"}], "commonAnnotations": [{"a": "b"}, {"a": "1"}, {"a": "true"}, {"a": None}, {"a": "x\ny"}, {"a": {}}],
    "labels": [[{"pairs": {"a": "b"}}], [{"pairs": {"a": "1"}, "includeSelectors": True}], [{"includeTemplates": True, "pairs": {"a": "b"}}], [{"pairs": {"a": "b"}, "fields": [{"path": "spec/x", "create": True}]}], [], None, {}, [{}], [{"pairs": {"a": "b"}, "includeSelectors": "true"}]],
    "images": [[{"name": "nginx", "newTag": "1"}], [{"name": "nginx", "newTag": 1}], [{"name": "nginx", "newTag": "1", "digest": "sha256:a"}], [{"newName": "x"}], [{"name": "nginx"}], [{}], None, [{"name": "", "newName": "x"}], [{"name": "ngi(", "newTag": "1"}], [{"name": "n.*", "newName": "x"}], [{"name": "r.io:5000/app", "newTag": ""}], [{"name": "busybox", "digest": "x"}]],
    "replicas": [[{"name": "web", "count": 3}], [{"name": "web", "count": "3"}], [{"name": "none", "count": 1}], [{"name": "web"}], [{"count": 1}], [], None, [{"name": "web", "count": 1.0}], [{"name": "web", "count": 99999999999999999999}], [{"name": "web", "count": -1}]],
    "resources": [["r.yaml"], ["r.yaml", "r.yaml"], ["./r.yaml"], ["none.yaml"], [""], [None], "r.yaml", None, [], ["."], ["sub"], ["sub/"], ["r.yaml", "sub"], ["sub/../r.yaml"], ["/abs"], [1], ["r.yaml", "empty.yaml"], ["comments.yaml", "r.yaml"]],
    "components": [["comp"], ["sub"], [], None, ["none"], "comp", ["comp", "comp"]], "bases": [["sub"], [], None, "sub", ["r.yaml"]], "crds": [["crd.json"], ["none"], [], None, ["r.yaml"]], "configurations": [["config.yaml"], [], ["none"], None, ["r.yaml"]],
    "buildMetadata": [["originAnnotations"], ["managedByLabel"], ["bogus"], [], None, "originAnnotations", ["transformerAnnotations", "originAnnotations"]], "sortOptions": [{"order": "fifo"}, {"order": "legacy"}, {"order": "x"}, {}, None, {"order": "legacy", "legacySortOptions": {"orderFirst": ["Service"], "orderLast": ["ConfigMap"]}}, {"order": "fifo", "legacySortOptions": {}}],
    "generatorOptions": [{"disableNameSuffixHash": True}, {"labels": {"a": "b"}}, {}, None, {"disableNameSuffixHash": "true"}, {"immutable": True}], "openapi": [{"path": "none.json"}, {"version": "v1.21.2"}, {"version": "v1"}, {}, None, {"version": "v1.20.4"}, {"path": "schema.json"}],
    "metadata": [{"name": "x"}, {"name": "x", "annotations": {"a": "b"}}, {"name": 1}, {}, None, {"x": "y"}, {"labels": {"a": "b"}}], "kind": ["Kustomization", "Component", "kustomization", "", None, "Foo"], "apiVersion": ["kustomize.config.k8s.io/v1beta1", "kustomize.config.k8s.io/v1alpha1", "kustomize.config.k8s.io/v1", "", None, "v1"],
    "vars": [[], None, [{"name": "A", "objref": {"kind": "Service", "name": "web", "apiVersion": "v1"}}], [{"name": "A"}], [{"name": "A", "objref": {"kind": "Service", "name": "web", "apiVersion": "v1"}, "fieldref": {"fieldPath": "spec.x"}}]], "imageTags": [[{"name": "nginx", "newTag": "3"}], [], None],
    "helmCharts": [[{"name": "x"}], [], None], "helmGlobals": [{"chartHome": "c"}, None, {}], "helmChartInflationGenerator": [[{"chartName": "x"}], []], "validators": [["t.yaml"], [], None], "transformers": [["t.yaml"], [], None, ["none"]], "generators": [["g.yaml"], [], None, ["t.yaml"]],
    "patches": [[{"path": "p.yaml"}], [{"patch": "x"}], [{}], None, [], ["p.yaml"], [{"path": "p.yaml", "patch": "x"}], [{"path": "p.yaml", "target": {"kind": "Deployment"}}], [{"path": "none.yaml"}], [{"path": "p.yaml", "target": {"name": "("}}], [{"path": "empty.yaml"}], [{"path": "p.yaml", "target": {}}], [{"path": "comments.yaml", "target": {"kind": "x"}}]],
    "patchesStrategicMerge": [["p.yaml"], [], None, ["none.yaml"], ["empty.yaml"], "p.yaml", ["p.yaml", "p.yaml"]], "patchesJson6902": [[{"path": "j.yaml", "target": {"kind": "Deployment", "name": "web", "version": "v1"}}], [], None, [{"path": "j.yaml"}], [{"path": "j.yaml", "target": {"kind": "Deployment", "name": "web"}}], [{"path": "j.yaml", "target": {"name": "none", "kind": "x"}}]],
    "configMapGenerator": [[{"name": "g", "literals": ["a=b"]}], [{}], [], None, [{"name": "g", "literals": "a=b"}], [{"name": "g", "envs": ["none"]}], [{"name": "web", "behavior": "merge"}], [{"name": "g", "literals": [1]}], [{"name": "g"}]], "secretGenerator": [[{"name": "g", "literals": ["a=b"]}], [{"name": "g", "commands": {"a": "b"}}], [{"name": "g", "type": "x", "files": ["r.yaml"]}]],
    "replacements": [[], None, [{"path": "none.yaml"}], [{}], [{"source": {"kind": "Service", "name": "web"}, "targets": [{"select": {"kind": "Deployment"}, "fieldPaths": ["metadata.labels.app"]}]}]], "unknown": [1, None, {}], "inventory": [{"type": "ConfigMap"}], "Resources": [["r.yaml"]], "NAMEPREFIX": ["up-"], "nameprefix": ["low-"],
}


def fields_case(r, root):
    write(root, "r.yaml", BASE)
    write(root, "empty.yaml", "")
    write(root, "comments.yaml", "# a\n---\n# b\n")
    write(root, "sub/kustomization.yaml", "configMapGenerator: [{name: sub, literals: [a=b]}]\n")
    write(root, "comp/kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnamePrefix: c-\n")
    write(root, "config.yaml", "namePrefix: [{path: spec/name, kind: Foo}]\ncommonLabels: [{path: spec/labels, create: true, kind: Foo}]\n")
    write(root, "crd.json", "{}")
    write(root, "schema.json", '{"definitions": {}}')
    write(root, "p.yaml", dump(merge_patch(r), r))
    write(root, "j.yaml", dump(json_operations(r), r))
    write(root, "t.yaml", dump(plugin(r), r))
    write(root, "g.yaml", dump(generator_plugin(r), r))
    names = r.sample(sorted(FIELDS), r.randint(1, 4))
    parts = [f"{name}: {inline_json(r.choice(FIELDS[name]))}\n" for name in names]
    if "resources" not in names and r.random() < 0.9:
        parts.insert(r.randint(0, len(parts)), "resources: [r.yaml]\n")
    if r.random() < 0.05:
        parts.append(r.choice(parts))
    write(root, r.choice(["kustomization.yaml"] * 8 + ["kustomization.yml", "Kustomization"]), r.choice(["", "---\n", "# c\n", "\ufeff", "---\n---\n"] if r.random() < 0.2 else [""]) + "".join(parts) + r.choice([""] * 9 + ["---\nnamePrefix: second\n", "...\n", "---\n"]))
    return root


def inline_json(value):
    """As flow style; keys that are no strings stay what they are."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quote(k) if isinstance(k, str) else k}: {inline_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(inline_json(v) for v in value) + "]"
    return flow(value)


MODES = {"replacements": replacements_case, "vars": vars_case, "plugins": plugins_case, "json": json_case, "merge": merge_case, "references": references_case, "generators": generators_case, "fields": fields_case}


def deep_case(r, root):
    return MODES[r.choice(sorted(MODES))](r, root)
