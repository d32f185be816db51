#!/usr/bin/env python3
"""Times the real kustomize and ours on the same trees and prints a table.

Usage: bench.py [RUNS]. KUSTOMIZE and KUSTOMIZE_RS name the two programs. Times are of the whole process: the mean that
hyperfine finds in at least RUNS runs (default 5; 2 of builds that take seconds). Memory is the largest resident set.
"""
import json
import os
import subprocess
import sys
import tempfile
import time

KUSTOMIZE = os.environ.get("KUSTOMIZE", "kustomize")
OURS = os.environ.get("KUSTOMIZE_RS", "kustomize-rs")
RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 5


def config_maps(n):
    return "---\n".join(f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c{i}\ndata:\n  key: value-{i}\n" for i in range(n))


def deployments(n):
    one = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: d{i}
  labels: {{app: d{i}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: d{i}}}}}
  template:
    metadata: {{labels: {{app: d{i}}}}}
    spec:
      serviceAccountName: sa
      containers:
      - name: main
        image: registry.example.com/team/app{j}:1.{i}
        ports: [{{containerPort: 80}}]
        env:
        - {{name: A, value: "{i}"}}
        - name: B
          valueFrom: {{configMapKeyRef: {{name: c{i}, key: k}}}}
        resources: {{limits: {{cpu: 500m, memory: 128Mi}}, requests: {{cpu: 100m, memory: 64Mi}}}}
      volumes:
      - name: v
        configMap: {{name: c{i}}}
"""
    return "---\n".join(one.format(i=i, j=i % 50) for i in range(n))


def crds(n):
    def schema(depth):
        if depth == 0:
            return {"type": "string", "description": "A field with a description that is long enough to be folded when it is printed again, as most of them are in practice."}
        return {"type": "object", "description": "An object.", "properties": {f"field{i}": schema(depth - 1) for i in range(5)}}

    def dump(value, indent):
        pad, out = "  " * indent, ""
        for key, v in value.items():
            out += f"{pad}{key}:\n" + dump(v, indent + 1) if isinstance(v, dict) else f"{pad}{key}: {v}\n"
        return out

    one = dump({"openAPIV3Schema": schema(4)}, 4)
    head = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: foos{i}.x.io\nspec:\n  group: x.io\n  versions:\n    - name: v1\n      schema:\n"
    return "---\n".join(head.format(i=i) + one for i in range(n))


PATCH = "- patch: |-\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: d0}\n    spec: {replicas: 3}\n"
TREES = {
    "1 ConfigMap": ({"r.yaml": config_maps(1)}, ""),
    "1 Deployment, 1 patch": ({"r.yaml": deployments(1)}, "patches:\n" + PATCH),
    "1000 ConfigMaps": ({"r.yaml": config_maps(1000)}, ""),
    "1000 ConfigMaps, namespace": ({"r.yaml": config_maps(1000)}, "namespace: x\n"),
    "4000 ConfigMaps, namespace": ({"r.yaml": config_maps(4000)}, "namespace: x\n"),
    "1000 Deployments, labels, namespace": ({"r.yaml": deployments(1000)}, "namespace: x\nlabels: [{pairs: {team: a}, includeSelectors: true}]\n"),
    "500 Deployments, 50 images": ({"r.yaml": deployments(500)}, "images:\n" + "".join(f"- {{name: registry.example.com/team/app{i}, newTag: \"2\"}}\n" for i in range(50))),
    "500 Deployments, prefix, patch of all": ({"r.yaml": deployments(500)}, "namePrefix: p-\npatches:\n- target: {kind: Deployment}\n" + PATCH[2:].replace("patch", "  patch", 1)),
    "30 large definitions": ({"r.yaml": crds(30)}, ""),
    "200 generated ConfigMaps": ({}, "configMapGenerator:\n" + "".join(f"- {{name: g{i}, literals: [a={i}]}}\n" for i in range(200))),
    "100 bases of 5": ({f"b{b}/{f}": t for b in range(100) for f, t in {"kustomization.yaml": f"namePrefix: b{b}-\nresources: [r.yaml]\n", "r.yaml": config_maps(5)}.items()}, None),
}


def measure(program, directory):
    start = time.perf_counter()
    process = subprocess.run([program, "build", directory], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    slow = time.perf_counter() - start > 2
    with tempfile.NamedTemporaryFile() as report:
        command = [
            "hyperfine", "--shell=none", "--ignore-failure", "--warmup=1", f"--min-runs={2 if slow else RUNS}",
            f"--max-runs={2 if slow else 200}", f"--export-json={report.name}", f"{program} build {directory}",
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        mean = json.load(report)["results"][0]["mean"]
    # GNU time measures memory: a child of this process counts Python's until it starts the program.
    timed = subprocess.run(["/usr/bin/time", "-f", "%M", program, "build", directory], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    memory = int(timed.stderr.split()[-1])
    return mean, memory / 1024, process.stdout, process.returncode == 0


def main():
    print(f"{'tree':40} {'kustomize':>10} {'ours':>9} {'faster':>8} {'MiB':>7} {'ours':>6}  same")
    for name, (files, body) in TREES.items():
        with tempfile.TemporaryDirectory() as root:
            body = "" if body is None else body
            names = sorted({f.split("/")[0] for f in files})
            files = dict(files, **{"kustomization.yaml": (f"resources: [{', '.join(names)}]\n" if names else "") + body})
            for path, text in files.items():
                path = os.path.join(root, path)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w") as f:
                    f.write(text)
            theirs, ours = measure(KUSTOMIZE, root), measure(OURS, root)
            same = "yes" if theirs[2:] == ours[2:] else "NO"
            print(f"{name:40} {theirs[0]:9.3f}s {ours[0]:8.4f}s {theirs[0] / ours[0]:7.0f}x {theirs[1]:7.0f} {ours[1]:6.0f}  {same}", flush=True)


if __name__ == "__main__":
    main()
