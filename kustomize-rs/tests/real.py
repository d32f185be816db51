#!/usr/bin/env python3
"""Builds what people have written with the real kustomize and with ours, and keeps what comes out differently.

Usage: real.py KEEP ROOT...

Below each ROOT (a Go module cache, a checkout, a folder of packages) it looks for
  - every directory with a kustomization file, built as it is;
  - every YAML file, built three ways: as a resource below a kustomization that changes what most people change, as
    the data of a resource of an unknown kind, and as the file of a generated ConfigMap.
Equal files are tried once. KUSTOMIZE and KUSTOMIZE_RS name the two programs. Each difference leaves a folder in KEEP.
"""
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

KUSTOMIZE = os.environ.get("KUSTOMIZE", "kustomize")
OURS = os.environ.get("KUSTOMIZE_RS", "kustomize-rs")
# How many pairs of programs run at once.
JOBS = int(os.environ.get("JOBS", "1"))
# Longer files are data, not manifests, and the reference program needs minutes for them.
LARGEST = 2_000_000
FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")

CHANGES = [
    "",
    "namespace: elsewhere\nnamePrefix: p-\nlabels: [{pairs: {team: '1'}, includeSelectors: true}]\n",
    "nameSuffix: -s\ncommonAnnotations: {note: 'true'}\nimages: [{name: nginx, newTag: '2'}, {name: '.*', newName: other/image}]\n",
    "commonLabels: {app: web}\nsortOptions: {order: fifo}\npatches:\n- target: {name: '.*'}\n"
    "  patch: '[{op: add, path: /metadata/labels, value: {added: \"1\"}}]'\n",
    "buildMetadata: [originAnnotations, transformerAnnotations, managedByLabel]\nnamespace: elsewhere\n",
    "namespace: elsewhere\npatches:\n- target: {kind: Deployment|StatefulSet|DaemonSet}\n  patch: |-\n"
    "    kind: any\n    metadata: {name: any, annotations: {a: b}}\n"
    "    spec: {template: {spec: {containers: [{name: added, image: x}], volumes: [{name: v, emptyDir: {}}]}}}\n",
]


def files_below(roots):
    for root in roots:
        for folder, folders, files in os.walk(root):
            folders[:] = sorted(f for f in folders if f not in (".git", "node_modules"))
            yield folder, sorted(files)


def trees(roots):
    for folder, files in files_below(roots):
        if any(name in files for name in FILES):
            yield folder


def documents(roots):
    seen = set()
    for folder, files in files_below(roots):
        for name in files:
            path = os.path.join(folder, name)
            if not name.endswith((".yaml", ".yml", ".json")) or os.path.islink(path) or os.path.getsize(path) > LARGEST:
                continue
            with open(path, "rb") as f:
                text = f.read()
            if name.endswith(".json") and b'"kind"' not in text:
                continue
            digest = hashlib.sha256(text).digest()
            if digest not in seen:
                seen.add(digest)
                yield path, text


def write(folder, name, text):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())


def cases_of(path, text, room):
    """Folders that use one file; which changes they make depends only on the file."""
    r = random.Random(hashlib.sha256(text).digest())
    if b"kind:" in text or b'"kind"' in text:
        for number in {0, r.randrange(1, len(CHANGES))}:
            folder = os.path.join(room, f"resource{number}")
            write(folder, "file.yaml", text)
            write(folder, "kustomization.yaml", "resources: [file.yaml]\n" + CHANGES[number])
            yield folder
    folder = os.path.join(room, "inside")
    body = b"".join(b"  " + line if line.strip() else line for line in text.splitlines(keepends=True))
    write(folder, "file.yaml", b"apiVersion: example.org/v1\nkind: Holder\nmetadata: {name: holder}\nspec:\n" + body)
    write(folder, "kustomization.yaml", "resources: [file.yaml]\n")
    yield folder
    folder = os.path.join(room, "generated")
    write(folder, "file.yaml", text)
    write(folder, "kustomization.yaml", "configMapGenerator: [{name: c, files: [file.yaml]}]\nsecretGenerator: [{name: s, files: [file.yaml]}]\n")
    yield folder


def run(program, folder):
    environment = dict(os.environ, GIT_TERMINAL_PROMPT="0")
    try:
        done = subprocess.run([program, "build", folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, env=environment)
    except subprocess.TimeoutExpired:
        return "timeout", b"", b""
    return done.returncode, done.stdout, done.stderr


def warnings(errors):
    return sorted(line for line in errors.decode(errors="replace").splitlines() if line.startswith("# Warning"))


class Comparison:
    def __init__(self, keep):
        self.keep, self.tried, self.built, self.wrong = keep, 0, 0, 0

    def compare(self, folder, name):
        """Runs both programs on a folder, and keeps what they said when it differs."""
        theirs, ours = run(KUSTOMIZE, folder), run(OURS, folder)
        self.tried += 1
        self.built += theirs[0] == 0
        # A program that panics fails, too.
        failed = [result[0] if result[0] == "timeout" else result[0] != 0 for result in (theirs, ours)]
        same = failed[0] == failed[1] and theirs[1] == ours[1] and (theirs[0] != 0 or warnings(theirs[2]) == warnings(ours[2]))
        if same:
            return
        self.wrong += 1
        case = os.path.join(self.keep, hashlib.sha256(name.encode()).hexdigest()[:12])
        write(case, "theirs", theirs[1] + theirs[2])
        write(case, "ours", ours[1] + ours[2])
        write(case, "name", name + "\n")
        if not os.path.isdir(os.path.join(case, "tree")) and folder not in name:
            shutil.copytree(folder, os.path.join(case, "tree"))
        print(f"{case}: {name}: theirs {theirs[0]}, ours {ours[0]}", flush=True)

    def compare_document(self, item):
        path, text = item
        room = tempfile.mkdtemp(prefix="kustomize-real-")
        for folder in cases_of(path, text, room):
            self.compare(folder, f"{path} as {os.path.basename(folder)}")
        shutil.rmtree(room)

    def say(self, what):
        print(f"{what}: {self.tried} tried, {self.built} of them build, {self.wrong} differ", flush=True)


def main():
    keep, roots = sys.argv[1], sys.argv[2:]
    os.makedirs(keep, exist_ok=True)
    wrong = 0
    for what in ("trees", "documents"):
        comparison = Comparison(keep)
        with ThreadPoolExecutor(JOBS) as pool:
            if what == "trees":
                list(pool.map(lambda folder: comparison.compare(folder, folder), trees(roots)))
            else:
                list(pool.map(comparison.compare_document, documents(roots)))
        comparison.say(what)
        wrong += comparison.wrong
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
